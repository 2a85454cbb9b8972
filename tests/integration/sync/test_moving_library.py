"""A library is edited between any two requests: after that run and one calm run, tables == truth.

The real code on a real Postgres, with the simulator in this process: pages of five rows, so that a small library has
many. The edits are everything that a user can do; the patrol finds what probes can't see cheaply (rows inserted with
an old date, relinked ids).

In a second law Spotify lies as well. Then no row is removed that was saved throughout, no run fails, and once the lies
end the tables are right after one calm run. Lies that hide nothing must not even delay that.
"""

import contextlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from spotisync.core import bisection, contents, incremental, tracks, walk
from spotisync.core.requests import Request
from spotisync.errors import Refused, Transient
from spotisync.simulator import World
from spotisync.simulator.http import lies, routes
from spotisync.simulator.http.faults import Fault, Faults
from spotisync.simulator.http.lies import LIES as LIE_KINDS
from spotisync.simulator.http.request import ApiRequest, Refusal
from spotisync.simulator.http.shapes import Shapes
from spotisync.simulator.world.editor import DAILY_EDITS
from spotisync.sync import Context
from tests.support import driver
from tests.support.driver import Account
from tests.support.truth import assert_equal, assert_tables_equal_truth, expected, tables

ROWS = 5  # a page
SPOKEN = ("saved_shows", "saved_episodes", "saved_audiobooks")
LISTS = ("listings", "saved_albums", "followed_artists", *SPOKEN)


@dataclass
class Spotify:
    """The simulator's answers without its HTTP server. `between` is called before each request."""

    world: World
    between: Callable[[], None] = lambda: None
    requests: list[Request] = field(default_factory=list)
    lie: Callable[["Spotify", Request], Any] | None = None

    def __post_init__(self) -> None:
        self.shapes = Shapes(self.world.catalogue, "http://spotify/v1")

    def get(self, request: Request, access_token: str) -> Any:
        assert access_token
        self.between()
        self.requests.append(request)
        return self.lie(self, request) if self.lie else self.answer(request)

    def answer(self, request: Request, faults: Faults | None = None) -> Any:
        path, query = _address(request)
        found = routes.find(f"/v1{path}")
        assert found
        route, args = found
        asked = ApiRequest(self.world, self.shapes, self.world.first, "http://spotify/v1", path, query, args)
        try:
            reply = lies.answer(route, asked, faults or Faults())
        except Refusal as refusal:
            reply = refusal.reply
        if reply.status >= 500:
            raise Transient(f"Spotify answered {reply.status}", reply.status)
        if reply.status >= 400:
            raise Refused(reply.status, reply.body)
        return json.loads(reply.body)


def _address(request: Request) -> tuple[str, dict[str, str]]:
    window = {"offset": str(request.offset), "limit": str(ROWS)}
    match request.kind:
        case "saved_tracks":
            return "/me/tracks", window
        case "saved_albums":
            return "/me/albums", window
        case "saved_shows" | "saved_episodes" | "saved_audiobooks":
            return f"/me/{request.kind.removeprefix('saved_')}", window
        case "followed_artists":
            after = {"after": request.after} if request.after else {}
            return "/me/following", {"type": "artist", "limit": str(ROWS), **after}
        case "playlists":
            return "/me/playlists", window
        case "playlist_items":
            return f"/playlists/{request.playlist_id}/items", {**window, "additional_types": "track,episode"}
        case "profile":
            return "/me", {}
    return f"/{request.kind}", {"ids": ",".join(request.ids)}


# ---- edits ----------------------------------------------------------------------------------------------------------

# One edit each, by the simulator's names; missing arguments are random.
ONE: dict[str, dict[str, Any]] = {
    "like": {},
    "unlike": {},
    "relike": {},
    "duplicate": {},
    "like_album": {},
    "save_album": {},
    "unsave_album": {},
    "follow": {},
    "unfollow": {},
    **{op: {} for op in DAILY_EDITS},
    "create_playlist": {},
    "delete_playlist": {},
    "rename_playlist": {},
    "add_items": {"count": 1, "position": 0},
    "remove_items": {},
    "reorder_items": {"start": 1, "length": 2, "to": 0},
}
MORE = ("like and unlike", "twenty likes", "twenty unlikes", "twenty edits", "move", "empty", "swap items", "hide")
ACTIONS = (*ONE, *MORE)


@dataclass
class Editor:
    """Edits a library at the given moments: request number → edit before it."""

    world: World
    moments: dict[int, list[tuple[str, int, int]]]
    known: list[tuple[int, int]]
    asked: int = 0
    has_twins: bool = False
    """An old row was inserted: with one removal, it leaves the head and the total of the list as they were."""

    def between(self) -> None:
        for action, seed, seconds in self.moments.pop(self.asked, ()):
            self.world.clock_offset += seconds
            self.act(action, Random(seed))
        self.asked += 1

    def act(self, action: str, rng: Random) -> None:
        match action:
            case "like and unlike":
                self.try_("like", rng)
                self.try_("unlike", rng)
            case "twenty likes" | "twenty unlikes":
                for _ in range(20):
                    self.try_(action[7:-1], rng)
            case "twenty edits":
                for _ in range(20):
                    self.try_(rng.choice(list(ONE)), rng)
            case "move":
                self.try_("move_playlist", rng, to=rng.randrange(len(self.world.first.playlists) or 1))
            case "empty":
                self.try_("remove_items", rng, count=1_000)
            case "swap items":
                self.try_("add_items", rng, count=1, position=rng.randrange(8))
                self.try_("remove_items", rng, count=1)
            case "hide":
                self.hide(rng)
            case _:
                self.try_(action, rng, **ONE[action])

    def hide(self, rng: Random) -> None:
        """Hide a known track whose saved-at second is unique; otherwise the hidden track could not be identified."""
        saved = set(self.world.first.saved)
        seconds = Counter(added for added, _ in {*saved, *self.known})
        if lone := [row for row in self.known if row in saved and seconds[row[0]] == 1 and row[1] >= 0]:
            self.world.edit("hide_track", track=self.world.catalogue.ids.of("track", rng.choice(lone)[1]))

    def try_(self, op: str, rng: Random, **args: Any) -> None:
        with contextlib.suppress(LookupError, IndexError, ValueError):  # no row is left for this edit
            self.world.edit(op, rng=rng, **args)
            self.has_twins |= op == "duplicate"


# ---- the check ------------------------------------------------------------------------------------------------------

EDITS = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 10_000), st.sampled_from((0, 0, 1, 20, 70)))
MOMENTS = st.dictionaries(st.integers(0, 30), st.lists(EDITS, min_size=1, max_size=4), max_size=8)
CASES: dict[str, Any] = {
    "size": st.integers(0, 23),
    "playlists": st.integers(0, 12),
    "pages": st.integers(1, 4),
    "known": st.booleans(),
    "lag": st.sampled_from((0.0, 30.0)),
    "moments": MOMENTS,
    "moved": st.sampled_from(("full", "incremental")),
    "calm": st.sampled_from(("full", "incremental")),
}
RUN = {"full": driver.full_sync, "incremental": driver.incremental_sync}


@pytest.fixture
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "STRIDE", ROWS - 1)
    for module in (contents, tracks, bisection, incremental, walk):
        monkeypatch.setattr(module, "PAGE", ROWS)


def make_world(size: int, playlists: int) -> World:
    """Create the same catalogue every time, so that an example can use the look-ups of earlier ones."""
    world = World(40, seed=3)
    saved = world.first.saved
    for _, track in list(saved)[size:]:
        saved.remove(track)
    for playlist in world.playlists.values():
        del playlist.rows[13:]
    listed = world.first.playlists
    del listed[playlists:]
    while len(listed) < playlists:
        world.edit("create_playlist", tracks=[])
    return world


@dataclass
class Case:
    """An example: the library, whether it was synced before, the edits, the run that they meet, and the calm one."""

    size: int
    playlists: int
    pages: int
    known: bool
    lag: float
    moments: dict[int, list[tuple[str, int, int]]]
    moved: str
    calm: str

    def begin(self, context: Context, account: Account, lie: "Liar | None" = None) -> Spotify:
        """Make the library and, if it is a known one, sync it."""
        _forget(context)
        world = make_world(self.size, self.playlists)
        world.snapshot_lag = self.lag
        spotify = Spotify(world, lie=lie)
        object.__setattr__(context.settings, "tracks_batch_size", self.pages * ROWS)
        context.spotify.get = spotify.get  # type: ignore[method-assign]
        if self.known:
            assert driver.full_sync(context, account)["status"] == "success"
        return spotify


def check(context: Context, account: Account, case: Case) -> None:
    spotify = case.begin(context, account)
    world = spotify.world
    editor = Editor(world, dict(case.moments), list(world.first.saved) if case.known else [])
    spotify.between = editor.between
    assert RUN[case.moved](context, account)["status"] == "success"
    spotify.between = lambda: None
    world.clock_offset += 60
    summary = RUN[case.calm](context, account)
    if _is_held(context):
        summary = RUN[case.calm](context, account)
    if case.calm == "incremental":
        if summary["items_deferred"] == len(world.first.hidden) and not editor.has_twins:
            _assert_equal(context, account, world, "saved_tracks", "playlists", "playlist_items")
        # Lists without a time order are only read beyond the first page once a day.
        _let_a_day_pass(context)
        summary = RUN[case.calm](context, account)
    if case.calm == "incremental" and (editor.has_twins or summary["items_deferred"] != len(world.first.hidden)):
        # Only a walk finds a removal beside a twin, and checks rows again that null rows may hide.
        summary = driver.full_sync(context, account)
    assert (summary["status"], summary["items_deferred"]) == ("success", len(world.first.hidden))
    assert_tables_equal_truth(context, account, world.truth(account.name))


def _is_held(context: Context) -> bool:
    """Whether a removal of most rows waits for another run."""
    with context.database.begin() as connection:
        return bool(connection.execute(text("SELECT 1 FROM listings WHERE held_rows IS NOT NULL")).all())


def _assert_equal(context: Context, account: Account, world: World, *names: str) -> None:
    with context.database.begin() as connection:
        found = tables(connection, account)
    wanted = expected(world.truth(account.name))
    assert_equal({name: found[name] for name in names}, {name: wanted[name] for name in names})


def _let_a_day_pass(context: Context) -> None:
    with context.database.begin() as connection:
        connection.execute(text("UPDATE listings SET read_at = read_at - interval '1 day', attempted_at = NULL"))


def _forget(context: Context) -> None:
    with context.database.begin() as connection:
        for table in (
            "sync_history",
            "saved_tracks",
            "account_playlists",
            "playlists",
            "null_rows",
            "excess_rows",
            *LISTS,
        ):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("UPDATE accounts SET walked_total = NULL, patrol_offset = 0"))


# ---- lies -----------------------------------------------------------------------------------------------------------

LISTED = {
    "saved_tracks": ("saved_tracks", "track_id"),
    "saved_albums": ("saved_albums", "album_id"),
    "followed_artists": ("followed_artists", "artist_id"),
    "saved_shows": ("saved_shows", "show_id"),
    "saved_episodes": ("saved_episodes", "episode_id"),
    "saved_audiobooks": ("saved_audiobooks", "audiobook_id"),
    "playlists": ("account_playlists", "playlist_id"),
}
# Lies of every reply, as rules of the simulator. Those that hide nothing: the tables must be right in spite of them.
HARMLESS: dict[str, dict[str, Any]] = {
    "reordered keys": {"kind": "reordered_keys"},
    "unknown fields": {"kind": "unknown_fields"},
    "small pages": {"kind": "ignored_limit", "count": 3},
    "wrong offset": {"kind": "wrong_offset", "count": 3},
    "5xx beyond the end": {"kind": "beyond_end"},
}
HIDING: dict[str, dict[str, Any]] = {
    "phantom tracks": {"kind": "phantom_total", "count": 2, "path": "/me/tracks"},
    "phantom artists": {"kind": "phantom_total", "path": "/me/following"},
    "phantom albums": {"kind": "phantom_total", "path": "/me/albums"},
    "phantom shows": {"kind": "phantom_total", "path": "/me/shows"},
    "phantom playlists": {"kind": "phantom_total", "path": "/me/playlists"},
    "phantom items": {"kind": "phantom_total", "path": "/playlists/.*/items"},
    "missing fields": {"kind": "missing_fields"},
    "null genres": {"kind": "genres_null"},
    "bad track": {"kind": "bad_item"},
    "bad playlist": {"kind": "beyond_end"},  # with the contents of one playlist, and of followed artists, refused
}
OMITTING = {"missing fields", "null genres"}
LISTS_AND_ITEMS = ("saved_tracks", "saved_albums", "followed_artists", "playlist_items", *SPOKEN)
# Lies of one reply.
ONCE = ("empty_list", "ignored_offset", "repeated_page", "phantom_total", "ignored_limit", "502", "null")


@dataclass
class Liar:
    """Answers as Spotify does at its worst. `once`: request number → lie; `always`: lies of every reply."""

    always: frozenset[str]
    once: dict[int, str]
    seed: int
    asked: int = 0

    def __call__(self, spotify: Spotify, request: Request) -> Any:
        lie = self.once.pop(self.asked, "")
        self.asked += 1
        if request.kind == "profile":
            return spotify.answer(request)
        if lie in ("502", "null") or ("bad playlist" in self.always and self._is_bad(request)):
            raise Transient("Spotify answered 502: Bad gateway.", 502)
        faults = Faults()
        for name in sorted(self.always):
            faults.add(Fault(times=None, seed=self.seed, **self._rule(spotify, name)))
        if lie in LIE_KINDS:
            faults.add(Fault(kind=lie))
        return spotify.answer(request, faults)

    def _is_bad(self, request: Request) -> bool:
        is_bad_id = request.playlist_id != "" and zlib.crc32(request.playlist_id.encode()) % 4 == self.seed % 4
        return is_bad_id or (request.kind == "followed_artists" and self.seed % 2 == 1)

    def _rule(self, spotify: Spotify, name: str) -> dict[str, Any]:
        rule = {**HARMLESS, **HIDING}[name]
        if name != "bad track":
            return rule
        tracks = [track for _, track in spotify.world.first.saved if track >= 0] or [0]
        return {**rule, "item": spotify.world.catalogue.ids.of("track", tracks[self.seed % len(tracks)])}


LIES: dict[str, Any] = {
    "always": st.frozensets(st.sampled_from((*HARMLESS, *HIDING)), max_size=3),
    "once": st.dictionaries(st.integers(0, 30), st.sampled_from(ONCE), max_size=4),
    "seed": st.integers(0, 1_000),
}


@dataclass
class Watch:
    """The rows that have been at Spotify since the beginning: none of them may be removed from the tables."""

    world: World
    account: Account
    rows: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = self._now()

    def look(self) -> None:
        now = self._now()
        self.rows = {name: rows & now[name] for name, rows in self.rows.items()}

    def _now(self) -> dict[str, set[str]]:
        truth = self.world.truth(self.account.name)
        return {
            "saved_tracks": {row["track_id"] for row in truth["saved_tracks"]},
            "saved_albums": {row["album_id"] for row in truth["saved_albums"]},
            "followed_artists": set(truth["followed_artists"]),
            "saved_shows": {row["show_id"] for row in truth["saved_shows"]},
            "saved_episodes": {row["episode_id"] for row in truth["saved_episodes"]},
            "saved_audiobooks": {row["audiobook_id"] for row in truth["saved_audiobooks"]},
            "playlists": {row["id"] for row in truth["playlists"]},
        }

    def check(self, context: Context) -> None:
        with context.database.begin() as connection:
            for name, (table, key) in LISTED.items():
                gone = connection.execute(text(f"SELECT {key} FROM {table} WHERE removed_at IS NOT NULL")).scalars()
                assert not self.rows[name] & set(gone), f"removed from {table}, although Spotify still has them"


def check_lies(
    context: Context, account: Account, case: Case, always: frozenset[str], once: dict[int, str], seed: int
) -> None:
    spotify = case.begin(context, account, Liar(always, {}, seed))
    world = spotify.world
    watch, editor = Watch(world, account), Editor(world, dict(case.moments), [])

    def between() -> None:
        if editor.asked in editor.moments:
            editor.between()
            watch.look()
        else:
            editor.asked += 1

    spotify.between, spotify.lie = between, Liar(always, dict(once), seed)
    assert RUN[case.moved](context, account)["status"] == "success"
    watch.check(context)
    spotify.between, spotify.lie = lambda: None, Liar(always, {}, seed)
    world.clock_offset += 60
    assert run_calm(context, account, case.calm)["status"] == "success"
    if editor.has_twins:  # only a walk finds a removal beside a twin
        assert run_calm(context, account, "full")["status"] == "success"
    watch.check(context)
    if always - set(HARMLESS):
        spotify.lie = None
        for _ in range(2):  # rows that phantoms may hide are kept while there are phantoms, and once more
            assert run_calm(context, account, "full")["status"] == "success"
        watch.check(context)
    if always & OMITTING:  # what a page has omitted stays unknown until the row is read again
        _assert_equal(context, account, world, *LISTS_AND_ITEMS)
    else:
        assert_tables_equal_truth(context, account, world.truth(account.name))


@contextlib.contextmanager
def _own_catalogue(context: Context, always: frozenset[str]) -> Iterator[None]:
    """Other examples use the look-ups of this one, unless fields were missing from them."""
    try:
        yield
    finally:
        if always & OMITTING:
            with context.database.begin() as connection:
                connection.execute(text("TRUNCATE tracks, artists, albums, saved_spans CASCADE"))


def run_calm(context: Context, account: Account, kind: str) -> dict[str, Any]:
    """One calm run. A removal of most rows waits for a second one, and lists without dates are read once a day."""
    _let_a_day_pass(context)
    summary = RUN[kind](context, account)
    if not _is_held(context):
        return summary
    _let_a_day_pass(context)
    return RUN[kind](context, account)


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.usefixtures("_small_pages")
@settings(max_examples=8, suppress_health_check=QUIET, phases=[Phase.explicit, Phase.generate])
@given(case=st.builds(Case, **CASES))
def test_one_calm_sync_repairs_a_library_that_changed(context: Context, account: Account, case: Case) -> None:
    check(context, account, case)


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
@pytest.mark.usefixtures("_small_pages")
@settings(max_examples=2_000, suppress_health_check=QUIET)
@given(case=st.builds(Case, **CASES))
def test_one_calm_sync_repairs_thousands_of_changed_libraries(context: Context, account: Account, case: Case) -> None:
    check(context, account, case)


@pytest.mark.usefixtures("_small_pages")
@settings(max_examples=8, suppress_health_check=QUIET, phases=[Phase.explicit, Phase.generate])
@given(case=st.builds(Case, **CASES), **LIES)
def test_no_lie_removes_a_row_or_fails_a_run(context: Context, account: Account, case: Case, **lies: Any) -> None:
    with _own_catalogue(context, lies["always"]):
        check_lies(context, account, case, **lies)


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
@pytest.mark.usefixtures("_small_pages")
@settings(max_examples=2_000, suppress_health_check=QUIET)
@given(case=st.builds(Case, **CASES), **LIES)
def test_no_lie_of_thousands_removes_a_row_or_fails_a_run(
    context: Context, account: Account, case: Case, **lies: Any
) -> None:
    with _own_catalogue(context, lies["always"]):
        check_lies(context, account, case, **lies)
