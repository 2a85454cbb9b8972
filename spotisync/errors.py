"""Error types, grouped by how the caller handles them.

SpotisyncError
 +- Fatal              permanent; the message says how to fix it
 |   +- Unknown        the named account or run does not exist
 |   +- NeedsLogin     the account must be authorised again
 |   +- Misconfigured  a setting is missing or invalid
 |   +- AppBlocked     Spotify blocks this app for every account
 |   +- UserBlocked    Spotify blocks this app for one account
 +- Refused            Spotify refused one request (403, 404); the caller decides what that means
 +- Transient          temporary; retry with backoff
 +- Wait               wait until a given time: an outcome, not a failure
 +- Unavailable        the database or the broker can't be reached
 +- Stopping           this process was asked to stop; another one continues its work
 +- IllegalMove        the status of a run does not allow the requested change
 +- SyncFailed         raised by a caller's `get()` when the run failed
 +- SyncCancelled      raised by a caller's `get()` when the run was cancelled
"""

from datetime import datetime


class SpotisyncError(Exception):
    """Base class. Each error has one string argument, so that Celery can serialise it."""


class Fatal(SpotisyncError):
    """Retrying does not help; the message says how to fix it."""


class Unknown(Fatal):
    """No such account or run; the message lists the existing ones or the command that does."""


class NeedsLogin(Fatal):
    """Spotify rejected this account's refresh token (`invalid_grant`), or the login lacks a scope."""


class Misconfigured(Fatal):
    """A setting is missing or invalid; the message names the variable."""


class AppRejected(Fatal):
    """Spotify's accounts service rejects the client id or the secret. `reason`: its own words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Spotify rejects this app ({reason}); check SPOTIPY_CLIENT_ID and SPOTIPY_CLIENT_SECRET")
        self.reason = reason


class AppBlocked(Fatal):
    """403 for every request of the app and every account: the app's owner has no Premium."""


class UserBlocked(Fatal):
    """403 for every request of one account, which is not on the app's list of users. Other accounts work."""


class Refused(SpotisyncError):
    """403 or 404 that concerns neither the whole app nor the whole account; `message` is Spotify's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"Spotify answered {status}: {message}")
        self.status = status
        self.message = message


class Transient(SpotisyncError):
    """5xx, a timeout, or a truncated or unreadable body. `status`: of a 5xx. `sync/batch.py` decides on the retry."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Wait(SpotisyncError):
    """Requests of `family` must wait until `until` (UTC, by the database's clock), in `seconds` from now.

    `reason`: `rate` or `quota` if Spotify said so, `manual` if a person did, `pace` or `budget` if our own ceiling is
    reached.
    """

    def __init__(self, family: str, until: datetime, reason: str, seconds: float = 0.0) -> None:
        super().__init__(f"requests of {family} wait until {until:%Y-%m-%d %H:%M:%S} UTC ({reason})")
        self.family = family
        self.until = until
        self.reason = reason
        self.seconds = seconds


class Unavailable(SpotisyncError):
    """The database or the broker can't be reached."""


class Stopping(SpotisyncError):
    """This worker was asked to stop: it releases its claims, so that another worker continues."""

    def __init__(self) -> None:
        super().__init__("this worker was asked to stop")


class IllegalMove(SpotisyncError):
    """The requested change of a run's status is not allowed."""


class SyncFailed(SpotisyncError):
    """The run that a caller waited for failed; the message is the run's `last_error`."""


class SyncCancelled(SpotisyncError):
    """The run that a caller waited for was cancelled."""
