"""What a person is told, each once: noticed in the tables, kept here, tried until it has reached everybody."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Connection, text

from spotisync.store.runs import DUE_SINCE, UNCLAIMED

Kind = Literal["failed", "needs_login", "login_ends", "waiting", "stuck", "over"]
# Any number will do, as long as nobody else locks it.
ADVISORY_LOCK = 7_364_921
# Longer than one attempt takes; doubled each time, up to an hour.
RETRY_SECONDS = 60
# Nobody is told of what was longer ago.
DAYS = 3


@dataclass(frozen=True)
class Condition:
    """Something to be told. `quiet`: another notice says it already. `of`: the kind that is over."""

    key: str
    kind: Kind
    account_id: int
    account: str
    sync_id: int | None
    quiet: bool = False
    of: str | None = None


@dataclass(frozen=True)
class Notification:
    """`told_to`: digests of the addresses that it has reached."""

    key: str
    kind: Kind
    title: str
    body: str
    tries: int
    told_to: Sequence[str]


def try_lock(connection: Connection) -> bool:
    """Whether nobody else is noticing just now; until the transaction ends, nobody else does."""
    return bool(connection.execute(text(f"SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})")).scalar_one())


# ---- what is so -----------------------------------------------------------------------------------------------------

# Of runs that fail one after the other the first is told, until one succeeds.
_FAILED = """SELECT DISTINCT ON (r.account_id, r.sync_type) 'failed:' || r.id AS key, 'failed' AS kind, r.account_id,
    r.id AS sync_id, a.status = 'needs_login' AS quiet
    FROM sync_history r JOIN accounts a ON a.id = r.account_id
    WHERE r.status = 'failed' AND r.completed_at > now() - interval '1 day' AND a.status <> 'disabled'
    AND NOT EXISTS (SELECT 1 FROM sync_history s WHERE s.account_id = r.account_id AND s.status = 'success'
        AND s.sync_type IN (r.sync_type, 'full') AND s.id > r.id)
    AND NOT EXISTS (SELECT 1 FROM notices n JOIN sync_history f ON f.id = n.sync_id WHERE n.kind = 'failed'
        AND n.account_id = r.account_id AND f.sync_type = r.sync_type AND n.over_at IS NULL)
    ORDER BY r.account_id, r.sync_type, r.id DESC"""
_AUTHORISED = "CAST(COALESCE(EXTRACT(epoch FROM a.authorised_at), 0) AS bigint)"
_NEEDS_LOGIN = f"""SELECT 'needs_login:' || a.id || ':' || {_AUTHORISED}, 'needs_login', a.id, CAST(NULL AS bigint),
    false FROM accounts a WHERE a.status = 'needs_login'"""
# A month before, and once more three days before.
_LOGIN_ENDS = f"""SELECT 'login_ends:' || a.id || ':' || {_AUTHORISED} || ':'
    || CASE WHEN a.authorised_at < now() - interval '177 days' THEN 3 ELSE 30 END, 'login_ends', a.id, NULL, false
    FROM accounts a WHERE a.status = 'active' AND a.authorised_at < now() - interval '150 days'"""
_WAITING = """SELECT 'waiting:' || r.id || ':' || r.phase || ':' || r.seq, 'waiting', r.account_id, r.id, false
    FROM sync_history r WHERE r.status = 'rate_limited'
    AND (SELECT max(l.blocked_until) FROM rate_limits l WHERE l.client_id = :client_id AND l.blocked_until > now()
        AND l.family IN (r.family, '*'))
    > (SELECT max(s.updated_at) FROM sync_state s WHERE s.sync_id = r.id) + make_interval(secs => :after)"""
_STUCK = f"""SELECT 'stuck:' || r.id || ':' || r.phase || ':' || r.seq, 'stuck', r.account_id, r.id, false
    FROM sync_history r WHERE r.status IN ('pending', 'in_progress', 'rate_limited') AND {UNCLAIMED}
    AND {DUE_SINCE} < now() - make_interval(secs => :stuck)"""


def find_new(connection: Connection, client_id: str, after: float, stuck: float) -> list[Condition]:
    """What is so, and was not noticed before."""
    each = " UNION ALL ".join(f"({sql})" for sql in (_FAILED, _NEEDS_LOGIN, _LOGIN_ENDS, _WAITING, _STUCK))
    rows = connection.execute(
        text(
            f"""SELECT f.*, a.spotify_user_id AS account FROM ({each}) f JOIN accounts a ON a.id = f.account_id
            WHERE NOT EXISTS (SELECT 1 FROM notices n WHERE n.key = f.key) ORDER BY f.key"""
        ),
        {"client_id": client_id, "after": after, "stuck": stuck},
    )
    return [Condition(**row._mapping) for row in rows]  # noqa: SLF001 (SQLAlchemy's public name for it)


# ---- what is so no more ---------------------------------------------------------------------------------------------

_MOVED: Final = """NOT EXISTS (SELECT 1 FROM sync_history r WHERE r.id = n.sync_id
    AND r.status IN ('pending', 'in_progress', 'rate_limited') AND n.key LIKE '%:' || r.phase || ':' || r.seq)"""
_OVER: Final = f"""CASE n.kind
    WHEN 'failed' THEN EXISTS (SELECT 1 FROM sync_history f JOIN sync_history s ON s.account_id = f.account_id
        AND s.sync_type IN (f.sync_type, 'full') AND s.id >= f.id AND s.status = 'success' WHERE f.id = n.sync_id)
    WHEN 'needs_login' THEN a.status = 'active'
    WHEN 'login_ends' THEN n.key NOT LIKE 'login_ends:' || a.id || ':' || {_AUTHORISED} || ':%'
    ELSE {_MOVED} END"""
# A run that waited and was then ended went on to nothing; that it has failed is told by itself.
_GOOD: Final = """n.kind <> 'login_ends' AND NOT (n.kind IN ('waiting', 'stuck') AND EXISTS (
    SELECT 1 FROM sync_history r WHERE r.id = n.sync_id AND r.status IN ('failed', 'cancelled')))"""


def close_resolved(connection: Connection) -> list[Condition]:
    """Close what is so no more. Returns what is to be told of that: nothing to those who never heard of it."""
    rows = connection.execute(
        text(
            f"""WITH gone AS (SELECT n.key, {_GOOD} AND cardinality(n.told_to) > 0 AS good, a.spotify_user_id AS account
                FROM notices n JOIN accounts a ON a.id = n.account_id
                WHERE n.over_at IS NULL AND n.kind <> 'over' AND {_OVER})
            UPDATE notices n SET over_at = now(), told_at = COALESCE(n.told_at, now()) FROM gone g
            WHERE n.key = g.key RETURNING n.key, n.kind AS of, n.account_id, g.account, n.sync_id, g.good"""
        )
    )
    return [
        Condition(f"over:{row.key}", "over", row.account_id, row.account, row.sync_id, of=row.of)
        for row in rows
        if row.good
    ]


# ---- telling --------------------------------------------------------------------------------------------------------


def add(connection: Connection, fact: Condition, title: str, body: str) -> None:
    connection.execute(
        text(
            """INSERT INTO notices (key, kind, account_id, sync_id, title, body, told_at)
            VALUES (:key, :kind, :account_id, :sync_id, :title, :body, CASE WHEN :quiet THEN now() END)
            ON CONFLICT (key) DO NOTHING"""
        ),
        {
            "key": fact.key,
            "kind": fact.kind,
            "account_id": fact.account_id,
            "sync_id": fact.sync_id,
            "title": title,
            "body": body,
            "quiet": fact.quiet,
        },
    )


def claim_due(connection: Connection) -> Notification | None:
    """One that is to be told now, by one process at a time. Who took it and died leaves it to a later one."""
    row = connection.execute(
        text(
            f"""UPDATE notices SET tries = tries + 1,
                wake_at = now() + make_interval(secs => LEAST(3600, {RETRY_SECONDS} * 2 ^ LEAST(tries, 10)))
            WHERE key = (SELECT key FROM notices WHERE told_at IS NULL AND wake_at <= now()
                AND made_at > now() - interval '{DAYS} days' ORDER BY made_at, key LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING key, kind, title, body, tries, told_to"""
        )
    ).one_or_none()
    return Notification(**row._mapping) if row else None  # noqa: SLF001


def mark_delivered_to(connection: Connection, notice: Notification, digest: str) -> None:
    """It has reached one address."""
    connection.execute(
        text("UPDATE notices SET told_to = array_append(told_to, :digest) WHERE key = :key"),
        {"digest": digest, "key": notice.key},
    )


def mark_delivered(connection: Connection, notice: Notification) -> None:
    """It has reached all of them."""
    connection.execute(text("UPDATE notices SET told_at = now() WHERE key = :key"), {"key": notice.key})
