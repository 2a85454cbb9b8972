"""Recently played, account by account. A read that fails loses nothing: the next one has its plays, too."""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from spotisync import logs
from spotisync.core import parse, plays
from spotisync.core.plays import PlayGap, RecentPage
from spotisync.core.requests import Request
from spotisync.errors import SpotisyncError, Stopping, Unavailable
from spotisync.store import accounts, catalogue
from spotisync.store import plays as stored
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.sync.context import Context
from spotisync.sync.fetch import fetch
from spotisync.sync.tokens import AccountAccess

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlaybackRead:
    """What a read came to. `why_not`: in words, what kept it from being one."""

    account: str
    added: int = 0
    gap: PlayGap | None = None
    why_not: str | None = None

    def as_dict(self) -> dict[str, Any]:
        gap = {"from": self.gap.since.isoformat(), "to": self.gap.until.isoformat()} if self.gap else None
        return {"account": self.account, "plays_added": self.added, "gap": gap, "error": self.why_not}


def track_plays(context: Context, account: str | None = None) -> dict[str, Any]:
    """Read one account's plays, or those of every active one, whatever becomes of the others.

    Raises `Fatal` if there is no such account, `Unavailable` if the database is away, `Stopping` if another worker is
    to do it; nothing else.
    """
    with context.database.begin() as connection:
        chosen = (
            [accounts.find_account(connection, account)] if account else accounts.list_accounts(connection, active=True)
        )
    reads = [_read(context, each).as_dict() for each in chosen]
    gaps = [{"account": each["account"], **each["gap"]} for each in reads if each["gap"]]
    return {
        "plays_added": sum(each["plays_added"] for each in reads),
        "gap": gaps[0] if gaps else None,
        "accounts": reads,
    }


def _read(context: Context, account: Account) -> PlaybackRead:
    name = account.spotify_user_id
    if account.status == "disabled":
        return PlaybackRead(name, why_not=f"{name} is disabled")
    token = uuid4()
    with context.database.begin() as connection:
        claimed = stored.claim_read(connection, account.id, token)
    if not claimed:
        return PlaybackRead(name, why_not="another worker is reading these plays")
    with logs.bind(account=name):
        try:
            return _ask(context, account, token)
        except Unavailable:
            raise
        except Stopping as stop:
            _end(context, account, token, str(stop))
            raise
        except SpotisyncError as error:
            why_not = str(error)
            log.warning("plays of %s can't be read now: %s", name, why_not)
        except Exception as error:  # a bug, or a row that Postgres does not take: the others are read all the same
            why_not = f"{type(error).__name__} (see the worker's log)"
            log.exception("the read of plays broke off")
        _end(context, account, token, why_not)
        return PlaybackRead(name, why_not=why_not)


def _end(context: Context, account: Account, token: UUID, why_not: str) -> None:
    with context.database.begin() as connection:
        stored.finish_read(connection, account.id, token, why_not)


def _ask(context: Context, account: Account, token: UUID) -> PlaybackRead:
    def alive() -> bool:
        with context.database.begin() as connection:
            return stored.renew_claim(connection, account.id, token)

    calls = context.recorder.open(None, account.id)
    try:
        fetched = fetch(context, AccountAccess(context, account.id), [Request("recently_played")], calls, alive)
    finally:
        context.recorder.close(calls)
    if fetched.trouble:
        raise fetched.trouble
    page = parse.recently_played(fetched.answers[0].body)
    added, gap = context.database.transact(lambda connection: _record(connection, account.id, token, page))
    log.info("%d new plays", added)
    if gap:
        log.warning("plays between %s and %s may be missing; Spotify's extended export has them", gap.since, gap.until)
    return PlaybackRead(account.spotify_user_id, added, gap)


def _record(connection: Connection, account_id: int, token: UUID, page: RecentPage) -> tuple[int, PlayGap | None]:
    stored.lock_plays(connection, account_id)
    settled = plays.merge_reports(stored.find_near(connection, account_id, page.plays), page.plays)
    gap = plays.find_gap(page, stored.newest_play(connection, account_id), settled)
    catalogue.save_rows(connection, page.catalogue)
    stored.save(connection, account_id, settled.rows)
    if gap:
        stored.note_gap(connection, account_id, gap)
    stored.finish_read(connection, account_id, token, None)
    return len(settled.added), gap
