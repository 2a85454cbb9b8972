"""Formatted durations."""

import pytest

from spotisync.core.durations import format_duration


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
