"""Two Spotify APIs: how an app's calls tell which one it has, and what follows for look-ups."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.regimes import days_until_done, lookup_mode, regime_of_lookup, regime_of_playlists

CONTENTS = {"href": "…", "total": 3}


@pytest.mark.parametrize(
    ("enrichment", "regime", "expected"),
    [
        ("auto", None, "together"),
        ("auto", "full", "together"),
        ("auto", "restricted", "partial"),
        ("always", None, "together"),
        ("always", "full", "together"),
        ("always", "restricted", "singly"),
        ("off", None, "off"),
        ("off", "full", "off"),
        ("off", "restricted", "off"),
    ],
)
def test_how_stubs_are_dealt_with(enrichment: Any, regime: Any, expected: str) -> None:
    assert lookup_mode(enrichment, regime) == expected


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"tracks": CONTENTS, "items": CONTENTS}], "full"),
        ([{"tracks": CONTENTS}], "full"),
        ([None, {"items": CONTENTS}], "restricted"),
        ([{"items": CONTENTS}, {"tracks": CONTENTS, "items": CONTENTS}], "full"),
        ([{"items": CONTENTS, "tracks": None}], "restricted"),
        ([{"id": "p1"}], None),
        ([None, 3, "x"], None),
        ([], None),
    ],
)
def test_a_list_of_playlists_tells(rows: list[Any], told: str | None) -> None:
    assert regime_of_playlists(rows) == told


def test_a_popularity_tells() -> None:
    assert regime_of_lookup({"id": "a1", "popularity": 0}) == "full"
    assert regime_of_lookup({"id": "a1", "images": []}) is None
    assert regime_of_lookup(["popularity"]) is None


@given(left=st.integers(0, 9_999), budget=st.integers(1, 700), used=st.integers(0, 2_000))
def test_a_backlog_is_done_when_its_days_are_over_and_not_before(left: int, budget: int, used: int) -> None:
    days = days_until_done(left, budget, used)
    now = max(0, budget - used)
    assert left <= now + days * budget
    assert days == 0 or left > now + (days - 1) * budget
