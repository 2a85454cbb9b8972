"""Runs and their checkpoints. Each change of state is one guarded UPDATE of the run row; no row returned means refused.

`wake_at` is the time at which sweep publishes the run unless it advances before. This column serves as the lease of a
claim, the outbox of an unsent message, the timer of a parked run, and the watchdog.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from spotisync.core.apps import AppOwner
from spotisync.core.states import PHASES, UNFINISHED, Phase, Status, allowed_sources
from spotisync.store import events, history
from spotisync.store.accounts import DEVELOPER, OWN_APP
from spotisync.store.bulk import dumps
from spotisync.store.database import Claimant, Connection, execute
from spotisync.store.events import Event

ENDS: dict[Status, events.Kind] = {"success": "success", "failed": "failed", "cancelled": "cancelled"}
STAGING = ("seen_tracks", "seen_nulls", "read_rows", "staged_items", "pending_lookups")

# The claimant stays on the row after a commit until the next batch is claimed: it still has to publish that batch.
CLAIMANT_GONE = """(r.claim_pid IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM pg_stat_activity a WHERE a.pid = r.claim_pid AND a.backend_start = r.claim_started))"""
ACCOUNT_FREE = """NOT EXISTS (SELECT 1 FROM sync_history o
    WHERE o.account_id = r.account_id AND o.status = 'in_progress' AND o.id <> r.id)"""
# Cooldowns that apply to the next batch: those of the account's developer. Bind that of the default app as :developer.
LIMITS_OF_RUN = f"""rate_limits l WHERE l.family IN (r.family, '*')
    AND l.client_id = (SELECT {DEVELOPER} FROM accounts a WHERE a.id = r.account_id)"""
# Postgres' clock decides; nothing is cached.
BLOCKED = f"EXISTS (SELECT 1 FROM {LIMITS_OF_RUN} AND l.blocked_until > now())"
# A cooldown may be cleared before its end; a wait for the budget ends at its time.
PARKED_UNTIL_NOW = f"""(r.status = 'rate_limited' AND NOT {BLOCKED}
    AND (r.not_before IS NULL OR r.not_before <= now()))"""
# The next batch may run now, and no worker has claimed it.
UNCLAIMED = f"""(r.status = 'in_progress' AND (r.claim IS NULL OR {CLAIMANT_GONE})
        AND (r.not_before IS NULL OR r.not_before <= now())
    OR {PARKED_UNTIL_NOW}
    OR r.status = 'pending' AND {ACCOUNT_FREE})"""
# When the batch became due: at the last progress of its run, or at the end of its last wait.
DUE_SINCE = f"""GREATEST(r.started_at, r.not_before,
    (SELECT max(s.updated_at) FROM sync_state s WHERE s.sync_id = r.id),
    (SELECT max(s.rate_limit_reset_at) FROM sync_state s WHERE s.sync_id = r.id AND s.rate_limit_reset_at <= now()),
    (SELECT max(l.blocked_until) FROM {LIMITS_OF_RUN} AND l.blocked_until <= now()))"""


@dataclass(frozen=True)
class Run(AppOwner):
    """A row of `sync_history`. `waits`: seconds until the released batch may be claimed again.

    `asked`: a person or another service asked for it, not the schedule alone.
    """

    id: int
    account_id: int
    account: str
    sync_type: str
    trigger: str
    status: Status
    phase: Phase
    seq: int
    family: str
    attempts: int
    claimed: bool
    last_error: str | None
    account_status: str
    waits: float
    asked: bool = False
    traceparent: str | None = None


_RUN = f"""SELECT r.id, r.account_id, a.spotify_user_id AS account, r.sync_type, r.trigger, r.status, r.phase, r.seq,
    r.family, r.attempts, r.claim IS NOT NULL AS claimed, r.last_error, a.status AS account_status,
    CAST(GREATEST(0, COALESCE(EXTRACT(epoch FROM r.not_before - now()), 0)) AS float) AS waits,
    r.asked, r.traceparent, {OWN_APP}
    FROM sync_history r JOIN accounts a ON a.id = r.account_id"""


def get(connection: Connection, sync_id: int, *, lock: bool = False) -> Run | None:
    found = execute(connection, f"{_RUN} WHERE r.id = :id {'FOR NO KEY UPDATE OF r' if lock else ''}", {"id": sync_id})
    row = found.mappings().one_or_none()
    return Run(**row) if row else None


def _stall_seconds(connection: Connection) -> float:
    """How long a published message may stay unclaimed before sweep publishes it again (see `Database`)."""
    return float(connection.get_execution_options()["stall_seconds"])


# A process that is frozen in a transaction keeps its connection, and would keep its locks.
MOST_IDLE_MS = 30_000
_LIMIT_IDLENESS = "set_config('idle_in_transaction_session_timeout', :idle, true)"


def lock_account(connection: Connection, account_id: int) -> None:
    """Lock the account, before anything that starts or resumes a run, so that each account starts one at a time."""
    execute(
        connection,
        f"SELECT {_LIMIT_IDLENESS} FROM accounts WHERE id = :id FOR NO KEY UPDATE",
        {"id": account_id, "idle": str(MOST_IDLE_MS)},
    )


# ---- a run begins ---------------------------------------------------------------------------------------------------


# The run with the key, or an unfinished one. A full sync in progress reads everything that an incremental would.
_REFERRED = """(r.idempotency_key = n.key OR r.sync_type = :sync_type AND r.status = ANY(:unfinished)
    OR :sync_type = 'incremental' AND r.sync_type = 'full' AND r.status = 'in_progress')"""


def find(connection: Connection, account_id: int, sync_type: str, idempotency_key: str | None) -> Run | None:
    """Find the run that a trigger refers to: the one created with its key, or the unfinished one.

    Locks the account and the run: no caller joins a run that is about to end, and no two callers create one.
    """
    lock_account(connection, account_id)
    found = execute(
        connection,
        f"""{_RUN}, (SELECT CAST(:key AS text) AS key) n WHERE r.account_id = :account_id AND {_REFERRED}
        ORDER BY (r.idempotency_key = n.key) DESC NULLS LAST, r.id DESC LIMIT 1 FOR NO KEY UPDATE OF r""",
        {"account_id": account_id, "sync_type": sync_type, "key": idempotency_key, "unfinished": list(UNFINISHED)},
    )
    row = found.mappings().one_or_none()
    return Run(**row) if row else None


def create(
    connection: Connection,
    account_id: int,
    sync_type: str,
    trigger: str,
    idempotency_key: str | None,
    task_id: str | None,
) -> int:
    """Create a run with its four checkpoints; `pending` while another run of the account is in progress."""
    return _create(connection, sync_type, trigger, {account_id: idempotency_key}, task_id)[account_id]


def _create(
    connection: Connection, sync_type: str, trigger: str, keys: Mapping[int, str | None], task_id: str | None = None
) -> dict[int, int]:
    """Create a run for each account, with its idempotency key. Returns the ids of the runs by account."""
    rows = execute(
        connection,
        """INSERT INTO sync_history AS r
            (account_id, sync_type, status, trigger, asked, idempotency_key, task_id, wake_at)
        SELECT n.account_id, :sync_type, CASE WHEN EXISTS (SELECT 1 FROM sync_history o
                WHERE o.account_id = n.account_id AND o.status = 'in_progress')
            THEN 'pending' ELSE 'in_progress' END, :trigger, :trigger <> 'beat', n.key, :task_id,
            now() + make_interval(secs => :stall)
        FROM unnest(CAST(:account_ids AS bigint[]), CAST(:keys AS text[])) AS n(account_id, key)
        RETURNING account_id, id""",
        {
            "account_ids": list(keys),
            "keys": list(keys.values()),
            "sync_type": sync_type,
            "trigger": trigger,
            "task_id": task_id,
            "stall": _stall_seconds(connection),
        },
    )
    created = {row.account_id: row.id for row in rows}
    execute(
        connection,
        """INSERT INTO sync_state (sync_id, state_key, entity_type)
        SELECT r, 'sync_' || r || '_' || p, p
        FROM unnest(CAST(:ids AS bigint[])) r, unnest(CAST(:phases AS text[])) p""",
        {"ids": list(created.values()), "phases": list(PHASES)},
    )
    _drop_staging_of_older_runs(connection, sync_type, created)
    events.add_events(connection, [(sync_id, Event("begun", trigger)) for sync_id in created.values()])
    return created


def find_or_create(
    connection: Connection, sync_type: str, keys: Mapping[int, str]
) -> tuple[dict[int, Run], Collection[int]]:
    """For each account: its run with this key, its unfinished run, or a new one of the schedule.

    The accounts must be locked. Returns the runs by account, and the accounts whose run is new.
    """
    if not keys:
        return {}, ()
    rows = execute(
        connection,
        f"""SELECT n.account_id, (SELECT r.id FROM sync_history r WHERE r.account_id = n.account_id AND {_REFERRED}
            ORDER BY (r.idempotency_key = n.key) DESC NULLS LAST, r.id DESC LIMIT 1) AS id
        FROM unnest(CAST(:account_ids AS bigint[]), CAST(:keys AS text[])) AS n(account_id, key)""",
        {
            "account_ids": list(keys),
            "keys": list(keys.values()),
            "sync_type": sync_type,
            "unfinished": list(UNFINISHED),
        },
    )
    found = {row.account_id: row.id for row in rows if row.id is not None}
    missing = {account_id: key for account_id, key in keys.items() if account_id not in found}
    created = _create(connection, sync_type, "beat", missing) if missing else {}
    ids = [*found.values(), *created.values()]
    runs = execute(connection, f"{_RUN} WHERE r.id = ANY(:ids)", {"ids": ids}).mappings()
    return {row["account_id"]: Run(**row) for row in runs}, created


def mark_asked(connection: Connection, sync_id: int) -> None:
    """A person or another service has joined the run, so it waits for no budget."""
    execute(
        connection,
        """UPDATE sync_history SET asked = true,
            not_before = CASE WHEN status = 'rate_limited' THEN NULL ELSE not_before END
        WHERE id = :id AND NOT asked""",
        {"id": sync_id},
    )


def set_traceparent(connection: Connection, sync_id: int, traceparent: str) -> str:
    """Store the `traceparent` unless another process was faster. Returns the one that is stored."""
    stored = execute(
        connection,
        """UPDATE sync_history SET traceparent = COALESCE(traceparent, :traceparent) WHERE id = :id
        RETURNING traceparent""",
        {"id": sync_id, "traceparent": traceparent},
    )
    return str(stored.scalar_one())


def _drop_staging_of_older_runs(connection: Connection, sync_type: str, newest: Mapping[int, int]) -> None:
    """Only the newest run of a type can be resumed, so the staged rows of older ones are deleted."""
    for table in STAGING:
        execute(
            connection,
            f"""DELETE FROM {table} s USING sync_history r, unnest(CAST(:ids AS bigint[])) AS n(id)
            WHERE r.id = s.sync_id AND r.sync_type = :sync_type AND r.id < n.id
            AND r.account_id = (SELECT account_id FROM sync_history WHERE id = n.id)""",
            {"ids": list(newest.values()), "sync_type": sync_type},
        )


# ---- a batch --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """The position and progress of one phase of a run. `failures`: since the last advance.

    `batch_factor`: the size of the next batch, as a multiple of the usual one.
    """

    cursor: dict[str, Any] | None
    current_offset: int
    total_items: int | None
    items_processed: int
    failures: int
    batch_factor: int = 1


_CLAIM = f"""WITH before AS (SELECT r.id, r.claim FROM sync_history r
        WHERE r.id = :id AND r.phase = :phase AND r.seq = :seq
        AND r.status = :status AND r.status IN ('in_progress', 'rate_limited')
        AND (r.not_before IS NULL OR r.not_before <= now())
        AND (r.claim IS NULL AND r.status = 'in_progress' OR r.wake_at <= now() OR {CLAIMANT_GONE})
        AND {ACCOUNT_FREE} FOR NO KEY UPDATE)
    UPDATE sync_history r SET claim = :token, claim_pid = :pid, claim_started = :started,
        wake_at = now() + make_interval(secs => :lease), attempts = attempts + 1, status = 'in_progress'
    FROM before b WHERE r.id = b.id RETURNING r.attempts, b.claim IS NOT NULL AS lost,
        -- Nothing is lost with a claim: if a crash of Postgres undoes it, the commit of its batch is refused.
        set_config('synchronous_commit', 'off', true)"""


def claim(connection: Connection, run: Run, token: UUID, claimant: Claimant, lease_seconds: int) -> int | None:
    """Claim the batch `run.phase`, `run.seq`. Returns how many times it was claimed since the last commit.

    None: another batch is due, another worker holds the claim, or the run is waiting.
    """
    if run.status == "rate_limited":
        # The run starts again, possibly at the same time as another run of the account.
        lock_account(connection, run.account_id)
    taken = execute(
        connection,
        _CLAIM,
        {
            "token": token,
            "pid": claimant.pid,
            "started": claimant.started,
            "lease": lease_seconds,
            "id": run.id,
            "phase": run.phase,
            "seq": run.seq,
            "status": run.status,
        },
    ).one_or_none()
    if taken is not None:
        if taken.lost:
            _record_lost_claim(connection, run.id, run.phase, run.seq, taken.attempts - 1)
        if run.status == "rate_limited":
            events.add_event(connection, run.id, Event("woken", run.status))
        execute(
            connection,
            """UPDATE sync_state SET status = 'in_progress', rate_limit_reset_at = NULL, updated_at = now()
            WHERE sync_id = :id AND entity_type = :phase
            AND (status <> 'in_progress' OR rate_limit_reset_at IS NOT NULL
                OR updated_at < now() - interval '5 minutes')""",
            {"id": run.id, "phase": run.phase},
        )
    return taken.attempts if taken else None


def _record_lost_claim(connection: Connection, sync_id: int, phase: str, seq: int, attempt: int) -> None:
    """The claimant has neither committed nor released the batch: it was killed, is stuck, or lost its connection."""
    events.add_event(connection, sync_id, Event("lost", phase=phase, seq=seq, attempt=attempt))


def get_checkpoint(connection: Connection, sync_id: int, phase: Phase) -> Checkpoint:
    found = execute(
        connection,
        """SELECT cursor, current_offset, total_items, items_processed, failures, batch_factor FROM sync_state
        WHERE sync_id = :id AND entity_type = :phase""",
        {"id": sync_id, "phase": phase},
    )
    return Checkpoint(**found.mappings().one())


def renew(connection: Connection, sync_id: int, token: UUID, lease_seconds: int) -> bool:
    """Extend the lease. False: the claim is lost, and this worker's result would be discarded."""
    updated = execute(
        connection,
        """UPDATE sync_history SET wake_at = now() + make_interval(secs => :lease)
        WHERE id = :id AND claim = :token AND status = 'in_progress'""",
        {"lease": lease_seconds, "id": sync_id, "token": token},
    )
    return updated.rowcount == 1


def lock_claim(connection: Connection, sync_id: int, token: UUID) -> bool:
    """Lock the account and the run until the transaction ends, if the claim is still ours. False: it is not.

    The account first, as a trigger does: the commit that ends a list writes to it after the run.
    """
    found = execute(
        connection,
        f"""WITH account AS MATERIALIZED (SELECT a.id FROM accounts a
            WHERE a.id = (SELECT account_id FROM sync_history WHERE id = :id) FOR NO KEY UPDATE)
        SELECT {_LIMIT_IDLENESS} FROM account JOIN sync_history r ON r.account_id = account.id
        WHERE r.id = :id AND r.claim = :token AND r.status = 'in_progress' FOR NO KEY UPDATE OF r""",
        {"id": sync_id, "token": token, "idle": str(MOST_IDLE_MS)},
    )
    return found.one_or_none() is not None


@dataclass(frozen=True)
class Counts:
    """What one batch adds to the counters of a phase, in items."""

    processed: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0


def advance(
    connection: Connection,
    run: Run,
    token: UUID,
    phase: Phase,
    seq: int,
    family: str,
) -> bool:
    """Compare-and-set under the claim: make `phase`, `seq` the due batch. False: the claim is lost."""
    updated = execute(
        connection,
        """UPDATE sync_history SET phase = :phase, seq = :seq, family = :family, attempts = 0,
        claim = NULL, last_error = NULL,
        wake_at = now() + make_interval(secs => :stall)
        WHERE id = :id AND claim = :token AND status = 'in_progress'""",
        {
            "phase": phase,
            "seq": seq,
            "family": family,
            "id": run.id,
            "token": token,
            "stall": _stall_seconds(connection),
        },
    )
    return updated.rowcount == 1


def save_checkpoint(
    connection: Connection,
    run: Run,
    *,
    cursor: dict[str, Any] | None,
    offset: int,
    total: int | None,
    deferred: int,
    over: bool,
    batch_factor: int = 1,
) -> None:
    """The cursor after a batch. `percent_complete` never falls, and is null while the total is unknown."""
    execute(
        connection,
        """UPDATE sync_state SET cursor = CAST(:cursor AS jsonb), current_offset = :offset,
            total_items = COALESCE(:total, total_items), batches = batches + 1, failures = 0, last_error = NULL,
            rate_limit_reset_at = NULL,
            items_deferred = :deferred, batch_factor = :batch_factor, updated_at = now(),
            -- `updated_at` is the last advance or claim; time without a worker is not working time.
            busy_seconds = busy_seconds + LEAST(300, EXTRACT(epoch FROM now() - updated_at)),
            status = CASE WHEN :over THEN 'success' ELSE 'in_progress' END,
            completed_at = CASE WHEN :over THEN now() END,
            percent_complete = GREATEST(percent_complete, CASE WHEN :over THEN 100
                WHEN COALESCE(:total, total_items) > 0
                THEN LEAST(100, 100.0 * items_processed / COALESCE(:total, total_items)) END)
        WHERE sync_id = :id AND entity_type = :phase""",
        {
            "cursor": dumps(cursor) if cursor is not None else None,
            "offset": offset,
            "total": total,
            "deferred": deferred,
            "over": over,
            "batch_factor": batch_factor,
            "id": run.id,
            "phase": run.phase,
        },
    )


def add_counts(connection: Connection, sync_id: int, phase: Phase, counts: Counts, api_calls: int) -> None:
    """Add to the counters of a phase and of its run."""
    added = {**vars(counts), "api_calls": api_calls, "id": sync_id, "phase": phase}
    execute(
        connection,
        """UPDATE sync_history SET items_processed = items_processed + :processed,
        items_added = items_added + :added, items_updated = items_updated + :updated,
        items_removed = items_removed + :removed, api_calls = api_calls + :api_calls WHERE id = :id""",
        added,
    )
    execute(
        connection,
        """UPDATE sync_state SET items_processed = items_processed + :processed, items_added = items_added + :added,
        items_updated = items_updated + :updated, items_removed = items_removed + :removed
        WHERE sync_id = :id AND entity_type = :phase""",
        added,
    )


def set_deferred(connection: Connection, sync_id: int, phase: Phase, items: int) -> None:
    """Set `items_deferred` of an ended phase: late look-ups, made in the playlists phase, still change it."""
    execute(
        connection,
        """UPDATE sync_state SET items_deferred = :items, total_items = GREATEST(total_items, items_processed)
        WHERE sync_id = :id AND entity_type = :phase""",
        {"items": items, "id": sync_id, "phase": phase},
    )


def add_unsuccessful_calls(connection: Connection, sync_id: int, api_calls: int) -> None:
    """Count requests of a batch that was not committed. The run's row is locked first, as everywhere."""
    execute(
        connection,
        "UPDATE sync_history SET api_calls = api_calls + :calls WHERE id = :id",
        {"calls": api_calls, "id": sync_id},
    )
    events.add_unsuccessful_calls(connection, sync_id, api_calls)


# ---- a batch that can't continue now ---------------------------------------------------------------------------------


def release(
    connection: Connection,
    run: Run,
    token: UUID,
    seconds: float,
    *,
    reset_at: datetime | None = None,
    park: bool = False,
    fixed: bool = False,
    error: str | None = None,
) -> int | None:
    """Release the claim and make the batch wait `seconds`; with `park`, until its family's cooldown ends.

    `fixed`: the end of a parked run's wait is no cooldown's.

    Until then every copy of the batch's message is refused. With `error`, the release counts as a failure.
    Returns the number of failures since the last advance; None if the claim was lost.
    """
    bound = {"park": park, "error": error, "id": run.id}
    released = execute(
        connection,
        """UPDATE sync_history SET claim = NULL, claim_pid = NULL, claim_started = NULL, attempts = 0,
            status = CASE WHEN :park THEN 'rate_limited' ELSE status END, last_error = :error,
            wake_at = now() + make_interval(secs => :seconds + :stall * (NOT :park)::int),
            not_before = CASE WHEN :fixed OR NOT :park THEN now() + make_interval(secs => :seconds) END
        WHERE id = :id AND claim = :token AND status = 'in_progress' RETURNING id""",
        {**bound, "fixed": fixed, "seconds": seconds, "token": token, "stall": _stall_seconds(connection)},
    ).one_or_none()
    if released is None:
        return None
    failures = execute(
        connection,
        """UPDATE sync_state SET status = CASE WHEN :park THEN 'rate_limited' ELSE status END,
            rate_limit_reset_at = :reset_at, last_error = :error, updated_at = now(),
            failures = failures + (CAST(:error AS text) IS NOT NULL)::int,
            batch_factor = CASE WHEN CAST(:error AS text) IS NULL THEN batch_factor ELSE 1 END
        WHERE sync_id = :id AND entity_type = :phase RETURNING failures""",
        {**bound, "reset_at": reset_at, "phase": run.phase},
    )
    return int(failures.scalar_one())


# ---- a run ends -----------------------------------------------------------------------------------------------------


def end(
    connection: Connection, sync_id: int, status: Status, *, error: str | None = None, token: UUID | None = None
) -> bool:
    """End a run with `status`; a batch in flight can then no longer commit.

    False: the run's status does not allow it, or the claim by `token` is lost.
    """
    ended = execute(
        connection,
        """UPDATE sync_history SET status = :status, completed_at = now(), wake_at = NULL, claim = NULL,
            claim_pid = NULL, claim_started = NULL, last_error = :error,
            cancel_requested_at = CASE WHEN :status = 'cancelled' THEN now() ELSE cancel_requested_at END
        WHERE id = :id AND status = ANY(:sources) AND (:status <> 'success' OR phase = 'finish')
        AND (CAST(:token AS uuid) IS NULL OR claim = :token) RETURNING id""",
        {"status": status, "error": error, "id": sync_id, "sources": list(allowed_sources(status)), "token": token},
    ).one_or_none()
    if ended is not None and status == "success":
        for table in STAGING:
            execute(connection, f"DELETE FROM {table} WHERE sync_id = :id", {"id": sync_id})
    elif ended is not None:
        execute(
            connection,
            """UPDATE sync_state SET status = :status, last_error = :error, updated_at = now(),
                rate_limit_reset_at = NULL, completed_at = now()
            WHERE sync_id = :id AND status IN ('in_progress', 'rate_limited')""",
            {"status": status, "error": error, "id": sync_id},
        )
    if ended is not None:
        history.count_changes(connection, sync_id)
        events.add_event(connection, sync_id, Event(ENDS[status], error))
    return ended is not None


def reopen(connection: Connection, sync_id: int) -> bool:
    """Resume from the checkpoints. False: the run is not the newest of its type, or its status does not allow it."""
    reopened = execute(
        connection,
        f"""UPDATE sync_history r SET status = CASE WHEN {ACCOUNT_FREE} THEN 'in_progress' ELSE 'pending' END,
            completed_at = NULL, cancel_requested_at = NULL, last_error = NULL, attempts = 0, not_before = NULL,
            asked = true,
            wake_at = now() + make_interval(secs => :stall)
        WHERE r.id = :id AND r.status IN ('failed', 'cancelled') AND NOT EXISTS (SELECT 1 FROM sync_history n
            WHERE n.account_id = r.account_id AND n.sync_type = r.sync_type AND n.id > r.id) RETURNING r.id""",
        {"id": sync_id, "stall": _stall_seconds(connection)},
    ).one_or_none()
    if reopened is not None:
        execute(
            connection,
            """UPDATE sync_state SET status = 'pending', failures = 0, last_error = NULL, completed_at = NULL,
                updated_at = now()
            WHERE sync_id = :id AND status <> 'success'""",
            {"id": sync_id},
        )
        events.add_event(connection, sync_id, Event("resumed"))
    return reopened is not None


def list_unfinished(connection: Connection, account_id: int) -> list[int]:
    found = execute(
        connection,
        "SELECT id FROM sync_history WHERE account_id = :id AND status = ANY(:unfinished) ORDER BY id",
        {"id": account_id, "unfinished": list(UNFINISHED)},
    )
    return list(found.scalars())


# ---- sweep ----------------------------------------------------------------------------------------------------------


def set_due_now(connection: Connection, sync_id: int) -> None:
    execute(
        connection,
        "UPDATE sync_history SET wake_at = now() WHERE id = :id AND claim IS NULL AND status = 'in_progress'",
        {"id": sync_id},
    )


# The run's `wake_at` has passed, its claimant is gone, or its cooldown has ended.
_DUE = f"""r.status IN ('pending', 'in_progress', 'rate_limited') AND {ACCOUNT_FREE} AND (
    r.status = 'in_progress' AND (r.wake_at <= now() OR {CLAIMANT_GONE})
    OR {PARKED_UNTIL_NOW}
    OR r.status = 'pending')"""


# Seconds until the run is published again. A message that no worker takes is not lost: each copy waits a quarter longer
# than the one before, at most an hour, since copies fill the broker. A claim or an advance restarts the intervals.
_UNTIL_NEXT_COPY = f"""CASE WHEN b.status = 'in_progress' AND b.claim IS NULL
    THEN GREATEST(:stall, LEAST(3600, EXTRACT(epoch FROM now() - {DUE_SINCE}) / 4)) ELSE :stall END"""


def list_accounts_due(connection: Connection, developer: str) -> list[int]:
    """Accounts that may have a run to publish; `take_due` decides, in one transaction for each.

    `developer`: of the default app.
    """
    found = execute(
        connection,
        f"SELECT DISTINCT r.account_id FROM sync_history r WHERE {_DUE} ORDER BY 1",
        {"developer": developer},
    )
    return list(found.scalars())


def take_due(connection: Connection, account_id: int, developer: str) -> Run | None:
    """Take the account's run to publish: one in progress first, then full before incremental.

    Locks the account first, as `find` does, so that no trigger starts another of its runs in the meantime. While
    another transaction holds that lock, the account is left to the next sweep.
    """
    locked = execute(
        connection, "SELECT 1 FROM accounts WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED", {"id": account_id}
    )
    if locked.one_or_none() is None:
        return None
    taken = execute(
        connection,
        f"""WITH before AS (SELECT r.id, r.status, r.claim FROM sync_history r
            WHERE r.account_id = :account_id AND {_DUE}
            ORDER BY r.status = 'in_progress' DESC, r.sync_type, r.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE sync_history r SET status = 'in_progress', claim = NULL, claim_pid = NULL, claim_started = NULL,
            not_before = NULL, wake_at = now() + make_interval(secs => CAST({_UNTIL_NEXT_COPY} AS float))
        FROM before b WHERE r.id = b.id
        RETURNING r.id, r.phase, r.seq, r.attempts, b.status AS was, b.claim IS NOT NULL AS lost""",
        {"account_id": account_id, "developer": developer, "stall": _stall_seconds(connection)},
    ).one_or_none()
    if taken is None:
        return None
    if taken.lost:
        _record_lost_claim(connection, taken.id, taken.phase, taken.seq, taken.attempts)
    if taken.was != "in_progress":
        events.add_event(connection, taken.id, Event("woken", taken.was))
    return get(connection, taken.id)
