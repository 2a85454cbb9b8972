"""The bars and charts of `spotisync budget`."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.cli.budget import ASCII, BLOCKS, format_bar, format_budgets, format_columns

HOURS = st.lists(st.integers(0, 5000), min_size=24, max_size=24)


def family(**changes: Any) -> dict[str, Any]:
    return {
        "family": "library",
        "label": "Library",
        "spent": 300,
        "ceiling": 600,
        "reserved": 60,
        "past": [10] * 24,
        "coming": [20, *[0] * 23],
        "words": "Library: 300 of about 600 calls spent in 24 h; scheduled syncs may use 540.",
        **changes,
    }


def document(*families: dict[str, Any]) -> dict[str, Any]:
    developer = {"developer": "app", "is_default": True, "families": list(families)}
    return {"developers": [developer], "more_developers": 0, "lookups": [{"words": "none"}]}


def test_shows_a_bar_and_the_hours_before_and_after_now() -> None:
    lines = format_budgets(document(family()), 80, plain=True)
    assert f"Library         {'#' * 24}{'.' * 20}{'|' * 4} 300 / 600" in lines
    assert f"calls per hour  {'+' * 24}|@{' ' * 23}".rstrip() in [line.replace("=", "+").rstrip() for line in lines]
    assert lines[-1] == "Pending look-ups: none."


def test_without_a_ceiling_there_is_no_bar() -> None:
    lines = format_budgets(document(family(ceiling=None, reserved=None)), 80, plain=True)
    assert "Library         300" in lines


def test_without_an_app_it_says_how_to_name_one() -> None:
    assert "SPOTIPY_CLIENT_ID" in format_budgets({"developers": [], "lookups": []}, 80, plain=True)[0]


def test_several_developer_accounts_are_named() -> None:
    both = document(family())
    both["developers"].append({"developer": "theirs", "is_default": False, "families": [family()]})
    lines = format_budgets(both, 80, plain=False)
    assert "Developer account app (default app)" in lines
    assert "Developer account theirs" in lines


@pytest.mark.parametrize("width", [40, 52, 80, 200])
@settings(max_examples=30)
@given(
    st.integers(0, 10**6), st.none() | st.integers(1, 10**6), HOURS, HOURS, st.booleans(), st.floats(0, 1)
)  # fmt: skip
def test_lines_fit(
    width: int, spent: int, ceiling: int | None, past: list[int], coming: list[int], plain: bool, kept: float
) -> None:
    reserved = int(ceiling * kept) if ceiling else None
    one = family(spent=spent, ceiling=ceiling, reserved=reserved, past=past, coming=coming)
    lines = format_budgets(document(one), width, plain=plain)[1:]
    assert max(map(len, lines)) <= max(width, 48)
    assert not plain or "".join(lines).isascii()


@given(st.integers(0, 2000), st.integers(1, 1000), st.integers(8, 48))
def test_a_bar_has_its_width_and_is_full_from_the_ceiling_on(spent: int, ceiling: int, width: int) -> None:
    bar = format_bar(family(spent=spent, ceiling=ceiling, reserved=ceiling // 10), width, plain=True)
    assert len(bar) == width
    assert (bar == "#" * width) == (-(-spent * width // ceiling) >= width)
    assert ("#" in bar) == (spent > 0)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=48), st.booleans())
def test_columns_grow_with_their_numbers(numbers: list[int], plain: bool) -> None:
    levels = ASCII if plain else BLOCKS
    heights = [levels.index(each) for each in format_columns(numbers, plain=plain)]
    assert all((height == 0) == (number == 0) for number, height in zip(numbers, heights, strict=True))
    assert [height for _, height in sorted(zip(numbers, heights, strict=True))] == sorted(heights)
