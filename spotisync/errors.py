"""Errors, named by what to do about them.

SpotisyncError
 +- Fatal              give up; a person must act, and the text says how
 |   +- Unknown        the account or the run that was named is not there
 |   +- NeedsLogin     the account must be authorised again
 |   +- Misconfigured  a setting is missing or wrong
 |   +- AppBlocked     Spotify serves this app to nobody
 |   +- UserBlocked    Spotify does not serve this app to this account
 +- Refused            Spotify says no to this one thing (403, 404); the caller knows how far that reaches
 +- Transient          try again a little later
 +- Wait               told to wait: an outcome, not a failure
 +- Unavailable        the database or the broker can't be reached
 +- Stopping           this process is asked to end: whoever else can is to do it
 +- IllegalMove        the state of a run forbids what was asked
 +- SyncFailed         what a caller's `get()` raises when the run failed
 +- SyncCancelled      ... when it was cancelled
"""

from datetime import datetime


class SpotisyncError(Exception):
    """Root of all our errors. One plain string: Celery carries them across processes as such."""


class Fatal(SpotisyncError):
    """Trying again changes nothing; the text names the cure."""


class Unknown(Fatal):
    """There is no such account or run; the text names those there are, or where to find them."""


class NeedsLogin(Fatal):
    """Spotify no longer takes this account's refresh token (`invalid_grant`), or the login does not cover a request."""


class Misconfigured(Fatal):
    """A setting is missing or wrong; the text names it."""


class AppBlocked(Fatal):
    """403 to every request of the app, whoever asks: its owner has no Premium."""


class UserBlocked(Fatal):
    """403 to every request of one account: it is not on the app's list of users. Others are served."""


class Refused(SpotisyncError):
    """403 or 404 with Spotify's words, where these say nothing of the app or the account: the endpoint decides."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Spotify answered {status}: {message}")
        self.status = status
        self.message = message


class Transient(SpotisyncError):
    """5xx, a timeout, a cut or unreadable body: try again with backoff. `status`: of a 5xx."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Wait(SpotisyncError):
    """Spotify, or our own pace, says not before `until` (UTC, by the database's clock) for requests of `family`.

    `reason`: `rate` or `quota` are Spotify's, `pace` is ours; `seconds` are those from now until then.
    """

    def __init__(self, family: str, until: datetime, reason: str, seconds: float = 0.0) -> None:
        super().__init__(f"requests of {family} wait until {until:%Y-%m-%d %H:%M:%S} UTC ({reason})")
        self.family = family
        self.until = until
        self.reason = reason
        self.seconds = seconds


class Unavailable(SpotisyncError):
    """The database or the broker does not answer."""


class Stopping(SpotisyncError):
    """This worker is asked to end: what it has begun is handed back, for another one to do."""

    def __init__(self) -> None:
        super().__init__("this worker is asked to stop")


class IllegalMove(SpotisyncError):
    """A run can't go from its status to the one asked for."""


class SyncFailed(SpotisyncError):
    """The run that a caller waited for has failed; the text is the run's `last_error`."""


class SyncCancelled(SpotisyncError):
    """The run that a caller waited for was cancelled."""
