"""Notifications to the Apprise URLs in SPOTISYNC_NOTIFY. No sync waits for them.

Each is stored in Postgres and sent once, even if the broker loses its messages; twice if a process dies between
sending it and recording that. A URL is a secret: only its scheme and position are logged or shown.
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
from spotisync.status.messages import describe_drift
from spotisync.status.vanished import describe_new
from spotisync.store import accounts, reply_shapes
from spotisync.store.database import Connection
from spotisync.store.notifications import Condition, Notification
from spotisync.sync import Context, notifications

log = logging.getLogger(__name__)
# No attempt begins later than this; one attempt takes 8 s at most.
PATIENCE_SECONDS: Final = 15.0
TYPES: Final = {"failed": "failure", "needs_login": "failure", "over": "success", "vanished": "info"}
TITLES: Final = {
    "failed": "sync of {} failed",
    "needs_login": "{} has to log in again",
    "login_ends": "login of {} expires soon",
    "waiting": "sync of {} is paused",
    "stuck": "sync of {} is stuck",
    "drift": "Spotify's API has changed",
    "vanished": "music of {} has vanished",
}
RESOLVED_TITLES: Final = {
    "failed": "sync of {} succeeded again",
    "needs_login": "{} is logged in again",
    "waiting": "sync of {} resumed",
    "stuck": "sync of {} resumed",
    "drift": "Spotify's replies are complete again",
}


@dataclass(frozen=True)
class NotifyTarget:
    """An Apprise URL. `name` can be shown, `url` is a secret."""

    name: str
    url: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"NotifyTarget({self.name!r})"


def parse_targets(settings: Settings) -> list[NotifyTarget]:
    """Return the targets; raise `Misconfigured` if Apprise does not recognise one of the URLs."""
    targets = _targets(settings.notify_urls)
    if error := _unrecognised(targets):
        raise Misconfigured(error)
    return targets


def _targets(urls: Sequence[str]) -> list[NotifyTarget]:
    return [NotifyTarget(f"{_scheme(url)} (number {number})", url) for number, url in enumerate(urls, 1)]


def _scheme(url: str) -> str:
    return url.partition("://")[0] if "://" in url else "URL"


def _unrecognised(targets: Sequence[NotifyTarget]) -> str | None:
    names = ", ".join(each.name for each in targets if not _is_recognised(each.url))
    wiki = "https://github.com/caronc/apprise/wiki"
    return f"SPOTISYNC_NOTIFY: Apprise does not recognise {names}; formats of URLs: {wiki}" if names else None


@cache
def _usable_targets(urls: tuple[str, ...]) -> list[NotifyTarget]:
    """The targets that Apprise recognises; the others are logged once per process."""
    targets = _targets(urls)
    if error := _unrecognised(targets):
        log.warning(error)
    return [each for each in targets if _is_recognised(each.url)]


_loading = threading.Lock()


def _apprise() -> Any:
    """Import Apprise on first use: it has a hundred modules, and some of them cause Python warnings."""
    with _loading, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import apprise

        # Apprise logs whole URLs, at every level.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        apprise.Apprise.instantiate("json://localhost")
    return apprise


def _is_recognised(url: str) -> bool:
    return _apprise().Apprise.instantiate(url, suppress_exceptions=True) is not None


def send(target: NotifyTarget, title: str, body: str, kind: str = "info") -> bool:
    """Send one notification; return whether the service accepted it."""
    apprise = _apprise()
    sender = apprise.Apprise()
    sender.add(target.url)
    try:
        return bool(sender.notify(body=body, title=title, notify_type=apprise.NotifyType(kind), body_format="text"))
    except Exception as error:  # noqa: BLE001 (a fault in a service's plugin must not stop a worker)
        log.debug("sending a notification failed (%s)", type(error).__name__)
        return False


# ---- sending --------------------------------------------------------------------------------------------------------


def send_due(context: Context) -> int:
    """Record new conditions and send what is due; return the number of notifications delivered to all targets."""
    targets = _usable_targets(tuple(context.settings.notify_urls))
    if not targets:
        return 0
    try:
        notifications.record_new(context, partial(describe, context.settings))
        return _send_all(context, targets)
    except Unavailable as error:
        log.warning("notifications can't be sent now: %s", error)
        return 0


def _send_all(context: Context, targets: Sequence[NotifyTarget]) -> int:
    deadline, delivered = time.monotonic() + PATIENCE_SECONDS, 0
    while time.monotonic() < deadline and (notification := notifications.claim_due(context)):
        if not _send_one(context, notification, targets, deadline):
            break  # attempts can be slow: the rest is sent the next time
        delivered += 1
    return delivered


def _send_one(context: Context, notification: Notification, targets: Sequence[NotifyTarget], deadline: float) -> bool:
    """Send it to the targets that have not received it; return whether all have."""
    title, kind = notification.title, TYPES.get(notification.kind, "warning")
    unreached = []
    for target in targets:
        if target.digest in notification.delivered_to:
            continue
        if time.monotonic() < deadline and send(target, title, notification.body, kind):
            notifications.mark_delivered_to(context, notification, target.digest)
        else:
            unreached.append(target.name)
    if unreached:
        log.warning("%r was not delivered to %s (attempt %d)", title, ", ".join(unreached), notification.tries)
        return False
    notifications.mark_delivered(context, notification)
    return True


# ---- title and body -------------------------------------------------------------------------------------------------


def describe(settings: Settings, connection: Connection, condition: Condition) -> tuple[str, str]:
    """Title and body; the body has the sentences of the status document."""
    resolved = condition.resolves
    title = (RESOLVED_TITLES[resolved] if resolved else TITLES[condition.kind]).format(condition.account)
    return f"spotisync: {title}", _body(settings, connection, condition)


def _body(settings: Settings, connection: Connection, condition: Condition) -> str:
    if condition.kind == "vanished":
        return describe_new(condition.vanished, condition.account)
    if condition.kind == "login_ends":
        (state,) = accounts.list_login_states(connection, [condition.account_id])
        return state.warning or ""
    if condition.kind == "drift":
        return _drift_body(settings, connection, condition.key)
    if condition.resolves == "drift":
        return "The key that was missing from Spotify's replies has returned. Removals are applied again."
    document = status.run(connection, settings, condition.sync_id) if condition.sync_id else None
    if document is None:
        (document,) = status.documents(connection, settings, condition.account)
    if condition.resolves:
        return str(document["message"])
    return "\n".join(filter(None, (document[key] for key in ("message", "safe", "still_runs", "to_do"))))


def _drift_body(settings: Settings, connection: Connection, key: str) -> str:
    client_ids = accounts.list_client_ids(connection, settings.require_client_id())
    alarms = reply_shapes.list_open(connection, client_ids)
    sentences = [describe_drift(each.kind, each.endpoint, each.key) for each in alarms if each.notice_key == key]
    return "\n".join([*sentences, "What to do: spotisync doctor"])
