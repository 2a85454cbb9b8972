"""The library: search and filter. Every state of it is an address, so that it can be kept, sent, and gone back to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from spotisync.core.search import DATED, FILTERS, KINDS, Kind, Query
from spotisync.store import accounts, search
from spotisync.store.database import Connection
from spotisync.web.dependencies import TEMPLATES, Looking, page

router = APIRouter(include_in_schema=False)

NAMES: Final[Mapping[Kind, str]] = {
    "tracks": "Saved tracks",
    "albums": "Saved albums",
    "artists": "Followed artists",
    "playlists": "Playlists",
}
FACETS: Final = {"genre": "Genres", "decade": "Decades", "label": "Labels", "artist": "Artists"}


def address(question: Query, **changes: Any) -> str:
    """The page of this question, with some changes."""
    return _at("/library", question.parameters(**changes))


def _at(path: str, parameters: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(parameters)}" if parameters else path


def spotify_url(item: search.LibraryItem) -> str:
    return f"https://open.spotify.com/{item.kind.removesuffix('s')}/{quote(item.id, safe='')}"


TEMPLATES.env.globals["on_spotify"] = spotify_url
TEMPLATES.env.globals["library_address"] = address


@router.get("/library")
def library(request: Request, connection: Looking) -> Response:
    """The whole page; what a script asks for is the part that a search changes."""
    question = _question(request, connection)
    found = _found(connection, question)
    if _is_part(request):
        shown = page(request, "library_results.html", question=question, part=True, **found)
        # Those with a value alone, not each field of the form.
        shown.headers["HX-Push-Url"] = address(question)
        shown.headers["HX-Trigger-After-Swap"] = "searched"
    else:
        with_facets = "facets" in request.query_params
        counted = _counted(connection, question) if with_facets else {"facets": None}
        shown = page(request, "library.html", question=question, **found, **counted, **_choices(connection, question))
    shown.headers["Vary"] = "HX-Request"
    return shown


@router.get("/library/more")
def more(request: Request, connection: Looking) -> Response:
    question = _question(request, connection)
    return page(request, "library_rows.html", question=question, **_found(connection, question))


@router.get("/library/facets")
def facets(request: Request, connection: Looking) -> Response:
    question = _question(request, connection)
    return page(request, "library_facets.html", question=question, aside=True, **_counted(connection, question))


def _is_part(request: Request) -> bool:
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def _question(request: Request, connection: Connection) -> Query:
    """One account alone needs no choice, and is read in the order of its index."""
    names = [each.spotify_user_id for each in accounts.list_accounts(connection)]
    given = dict(request.query_params)
    if len(names) == 1 and not given.get("account"):
        given["account"] = names[0]
    return Query.from_parameters(given)


# ---- what is shown --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FilterChip:
    """A filter that is set, and the address without it."""

    name: str
    value: str
    words: str
    without: str


def _found(connection: Connection, question: Query) -> dict[str, Any]:
    found = search.search_page(connection, question)
    names = [each.spotify_user_id for each in accounts.list_accounts(connection)]
    further = {**question.parameters(), "after": str(found.after)} if found.after else None
    return {
        "items": found.items,
        "further": _at("/library", further) if further else None,
        "further_rows": _at("/library/more", further) if further else None,
        "chips": _chips(connection, question),
        "tabs": _tabs(question),
        "several": question.account is None and len(names) > 1,
        "empty": None if found.items else _empty(question, names),
    }


def _chips(connection: Connection, question: Query) -> list[FilterChip]:
    """Of the filters that no field of the form shows."""
    shown = {name: value for name, value in question.active_filters.items() if name != "playlist"}
    return [
        FilterChip(name, str(value), _words(connection, name, value), address(question, **{name: None}))
        for name, value in shown.items()
    ]


def _words(connection: Connection, name: str, value: Any) -> str:
    match name:
        case "artist":
            return search.find_artist(connection, value).name or str(value)
        case "decade":
            return f"{value}s"
    return str(value)


def _empty(question: Query, names: Sequence[str]) -> tuple[str, str, str]:
    """Why there is nothing, and where to go: words, words of a link, its address."""
    if not names:
        return "There is no account yet.", "Connect your Spotify account", "/accounts"
    if question.account is not None and question.account not in names:
        return f"There is no account {question.account}.", "Look at all accounts", address(question, account=None)
    if question.after is not None:
        return "That was all.", "From the beginning", address(question)
    if not question.text and not question.active_filters:
        what = NAMES[question.kind].lower()
        return f"No {what} are stored yet. They come with a full sync.", "Start one", "/"
    words = f"Nothing was found in your {NAMES[question.kind].lower()}. Try fewer letters or fewer filters."
    if not question.removed:
        return words, "Look among the removed ones too", address(question, removed=True)
    return words, "Forget all filters", address(Query(kind=question.kind, sort=question.sort))


def _counted(connection: Connection, question: Query) -> dict[str, Any]:
    counted = search.count_facets(connection, question)
    lists = [(FACETS[name], name, counted.by[name]) for name in FACETS if counted.by.get(name)]
    what = NAMES[question.kind].lower()
    return {"facets": lists, "total": counted.total, "what": what if counted.total != 1 else what.removesuffix("s")}


def _choices(connection: Connection, question: Query) -> dict[str, Any]:
    names = [each.spotify_user_id for each in accounts.list_accounts(connection)]
    every = search.list_playlists(connection, question.account) if "playlist" in FILTERS[question.kind] else []
    return {"names": names, "playlists": every, "dated": question.kind in DATED}


def _tabs(question: Query) -> list[tuple[str, Kind, str]]:
    """The words go along, the filters are each kind's own."""
    alike = Query(text=question.text, account=question.account, removed=question.removed)
    return [(NAMES[kind], kind, address(alike, kind=kind)) for kind in KINDS]
