"""The contents of playlists: after any interruptions every row is staged once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotisync.core import contents
from spotisync.core.contents import CALLS_PER_BATCH, ContentsPlan, WantedPlaylist
from spotisync.core.cursors import Contents, PlaylistProgress
from spotisync.core.parse import Unreadable
from spotisync.core.requests import Request
from spotisync.core.rows import PlaylistItemRow
from spotisync.core.steps import Answer, ContentsStep
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

    def wanted(self, done: set[str], first: str | None = None) -> list[WantedPlaylist]:
        left = sorted((id_ for id_ in self.rows if id_ not in done), key=lambda id_: (id_ != first, id_))
        return [WantedPlaylist(id_, f"snapshot of {id_}", self.says.get(id_, len(self.rows[id_]))) for id_ in left]

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
        first = self.cursor.progress.playlist_id if self.cursor.progress else None
        return contents.plan(self.cursor, self.spotify.wanted(set(self.access), first))

    def batch(self, arrive: int = CALLS_PER_BATCH) -> ContentsStep:
        plan = self.plan()
        self.calls += len(plan.requests)
        step = contents.fold(plan, [self.spotify.answer(request) for request in plan.requests[:arrive]])
        self.staged += step.items
        for progress, access in step.finished:
            assert progress.playlist_id not in self.access
            assert progress.snapshot_id in {"", f"snapshot of {progress.playlist_id}"}
            self.access[progress.playlist_id] = access
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
        reader.batch(rng.randint(1, CALLS_PER_BATCH) if cut else CALLS_PER_BATCH)
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
    assert reader.cursor == Contents(PlaylistProgress("p0", "snapshot of p0", 400, 1_000))
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
    step = contents.fold(plan, [spotify.answer(request) for request in plan.requests])
    assert step.cursor == Contents(PlaylistProgress("p0", "snapshot of p0", 50, 60))
    assert step.finished == ()
    assert {id_ for id_, _ in step.items} == {"p0"}


def test_reads_a_playlist_that_shrinks_to_its_new_end() -> None:
    spotify = Spotify({"p0": names(200), "p1": names(10)})
    reader = Reader(spotify)
    plan = reader.plan()
    spotify.rows["p0"] = names(60)
    step = contents.fold(plan, [spotify.answer(request) for request in plan.requests])
    assert [(progress.playlist_id, progress.position) for progress, _ in step.finished] == [("p0", 60), ("p1", 10)]
    assert Counter(id_ for id_, _ in step.items) == {"p0": 60, "p1": 10}


def test_ends_a_playlist_that_shrank_to_before_the_read_position() -> None:
    spotify = Spotify({"p0": names(1_000)})
    reader = Reader(spotify)
    reader.batch()
    spotify.rows["p0"] = names(100)
    reader.batch()
    assert reader.access == {}, "a single empty page proves nothing"
    reader.batch()
    assert reader.access == {"p0": "synced"}


def test_continues_after_the_last_row_of_a_short_page() -> None:
    reader = Reader(Spotify({"p0": names(100), "p1": names(5)}))
    plan = reader.plan()
    answers = [Answer(plan.requests[0], body(names(30), 100)), *map(reader.spotify.answer, plan.requests[1:])]
    step = contents.fold(plan, answers)
    assert step.cursor == Contents(PlaylistProgress("p0", "snapshot of p0", 30, 100))
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


def test_an_early_empty_page_ends_a_playlist_if_seen_twice() -> None:
    reader = Reader(Spotify({"p0": names(10)}))
    plan = reader.plan()
    once = contents.fold(plan, [Answer(plan.requests[0], body([], 10))])
    assert not once.finished
    assert isinstance(once.cursor, Contents)
    plan = contents.plan(once.cursor, [WantedPlaylist("p0", "snapshot of p0", 10)])
    ((progress, access),) = contents.fold(plan, [Answer(plan.requests[0], body([], 10))]).finished
    assert (access, progress.position, progress.phantoms) == ("synced", 0, 10)


def test_a_repeated_page_and_rows_beyond_the_total_are_unreadable() -> None:
    plan = Reader(Spotify({"p0": names(100)})).plan()
    first, second = plan.requests[:2]
    step = contents.fold(plan, [Answer(first, body(names(50), 100)), Answer(second, body(names(50), 100))])
    assert len(step.items) == 50
    assert isinstance(step.cursor, Contents)
    plan = contents.plan(step.cursor, [WantedPlaylist("p0", "snapshot of p0", 100)])
    for rows in (names(50), names(51)):
        with pytest.raises(Unreadable):
            contents.fold(plan, [Answer(plan.requests[0], body(rows, 100))])


def test_keeps_contents_before_an_unreadable_page() -> None:
    reader = Reader(Spotify({"p0": names(60), "p1": names(10)}))
    plan = reader.plan()
    answers = [reader.spotify.answer(plan.requests[0]), Answer(plan.requests[1], {"items": None, "total": 60})]
    step = contents.fold(plan, answers)
    assert isinstance(step.cursor, Contents)
    assert step.cursor.progress
    assert (step.cursor.progress.position, step.cursor.progress.total) == (50, 60)
    with pytest.raises(Unreadable):
        contents.fold(plan, [Answer(plan.requests[0], "what?")])
