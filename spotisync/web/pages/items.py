"""The pages of one track, album, artist and playlist, as an account knows it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import Response

from spotisync.core.playlist_diff import compare
from spotisync.errors import Unknown
from spotisync.store import accounts, items, listening
from spotisync.store.accounts import Account
from spotisync.store.database import Connection
from spotisync.store.items import PlaylistVersion, VersionRow
from spotisync.sync import Context
from spotisync.web.dependencies import ConnectionDep, ContextDep
from spotisync.web.pages.home import AccountName
from spotisync.web.pages.stats import choose_account
from spotisync.web.templating import render_page

router = APIRouter(include_in_schema=False)

ItemId = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^\w+$")]
LISTED: Final = 20
MOST_TRACKS: Final = 500
ROWS_PER_PAGE: Final = 500
DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True)
class VersionQuery:
    """`version`: the newest one by default; `since`: the one to compare it with, by default the one before it.

    `at`: a date (its end is meant) or a time in the settings' time zone, in place of `version`. `first`: the first row
    that is shown.
    """

    version: Annotated[int | None, Query(ge=1)] = None
    since: Annotated[int | None, Query(ge=1)] = None
    at: Annotated[str, Query(max_length=40)] = ""
    first: Annotated[int, Query(ge=0)] = 0


@router.get("/tracks/{id_}")
def show_track(
    request: Request, connection: ConnectionDep, context: ContextDep, id_: ItemId, account: AccountName = None
) -> Response:
    known, track = _choose_account(connection, account), items.find_track(connection, id_)
    if track is None:
        raise Unknown(f"No track {id_} is stored")
    return _render(
        request,
        connection,
        context,
        known,
        "track.html",
        item=track,
        totals=listening.find_track_plays(connection, known.id, id_),
        periods=items.list_periods(connection, known.id, id_),
        places=items.list_places(connection, known.id, id_, LISTED),
        plays=items.list_plays(connection, known.id, id_, LISTED),
    )


@router.get("/albums/{id_}")
def show_album(
    request: Request, connection: ConnectionDep, context: ContextDep, id_: ItemId, account: AccountName = None
) -> Response:
    known = _choose_account(connection, account)
    album = items.find_album(connection, known.id, id_)
    if album is None:
        raise Unknown(f"No album {id_} is stored")
    return _render(
        request,
        connection,
        context,
        known,
        "album.html",
        item=album,
        totals=items.count_album_plays(connection, known.id, id_),
        tracks=items.list_album_tracks(connection, known.id, id_, MOST_TRACKS),
    )


@router.get("/artists/{id_}")
def show_artist(
    request: Request, connection: ConnectionDep, context: ContextDep, id_: ItemId, account: AccountName = None
) -> Response:
    known = _choose_account(connection, account)
    artist = items.find_artist(connection, known.id, id_)
    if artist is None:
        raise Unknown(f"No artist {id_} is stored")
    return _render(
        request,
        connection,
        context,
        known,
        "artist.html",
        item=artist,
        totals=items.count_artist_plays(connection, known.id, id_),
        tracks=items.list_artist_tracks(connection, known.id, id_, LISTED),
        albums=items.list_artist_albums(connection, known.id, id_, MOST_TRACKS),
    )


@router.get("/playlists/{id_}")
def show_playlist(
    request: Request,
    connection: ConnectionDep,
    context: ContextDep,
    id_: ItemId,
    chosen: Annotated[VersionQuery, Depends()],
    account: AccountName = None,
) -> Response:
    """Show a version of the contents, and how it differs from an earlier one."""
    known = _choose_account(connection, account)
    playlist = items.find_playlist(connection, known.id, id_)
    if playlist is None:
        raise Unknown(f"No playlist {id_} of {known.spotify_user_id} is stored")
    moment = _parse_moment(chosen.at, context.settings.zone) if chosen.at else None
    values = _load_version(connection, id_, chosen, moment)
    return _render(
        request,
        connection,
        context,
        known,
        "playlist.html",
        item=playlist,
        first=chosen.first,
        moment=moment,
        size=ROWS_PER_PAGE,
        **values,
    )


def _parse_moment(text: str, zone: str) -> datetime:
    """Raises `HTTPException` (422) for what is neither a date nor a time."""
    try:
        if DATE.fullmatch(text):
            # The later one where clocks are set back at the end of the day.
            found = datetime.combine(date.fromisoformat(text), time.max.replace(fold=1))
        else:
            found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))
        found.astimezone(ZoneInfo(zone))  # as the page shows it
    except (ValueError, OverflowError):
        raise HTTPException(
            422, f"{text!r} is neither a date like 2026-05-31 nor a time like 2026-05-31T18:00"
        ) from None
    return found


def _load_version(connection: Connection, id_: str, chosen: VersionQuery, moment: datetime | None) -> dict[str, Any]:
    versions = items.list_versions(connection, id_)
    if not versions:
        return {"versions": [], "rows": []}
    # Before the first version: that one, and the page says so.
    number = max(1, sum(each.read_at <= moment for each in versions)) if moment else chosen.version
    shown = _choose(versions, number or len(versions))
    rows = items.list_items(connection, id_, shown.read_at)
    base = _choose(versions, min(chosen.since or shown.number - 1, shown.number - 1)) if shown.number > 1 else None
    older = items.list_items(connection, id_, base.read_at) if base else []
    difference = compare([_key(row) for row in older], [_key(row) for row in rows]) if base else None
    return {
        "versions": versions,
        "shown": shown,
        "base": base,
        "rows": rows,
        "added": [rows[place] for place in difference.added] if difference else [],
        "removed": [older[place] for place in difference.removed] if difference else [],
        "is_reordered": bool(difference and difference.reordered),
    }


def _choose(versions: Sequence[PlaylistVersion], number: int) -> PlaylistVersion:
    """The version of this number, or the newest one."""
    return versions[min(number, len(versions)) - 1]


def _key(row: VersionRow) -> tuple[str | None, ...]:
    return row.kind, row.track_id or row.uri, None if row.track_id else row.name


def _choose_account(connection: Connection, name: str | None) -> Account:
    """Raises `Unknown` if there is no account."""
    return choose_account(connection, name) or accounts.find_account(connection, None)


def _render(
    request: Request, connection: Connection, context: Context, account: Account, template: str, **values: Any
) -> Response:
    several = accounts.count_accounts(connection) > 1
    return render_page(
        request,
        template,
        zone=ZoneInfo(context.settings.zone),
        account=account.spotify_user_id,
        query={"account": account.spotify_user_id} if several else {},
        **values,
    )
