"""The next position of a phase, and its form in the `cursor` column. Without a stored cursor, a phase starts."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter

from spotisync.core.incremental import Incremental
from spotisync.core.regimes import Regime
from spotisync.core.requests import FAMILY, Family
from spotisync.core.states import Phase
from spotisync.core.walk import TracksWalk, Walk
from spotisync.errors import SpotisyncError

Entity = Literal["artists", "albums"]
ListName = Literal["followed_artists", "saved_albums", "saved_audiobooks", "saved_shows", "saved_episodes", "playlists"]


@dataclass(frozen=True)
class Listing:
    """Reading a list that is not ordered by time and is therefore read whole.

    `after`: the id that the next page follows, in a list without offsets. `first`: the fingerprint of the first page.
    `steady`: every page of this reading had the same total. `nulls`: null rows so far in this reading; `before`: in
    the reading before it. `doubles`: rows so far that their page lists a second time. `reading`: 1 or 2, a list is read
    twice if its first reading is inconclusive. `regime`: as shown by the rows of this reading.
    """

    name: ListName
    walk: Walk = field(default_factory=Walk)
    after: str = ""
    first: str = ""
    steady: bool = True
    nulls: int = 0
    doubles: int = 0
    reading: int = 1
    before: int | None = None
    regime: Regime | None = None

    @property
    def family(self) -> Family:
        return FAMILY[self.name]


@dataclass(frozen=True)
class Lookups:
    """Looking up artists or albums by id. The pending work is the stubs themselves, so there is no position.

    `late`: in the playlists phase, for stubs first met in a playlist. `deferred`: the kinds that this run no longer
    looks up. `isolated`: how many requests have failed repeatedly and were left out.
    """

    entity: Entity
    late: bool = False
    deferred: tuple[Entity, ...] = ()
    isolated: int = 0

    @property
    def family(self) -> Family:
        return self.entity


@dataclass(frozen=True)
class PlaylistProgress:
    """A partly read playlist: `snapshot_id` was seen before its first page, `total` on its last page so far.

    `empty_at`: the offset of an empty page that the total contradicts; `phantoms`: items that Spotify counts beyond the
    last one, once a second reply has shown the same. `listed`: their number in the list of playlists; `first_page`,
    `last_page`: fingerprints.
    """

    playlist_id: str
    snapshot_id: str
    position: int = 0
    total: int | None = None
    empty_at: int | None = None
    phantoms: int = 0
    listed: int = field(default=0, compare=False)
    first_page: str = field(default="", compare=False)
    last_page: str = field(default="", compare=False)


@dataclass(frozen=True)
class Contents:
    """Reading the contents of playlists."""

    progress: PlaylistProgress | None = None
    family: ClassVar[Family] = "playlists"


Cursor = TracksWalk | Incremental | Listing | Lookups | Contents
_KINDS: dict[str, type[Cursor]] = {
    "walk": TracksWalk,
    "incremental": Incremental,
    "listing": Listing,
    "lookups": Lookups,
    "contents": Contents,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_FIRST: dict[Phase, Cursor] = {
    "tracks": TracksWalk(),
    "artists": Listing("followed_artists"),
    "albums": Listing("saved_albums"),
    "playlists": Listing("playlists"),
}


class UnreadableCursor(SpotisyncError):
    """A stored cursor that this version does not know."""


def first_cursor(phase: Phase, sync_type: str) -> Cursor:
    return Incremental() if (phase, sync_type) == ("tracks", "incremental") else _FIRST[phase]


def dump(cursor: Cursor) -> dict[str, Any]:
    fields = asdict(cursor)
    if isinstance(cursor, TracksWalk | Incremental):
        fields["newest"] = cursor.newest.isoformat() if cursor.newest else None
        fields["part"] = fields.pop("stage")
    return {"stage": _NAMES[type(cursor)], **fields}


def load(phase: Phase, stored: dict[str, Any] | None, sync_type: str = "full") -> Cursor:
    """Raises `UnreadableCursor` if another version has stored the cursor in a form or with a value unknown here."""
    if stored is None:
        return first_cursor(phase, sync_type)
    try:
        return _check_types(_parse(phase, dict(stored)))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableCursor(f"{type(error).__name__}: {error}") from error


def _check_types(cursor: Cursor) -> Cursor:
    """A dataclass accepts any value: the name of a list that a newer version reads, for example."""
    checked: Cursor = _make_adapter(type(cursor).__name__).validate_python(asdict(cursor))
    return checked


@cache
def _make_adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(next(kind for kind in _KINDS.values() if kind.__name__ == name))


def _parse(phase: Phase, stored: dict[str, Any]) -> Cursor:
    fields = _upgrade(phase, stored)
    kind = _KINDS[fields.pop("stage")]
    for name, read in _READERS.items():
        if fields.get(name) is not None:
            fields[name] = read(fields[name])
    if "part" in fields:
        fields["stage"] = fields.pop("part")
    return kind(**fields)


_READERS: dict[str, Callable[[Any], Any]] = {
    "walk": lambda stored: Walk(**stored),
    "newest": datetime.fromisoformat,
    "progress": lambda stored: PlaylistProgress(**stored),
    "deferred": tuple,
}


def _upgrade(phase: Phase, fields: dict[str, Any]) -> dict[str, Any]:
    """Cursors as they were stored up to schema revision 0005, for runs that are unfinished during an upgrade."""
    match fields["stage"]:
        case "saved_list":
            fields["stage"] = "listing"
        case "listing":
            fields.setdefault("name", "playlists")
        case "lookups":
            fields.setdefault("entity", phase)
        case "late":
            fields.update(stage="lookups", entity="artists", late=True)
        case "contents" if "reading" in fields:
            fields["progress"] = fields.pop("reading")
    return fields


def offset(cursor: Cursor) -> int:
    """Return the value of `current_offset`: rows read so far, 0 for cursors without a position."""
    if isinstance(cursor, TracksWalk | Listing):
        return cursor.walk.position
    return cursor.position if isinstance(cursor, Incremental) else 0
