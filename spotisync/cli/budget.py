"""`spotisync budget`: calls spent and expected, against the ceilings of Spotify's quotas."""

from typing import TYPE_CHECKING, Final

from spotisync.cli.context import AsJson, OneAccount, open_database
from spotisync.cli.output import console, print_json, print_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from spotisync.cli.formatting import Document

# Levels of a column of the chart, from no call to the most of an hour.
BLOCKS: Final = " ▁▂▃▄▅▆▇█"
ASCII: Final = " .:-=+*#@"
# Characters of a bar: spent, free, reserved.
BAR_BLOCKS: Final = "█░▒"
BAR_ASCII: Final = "#.|"
LONGEST_BAR: Final = 48
LABEL_WIDTH: Final = 15
# In a narrower terminal, a column of the chart stands for two hours.
WIDTH_OF_CHART: Final = 56


def budget(*, account: OneAccount = None, json: AsJson = False) -> None:
    """Show the calls of the last and the next 24 hours, and their ceilings.

    Spotify counts the calls of each developer account by family over 24 hours,
    publishes no ceiling, and blocks the family for hours after the first call
    beyond it. A ceiling is therefore one of these:

    set: by you, with SPOTISYNC_BUDGET_LIBRARY and its like.

    learned: the calls of the 24 hours before Spotify's last refusal. A week
    later it begins to grow, by a tenth a day.

    assumed: 600, for up to 25 accounts, before the first refusal. It makes
    scheduled work less frequent and stops nothing.

    Scheduled work fills only a part of a set or learned ceiling: reads of
    plays all of it, incremental syncs 90 %, full syncs 80 %, look-ups 70 %.
    The rest is reserved for the syncs that you start, and for plays.

    The chart shows the last 24 hours and, after the bar, the next 24.
    """
    from spotisync.settings import settings
    from spotisync.status import budget

    with open_database() as database, database.begin() as connection:
        found = budget.read_document(connection, settings(), account)
    if json:
        return print_json(found)
    for line in format_budgets(found, console().width, plain=_is_plain(console())):
        print_text(line)
    return None


def _is_plain(screen: "Console") -> bool:
    return not screen.is_terminal or screen.no_color or not screen.encoding.startswith("utf")


def format_budgets(document: "Document", width: int, *, plain: bool) -> list[str]:
    """Lines of at most `width` characters, except for the sentences. `plain`: ASCII alone."""
    from spotisync.status.messages import count_of

    if not document["developers"]:
        return ["No Spotify app is known. Set SPOTIPY_CLIENT_ID, or log in: spotisync login"]
    spent, free, reserved = BAR_ASCII if plain else BAR_BLOCKS
    lines = [f"{spent} spent, {free} free, {reserved} reserved; calls of the last 24 h and of the next 24 h", ""]
    several = len(document["developers"]) > 1
    for developer in document["developers"]:
        if several:
            lines.append(f"Developer account {developer['developer']}{' (default app)' * developer['is_default']}")
        for family in developer["families"]:
            lines += [*_chart_lines(family, width, plain=plain), *_sentence(family, width), ""]
    if more := document["more_developers"]:
        lines += [f"{count_of(more, 'more developer account')}: spotisync budget --account ACCOUNT", ""]
    lines += [f"Pending look-ups: {each['words']}." for each in document["lookups"]]
    return lines


def _sentence(family: "Document", width: int) -> list[str]:
    from textwrap import wrap

    return wrap(family["words"], max(24, width), break_long_words=False, break_on_hyphens=False)


def _chart_lines(family: "Document", width: int, *, plain: bool) -> list[str]:
    """The bar, and the chart if there are calls."""
    numbers = f"{family['spent']:,}"
    if family["ceiling"]:
        numbers = f"{numbers} / {family['ceiling']:,}"
        room = width - LABEL_WIDTH - len(numbers) - 2
        numbers = f"{format_bar(family, min(LONGEST_BAR, max(8, room)), plain=plain)} {numbers}"
    first = f"{family['label']:{LABEL_WIDTH}} {numbers}"
    if not any(family["past"]) and not any(family["coming"]):
        return [first]
    step = 1 if width >= WIDTH_OF_CHART + LABEL_WIDTH else 2
    past, coming = (_thin(family[name], step) for name in ("past", "coming"))
    columns = format_columns([*past, *coming], plain=plain)
    label = "calls per hour" if step == 1 else "per 2 hours"
    middle = "|" if plain else "│"
    return [first, f"{label:{LABEL_WIDTH}} {columns[: len(past)]}{middle}{columns[len(past) :]}"]


def _thin(hours: "Sequence[int]", step: int) -> list[int]:
    return [sum(hours[first : first + step]) for first in range(0, len(hours), step)]


def format_columns(numbers: "Sequence[int]", *, plain: bool) -> str:
    """One character per number; its height is relative to the largest."""
    levels, most = ASCII if plain else BLOCKS, max(1, *numbers)
    return "".join(levels[-(-number * (len(levels) - 1) // most)] for number in numbers)


def format_bar(family: "Document", width: int, *, plain: bool) -> str:
    """Calls spent, then free ones, then those that scheduled work leaves."""
    spent, free, reserved = BAR_ASCII if plain else BAR_BLOCKS
    ceiling, kept = family["ceiling"], family["reserved"] or 0
    used: int = min(width, -(-family["spent"] * width // ceiling))
    left: int = min(width - used, kept * width // ceiling)
    return spent * used + free * (width - used - left) + reserved * left
