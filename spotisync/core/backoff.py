"""Waiting times after a 429, and the backoff of retries. All in seconds."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from spotisync.core.requests import LimitedFamily

Reason = Literal["rate", "quota"]

# A 429 of the rolling window asks for about 30 s at most; one that asks for more than a minute is a quota.
LONGEST_RATE_WAIT = 60
# No Retry-After over a day has been observed; a longer one is capped, and the request is tried again after a day.
LONGEST_WAIT = 86_400
GUESS: dict[Reason, tuple[int, int]] = {"rate": (30, 900), "quota": (3_600, 86_400)}


@dataclass(frozen=True)
class NewCooldown:
    """What a 429 blocks (`*`: all families), for how long, and the Retry-After of Spotify, if any."""

    family: LimitedFamily
    seconds: int
    reason: Reason
    retry_after: int | None


def parse_retry_after(header: str | None, now: datetime) -> int | None:
    """Seconds from the header, a number or an HTTP date. None if it is absent or invalid."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (TypeError, ValueError, OverflowError):  # OverflowError: a year or time zone of many digits
            return None
    if not 0 <= seconds < float("inf"):
        return 1 if seconds < 0 and seconds > -LONGEST_WAIT else None
    return min(LONGEST_WAIT, max(1, int(seconds + 0.999)))


def cooldown(family: LimitedFamily, retry_after: int | None, *, quota: bool, strikes: int) -> NewCooldown:
    """`strikes`: preceding 429s without a header in a row; each doubles the guess."""
    quota = quota or (retry_after or 0) > LONGEST_RATE_WAIT
    reason: Reason = "quota" if quota else "rate"
    first, most = GUESS[reason]
    seconds = retry_after if retry_after is not None else min(most, first * 2 ** min(strikes, 16))
    return NewCooldown(family if quota else "*", seconds, reason, retry_after)


def backoff_seconds(failures: int, jitter: float) -> float:
    """Seconds before the next attempt after `failures` in a row: 1, 2, 4 … 60, halved by a `jitter` of 0, full at 1."""
    return float(min(60, 2 ** max(0, failures - 1))) * (0.5 + jitter / 2)


def choose_wait(
    seconds: float, longest: float, *, is_optional: bool, sync_type: str
) -> Literal["retry", "park", "defer"]:
    """What a batch does that has to wait `seconds`; up to `longest` the broker holds its message back.

    A longer wait parks a full run in Postgres. Incrementals never wait that long, nor does any run for look-ups and
    lists of spoken word (`is_optional`): what they could not read is left to a later run.
    """
    if seconds <= longest:
        return "retry"
    return "defer" if is_optional or sync_type == "incremental" else "park"
