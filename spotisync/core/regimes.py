"""Two Spotify APIs, and what each means for looking up artists and albums. Pure.

Since February 2026 an app is of the full regime (batch look-ups; genres, labels, followers, popularity) or of the
restricted one (one id a call, none of those fields). Nothing announces which: an app's calls tell.
"""

from collections.abc import Iterable
from typing import Any, Literal

Regime = Literal["full", "restricted"]
Enrichment = Literal["auto", "always", "off"]
# How stubs are dealt with: looked up many a call, one a call within the budget, declared `partial` without a call,
# or left as they are.
LookupMode = Literal["together", "singly", "partial", "off"]


def lookup_mode(enrichment: Enrichment, regime: Regime | None) -> LookupMode:
    """Of an app that is not known yet the full regime is supposed: one call tells."""
    if enrichment == "off":
        return "off"
    if regime != "restricted":
        return "together"
    # A look-up would add an artist's pictures and an album's barcode to what the pages have told; nobody's 500 calls a
    # day are there for that, unless a person says so.
    return "singly" if enrichment == "always" else "partial"


def regime_of_playlists(rows: Iterable[Any]) -> Regime | None:
    """Rows of the full regime's list of playlists say `tracks` (and `items`), those of the restricted one `items`."""
    contents = [row for row in rows if isinstance(row, dict)]
    if any(isinstance(row.get("tracks"), dict) for row in contents):
        return "full"
    return "restricted" if any(isinstance(row.get("items"), dict) for row in contents) else None


def regime_of_lookup(body: Any) -> Regime | None:
    """Artists and albums that are asked for one at a time have a popularity in the full regime alone."""
    return "full" if isinstance(body, dict) and "popularity" in body else None


def days_until_done(left: int, budget: int, used: int) -> int:
    """In how many days the last of `left` look-ups is done, one day's budget after the other."""
    return -(-max(0, left - max(0, budget - used)) // budget)
