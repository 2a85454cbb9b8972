"""Where to ask next, in each phase, and its form in the `cursor` column. No cursor yet: the phase starts."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from spotisync.core.incremental import Incremental
from spotisync.core.states import Phase
from spotisync.core.walk import TracksWalk, Walk

SavedName = Literal["saved_albums", "followed_artists"]


@dataclass(frozen=True)
class SavedList:
    """Reading the list of saved albums, or of followed artists: these go on `after` an id, and have no offsets.

    `first`: the fingerprint of the first page; the rest is as in `Listing`.
    """

    name: SavedName
    walk: Walk = field(default_factory=Walk)
    after: str = ""
    first: str = ""
    steady: bool = True
    nulls: int = 0
    reading: int = 1
    before: int | None = None


@dataclass(frozen=True)
class Lookups:
    """Look-ups need no place: what is left are the stubs themselves."""


@dataclass(frozen=True)
class Listing:
    """Reading the list of playlists. `steady`: the total has been the same on every page of this reading.

    `nulls`: null rows so far; `before`: in the reading before this one.
    """

    walk: Walk = field(default_factory=Walk)
    steady: bool = True
    nulls: int = 0
    reading: int = 1
    before: int | None = None


@dataclass(frozen=True)
class Reading:
    """A playlist that is half in: `snapshot_id` was seen before its first page, `total` on its last one."""

    playlist_id: str
    snapshot_id: str
    position: int = 0
    total: int | None = None


@dataclass(frozen=True)
class Contents:
    reading: Reading | None = None


@dataclass(frozen=True)
class Late:
    """Artists and albums first met in a playlist. `deferred`: those that this run does not look up any more."""

    deferred: tuple[str, ...] = ()


Cursor = TracksWalk | Incremental | SavedList | Lookups | Listing | Contents | Late
_STAGES: dict[str, type[Cursor]] = {
    "walk": TracksWalk,
    "incremental": Incremental,
    "saved_list": SavedList,
    "lookups": Lookups,
    "listing": Listing,
    "contents": Contents,
    "late": Late,
}
_NAMES = {kind: name for name, kind in _STAGES.items()}
_FIRST: dict[Phase, Cursor] = {
    "tracks": TracksWalk(),
    "artists": SavedList("followed_artists"),
    "albums": SavedList("saved_albums"),
    "playlists": Listing(),
}


def dump(cursor: Cursor) -> dict[str, Any]:
    fields = asdict(cursor)
    if isinstance(cursor, TracksWalk | Incremental):
        fields["newest"] = cursor.newest.isoformat() if cursor.newest else None
        fields["part"] = fields.pop("stage")
    return {"stage": _NAMES[type(cursor)], **fields}


def load(phase: Phase, stored: dict[str, Any] | None, sync_type: str = "full") -> Cursor:
    if stored is None:
        return Incremental() if (phase, sync_type) == ("tracks", "incremental") else _FIRST[phase]
    fields = dict(stored)
    kind = _STAGES[fields.pop("stage")]
    if "walk" in fields:
        fields["walk"] = Walk(**fields["walk"])
    if kind in (TracksWalk, Incremental):
        fields["newest"] = datetime.fromisoformat(fields["newest"]) if fields["newest"] else None
        fields["stage"] = fields.pop("part")
    if kind is Contents and fields["reading"]:
        fields["reading"] = Reading(**fields["reading"])
    if kind is Late:
        fields["deferred"] = tuple(fields["deferred"])
    return kind(**fields)


def offset(cursor: Cursor) -> int:
    """What `current_offset` shows."""
    if isinstance(cursor, TracksWalk | SavedList | Listing):
        return cursor.walk.position
    if isinstance(cursor, Incremental):
        return cursor.position
    return 0
