"""Status documents, history and summaries, read from the tables. Times are ISO 8601, by the database's clock."""

from typing import Any

from spotisync.core.apps import App, find_default_app
from spotisync.settings import Settings
from spotisync.status import actions, changes, forecast, freshness, messages, times, upcoming, usage
from spotisync.status.parts import IS_UNFINISHED, read_parts, read_phases, to_json_types
from spotisync.store import accounts, cooldowns, counters, plays, reply_shapes, schedules
from spotisync.store.accounts import Account
from spotisync.store.database import Connection, execute
from spotisync.store.runs import CLAIMANT_GONE

RUN_COLUMNS = """r.id AS sync_id, a.spotify_user_id AS account, r.sync_type, r.status, r.trigger, r.started_at,
    r.completed_at, r.items_processed, r.items_added, r.items_updated, r.items_removed,
    (SELECT COALESCE(sum(s.items_deferred), 0) FROM sync_state s WHERE s.sync_id = r.id) AS items_deferred,
    r.api_calls, r.calls_saved, r.last_error, r.phase AS current_phase, r.seq AS current_batch"""
FROM = "FROM sync_history r JOIN accounts a ON a.id = r.account_id"
RUN = f"SELECT {RUN_COLUMNS} {FROM}"
# A claim records the database session that took it: while the session lives, so does the worker's process.
# The end of a wait for the budget. Other waits than this one have no end of their own while the run is paused.
BUDGET_UNTIL = """CASE r.status WHEN 'rate_limited' THEN r.not_before WHEN 'in_progress' THEN (
    SELECT r.not_before FROM (SELECT message FROM run_events WHERE sync_id = r.id AND kind <> 'woken'
        ORDER BY id DESC LIMIT 1) e WHERE e.message = 'budget' AND r.not_before > now()) END AS budget_until"""
LIVE_RUN = f"""SELECT {RUN_COLUMNS}, r.account_id, r.family, {BUDGET_UNTIL},
    r.claim IS NOT NULL AS claimed, NOT {CLAIMANT_GONE} AS alive,
    GREATEST(r.started_at, (SELECT max(s.updated_at) FROM sync_state s WHERE s.sync_id = r.id)) AS last_advance
    {FROM}"""
SUMMARY = (
    "sync_id", "account", "sync_type", "status", "started_at", "completed_at", "items_processed", "items_added",
    "items_updated", "items_removed", "items_deferred", "api_calls", "calls_saved",
    "last_error",
)  # fmt: skip
# The keys of a run in the document of an account that has never been synced.
NO_RUN: dict[str, Any] = {
    **dict.fromkeys((*SUMMARY, "trigger", "current_phase", "current_batch", "family", "budget_until", "eta")),
    "phases": {},
    "worker": None,
    "to_look_up": {},
    "lists_put_off": {},
    "deferred": [],
    "other_runs": [],
    "error": None,
}
Document = dict[str, Any]
# Accounts with a document where none is named. Each has many queries.
MOST_ACCOUNTS = 30


def documents(connection: Connection, settings: Settings, account: str | None = None) -> list[Document]:
    """One document for this account or for each account; one without account if there is none.

    Of very many accounts those with an unfinished run and those in need of a login come first; `more_accounts` says
    how many have no document.
    """
    chosen = [accounts.find_account(connection, account)] if account else accounts.list_first(connection, MOST_ACCOUNTS)
    default = find_default_app(settings)
    more = accounts.count_accounts(connection) - len(chosen) if len(chosen) == MOST_ACCOUNTS else 0
    common = {**_common(connection, settings), "more_accounts": more}
    if not chosen:
        no_account = dict.fromkeys(("display_name", "account_status", "account_error", "playback"))
        no_activity: Document = {"upcoming": [], "changes": [], "read_at": {}, "newest": {}}
        return [_finish({**NO_RUN, **_of_app(connection, settings, default, common), **no_activity, **no_account})]
    activity = _activity(connection, settings, chosen, common)
    used = {account.id: account.find_app(default) for account in chosen}
    of_app = {app: _of_app(connection, settings, app, common) for app in set(used.values())}
    runs = _find_runs(connection, [each.id for each in chosen])
    parts = read_parts(connection, {account_id: row["sync_id"] for account_id, row in runs.items()})
    return [
        _of_account(each, runs.get(each.id), {**of_app[used[each.id]], **activity[each.id], **parts.get(each.id, {})})
        for each in chosen
    ]


def run(connection: Connection, settings: Settings, sync_id: int) -> Document | None:
    """The status document of one run; None if it does not exist."""
    row = execute(connection, f"{LIVE_RUN} WHERE r.id = :id", {"id": sync_id}).mappings().one_or_none()
    if row is None:
        return None
    account = accounts.find_account(connection, row["account"])
    app = account.find_app(find_default_app(settings))
    common = _of_app(connection, settings, app, _common(connection, settings))
    activity = _activity(connection, settings, [account], common)[account.id]
    parts = read_parts(connection, {account.id: sync_id})[account.id]
    found = to_json_types(row)
    found.pop("account_id")
    return _of_run(account, found, {**common, **activity, **parts}, alone=True)


def history(connection: Connection, account: str | None, limit: int, before: int | None = None) -> list[Document]:
    """Runs, newest first; for the next page pass the id of the last run as `before`."""
    conditions = ["r.id < :before"] if before is not None else []
    if account is not None:
        conditions.append("r.account_id = (SELECT id FROM accounts WHERE spotify_user_id = :account)")
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = execute(
        connection,
        f"{RUN} {where} ORDER BY r.id DESC LIMIT :limit",
        {"account": account, "limit": limit, "before": before},
    ).mappings()
    return [to_json_types(row) for row in rows]


def summary(connection: Connection, sync_id: int) -> Document:
    """The summary that a caller receives when the run ends. Raises LookupError if the run does not exist."""
    row = execute(connection, f"{RUN} WHERE r.id = :id", {"id": sync_id}).mappings().one_or_none()
    if row is None:
        raise LookupError(f"No run {sync_id}")
    found = to_json_types(row)
    return {**{name: found[name] for name in SUMMARY}, "phases": read_phases(connection, [sync_id])[sync_id]}


# ---- the document ---------------------------------------------------------------------------------------------------


def read_clock(connection: Connection, settings: Settings) -> Document:
    """The keys of a document by which times are formatted."""
    now = execute(connection, "SELECT clock_timestamp()").scalar_one()
    return {"as_of": now.isoformat(), "time_zone": settings.zone}


def _common(connection: Connection, settings: Settings) -> Document:
    """The keys that are the same for all accounts."""
    swept = schedules.get_last_heartbeat(connection, "sweep")
    return {
        **read_clock(connection, settings),
        "rejected_messages": _rejected_messages(connection),
        "schedule": {"last_sweep": swept.isoformat() if swept else None, "sweep_interval": settings.sweep_interval},
        "playback_interval": settings.playback_interval,
        "more_accounts": 0,
    }


def _of_app(connection: Connection, settings: Settings, app: App | None, common: Document) -> Document:
    """The common keys and those of an app. `blocked` is null while no app is known."""
    blocks = cooldowns.list_active(connection, app.developer) if app else None
    found = {
        **common,
        "blocked": None if blocks is None else [_block(each) for each in blocks],
        "drift": _drift(connection, app),
    }
    return {**found, "calls": usage.calls_document(connection, settings, app, found)}


def _activity(
    connection: Connection, settings: Settings, chosen: list[Account], common: Document
) -> dict[int, Document]:
    """The schedule, changes and freshness of accounts, by account id, in as many queries for many as for one.

    An account that is removed meanwhile has empty values.
    """
    ids = [account.id for account in chosen]
    scheduled = upcoming.list_upcoming(connection, settings, ids, times.now(common))
    changed, newest = changes.recent_changes(connection, ids), changes.newest_runs(connection, ids)
    read_at, playback = freshness.list_times(connection, ids, common), plays.list_playback_status(connection, ids)
    return {
        account.id: {
            "upcoming": scheduled.get(account.spotify_user_id, []),
            "changes": changed[account.id],
            "read_at": read_at.get(account.id, {}),
            "newest": newest[account.id],
            "playback": playback.get(account.id),
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


def _drift(connection: Connection, app: App | None) -> list[Document]:
    """Open alarms: changes of Spotify's replies to this app."""
    alarms = reply_shapes.list_open(connection, [app.client_id]) if app else []
    return [
        {"kind": each.kind, "endpoint": each.endpoint, "key": each.key, "since": each.since.isoformat()}
        for each in alarms
    ]


def _rejected_messages(connection: Connection) -> Document | None:
    """Messages that workers have removed from the broker: the number since the database was created, and the last."""
    last = schedules.get_last_heartbeat(connection, "rejection")
    if last is None:
        return None
    return {"count": int(counters.read_totals(connection).get(counters.REJECTED, 0)), "last_at": last.isoformat()}


def _find_runs(connection: Connection, account_ids: list[int]) -> dict[int, Document]:
    """The unfinished run of each account (one in progress first), else its last run, by account id."""
    rows = execute(
        connection,
        f"""{LIVE_RUN} WHERE r.id = ANY(ARRAY(SELECT COALESCE(
            (SELECT u.id FROM sync_history u WHERE u.account_id = c.id AND u.{IS_UNFINISHED}
            ORDER BY u.status = 'in_progress' DESC, u.id DESC LIMIT 1),
            (SELECT l.id FROM sync_history l WHERE l.account_id = c.id ORDER BY l.id DESC LIMIT 1))
        FROM unnest(CAST(:ids AS bigint[])) c(id)))""",
        {"ids": account_ids},
    ).mappings()
    found = [to_json_types(row) for row in rows]
    return {run.pop("account_id"): run for run in found}


def _of_account(account: Account, found: Document | None, common: Document) -> Document:
    if found is None:
        return _finish({**NO_RUN, **_account_keys(account), **common})
    return _of_run(account, found, common)


def _of_run(account: Account, found: Document, common: Document, *, alone: bool = False) -> Document:
    """`alone`: the actions are those on this run only."""
    worker = {"has_it": found.pop("claimed"), "alive": found.pop("alive"), "last_advance": found.pop("last_advance")}
    document = {
        **found,
        **_account_keys(account),
        **common,
        "worker": worker,
        "error": messages.describe_error(found["last_error"]),
        # The calls saved belong to the run.
        "calls": {**common["calls"], "saved": found.get("calls_saved")},
    }
    return _finish(forecast.add_eta(document, document.pop("earlier")), alone=alone)


def _finish(document: Document, *, alone: bool = False) -> Document:
    """Add the actions and the sentences."""
    newest = document.pop("newest")
    document = {**document, "can": actions.actions(document, newest, of_run=alone)}
    return {**document, **messages.describe(document)}


def _account_keys(account: Account) -> Document:
    return {
        "account": account.spotify_user_id,
        "display_name": account.display_name,
        "account_status": account.status,
        "account_error": account.last_error,
    }
