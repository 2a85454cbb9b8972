"""The requests of a batch and the result of its answers: after any interruptions every row is stored once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.core import phases
from spotisync.core.cursors import Contents, Listing, Lookups, Reading
from spotisync.core.parse import Unreadable
from spotisync.core.phases import (
    CONTENTS_CALLS,
    Answer,
    ContentsPlan,
    Listed,
    Step,
    Wanted,
    fold_contents,
    plan_contents,
)
from spotisync.core.requests import FAMILY, Request
from spotisync.core.rows import PlaylistItemRow
from spotisync.core.walk import TracksWalk, Walk
from spotisync.errors import Refused


def body(rows: Sequence[str], total: int) -> dict[str, Any]:
    return {"items": [{"item": {"id": row, "type": "track"}} for row in rows], "total": total}


@dataclass
class Spotify:
    """Playlists at Spotify: rows, the length in the list of playlists, refusals."""

    rows: dict[str, list[str]]
    says: dict[str, int | None] = field(default_factory=dict)
    refuses: dict[str, int] = field(default_factory=dict)
    rng: Random = field(default_factory=lambda: Random(1))
    short: float = 0.0

    def wanted(self, done: set[str], first: str | None = None) -> list[Wanted]:
        left = sorted((id_ for id_ in self.rows if id_ not in done), key=lambda id_: (id_ != first, id_))
        return [Wanted(id_, f"snapshot of {id_}", self.says.get(id_, len(self.rows[id_]))) for id_ in left]

    def answer(self, request: Request) -> Answer:
        id_ = request.playlist_id
        if id_ in self.refuses:
            return Answer(request, refused=Refused(self.refuses[id_], "no"))
        rows = self.rows[id_][request.offset : request.offset + 50]
        if self.rng.random() < self.short:
            rows = rows[: self.rng.randint(1, 50)]
        return Answer(request, body(rows, len(self.rows[id_])))


@dataclass
class Reader:
    """Reads contents batch by batch, with the store and the checkpoint in memory."""

    spotify: Spotify
    cursor: Contents = field(default_factory=Contents)
    staged: list[tuple[str, PlaylistItemRow]] = field(default_factory=list)
    access: dict[str, str] = field(default_factory=dict)
    calls: int = 0

    def plan(self) -> ContentsPlan:
        first = self.cursor.reading.playlist_id if self.cursor.reading else None
        return plan_contents(self.cursor, self.spotify.wanted(set(self.access), first))

    def batch(self, arrive: int = CONTENTS_CALLS) -> Step:
        plan = self.plan()
        self.calls += len(plan.requests)
        step = fold_contents(plan, [self.spotify.answer(request) for request in plan.requests[:arrive]])
        self.staged += step.items
        for reading, access in step.contents:
            assert reading.playlist_id not in self.access
            assert reading.snapshot_id == f"snapshot of {reading.playlist_id}"
            self.access[reading.playlist_id] = access
        assert isinstance(step.cursor, Contents)
        self.cursor = step.cursor
        return step

    def read(self, most: int = 500) -> None:
        for _ in range(most):
            if len(self.access) == len(self.spotify.rows):
                return
            self.batch()
        raise AssertionError(f"not in after {most} batches: {self.cursor}")

    def rows(self, id_: str) -> list[str | None]:
        return [row.track_id for _, row in sorted((row.position, row) for at, row in self.staged if at == id_)]


def names(count: int, name: str = "t") -> list[str]:
    return [f"{name}{n}" for n in range(count)]


# ---- contents -------------------------------------------------------------------------------------------------------

PLAYLISTS = st.lists(
    st.tuples(
        st.integers(0, 130),
        # The length given by the list of playlists: correct, missing or outdated.
        st.sampled_from(("right", "right", "unknown", "less", "more")),
        st.sampled_from((None, None, None, None, 403, 404)),
    ),
    max_size=8,
)


@settings(max_examples=150)
@given(playlists=PLAYLISTS, short=st.sampled_from((0.0, 0.3)), cut=st.booleans(), seed=st.integers(0, 2**32))
def test_stages_every_row_once_for_any_playlists_and_interruptions(
    playlists: list[tuple[int, str, int | None]], short: float, cut: bool, seed: int
) -> None:
    rng = Random(seed)
    spotify = Spotify(
        {f"p{n}": names(size, f"p{n}t") for n, (size, _, _) in enumerate(playlists)}, rng=rng, short=short
    )
    for id_, (size, says, refusal) in zip(spotify.rows, playlists, strict=True):
        spotify.says[id_] = {"right": size, "unknown": None, "less": max(1, size - 60), "more": size + 60}[says]
        if refusal:
            spotify.refuses[id_] = refusal
    reader = Reader(spotify)
    for _ in range(300):
        if len(reader.access) == len(spotify.rows):
            break
        reader.batch(rng.randint(1, CONTENTS_CALLS) if cut else CONTENTS_CALLS)
    for id_, rows in spotify.rows.items():
        refusal = spotify.refuses.get(id_) if spotify.says[id_] != 0 else None
        assert reader.access[id_] == {None: "synced", 403: "forbidden", 404: "not_found"}[refusal]
        assert refusal or reader.rows(id_) == rows
    assert max(Counter((id_, row.position) for id_, row in reader.staged).values(), default=1) == 1


def test_unchanging_playlists_cost_one_call_per_fifty_rows() -> None:
    spotify = Spotify({f"p{n}": names(size) for n, size in enumerate((0, 1, 50, 51, 100, 230, 0, 49))})
    reader = Reader(spotify)
    reader.read()
    assert reader.calls == 1 + 1 + 2 + 2 + 5 + 1


def test_an_empty_playlist_costs_no_call() -> None:
    reader = Reader(Spotify({"p0": [], "p1": []}))
    assert reader.plan().requests == ()
    reader.batch()
    assert reader.access == {"p0": "synced", "p1": "synced"}


def test_requests_one_page_of_a_playlist_of_unknown_length() -> None:
    reader = Reader(Spotify({"p0": names(120)}, says={"p0": None}))
    assert [request.offset for request in reader.plan().requests] == [0]
    reader.read()
    assert reader.rows("p0") == names(120)


def test_a_batch_is_eight_calls_and_may_end_inside_a_playlist() -> None:
    reader = Reader(Spotify({"p0": names(1_000)}))
    reader.batch()
    assert reader.cursor == Contents(Reading("p0", "snapshot of p0", 400, 1_000))
    assert [request.offset for request in reader.plan().requests][:2] == [400, 450]
    reader.read()
    assert reader.rows("p0") == names(1_000)


def test_finishes_a_partly_read_playlist_before_starting_another() -> None:
    reader = Reader(Spotify({"p0": names(60), "p1": names(60)}))
    reader.batch(arrive=3)
    assert reader.access == {"p0": "synced"}
    assert [(request.playlist_id, request.offset) for request in reader.plan().requests] == [("p1", 50)]


def test_reads_a_playlist_that_grows_to_its_new_end() -> None:
    spotify = Spotify({"p0": names(50), "p1": names(10)})
    reader = Reader(spotify)
    plan = reader.plan()
    spotify.rows["p0"] = names(60)
    step = fold_contents(plan, [spotify.answer(request) for request in plan.requests])
    assert step.cursor == Contents(Reading("p0", "snapshot of p0", 50, 60))
    assert step.contents == ()
    assert {id_ for id_, _ in step.items} == {"p0"}


def test_reads_a_playlist_that_shrinks_to_its_new_end() -> None:
    spotify = Spotify({"p0": names(200), "p1": names(10)})
    reader = Reader(spotify)
    plan = reader.plan()
    spotify.rows["p0"] = names(60)
    step = fold_contents(plan, [spotify.answer(request) for request in plan.requests])
    assert [(reading.playlist_id, reading.position) for reading, _ in step.contents] == [("p0", 60), ("p1", 10)]
    assert Counter(id_ for id_, _ in step.items) == {"p0": 60, "p1": 10}


def test_ends_a_playlist_that_shrank_to_before_the_read_position() -> None:
    spotify = Spotify({"p0": names(1_000)})
    reader = Reader(spotify)
    reader.batch()
    spotify.rows["p0"] = names(100)
    reader.batch()
    assert reader.access == {"p0": "synced"}


def test_continues_after_the_last_row_of_a_short_page() -> None:
    reader = Reader(Spotify({"p0": names(100), "p1": names(5)}))
    plan = reader.plan()
    answers = [Answer(plan.requests[0], body(names(30), 100)), *map(reader.spotify.answer, plan.requests[1:])]
    step = fold_contents(plan, answers)
    assert step.cursor == Contents(Reading("p0", "snapshot of p0", 30, 100))
    assert len(step.items) == 30


def test_a_refused_playlist_does_not_stop_the_others() -> None:
    spotify = Spotify({"p0": names(120), "p1": names(120), "p2": names(3)}, refuses={"p0": 403, "p1": 404})
    reader = Reader(spotify)
    reader.batch()
    assert reader.access == {"p0": "forbidden", "p1": "not_found", "p2": "synced"}
    assert {id_ for id_, _ in reader.staged} == {"p2"}


def test_a_refusal_in_mid_playlist_ends_its_reading() -> None:
    spotify = Spotify({"p0": names(500), "p1": names(3)})
    reader = Reader(spotify)
    reader.batch()
    spotify.refuses["p0"] = 404
    reader.read()
    assert reader.access == {"p0": "not_found", "p1": "synced"}


def test_a_page_without_rows_before_the_end_is_unreadable() -> None:
    plan = Reader(Spotify({"p0": names(10)})).plan()
    with pytest.raises(Unreadable):
        fold_contents(plan, [Answer(plan.requests[0], body([], 10))])


# ---- unreadable pages -----------------------------------------------------------------------------------------------


def test_keeps_contents_before_an_unreadable_page() -> None:
    reader = Reader(Spotify({"p0": names(60), "p1": names(10)}))
    plan = reader.plan()
    answers = [reader.spotify.answer(plan.requests[0]), Answer(plan.requests[1], {"items": None, "total": 60})]
    step = fold_contents(plan, answers)
    assert step.cursor == Contents(Reading("p0", "snapshot of p0", 50, 60))
    with pytest.raises(Unreadable):
        fold_contents(plan, [Answer(plan.requests[0], "what?")])


def saved(rows: Sequence[int], total: int) -> dict[str, Any]:
    items = [{"added_at": f"2026-01-01T00:{59 - row:02}:00Z", "track": {"id": f"t{row}"}} for row in rows]
    return {"items": items, "total": total}


def test_keeps_saved_tracks_before_an_unreadable_page() -> None:
    cursor = TracksWalk(walk=Walk(0, 59))
    good, bad = Request("saved_tracks", 0), Request("saved_tracks", 49)
    step = phases.fold_tracks(cursor, [Answer(good, saved(range(50), 59)), Answer(bad, {"total": 59})])
    assert len(step.saved) == 50
    assert isinstance(step.cursor, TracksWalk)
    assert step.cursor.walk.position == 50
    with pytest.raises(Unreadable):
        phases.fold_tracks(cursor, [Answer(good, {"total": 59})])


def test_keeps_look_ups_before_an_unreadable_page() -> None:
    good, bad = Request("artists", ids=("a1",)), Request("artists", ids=("a2",))
    answers = [Answer(good, {"artists": [{"id": "a1"}]}), Answer(bad, {"artists": []})]
    assert set(phases.fold_lookups(Lookups(), "artists", answers).known) == {"a1"}
    with pytest.raises(Unreadable):
        phases.fold_lookups(Lookups(), "artists", answers[1:])


# ---- tracks, look-ups, the list of playlists ------------------------------------------------------------------------


def test_the_newest_of_two_rows_of_a_track_counts() -> None:
    items = [
        {"added_at": f"2026-01-0{day}T00:00:00Z", "track": {"id": id_}} for day, id_ in ((5, "a"), (4, "b"), (2, "a"))
    ]
    step = phases.fold_tracks(TracksWalk(), [Answer(Request("saved_tracks"), {"items": items[::-1], "total": 3})])
    assert {row.track_id: row.added_at.day for row in step.saved} == {"a": 5, "b": 4}
    assert step.walk_done
    assert step.cursor is None


@pytest.mark.parametrize(("entity", "size"), [("artists", 50), ("albums", 20)])
def test_a_look_up_call_holds_as_many_ids_as_the_endpoint_accepts(entity: Any, size: int) -> None:
    requests = phases.plan_lookups(entity, names(101))
    assert [len(request.ids) for request in requests] == [size] * (101 // size) + [101 % size]
    assert [id_ for request in requests for id_ in request.ids] == names(101)


FORBIDDEN = Refused(403, "Forbidden")


def test_a_refused_look_up_of_many_means_that_the_app_is_restricted() -> None:
    answers = [Answer(Request("artists", ids=("a1",)), refused=FORBIDDEN)]
    step = phases.fold_lookups(Lookups(), "artists", answers)
    assert (step.regime, step.deferred, step.missed) == ("restricted", False, frozenset())
    assert step.cursor == Lookups()


def test_a_refused_look_up_of_one_id_defers_the_rest() -> None:
    step = phases.fold_lookups(Lookups(), "artists", [Answer(Request("artist", ids=("a1",)), refused=FORBIDDEN)])
    assert (step.regime, step.deferred) == (None, True)


def test_keeps_answers_before_a_refusal_and_leaves_later_ids_open() -> None:
    good = Answer(Request("albums", ids=("b1",)), {"albums": [{"id": "b1"}]})
    step = phases.fold_lookups(Lookups(), "albums", [good, Answer(Request("albums", ids=("b2",)), refused=FORBIDDEN)])
    assert (set(step.known), set(step.missed), step.deferred) == ({"b1"}, set(), False)


def test_folds_look_ups_of_single_ids() -> None:
    requests = phases.plan_single_lookups("artists", ["a1", "a2", "a3"])
    bodies: list[Any] = [{"id": "a1", "type": "artist"}, None, {"type": "artist"}]
    answers = [Answer(request, body) for request, body in zip(requests, bodies, strict=True)]
    answers[1] = Answer(requests[1], refused=Refused(404, "Resource not found"))
    step = phases.fold_lookups(Lookups(), "artists", answers)
    assert [set(ids) for ids in (step.known, step.gone, step.missed)] == [{"a1"}, {"a2"}, {"a3"}]
    assert (step.regime, step.partial) == (None, True)


def test_an_artist_with_a_popularity_means_the_full_regime() -> None:
    body = {"id": "a1", "type": "artist", "popularity": 5}
    step = phases.fold_lookups(Lookups(), "artists", [Answer(Request("artist", ids=("a1",)), body)])
    assert (step.regime, step.partial) == ("full", False)


def listing(ids: Sequence[str | None], total: int) -> dict[str, Any]:
    return {"items": [id_ and {"id": id_} for id_ in ids], "total": total}


def fold_list(cursor: Listing, offset: int, ids: Sequence[str | None], total: int) -> Step:
    return phases.fold_listing(cursor, [Answer(Request("playlists", offset), listing(ids, total))])


def proves(step: Step, met: int, nulls: int = 0, *, as_before: bool = False) -> bool:
    return step.listing is not None and step.listing.proves(met, nulls, as_before=as_before)


def second_page(first: Step, ids: Sequence[str | None], total: int) -> Step:
    assert isinstance(first.cursor, Listing)
    return fold_list(first.cursor, 50, ids, total)


def test_a_list_of_one_page_proves_removals() -> None:
    step = fold_list(Listing(), 0, ["p0", None, "p2"], 3)
    assert step.listing == Listed(total=3, nulls=1, steady=True, one_page=True, reading=1)
    assert step.listing.last
    assert proves(step, 2)
    assert step.cursor == Contents()
    assert [(position, row.id) for position, row in step.listed] == [(0, "p0"), (2, "p2")]


@pytest.mark.parametrize(("cursor", "last"), [(Listing(), False), (Listing(reading=2), True)])
def test_a_list_of_several_pages_is_read_twice_before_removals(cursor: Listing, last: bool) -> None:
    step = second_page(fold_list(cursor, 0, names(50), 60), names(10, "q"), 60)
    assert step.listing
    assert (proves(step, 60), step.listing.last) == (True, last)


def test_a_list_whose_total_changed_proves_nothing() -> None:
    step = second_page(fold_list(Listing(), 0, names(50), 60), names(11, "q"), 61)
    assert not proves(step, 61)
    assert not proves(step, 61, as_before=True)


def test_a_wrong_sum_of_rows_proves_nothing_unless_it_is_constant() -> None:
    """One playlist moved up past the read and was missed, another moved down and was met twice; or it is always so."""
    step = second_page(fold_list(Listing(reading=2, before=1), 0, [*names(49), None], 60), ["t7", *names(9, "q")], 60)
    assert not proves(step, 58, 1)
    assert proves(step, 58, 1, as_before=True)
    assert proves(step, 59, 1)


def test_a_null_row_may_be_counted_twice() -> None:
    """The rows add up, but with another number of null rows than before: one of them may replace a missed playlist."""
    step = second_page(fold_list(Listing(), 0, [*names(49), None], 60), [None, *names(9, "q")], 60)
    assert not proves(step, 58, 1)
    assert proves(step, 58, 2)
    assert step.listing
    again = phases.read_again(step.listing)
    step = second_page(fold_list(again, 0, [*names(49), None], 60), [None, *names(9, "q")], 60)
    assert proves(step, 58, 1, as_before=True)


def test_a_list_that_shrank_to_one_page_was_not_read_in_one_request() -> None:
    """A row of the first page may be hidden in the last one."""
    step = fold_list(Listing(Walk(40, 41, step_back=40), nulls=3), 0, [None, *names(39)], 40)
    assert step.listing
    assert (step.listing.one_page, step.listing.steady) == (False, False)


def test_every_request_belongs_to_a_family() -> None:
    assert {Request(kind).family for kind in FAMILY} == {"library", "artists", "albums", "playlists", "player"}
