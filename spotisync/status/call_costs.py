"""What a sync costs in calls, from earlier runs, and what is left of the budget for it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from spotisync.core.apps import find_default_app
from spotisync.core.budget import FamilyBudget
from spotisync.core.call_forecast import USUAL_INCREMENTAL, divide_into_pages
from spotisync.core.requests import PAGE
from spotisync.settings import Settings
from spotisync.status.messages import REQUESTS, capitalize
from spotisync.store import accounts, budgets
from spotisync.store.database import Connection, execute

Calls = Mapping[str, float]
# A forecast averages over this many runs; the cost of the next one is that of the last.
AVERAGED: Final = 3
SINGULAR: Final = {
    "library": "library", "playlists": "playlist", "artists": "artist", "albums": "album", "player": "player",
}  # fmt: skip


def list_costs(connection: Connection, account_ids: Collection[int]) -> Mapping[tuple[int, str], Calls]:
    """Calls by family of each account's last runs, by account id and type of sync."""
    return _read(connection, "a.id = ANY(:ids)", {"ids": list(account_ids), "runs": AVERAGED})


def _read(connection: Connection, chosen: str, bound: dict[str, Any]) -> Mapping[tuple[int, str], Calls]:
    found = defaultdict[tuple[int, str], dict[str, float]](dict)
    for row in execute(connection, _COSTS.format(chosen=chosen), bound):
        found[row.account_id, row.sync_type].update({row.family: float(row.calls)} if row.family else {})
    return dict(found)


# Without a family: the account has such runs, all without calls.
_COSTS = """SELECT a.id AS account_id, t.sync_type, c.family, c.calls
    FROM accounts a CROSS JOIN (VALUES ('full'), ('incremental')) t(sync_type)
        CROSS JOIN LATERAL (SELECT array_agg(id) AS ids FROM (SELECT h.id FROM sync_history h
            WHERE h.account_id = a.id AND h.sync_type = t.sync_type AND h.status = 'success'
            ORDER BY h.id DESC LIMIT :runs) newest) last
        LEFT JOIN LATERAL (SELECT e.family, sum(e.calls) / cardinality(last.ids) :: float AS calls
            FROM run_events e WHERE e.sync_id = ANY(last.ids) AND e.family IS NOT NULL AND e.calls > 0
            GROUP BY e.family) c ON true
    WHERE last.ids IS NOT NULL AND {chosen}"""


def find_cost(connection: Connection, account_id: int, sync_type: str) -> dict[str, int] | None:
    """Calls by family that a sync is expected to cost; None before the account's first sync."""
    known = _read(connection, "a.id = :id", {"id": account_id, "runs": 1})
    calls = known.get((account_id, sync_type))
    if calls is None:
        calls = _estimate(connection, account_id, sync_type)
    return {family: round(number) for family, number in sorted(calls.items()) if number} if calls is not None else None


def _estimate(connection: Connection, account_id: int, sync_type: str) -> Calls | None:
    stored = execute(connection, _TOTALS, {"id": account_id}).one()
    if not any((stored.tracks, stored.albums, stored.artists, stored.playlists)):
        return None
    if sync_type == "incremental":
        return USUAL_INCREMENTAL
    library = (stored.tracks, stored.albums, stored.artists, *stored.spoken)
    return divide_into_pages({"library": library, "playlists": (stored.playlists, *stored.unread)}, PAGE)


# A full sync reads the contents of new and changed playlists.
_TOTALS = """SELECT
    (SELECT count(*) FROM saved_tracks WHERE account_id = :id AND removed_at IS NULL) AS tracks,
    (SELECT count(*) FROM saved_albums WHERE account_id = :id AND removed_at IS NULL) AS albums,
    (SELECT count(*) FROM followed_artists WHERE account_id = :id AND removed_at IS NULL) AS artists,
    (SELECT count(*) FROM account_playlists WHERE account_id = :id AND removed_at IS NULL) AS playlists,
    ARRAY(SELECT l.total FROM listings l WHERE l.account_id = :id AND l.total > 0
        AND l.list IN ('saved_shows', 'saved_episodes', 'saved_audiobooks')) AS spoken,
    ARRAY(SELECT COALESCE(p.total_items, 0) FROM account_playlists a JOIN playlists p ON p.id = a.playlist_id
        WHERE a.account_id = :id AND a.removed_at IS NULL AND a.items_status = 'pending') AS unread"""


def describe_cost(connection: Connection, settings: Settings, account: str | None, sync_type: str) -> str:
    """What a sync will cost and what is left for it, in one or two sentences. Raises `Unknown` or `Fatal`."""
    found = accounts.find_account(connection, account)
    cost, app = find_cost(connection, found.id, sync_type), found.find_app(find_default_app(settings))
    if cost is None or app is None:
        return "Expected cost: unknown before the first sync."
    spent = budgets.read_budgets(connection, budgets.find_developer(settings, app))
    return describe_calls(cost, spent)


def describe_calls(cost: Mapping[str, int], spent: Mapping[str, FamilyBudget]) -> str:
    """As in: Expected cost: about 71 library calls (288 of about 600 left in 24 h) and 12 playlist calls."""
    parts = [
        f"{calls:,} {SINGULAR[each]} call{'' if calls == 1 else 's'}{_left(spent[each])}"
        for each, calls in cost.items()
    ]
    *first, last = parts or ["no calls"]
    sentence = f"Expected cost: about {' and '.join(filter(None, (', '.join(first), last)))}."
    return " ".join([sentence, *(_describe_reached(spent[each]) for each in cost if spent[each].left == 0)])


def _left(spent: FamilyBudget) -> str:
    if spent.ceiling is None:
        return ""
    left = max(0, spent.ceiling.calls - spent.spent)
    about = "" if spent.ceiling.source == "set" else "about "
    return f" ({left:,} of {about}{spent.ceiling.calls:,} left today)"


def _describe_reached(spent: FamilyBudget) -> str:
    requests = capitalize(REQUESTS[spent.family])
    return f"{requests} have reached their daily budget: this sync sends them anyway, and Spotify may refuse them."
