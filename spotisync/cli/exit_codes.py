"""How a command ends: exit codes, and errors in words. A traceback is shown to those who ask for DEBUG."""

import sys
import traceback
from typing import Final

from spotisync.core.oauth import LOGIN
from spotisync.errors import Misconfigured, NeedsLogin, SpotisyncError, Unavailable

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
UNREACHABLE: Final = 3
LOGIN_NEEDED: Final = 4
INTERRUPTED: Final = 130

CODES: Final = ((NeedsLogin, LOGIN_NEEDED), (Misconfigured, WRONG_USAGE), (Unavailable, UNREACHABLE))


def report(error: Exception) -> int:
    """Say it on stderr; returns the exit code."""
    if _debugging():
        traceback.print_exception(error)
    print(f"spotisync: {_words(error)}", file=sys.stderr)  # noqa: T201
    return next((code for kind, code in CODES if isinstance(error, kind)), FAILED)


def _words(error: Exception) -> str:
    if isinstance(error, Unavailable) and error.__cause__ is not None:
        return f"{error}\n{_cure_of_the_database()}"
    if isinstance(error, NeedsLogin) and LOGIN not in str(error):
        return f"{error}\nLog in again: {LOGIN}"
    if isinstance(error, SpotisyncError | OSError):
        return str(error)
    if _is_missing_table(error):
        return "this database has no tables of ours yet, or old ones; bring them up to date: spotisync db upgrade"
    # Not its text: an error that nobody foresaw may quote a secret.
    return f"that should not happen: {type(error).__name__}. To see where: SPOTISYNC_LOG_LEVEL=DEBUG spotisync …"


def _cure_of_the_database() -> str:
    from spotisync.settings import settings

    if settings().embedded_postgres:
        return "The embedded one runs while spotisync does; start it with: spotisync up"
    return "Is the server up, and SPOTISYNC_DATABASE_URL right?"


def _is_missing_table(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in {"42P01", "42703"}


def _debugging() -> bool:
    from spotisync.settings import settings

    try:
        return settings().log_level == "DEBUG"
    except Misconfigured:
        return False
