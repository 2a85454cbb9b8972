"""The command line. Commands import their dependencies when they run, so that `--help` is fast."""

import sys


def main() -> None:
    from spotisync.cli.app import app
    from spotisync.cli.exit_codes import report_error

    try:
        app()
    except Exception as error:  # noqa: BLE001 (last resort: every error becomes a message and an exit code)
        sys.exit(report_error(error))
