"""The two API regimes: detecting the regime of an app and choosing the mode of look-ups."""

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
def test_picks_the_look_up_mode_from_setting_and_regime(enrichment: Any, regime: Any, expected: str) -> None:
    assert lookup_mode(enrichment, regime) == expected


@pytest.mark.parametrize(
    ("rows", "regime"),
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
def test_derives_the_regime_from_a_list_of_playlists(rows: list[Any], regime: str | None) -> None:
    assert regime_of_playlists(rows) == regime


def test_derives_the_regime_from_a_popularity() -> None:
    assert regime_of_lookup({"id": "a1", "popularity": 0}) == "full"
    assert regime_of_lookup({"id": "a1", "images": []}) is None
    assert regime_of_lookup(["popularity"]) is None


@given(left=st.integers(0, 9_999), budget=st.integers(1, 700), used=st.integers(0, 2_000))
def test_the_forecast_covers_the_backlog_with_the_fewest_days(left: int, budget: int, used: int) -> None:
    days = days_until_done(left, budget, used)
    now = max(0, budget - used)
    assert left <= now + days * budget
    assert days == 0 or left > now + (days - 1) * budget
