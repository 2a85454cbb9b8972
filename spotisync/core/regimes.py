"""The two regimes of Spotify's API, and what each means for looking up artists and albums.

Since February 2026 an app is in the full regime (batch look-ups; genres, labels, followers, popularity) or in the
restricted one (one id per call, none of those fields). Spotify does not announce which: the replies show it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

Regime = Literal["full", "restricted"]
Enrichment = Literal["auto", "always", "off"]
# How stubs are looked up: many per call; one per call within the budget; not at all, declared `partial`; not at all,
# left as stubs.
LookupMode = Literal["together", "singly", "partial", "off"]


def lookup_mode(enrichment: Enrichment, regime: Regime | None) -> LookupMode:
    """The full regime is assumed while it is unknown: the first call shows it."""
    if enrichment == "off":
        return "off"
    if regime != "restricted":
        return "together"
    # A look-up would add only an artist's images and an album's barcode to what the pages contain: not worth the daily
    # budget of calls, unless the operator asks for it.
    return "singly" if enrichment == "always" else "partial"


def regime_of_playlists(rows: Iterable[Any]) -> Regime | None:
    """The list's rows have `tracks` (and `items`) in the full regime, only `items` in the restricted one."""
    contents = [row for row in rows if isinstance(row, dict)]
    if any(isinstance(row.get("tracks"), dict) for row in contents):
        return "full"
    return "restricted" if any(isinstance(row.get("items"), dict) for row in contents) else None


def regime_of_lookup(body: Any) -> Regime | None:
    """Single artists and albums have a popularity in the full regime alone."""
    return "full" if isinstance(body, dict) and "popularity" in body else None


# Replies that contradict the known regime, one after the other, before it changes.
REPLIES_TO_FLIP = 2


@dataclass(frozen=True)
class KnownRegime:
    """What is known of an app. `contrary`: replies in a row that showed the other regime.

    `lookups_refused`: the newest reply to a batch look-up, less than a day old, was a 403.
    """

    regime: Regime | None = None
    contrary: int = 0
    lookups_refused: bool = False

    def after(self, shown: Regime) -> "KnownRegime":
        """What is known after a reply that shows a regime.

        The list of playlists can look like that of a full app whose batch look-ups are refused. As the regime decides
        about look-ups alone, their refusal is the stronger sign; a day later the list counts again.
        """
        if self.regime is None:
            return replace(self, regime=shown)
        if shown == "full" and self.lookups_refused:
            return self
        if shown == self.regime:
            return replace(self, contrary=0)
        if self.contrary + 1 < REPLIES_TO_FLIP:
            return replace(self, contrary=self.contrary + 1)
        return replace(self, regime=shown, contrary=0)


def days_until_done(left: int, budget: int, used: int) -> int:
    """Days until `left` look-ups are done with `budget` per day, of which `used` are spent."""
    return -(-max(0, left - max(0, budget - used)) // budget)
