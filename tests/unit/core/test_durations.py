"""Formatted durations."""

import pytest

from spotisync.core.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"), (45, "45 s"), (59.4, "59 s"), (59.7, "1 min"), (200, "3 min 20 s"), (240, "4 min"),
        (1800, "30 min"), (3600, "1 h"),
        (5400, "1 h 30 min"), (7200, "2 h"), (11_520, "3 h 12 min"), (86_399, "1 d"),
        (86_400, "1 d"), (100_000, "1 d 4 h"),
    ],
)  # fmt: skip
def test_formats_a_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400), (" 24 h ", 86_400)]
)
def test_parses_durations_of_up_to_a_day(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "2 weeks", "1h30m", "٣h", "0m", "25h", "2d", "86401s", "1e3s"])
def test_other_durations_are_refused_with_their_text(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)
