"""People are told what they should know, by whatever service they named (Apprise). No sync waits for it.

What was told stands in Postgres, so that each thing is told once, whatever becomes of the broker; at least once, if a
process dies just after it has told somebody. An address is a secret: it is nowhere said, only its kind and its place.
"""

import hashlib
import logging
import threading
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

from spotisync import status
from spotisync.errors import Misconfigured, Unavailable
from spotisync.settings import Settings
from spotisync.store import accounts
from spotisync.store.database import Connection
from spotisync.store.notifications import Condition, Notification
from spotisync.sync import Context, notifications

log = logging.getLogger(__name__)
# One attempt at one address takes eight at most; after so many no other one is begun.
PATIENCE_SECONDS: Final = 15.0
TYPES: Final = {"failed": "failure", "needs_login": "failure", "over": "success"}
TITLES: Final = {
    "failed": "a sync of {} has failed",
    "needs_login": "{} has to log in again",
    "login_ends": "the login of {} ends soon",
    "waiting": "the sync of {} is paused",
    "stuck": "the sync of {} does not move",
}
OVER: Final = {
    "failed": "{} is synced again",
    "needs_login": "{} is logged in again",
    "waiting": "the sync of {} goes on",
    "stuck": "the sync of {} goes on",
}


@dataclass(frozen=True)
class NotifyTarget:
    """Where somebody is told. `name` may be shown, `url` is a secret."""

    name: str
    url: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


def parse_targets(settings: Settings) -> list[NotifyTarget]:
    """Raises `Misconfigured` if one of them is none that Apprise knows."""
    found = _addresses(tuple(settings.notify_urls))
    if bad := _unknown(found):
        raise Misconfigured(bad)
    return found


def _addresses(urls: Sequence[str]) -> list[NotifyTarget]:
    return [NotifyTarget(f"{_kind(url)} (number {number})", url) for number, url in enumerate(urls, 1)]


def _kind(url: str) -> str:
    return url.partition("://")[0] if "://" in url else "an address"


def _unknown(found: Sequence[NotifyTarget]) -> str | None:
    names = ", ".join(each.name for each in found if not _knows(each.url))
    wiki = "https://github.com/caronc/apprise/wiki"
    return f"SPOTISYNC_NOTIFY: Apprise does not know {names}; how addresses look: {wiki}" if names else None


@cache
def _usable(urls: tuple[str, ...]) -> list[NotifyTarget]:
    """Those that Apprise knows; of the others the log hears once."""
    found = _addresses(urls)
    if bad := _unknown(found):
        log.warning(bad)
    return [each for each in found if _knows(each.url)]


_loading = threading.Lock()


def _apprise() -> Any:
    """Loaded when it is needed: a hundred modules, and what Python has against some of them is not our user's."""
    with _loading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import apprise

        # It logs whole addresses, at every level.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        apprise.Apprise.instantiate("json://localhost")
    return apprise


def _knows(url: str) -> bool:
    return _apprise().Apprise.instantiate(url, suppress_exceptions=True) is not None


def send(address: NotifyTarget, title: str, body: str, kind: str = "info") -> bool:
    """Whether the service has taken it."""
    apprise = _apprise()
    to = apprise.Apprise()
    to.add(address.url)
    try:
        return bool(to.notify(body=body, title=title, notify_type=apprise.NotifyType(kind), body_format="text"))
    except Exception as error:  # noqa: BLE001 (a hundred services; none of them may disturb a worker)
        log.debug("a notification broke off (%s)", type(error).__name__)
        return False


# ---- what comes by itself -------------------------------------------------------------------------------------------


def send_due(context: Context) -> int:
    """Notice what is new, and tell what is due; returns how much has reached everybody."""
    to = _usable(tuple(context.settings.notify_urls))
    if not to:
        return 0
    try:
        notifications.record_new(context, partial(describe, context.settings))
        return _tell_all(context, to)
    except Unavailable as error:
        log.warning("nobody can be told now: %s", error)
        return 0


def _tell_all(context: Context, to: Sequence[NotifyTarget]) -> int:
    deadline, told = time.monotonic() + PATIENCE_SECONDS, 0
    while time.monotonic() < deadline and (notice := notifications.claim_due(context)):
        if not _tell(context, notice, to, deadline):
            break  # each try may take long: those that are left wait for the next time
        told += 1
    return told


def _tell(context: Context, notice: Notification, to: Sequence[NotifyTarget], deadline: float) -> bool:
    """Whom it has reached already is not told again."""
    unreached = []
    for each in to:
        if each.digest in notice.told_to:
            continue
        if time.monotonic() < deadline and send(each, notice.title, notice.body, TYPES.get(notice.kind, "warning")):
            notifications.mark_delivered_to(context, notice, each.digest)
        else:
            unreached.append(each.name)
    if unreached:
        log.warning("%r could not be told to %s (try %d)", notice.title, ", ".join(unreached), notice.tries)
        return False
    notifications.mark_delivered(context, notice)
    return True


# ---- in words -------------------------------------------------------------------------------------------------------


def describe(settings: Settings, connection: Connection, fact: Condition) -> tuple[str, str]:
    """Title and text, as every other face of the run says it."""
    title = (OVER[fact.of] if fact.of else TITLES[fact.kind]).format(fact.account)
    return f"spotisync: {title}", _body(settings, connection, fact)


def _body(settings: Settings, connection: Connection, fact: Condition) -> str:
    if fact.kind == "login_ends":
        standing = next(each for each in accounts.login_states(connection) if each.account == fact.account)
        return standing.warning or ""
    document = status.run(connection, settings, fact.sync_id) if fact.sync_id else None
    if document is None:
        (document,) = status.documents(connection, settings, fact.account)
    if fact.of:
        return str(document["message"])
    said = [document[name] for name in ("message", "safe", "still_runs", "to_do")]
    return "\n".join(filter(None, said))
