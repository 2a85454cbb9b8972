"""Saved albums and followed artists: lists in no order of time, which are read whole or not at all. Pure.

Their first page tells whether to go on: an incremental reads no more while it and the total are as they were, once a
day apart. What such a list does not have is proved by the same rules as for the list of playlists.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from spotisync.core import parse, walk
from spotisync.core.cursors import SavedList, SavedName
from spotisync.core.null_rows import NullCount
from spotisync.core.parse import SavedPage, Unreadable
from spotisync.core.phases import Answer, Entity, Listed, SavedRead, Step
from spotisync.core.requests import Request
from spotisync.core.walk import Walk

ENTITY: dict[SavedName, Entity] = {"saved_albums": "albums", "followed_artists": "artists"}
OF_PHASE: dict[Entity, SavedName] = {entity: name for name, entity in ENTITY.items()}
WHOLE_EVERY = timedelta(days=1)


@dataclass(frozen=True)
class LastRead:
    """What the last proved reading found, and when that was."""

    total: int
    first: str
    read_at: datetime
    nulls: NullCount


def plan(cursor: SavedList) -> tuple[Request, ...]:
    if cursor.name == "followed_artists":
        return (Request(cursor.name, offset=cursor.walk.position, after=cursor.after),)
    return (Request(cursor.name, offset=cursor.walk.offset),)


def fold(cursor: SavedList, answers: Sequence[Answer]) -> Step:
    answer = answers[0]
    if answer.refused:
        return Step(cursor, put_off=True, why=str(answer.refused))
    page = _parse(cursor.name, answer.body, answer.request.offset)
    if cursor.name == "followed_artists":
        after = _accept_followed(cursor, page)
    else:
        after, accepted = walk.accept(cursor.walk, [page], lambda page: page.rows)
        if not accepted:
            return Step(replace(cursor, walk=after))
    return _read(cursor, page, after)


def _parse(name: SavedName, body: Any, offset: int) -> SavedPage:
    return (parse.saved_albums if name == "saved_albums" else parse.followed_artists)(body, offset)


def _accept_followed(cursor: SavedList, page: SavedPage) -> Walk:
    """A cursor stays good whatever goes; rows that are owed and do not come, while nothing moved, are not the end."""
    position = cursor.walk.position + page.length
    if page.after and (page.after == cursor.after or not page.length):
        raise Unreadable("Spotify sent a page of followed artists that leads nowhere")
    still = cursor.walk.total in (None, page.total)
    if still and ((page.after is None and position < page.total) or position > page.total):
        raise Unreadable(f"Spotify sent {position} of {page.total} followed artists")
    return Walk(position, page.total)


def _read(cursor: SavedList, page: SavedPage, after: Walk) -> Step:
    done = page.after is None if cursor.name == "followed_artists" else after.done
    rows = tuple(row for row in page.rows if row)
    nulls = cursor.nulls + page.length - len(rows)
    steady = cursor.steady and cursor.walk.total in (None, page.total)
    is_first = cursor.walk.total is None
    first = fingerprint(page) if is_first else cursor.first
    listed = Listed(page.total, nulls, steady, is_first, cursor.reading, cursor.before) if done else None
    return Step(
        replace(cursor, walk=after, after=page.after or "", first=first, steady=steady, nulls=nulls),
        catalogue=page.catalogue,
        saved_list=SavedRead(
            rows,
            page.full,
            frozenset(row.id for row in rows) - page.full,
            page.total,
            first if is_first else "",
            listed,
        ),
    )


def fingerprint(page: SavedPage) -> str:
    """Of the rows of a page, in their order: ids, and when they were saved."""
    rows = [[row.id, row.added_at.isoformat() if row.added_at else ""] if row else None for row in page.rows]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def unchanged(last: LastRead | None, read: SavedRead, now: datetime) -> bool:
    """The first page and the total are as they were, and the whole list was read not long ago."""
    return last is not None and (
        (last.total, last.first) == (read.total, read.first) and now - last.read_at < WHOLE_EVERY
    )


def proves(listed: Listed, met: int, known_nulls: int, *, as_before: bool) -> bool:
    """As with playlists, but that rows which do not add up to the total never prove anything."""
    adds_up = met + listed.nulls == listed.total
    return listed.proves(met, known_nulls, as_before=as_before and adds_up)


def read_again(cursor: SavedList, listed: Listed) -> SavedList:
    """Something is missing, or does not add up: once more, before anything is gone."""
    return SavedList(cursor.name, reading=2, before=listed.nulls)
