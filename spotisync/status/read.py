"""What the tables say of runs and accounts. Times are ISO 8601, and the database's clock is the one that counts."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from spotisync.core.states import UNFINISHED
from spotisync.settings import Settings
from spotisync.status import actions, changes, forecast, messages, times, upcoming
from spotisync.store import accounts, cooldowns, heartbeats, plays
from spotisync.store.accounts import Account
from spotisync.store.runs import CLAIMANT_GONE

PHASE_COLUMNS = (
    "status, current_offset, total_items, items_processed, items_added, items_updated, items_removed, items_deferred, "
    "batches, failures, percent_complete, last_error, rate_limit_reset_at"
)
RUN_COLUMNS = """r.id AS sync_id, a.spotify_user_id AS account, r.sync_type, r.status, r.trigger, r.started_at,
    r.completed_at, r.items_processed, r.items_added, r.items_updated, r.items_removed,
    (SELECT COALESCE(sum(s.items_deferred), 0) FROM sync_state s WHERE s.sync_id = r.id) AS items_deferred,
    r.api_calls, r.calls_saved, r.last_error, r.phase AS current_phase, r.seq AS current_batch"""
# In so many words, for these runs have an index of their own.
IS_UNFINISHED = "status IN ('pending', 'in_progress', 'rate_limited')"
FROM = "FROM sync_history r JOIN accounts a ON a.id = r.account_id"
RUN = f"SELECT {RUN_COLUMNS} {FROM}"
# Of a claim the session that took it is known: while that one lives, so does the worker's process.
LIVE_RUN = f"""SELECT {RUN_COLUMNS}, r.family, r.claim IS NOT NULL AS claimed, NOT {CLAIMANT_GONE} AS alive,
    GREATEST(r.started_at, (SELECT max(s.updated_at) FROM sync_state s WHERE s.sync_id = r.id)) AS last_advance
    {FROM}"""
SUMMARY = (
    "sync_id", "account", "sync_type", "status", "started_at", "completed_at", "items_processed", "items_added",
    "items_updated", "items_removed", "items_deferred", "api_calls", "calls_saved",
    "last_error",
)  # fmt: skip
# What a document of an account says that has never been synced.
NO_RUN: dict[str, Any] = {
    **dict.fromkeys((*SUMMARY, "trigger", "current_phase", "current_batch", "family", "eta")),
    "phases": {},
    "worker": None,
    "to_look_up": {},
    "lists_put_off": {},
    "other_runs": [],
    "error": None,
}
Document = dict[str, Any]


def status_document(
    connection: Connection, settings: Settings, account: str | None = None
) -> Document | list[Document]:
    """The status document; a list of them when no account is named and there are several."""
    found = documents(connection, settings, account)
    return found[0] if len(found) == 1 else found


def documents(connection: Connection, settings: Settings, account: str | None = None) -> list[Document]:
    """One for this account, or for each that there is; one all the same while there is none."""
    chosen = [accounts.find_account(connection, account)] if account else accounts.list_accounts(connection)
    common = _common(connection, settings)
    if not chosen:
        nobody = dict.fromkeys(("display_name", "account_status", "account_error", "playback"))
        beside: Document = {"upcoming": [], "changes": [], "read_at": {}, "newest": {}}
        return [_told({**NO_RUN, **common, **beside, **nobody})]
    beside_each = _around(connection, settings, chosen, common)
    return [_of_account(connection, each, {**common, **beside_each[each.id]}) for each in chosen]


def run(connection: Connection, settings: Settings, sync_id: int) -> Document | None:
    """The document of one run, with its four phases."""
    row = connection.execute(text(f"{LIVE_RUN} WHERE r.id = :id"), {"id": sync_id}).one_or_none()
    if row is None:
        return None
    account = accounts.find_account(connection, row.account)
    common = _common(connection, settings)
    beside = _around(connection, settings, [account], common)[account.id]
    return _of_run(connection, account, _plain(row), {**common, **beside}, alone=True)


def history(connection: Connection, account: str | None, limit: int, before: int | None = None) -> list[Document]:
    """The newest first; a further page: `before` the last run of the one before it."""
    wanted = ["r.id < :before"] if before is not None else []
    if account is not None:
        wanted.append("r.account_id = (SELECT id FROM accounts WHERE spotify_user_id = :account)")
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    rows = connection.execute(
        text(f"{RUN} {where} ORDER BY r.id DESC LIMIT :limit"),
        {"account": account, "limit": limit, "before": before},
    )
    return [_plain(row) for row in rows]


def summary(connection: Connection, sync_id: int) -> Document:
    """What a caller gets when the run is over."""
    row = connection.execute(text(f"{RUN} WHERE r.id = :id"), {"id": sync_id}).one_or_none()
    if row is None:
        raise LookupError(f"there is no run {sync_id}")
    found = _plain(row)
    return {**{name: found[name] for name in SUMMARY}, "phases": _phases(connection, sync_id)}


# ---- the document ---------------------------------------------------------------------------------------------------


def _common(connection: Connection, settings: Settings) -> Document:
    """What holds for all accounts. `blocked` is null while it is not known which app's cooldowns to look at."""
    now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    blocks = cooldowns.list_active(connection, settings.client_id) if settings.client_id else None
    swept = heartbeats.last_heartbeat(connection, "sweep")
    common = {
        "as_of": now.isoformat(),
        "time_zone": settings.zone,
        "blocked": None if blocks is None else [_block(each) for each in blocks],
        "schedule": {"last_sweep": swept.isoformat() if swept else None, "sweep_interval": settings.sweep_interval},
        "playback_interval": settings.playback_interval,
    }
    return {**common, "calls": changes.calls_document(connection, settings, common)}


def _around(connection: Connection, settings: Settings, chosen: list[Account], common: Document) -> dict[int, Document]:
    """What documents of these accounts say beside their runs. As many queries for many accounts as for one.

    An account may be removed meanwhile: of that one there is nothing to say.
    """
    ids = [account.id for account in chosen]
    name = chosen[0].spotify_user_id if len(chosen) == 1 else None
    comes = upcoming.read(connection, settings, name, times.now(common))
    changed, newest = changes.recent_changes(connection, ids), changes.newest_runs(connection, ids)
    fresh = changes.list_times(connection, ids, common)
    return {
        account.id: {
            "upcoming": comes.get(account.spotify_user_id, []),
            "changes": changed[account.id],
            "read_at": fresh.get(account.id, {}),
            "newest": newest[account.id],
        }
        for account in chosen
    }


def _block(block: cooldowns.Cooldown) -> Document:
    return {
        "family": block.family,
        "blocked_until": block.until.isoformat(),
        "reason": block.reason,
        "seconds": round(block.seconds, 1),
    }


def _of_account(connection: Connection, account: Account, common: Document) -> Document:
    """Of its unfinished run, or its last one. A run that goes comes before one that is parked or pending."""
    row = connection.execute(
        text(
            f"""{LIVE_RUN} WHERE r.id = COALESCE(
                (SELECT u.id FROM sync_history u WHERE u.account_id = :account_id AND u.{IS_UNFINISHED}
                ORDER BY u.status = 'in_progress' DESC, u.id DESC LIMIT 1),
                (SELECT l.id FROM sync_history l WHERE l.account_id = :account_id ORDER BY l.id DESC LIMIT 1))"""
        ),
        {"account_id": account.id},
    ).one_or_none()
    if row is None:
        return _told({**NO_RUN, **_of_its_account(connection, account), **common})
    return _of_run(connection, account, _plain(row), common)


def _of_run(
    connection: Connection, account: Account, found: Document, common: Document, *, alone: bool = False
) -> Document:
    """`alone`: nothing but this run is looked at, so that what can be done is what can be done to it."""
    worker = {"has_it": found.pop("claimed"), "alive": found.pop("alive"), "last_advance": found.pop("last_advance")}
    phases = _phases(connection, found["sync_id"], ", busy_seconds")
    document = {
        **found,
        **_of_its_account(connection, account),
        **common,
        "phases": phases,
        "worker": worker,
        "to_look_up": _to_look_up(connection, phases),
        "lists_put_off": _lists_put_off(connection, account.id, found["sync_id"]),
        "other_runs": _other_runs(connection, account.id, found["sync_id"]),
        "error": messages.describe_error(found["last_error"]),
        # What the run has saved is counted with the run.
        "calls": {**common["calls"], "saved": found.get("calls_saved")},
    }
    return _told(forecast.add_eta(document, _earlier(connection, account.id, found)), alone=alone)


def _told(document: Document, *, alone: bool = False) -> Document:
    newest = document.pop("newest")
    document = {**document, "can": actions.actions(document, newest, of_run=alone)}
    return {**document, **messages.describe(document)}


def _of_its_account(connection: Connection, account: Account) -> Document:
    return {
        "account": account.spotify_user_id,
        "display_name": account.display_name,
        "account_status": account.status,
        "account_error": account.last_error,
        "playback": plays.playback_status(connection, account.spotify_user_id),
    }


def _phases(connection: Connection, sync_id: int, more: str = "") -> Document:
    rows = connection.execute(
        text(f"SELECT entity_type, {PHASE_COLUMNS}{more} FROM sync_state WHERE sync_id = :id ORDER BY id"),
        {"id": sync_id},
    )
    phases = {row.entity_type: _plain(row) for row in rows}
    for phase in phases.values():
        del phase["entity_type"]
    return phases


def _to_look_up(connection: Connection, phases: Document) -> dict[str, int]:
    """Of the look-ups that the run put off, how many are still to be done."""
    left = {}
    for entity in ("artists", "albums"):
        put_off = phases[entity]["items_deferred"]
        if put_off:
            stubs = connection.execute(text(f"SELECT count(*) FROM {entity} WHERE enrichment = 'stub'")).scalar_one()
            left[entity] = min(put_off, stubs)
    return left


def _lists_put_off(connection: Connection, account_id: int, sync_id: int) -> dict[str, str]:
    """The lists that the run could not read, and why."""
    rows = connection.execute(
        text(
            """SELECT list, put_off_reason FROM saved_lists WHERE account_id = :account_id
            AND put_off_sync_id = :sync_id AND put_off_reason IS NOT NULL ORDER BY list"""
        ),
        {"account_id": account_id, "sync_id": sync_id},
    )
    return {row.list: row.put_off_reason for row in rows}


def _other_runs(connection: Connection, account_id: int, sync_id: int) -> list[Document]:
    rows = connection.execute(
        text(
            f"""SELECT id AS sync_id, sync_type, status FROM sync_history
            WHERE account_id = :account_id AND id <> :id AND {IS_UNFINISHED} ORDER BY id"""
        ),
        {"account_id": account_id, "id": sync_id},
    )
    return [_plain(row) for row in rows]


def _earlier(connection: Connection, account_id: int, found: Document) -> dict[str, float]:
    """How long each phase of the last good run of this kind was busy."""
    if found["status"] not in UNFINISHED:
        return {}
    rows = connection.execute(
        text(
            """SELECT s.entity_type, s.busy_seconds FROM sync_state s WHERE s.sync_id = (
                SELECT id FROM sync_history
                WHERE account_id = :account_id AND sync_type = :sync_type AND status = 'success'
                ORDER BY id DESC LIMIT 1)"""
        ),
        {"account_id": account_id, "sync_type": found["sync_type"]},
    )
    return {row.entity_type: row.busy_seconds for row in rows}


def _plain(row: Any) -> Document:
    items = row._mapping.items()  # noqa: SLF001 (SQLAlchemy's public name for it)
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in items}
