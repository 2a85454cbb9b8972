"""Times as Spotify writes them."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(1 << 16)
def iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_or_none(seconds: int | None) -> str | None:
    return None if seconds is None else iso(seconds)


def iso_ms(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{milliseconds % 1000:03d}Z")
