"""The command line: `spotisync`. What a command needs it imports itself, so that `--help` is quick."""

import sys


def main() -> None:
    from spotisync.cli.app import app
    from spotisync.cli.exit_codes import report

    try:
        app()
    except Exception as error:  # noqa: BLE001 (the edge of the process)
        sys.exit(report(error))
