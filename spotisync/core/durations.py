"""Durations as text."""

import re
from typing import Final

# Longer durations are shown in whole minutes.
SHOW_SECONDS_BELOW: Final = 600.0
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST_PARSED: Final = 86_400


def format_duration(seconds: float) -> str:
    """`25 s`, `3 min 20 s`, `12 min`, `3 h 12 min`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < SHOW_SECONDS_BELOW:
        return _join_units(*divmod(whole, 60), "min", "s")
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _join_units(*divmod(minutes, 60), "h", "min")
    return _join_units(*divmod(round(minutes / 60), 24), "d", "h")


def parse_duration(text: str) -> int:
    """Seconds of `90s`, `30m`, `2h` or `1d`. Raises ValueError unless they are between 1 s and 24 h."""
    found = re.fullmatch(r"(\d{1,6})\s*([smhd])", text.strip(), re.ASCII)
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 30m, 2h or 1d")
    seconds = int(found[1]) * UNITS[found[2]]
    if not 0 < seconds <= LONGEST_PARSED:
        raise ValueError(f"{text!r} is not between 1 second and 24 hours")
    return seconds


def _join_units(large: int, small: int, large_unit: str, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
