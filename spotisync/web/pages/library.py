"""The library page: search and filters. Every state has its own URL, which can be bookmarked and shared."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync.core.search import DATED, FILTERS, KINDS, Kind, Query
from spotisync.status import MOST_ACCOUNTS
from spotisync.store import accounts, search
from spotisync.store.database import Connection
from spotisync.web.dependencies import ConnectionDep
from spotisync.web.paths import format_path
from spotisync.web.templating import TEMPLATES, render_page

router = APIRouter(include_in_schema=False)

NAMES: Final[Mapping[Kind, str]] = {
    "tracks": "Saved tracks",
    "albums": "Saved albums",
    "artists": "Followed artists",
    "playlists": "Playlists",
}
SUGGESTIONS: Final = 20
LABEL_WIDTH: Final = 100
NAME_WITH_ID: Final = re.compile(r"(.+) \((\w+)\)", re.ASCII | re.DOTALL)
FACETS: Final = {"genre": "Genres", "decade": "Decades", "label": "Labels", "artist": "Artists"}


def format_library_url(query: Query, **changes: Any) -> str:
    """Return the URL of the page, without the root path, for this query with some parameters changed."""
    return _format_url("/library", query.parameters(**changes))


def _format_url(path: str, parameters: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path


TEMPLATES.env.globals.update(library_url=format_library_url)


@router.get("/library")
def show_library(request: Request, connection: ConnectionDep) -> Response:
    """Render the whole page, or for htmx the results only."""
    query = _parse_query(request, connection)
    results = _load_results(connection, query, _get_unknown_playlist(request, query))
    if "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers:
        is_chosen = query.playlist is not None and _get_playlist_name(request) != ""
        values = {**results, "is_fragment": True, "is_chosen": is_chosen}
        response = render_page(request, "library_results.html", query=query, **values)
        # Without the empty fields of the form.
        response.headers["HX-Push-Url"] = format_path(request, format_library_url(query))
        response.headers["HX-Trigger-After-Swap"] = "searched"
    else:
        facets = _load_facets(request, connection, query) if "facets" in request.query_params else {"facets": None}
        values = {**results, **facets, **_load_choices(connection, query)}
        response = render_page(request, "library.html", query=query, **values)
    response.headers["Vary"] = "HX-Request"
    return response


@router.get("/library/more")
def show_more(request: Request, connection: ConnectionDep) -> Response:
    query = _parse_query(request, connection)
    return render_page(request, "library_rows.html", query=query, **_load_results(connection, query))


@router.get("/library/facets")
def show_facets(request: Request, connection: ConnectionDep) -> Response:
    query = _parse_query(request, connection)
    return render_page(
        request, "library_facets.html", query=query, is_fragment=True, **_load_facets(request, connection, query)
    )


@router.get("/library/playlists")
def suggest_playlists(request: Request, connection: ConnectionDep) -> Response:
    """The options for what has been typed into the field for playlists."""
    query = _parse_query(request, connection)
    playlists = _suggest_playlists(connection, query.account, request.query_params.get("in", ""))
    return render_page(request, "library_playlists.html", playlists=playlists)


def _parse_query(request: Request, connection: Connection) -> Query:
    """Select the only account if there is just one: its rows are then read in the order of an index.

    The field `in` has the name of a playlist, which takes precedence over the filter `playlist`, an id.
    """
    names = accounts.list_names(connection, MOST_ACCOUNTS)
    given = dict(request.query_params)
    if len(names) == 1 and not given.get("account"):
        given["account"] = names[0]
    query = Query.from_parameters(given)
    if "playlist" in FILTERS[query.kind] and (name := _get_playlist_name(request)):
        query = replace(query, playlist=_find_playlist(connection, query.account, name))
    return query


def _get_playlist_name(request: Request) -> str:
    return Query.from_parameters({"q": request.query_params.get("in", "")}).text


def _find_playlist(connection: Connection, account: str | None, name: str) -> str | None:
    """Find what `_suggest_playlists` has suggested, or what is similar to nothing else."""
    with_id = NAME_WITH_ID.fullmatch(name)
    if with_id and search.find_playlist(connection, with_id[2]).name is not None:
        return with_id[2]
    if found := search.find_playlist_by_name(connection, account, name):
        return found
    similar = _suggest_playlists(connection, account, name)
    return similar[0].id if len(similar) == 1 else None


def _get_unknown_playlist(request: Request, query: Query) -> str | None:
    name = _get_playlist_name(request) if "playlist" in FILTERS[query.kind] and query.playlist is None else ""
    return name or None


# ---- data of the templates ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FilterChip:
    """An active filter and the URL without it."""

    name: str
    value: str
    label: str
    url_without: str


@dataclass(frozen=True)
class PlaylistChoice:
    """`label` is the name; with the id if the name is long, or that of several playlists."""

    id: str
    label: str


def _suggest_playlists(connection: Connection, account: str | None, text: str) -> list[PlaylistChoice]:
    """Playlists whose names contain the words; one that has just this name comes first."""
    query = Query.from_parameters({"kind": "playlists", "q": text, "account": account or ""})
    same = search.find_playlist_by_name(connection, account, query.text)
    found: list[search.NamedId | search.LibraryItem] = [search.find_playlist(connection, same)] if same else []
    found += search.search_page(connection, query, SUGGESTIONS).items
    names = {each.id: name for each in found if (name := (each.name or "").strip())}
    counts = Counter(names.values())
    return [
        PlaylistChoice(id_, name if counts[name] == 1 and len(name) <= LABEL_WIDTH else f"{name[:LABEL_WIDTH]} ({id_})")
        for id_, name in names.items()
    ]


def _load_results(connection: Connection, query: Query, unknown_playlist: str | None = None) -> dict[str, Any]:
    found = search.search_page(connection, query) if unknown_playlist is None else search.ResultPage([], None)
    names = accounts.list_names(connection, MOST_ACCOUNTS, query.account)
    more = {**query.parameters(), "after": str(found.after)} if found.after else None
    return {
        "items": found.items,
        "more_url": _format_url("/library", more) if more else None,
        "more_rows_url": _format_url("/library/more", more) if more else None,
        "chips": _load_chips(connection, query),
        "tabs": _list_tabs(query),
        "has_several_accounts": query.account is None and len(names) > 1,
        "knows_several_accounts": len(names) > 1,
        "unknown_playlist": unknown_playlist,
        "empty": None if found.items else _explain_empty(query, names, unknown_playlist),
    }


def _load_chips(connection: Connection, query: Query) -> list[FilterChip]:
    """Return the active filters: none of them has a field in the form."""
    return [
        FilterChip(
            name, str(value), _get_filter_label(connection, name, value), format_library_url(query, **{name: None})
        )
        for name, value in query.active_filters.items()
    ]


def _get_filter_label(connection: Connection, name: str, value: Any) -> str:
    match name:
        case "artist":
            return search.find_artist(connection, value).name or str(value)
        case "playlist":
            return search.find_playlist(connection, value).name or str(value)
        case "decade":
            return f"{value}s"
    return str(value)


def _explain_empty(query: Query, names: Sequence[str], unknown_playlist: str | None) -> tuple[str, str, str]:
    """Return a message, the label of a link that helps, and its URL."""
    kind = NAMES[query.kind].lower()
    if not names:
        return "No account yet.", "Connect your Spotify account", "/accounts"
    if query.account is not None and query.account not in names:
        return f"Unknown account {query.account}.", "Show all accounts", format_library_url(query, account=None)
    if unknown_playlist is not None:
        text = f"No playlist is called “{unknown_playlist}”. Choose one of the names that the field suggests."
        return text, "Show all playlists", format_library_url(Query(account=query.account), kind="playlists")
    if query.after is not None:
        return "End of the list.", "Back to the start", format_library_url(query)
    if not query.text and not query.active_filters:
        return f"No {kind} stored yet. A full sync reads them.", "Go to the status page", "/"
    message = f"No {kind} found. Try fewer letters or fewer filters."
    if not query.removed:
        return message, "Include removed items", format_library_url(query, removed=True)
    return message, "Clear all filters", format_library_url(Query(kind=query.kind, sort=query.sort))


def _load_facets(request: Request, connection: Connection, query: Query) -> dict[str, Any]:
    is_known = _get_unknown_playlist(request, query) is None
    counted = search.count_facets(connection, query) if is_known else search.Facets(0, {})
    facets = [(FACETS[name], name, counted.by[name]) for name in FACETS if counted.by.get(name)]
    noun = NAMES[query.kind].lower()
    return {"facets": facets, "total": counted.total, "noun": noun if counted.total != 1 else noun.removesuffix("s")}


def _load_choices(connection: Connection, query: Query) -> dict[str, Any]:
    has_playlists = "playlist" in FILTERS[query.kind]
    playlists = _suggest_playlists(connection, query.account, "") if has_playlists else []
    names = accounts.list_names(connection, MOST_ACCOUNTS, query.account)
    return {
        "names": names,
        "has_more_accounts": len(names) >= MOST_ACCOUNTS,
        "playlists": playlists,
        "is_dated": query.kind in DATED,
    }


def _list_tabs(query: Query) -> list[tuple[str, Kind, str]]:
    """Tabs keep the search text but not the filters, which differ by kind."""
    kept = Query(text=query.text, account=query.account, removed=query.removed)
    return [(NAMES[kind], kind, format_library_url(kept, kind=kind)) for kind in KINDS]
