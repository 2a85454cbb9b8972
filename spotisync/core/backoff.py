"""How long to wait: what a 429 says, and how retries back off. Seconds throughout."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

from spotisync.core.requests import Family

Reason = Literal["rate", "quota"]

# A rolling-window 429 says up to 30 s or so; what asks for more than a minute is a quota by another name.
LONGEST_RATE_WAIT = 60
# Spotify was never seen to say more than a day; more is taken for nonsense, and asked again after a day.
LONGEST_WAIT = 86_400
GUESS: dict[Reason, tuple[int, int]] = {"rate": (30, 900), "quota": (3_600, 86_400)}


@dataclass(frozen=True)
class NewCooldown:
    """What a 429 blocks (`*`: all families), for how long, and what Spotify's header said, if it said anything."""

    family: Family | Literal["*"]
    seconds: int
    reason: Reason
    retry_after: int | None


def parse_retry_after(header: str | None, now: datetime) -> int | None:
    """Seconds from the header, which may be a number or an HTTP date. None: absent or nonsense."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (TypeError, ValueError):
            return None
    if not 0 <= seconds < float("inf"):
        return 1 if seconds < 0 and seconds > -LONGEST_WAIT else None
    return min(LONGEST_WAIT, max(1, int(seconds + 0.999)))


def cooldown(family: Family, said: int | None, *, quota: bool, strikes: int) -> NewCooldown:
    """`strikes`: how many 429s without a header came in a row before this one; the guess doubles with each."""
    quota = quota or (said or 0) > LONGEST_RATE_WAIT
    reason: Reason = "quota" if quota else "rate"
    first, most = GUESS[reason]
    seconds = said if said is not None else min(most, first * 2 ** min(strikes, 16))
    return NewCooldown(family if quota else "*", seconds, reason, said)


def backoff_seconds(failures: int, jitter: float) -> float:
    """Seconds before the next try after that many failures in a row: 1, 2, 4 … 60, spread by `jitter` in 0..1."""
    return float(min(60, 2 ** max(0, failures - 1))) * (0.5 + jitter / 2)
