"""The command line. Commands import their dependencies when they run, so that `--help` is fast."""

import os
import sys


def main() -> None:
    from spotisync.cli.app import app
    from spotisync.cli.exit_codes import FAILED, report_error
    from spotisync.cli.output import discard_output, flush_output

    if sys.stdin is None:  # closed by the caller, as by `<&-` of a shell
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 (for the life of the process)
    try:
        try:
            app()
        finally:
            flush_output()
    except BrokenPipeError:  # the reader has what it wants, as `head`
        discard_output()
        sys.exit(FAILED)
    except Exception as error:  # noqa: BLE001 (last resort: every error becomes a message and an exit code)
        code = report_error(error)
        discard_output()
        sys.exit(code)
