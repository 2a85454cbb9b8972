"""The library page: search and filters. Every state has its own URL, which can be bookmarked and shared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync.core.search import DATED, FILTERS, KINDS, Kind, Query
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
FACETS: Final = {"genre": "Genres", "decade": "Decades", "label": "Labels", "artist": "Artists"}


def format_library_url(query: Query, **changes: Any) -> str:
    """Return the URL of the page, without the root path, for this query with some parameters changed."""
    return _format_url("/library", query.parameters(**changes))


def _format_url(path: str, parameters: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path


def format_spotify_url(item: search.LibraryItem) -> str:
    return f"https://open.spotify.com/{item.kind.removesuffix('s')}/{quote(item.id, safe='')}"


TEMPLATES.env.globals.update(spotify_url=format_spotify_url, library_url=format_library_url)


@router.get("/library")
def show_library(request: Request, connection: ConnectionDep) -> Response:
    """Render the whole page, or for htmx the results only."""
    query = _parse_query(request, connection)
    results = _load_results(connection, query)
    if "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers:
        response = render_page(request, "library_results.html", query=query, is_fragment=True, **results)
        # Without the empty fields of the form.
        response.headers["HX-Push-Url"] = format_path(request, format_library_url(query))
        response.headers["HX-Trigger-After-Swap"] = "searched"
    else:
        facets = _load_facets(connection, query) if "facets" in request.query_params else {"facets": None}
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
    return render_page(request, "library_facets.html", query=query, is_fragment=True, **_load_facets(connection, query))


def _parse_query(request: Request, connection: Connection) -> Query:
    """Select the only account if there is just one: its rows are then read in the order of an index."""
    names = _list_names(connection)
    given = dict(request.query_params)
    if len(names) == 1 and not given.get("account"):
        given["account"] = names[0]
    return Query.from_parameters(given)


def _list_names(connection: Connection) -> list[str]:
    return [each.spotify_user_id for each in accounts.list_accounts(connection)]


# ---- data of the templates ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FilterChip:
    """An active filter and the URL without it."""

    name: str
    value: str
    label: str
    url_without: str


def _load_results(connection: Connection, query: Query) -> dict[str, Any]:
    found = search.search_page(connection, query)
    names = _list_names(connection)
    more = {**query.parameters(), "after": str(found.after)} if found.after else None
    return {
        "items": found.items,
        "more_url": _format_url("/library", more) if more else None,
        "more_rows_url": _format_url("/library/more", more) if more else None,
        "chips": _load_chips(connection, query),
        "tabs": _list_tabs(query),
        "has_several_accounts": query.account is None and len(names) > 1,
        "empty": None if found.items else _explain_empty(query, names),
    }


def _load_chips(connection: Connection, query: Query) -> list[FilterChip]:
    """Return the active filters that have no field in the form."""
    active = {name: value for name, value in query.active_filters.items() if name != "playlist"}
    return [
        FilterChip(
            name, str(value), _get_filter_label(connection, name, value), format_library_url(query, **{name: None})
        )
        for name, value in active.items()
    ]


def _get_filter_label(connection: Connection, name: str, value: Any) -> str:
    match name:
        case "artist":
            return search.find_artist(connection, value).name or str(value)
        case "decade":
            return f"{value}s"
    return str(value)


def _explain_empty(query: Query, names: Sequence[str]) -> tuple[str, str, str]:
    """Return a message, the label of a link that helps, and its URL."""
    kind = NAMES[query.kind].lower()
    if not names:
        return "No account yet.", "Connect your Spotify account", "/accounts"
    if query.account is not None and query.account not in names:
        return f"Unknown account {query.account}.", "Show all accounts", format_library_url(query, account=None)
    if query.after is not None:
        return "End of the list.", "Back to the start", format_library_url(query)
    if not query.text and not query.active_filters:
        return f"No {kind} stored yet. A full sync reads them.", "Go to the status page", "/"
    message = f"No {kind} found. Try fewer letters or fewer filters."
    if not query.removed:
        return message, "Include removed items", format_library_url(query, removed=True)
    return message, "Clear all filters", format_library_url(Query(kind=query.kind, sort=query.sort))


def _load_facets(connection: Connection, query: Query) -> dict[str, Any]:
    counted = search.count_facets(connection, query)
    facets = [(FACETS[name], name, counted.by[name]) for name in FACETS if counted.by.get(name)]
    noun = NAMES[query.kind].lower()
    return {"facets": facets, "total": counted.total, "noun": noun if counted.total != 1 else noun.removesuffix("s")}


def _load_choices(connection: Connection, query: Query) -> dict[str, Any]:
    playlists = search.list_playlists(connection, query.account) if "playlist" in FILTERS[query.kind] else []
    return {"names": _list_names(connection), "playlists": playlists, "is_dated": query.kind in DATED}


def _list_tabs(query: Query) -> list[tuple[str, Kind, str]]:
    """Tabs keep the search text but not the filters, which differ by kind."""
    kept = Query(text=query.text, account=query.account, removed=query.removed)
    return [(NAMES[kind], kind, format_library_url(kept, kind=kind)) for kind in KINDS]
