"""Read the top artists and tracks of an account once a week, after a read of its plays."""

import logging
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Final, get_args

from spotisync.core.parse import TopItems, Unreadable
from spotisync.core.requests import Kind, Request
from spotisync.core.steps import Answer
from spotisync.errors import SpotisyncError, Stopping, Unavailable
from spotisync.store import accounts, catalogue, top_items
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.store.top_items import TimeRange, TopKind
from spotisync.sync.apps import SpotifyApp
from spotisync.sync.budgets import count_affordable, get_developer
from spotisync.sync.context import Context
from spotisync.sync.fetch import fetch
from spotisync.sync.tokens import AccountAccess

log = logging.getLogger(__name__)

SCOPE: Final = "user-top-read"
INTERVAL: Final = timedelta(days=7)
RETRY: Final = timedelta(days=1)
_KINDS: Final[dict[TopKind, Kind]] = {"artists": "top_artists", "tracks": "top_tracks"}
_RANKINGS: Final = tuple(product(get_args(TopKind), get_args(TimeRange)))


def read_if_due(context: Context, account: Account) -> bool:
    """Take a snapshot if one is due and permitted. Returns whether it did; a failure is logged and tried again later.

    Raises only `Unavailable` and `Stopping`.
    """
    app = context.apps.get(account)
    if not _claim(context, account, app):
        return False
    try:
        return _take(context, account, app)
    except (Unavailable, Stopping):
        raise
    except SpotisyncError as error:
        log.warning("the top artists and tracks of %s can't be read now: %s", account.spotify_user_id, error)
    except Exception:  # a bug, or a row that Postgres rejects: plays are read anyway
        log.exception("the read of top artists and tracks failed")
    return False


def _claim(context: Context, account: Account, app: SpotifyApp) -> bool:
    if app.gate.find_block("library"):
        return False
    with context.database.begin() as connection:
        if SCOPE not in (accounts.get_scope(connection, account.id) or "").split():
            return False
        calls = len(_RANKINGS)
        if count_affordable(connection, get_developer(context, app), "library", "incremental", calls) < calls:
            return False
        return top_items.claim(connection, account.id, RETRY)


def _take(context: Context, account: Account, app: SpotifyApp) -> bool:
    requests = [Request(_KINDS[kind], time_range=time_range) for kind, time_range in _RANKINGS]
    calls = app.recorder.open(None, account.id)
    try:
        fetched = fetch(context, AccountAccess(context, account.id), requests, calls, lambda: True)
    finally:
        app.recorder.close(calls)
    if fetched.error:
        raise fetched.error
    refused = next((answer.refused for answer in fetched.answers if answer.refused), None)
    if refused:
        context.database.transact(partial(top_items.schedule, account_id=account.id, after=INTERVAL))
        raise refused
    found = [_parse(answer) for answer in fetched.answers]
    context.database.transact(partial(_store, account_id=account.id, found=found))
    return True


def _parse(answer: Answer) -> TopItems:
    parsed = answer.parsed
    if not isinstance(parsed, TopItems):
        raise Unreadable("Spotify sent no ranking")
    return parsed


def _store(connection: Connection, account_id: int, found: list[TopItems]) -> None:
    for each in found:
        catalogue.save_rows(connection, each.catalogue)
        catalogue.mark_listed(connection, "artists", each.full)
    top_items.save(connection, account_id, dict(zip(_RANKINGS, (each.ids for each in found), strict=True)))
    top_items.schedule(connection, account_id, INTERVAL)
