"""How long something takes, as a person says it."""

from typing import Final

# Until when seconds matter.
SOON: Final = 600.0


def format_duration(seconds: float) -> str:
    """`25 s`, `3 min 20 s`, `12 min`, `3 h 12 min`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < SOON:
        return _both(*divmod(whole, 60), "min", "s")
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _both(*divmod(minutes, 60), "h", "min")
    return _both(*divmod(round(minutes / 60), 24), "d", "h")


def _both(large: int, small: int, unit: str, smaller: str) -> str:
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"
