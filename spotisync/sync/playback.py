"""Read recently played, account by account; once a week, top artists and tracks too.

A failed read loses nothing: the next one returns its plays too.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from spotisync import logs
from spotisync.core import parse, plays
from spotisync.core.plays import PlayGap, RecentPage
from spotisync.core.requests import Request
from spotisync.errors import SpotisyncError, Stopping, Unavailable
from spotisync.store import accounts, catalogue, rhythms
from spotisync.store import plays as stored
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.sync import top_items
from spotisync.sync.context import Context, in_transaction
from spotisync.sync.fetch import fetch
from spotisync.sync.intervals import hasten_sync
from spotisync.sync.tokens import AccountAccess

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlaybackRead:
    """The result of one account's read. `error`: why it failed."""

    account: str
    added: int = 0
    gap: PlayGap | None = None
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        gap = {"from": self.gap.since.isoformat(), "to": self.gap.until.isoformat()} if self.gap else None
        return {"account": self.account, "plays_added": self.added, "gap": gap, "error": self.error}


def track_plays(context: Context, account: str | None = None) -> dict[str, Any]:
    """Read the plays of one account, or of every active one even if some reads fail.

    Raises only `Unknown` if there is no such account, `Unavailable` if the database is away, and `Stopping` if this
    worker is stopping.
    """
    with context.database.begin() as connection:
        selected = (
            [accounts.find_account(connection, account)] if account else accounts.list_accounts(connection, active=True)
        )
    reads = [_track_account(context, each).as_dict() for each in selected]
    gaps = [{"account": each["account"], **each["gap"]} for each in reads if each["gap"]]
    return {
        "plays_added": sum(each["plays_added"] for each in reads),
        "gap": gaps[0] if gaps else None,
        "accounts": reads,
    }


def _track_account(context: Context, account: Account) -> PlaybackRead:
    name = account.spotify_user_id
    if account.status == "disabled":
        return PlaybackRead(name, error=f"{name} is disabled")
    token = uuid4()
    if not _claim(context, account.id, token):
        return PlaybackRead(name, error="another worker is reading these plays, or the account was removed")
    with logs.bind(account=name):
        try:
            read = _fetch_and_store(context, account, token)
        except Unavailable:
            raise
        except Stopping as stop:
            _finish(context, account.id, token, str(stop))
            raise
        except SpotisyncError as error:
            message = str(error)
            log.warning("the plays of %s can't be read now: %s", name, message)
        except Exception as error:  # a bug, or a row that Postgres rejects: the other accounts are read anyway
            message = f"{type(error).__name__} (see the worker's log)"
            log.exception("the read of plays failed")
        else:
            top_items.read_if_due(context, account)
            return read
        _finish(context, account.id, token, message)
        return PlaybackRead(name, error=message)


_claim = in_transaction(stored.claim_read)
_renew = in_transaction(stored.renew_claim)
_finish = in_transaction(stored.finish_read)


def _fetch_and_store(context: Context, account: Account, token: UUID) -> PlaybackRead:
    renew = partial(_renew, context, account.id, token)
    app = context.apps.get(account)
    calls = app.recorder.open(None, account.id)
    try:
        fetched = fetch(context, AccountAccess(context, account.id), [Request("recently_played")], calls, renew)
    finally:
        app.recorder.close(calls)
    if fetched.error:
        raise fetched.error
    page = parse.recently_played(fetched.answers[0].body)
    added, gap = context.database.transact(lambda connection: _store(connection, account.id, token, page))
    log.info("%d new plays", added)
    if added:
        hasten_sync(context, account.id)
    if gap:
        log.warning("plays between %s and %s may be missing; Spotify's extended export has them", gap.since, gap.until)
    return PlaybackRead(account.spotify_user_id, added, gap)


def _store(connection: Connection, account_id: int, token: UUID, page: RecentPage) -> tuple[int, PlayGap | None]:
    stored.lock_plays(connection, account_id)
    merged = plays.merge_reports(stored.find_similar(connection, account_id, page.plays), page.plays)
    gap = plays.find_gap(page, stored.find_newest_play(connection, account_id), merged)
    catalogue.save_rows(connection, page.catalogue)
    stored.save_plays(connection, account_id, merged)
    if gap:
        stored.record_gap(connection, account_id, gap)
    stored.finish_read(connection, account_id, token, None)
    if merged.added:
        rhythms.update_rhythm(connection, account_id)
    return len(merged.added), gap
