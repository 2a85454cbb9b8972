"""Cooldowns: families that Spotify blocks, by developer account, which is in the column `client_id` of `rate_limits`.

Timed by Postgres' clock.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spotisync.core import backoff
from spotisync.core.requests import LimitedFamily
from spotisync.store import budgets


@dataclass(frozen=True)
class Cooldown:
    family: str
    until: datetime
    reason: str
    seconds: float
    # None: that of the default app
    developer: str | None = None


def list_active(connection: Any, developer: str) -> list[Cooldown]:
    rows = connection.exec_driver_sql(
        """SELECT family, blocked_until, reason, EXTRACT(epoch FROM blocked_until - clock_timestamp())
        FROM rate_limits WHERE client_id = %s AND blocked_until > clock_timestamp()""",
        (developer,),
    )
    return [Cooldown(family, until, reason, float(seconds)) for family, until, reason, seconds in rows]


def clear(connection: Any, developer: str, family: str | None) -> list[str]:
    """Delete the cooldown of a family (None: of all) at the operator's request; return those still blocked."""
    rows = connection.exec_driver_sql(
        """DELETE FROM rate_limits WHERE client_id = %s AND family = COALESCE(%s, family)
        RETURNING family, blocked_until > clock_timestamp()""",
        (developer, family),
    )
    return sorted(family for family, blocked in rows if blocked)


def block(connection: Any, developer: str, family: LimitedFamily, seconds: int) -> tuple[datetime, str]:
    """Block a family at the operator's request; a longer cooldown is kept. Returns its end and its reason."""
    row = connection.exec_driver_sql(
        """INSERT INTO rate_limits AS l (client_id, family, blocked_until, reason, updated_at)
        VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s), 'manual', clock_timestamp())
        ON CONFLICT (client_id, family) DO UPDATE SET
            blocked_until = GREATEST(l.blocked_until, excluded.blocked_until),
            reason = CASE WHEN excluded.blocked_until > l.blocked_until THEN excluded.reason ELSE l.reason END,
            updated_at = excluded.updated_at
        RETURNING blocked_until, reason""",
        (developer, family, seconds),
    ).one()
    return row[0], row[1]


def record(
    connection: Any, developer: str, family: LimitedFamily, header: str | None, *, quota: bool, age: float = 0.0
) -> tuple[datetime, str]:
    """Store the cooldown of a 429 that arrived `age` seconds ago; return its end and its reason."""
    # Several requests in flight can hit one limit: those after the first get its guess, without another doubling.
    now, strikes = connection.exec_driver_sql(
        """SELECT clock_timestamp(), COALESCE((SELECT
                max(strikes - (strikes > 0 AND blocked_until > clock_timestamp())::int) FROM rate_limits
            WHERE client_id = %s AND family IN (%s, '*') AND blocked_until > now() - interval '10 minutes'), 0)""",
        (developer, family),
    ).one()
    cooldown = backoff.cooldown(family, backoff.parse_retry_after(header, now), quota=quota, strikes=strikes)
    guessed = cooldown.retry_after is None
    row = connection.exec_driver_sql(
        """INSERT INTO rate_limits AS l (client_id, family, blocked_until, reason, retry_after, strikes, updated_at)
        VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s), %s, %s, %s, clock_timestamp())
        ON CONFLICT (client_id, family) DO UPDATE SET
            blocked_until = GREATEST(l.blocked_until, excluded.blocked_until),
            reason = CASE WHEN excluded.blocked_until > l.blocked_until THEN excluded.reason ELSE l.reason END,
            retry_after = excluded.retry_after, updated_at = excluded.updated_at,
            strikes = CASE WHEN %s THEN CASE WHEN l.blocked_until > clock_timestamp() THEN l.strikes
                ELSE excluded.strikes END ELSE 0 END
        RETURNING blocked_until, reason""",
        (
            developer,
            cooldown.family,
            cooldown.seconds - age,
            cooldown.reason,
            cooldown.retry_after,
            strikes + 1 if guessed else 0,
            guessed,
        ),
    ).one()
    if cooldown.reason == "quota" and cooldown.family != "*":  # `*`: the token endpoint, whose calls are not counted
        budgets.record_refusal(connection, developer, cooldown.family)
    return row[0], row[1]
