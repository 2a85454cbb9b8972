"""The two API regimes: detecting the regime of an app and choosing the mode of look-ups."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotisync.core.regimes import (
    KnownRegime,
    Regime,
    days_until_done,
    lookup_mode,
    regime_of_lookup,
    regime_of_playlists,
)

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


REGIMES = st.sampled_from(["full", "restricted"])


def test_the_first_reply_shows_the_regime() -> None:
    assert KnownRegime().after("restricted").regime == "restricted"
    assert KnownRegime(lookups_refused=True).after("restricted").regime == "restricted"


def test_a_regime_changes_with_the_second_reply_in_a_row() -> None:
    known = KnownRegime("full")
    assert known.after("restricted").regime == "full"
    assert known.after("restricted").after("full") == known
    assert known.after("restricted").after("restricted") == KnownRegime("restricted")


def test_a_list_does_not_count_while_look_ups_are_refused() -> None:
    restricted = KnownRegime("restricted", lookups_refused=True)
    assert restricted.after("full").after("full") == restricted
    doubted = KnownRegime("full", contrary=1, lookups_refused=True)
    assert doubted.after("full") == doubted
    assert doubted.after("restricted").regime == "restricted"


@given(known=REGIMES, shown=st.lists(REGIMES, max_size=6), refused=st.booleans())
def test_a_regime_never_changes_on_one_reply(known: Regime, shown: list[Regime], refused: bool) -> None:
    state = KnownRegime(known, lookups_refused=refused)
    for before, each in zip([None, *shown], shown, strict=False):
        after = state.after(each)
        assert after.regime == state.regime or (before == each or refused)
        state = after
