"""Exit codes, and error messages on stderr. Tracebacks are printed only with SPOTISYNC_LOG_LEVEL=DEBUG."""

import re
import sys
import traceback
from errno import EDQUOT, ENOSPC, EROFS
from typing import Final

from spotisync.core.hints import MIGRATE
from spotisync.core.oauth import LOGIN
from spotisync.errors import Misconfigured, NeedsLogin, SpotisyncError, Unavailable, Unknown
from spotisync.logs import remove_controls

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3
LOGIN_NEEDED: Final = 4
INTERRUPTED: Final = 130

# No path, URL or ID in a message is that long.
LONGEST_WORD: Final = 2_000
SHOWN: Final = 100

CODES: Final = (
    (NeedsLogin, LOGIN_NEEDED),
    (Misconfigured, WRONG_USAGE),
    (Unknown, WRONG_USAGE),
    (Unavailable, UNREACHABLE),
)


def report_error(error: Exception) -> int:
    """Print the error on stderr; return the exit code."""
    lines = [f"spotisync: {_describe(error)}\n"]
    if _is_debugging():
        lines = [*traceback.format_exception(error), *lines]
    sys.stderr.write(shorten_words(remove_controls("".join(lines))))
    if isinstance(error, Unknown) and LOGIN in str(error):
        return LOGIN_NEEDED
    return next((code for kind, code in CODES if isinstance(error, kind)), FAILED)


def shorten_words(text: str) -> str:
    """A message repeats what it refuses, which can be a megabyte that was pasted by mistake."""
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:SHOWN]}…", text)


def _describe(error: Exception) -> str:
    from spotisync.settings import settings

    if isinstance(error, Unavailable) and error.__cause__ is not None and "can't be reached" in str(error):
        from spotisync.cli.demo.environment import describe_database_outage

        return f"{error}\nHint: {describe_database_outage(settings())}"
    if isinstance(error, NeedsLogin) and LOGIN not in str(error):
        return f"{error}\nLog in again: {LOGIN}"
    if isinstance(error, OSError) and error.errno in {EDQUOT, ENOSPC, EROFS}:
        where = f"{error.filename} can't be written" if error.filename else "the output can't be written"
        return f"{where} ({error.strerror}): free space on its disk, or choose another place"
    if isinstance(error, SpotisyncError | OSError):
        return str(error)
    if _is_missing_table(error):
        return f"the schema is missing or out of date\nHint: {MIGRATE}"
    # Not its message, which can contain a secret.
    return f"Unexpected error: {type(error).__name__}. To see the traceback: SPOTISYNC_LOG_LEVEL=DEBUG spotisync …"


def _is_missing_table(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in {"42P01", "42703"}


def _is_debugging() -> bool:
    from spotisync.settings import settings

    try:
        return settings().log_level == "DEBUG"
    except Misconfigured:
        return False
