"""Recently played and the extended streaming history: one row per play, gaps recorded and closed."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from spotisync.core.requests import Request
from spotisync.errors import Fatal, Unknown
from spotisync.simulator import Server, start
from spotisync.store import listening, plays
from spotisync.store.accounts import find_account
from spotisync.sync import Context, accounts, playback
from spotisync.sync import import_history as importing
from spotisync.sync.import_history import import_history
from tests.support.driver import Account, full_sync
from tests.support.plays import assert_plays_are_true, rows
from tests.support.truth import assert_tables_equal_truth
from tests.system.command_line import InProcess
from tests.system.programs import environment

MINUTES = 60_000


def truth(simulator: Server, account: Account) -> Any:
    return simulator.world.truth(account.name)["plays"]


def listen(simulator: Server, plays: int, account: str | None = None, minutes: int = 4) -> None:
    """Play a number of tracks in a row."""
    library = simulator.world.library(account)
    for _ in range(plays):
        simulator.world.edit("play", account, at_ms=library.plays[-1].played_at + minutes * MINUTES)


def export(simulator: Server, directory: Path, **options: Any) -> Path:
    path = directory / "my_spotify_data.zip"
    path.write_bytes(simulator.world.export(**options))
    return path


def silent(_: int, __: int) -> None:
    pass


def sql(context: Context, statement: str, **values: Any) -> list[Any]:
    with context.database.begin() as connection:
        found = connection.execute(text(statement), values)
        return list(found) if found.returns_rows else []


def lane(context: Context, account: Account) -> dict[str, Any]:
    with context.database.begin() as connection:
        (found,) = plays.list_playback_status(connection, [find_account(connection, account.name).id]).values()
    return found


def requests(simulator: Server) -> list[Any]:
    return [each for each in simulator.control.requests() if each["family"] == "player"]


# ---- reading --------------------------------------------------------------------------------------------------------


def test_stores_plays_with_all_fields_of_the_reply(context: Context, simulator: Server, account: Account) -> None:
    expected = truth(simulator, account)
    done = playback.track_plays(context)
    assert (done["plays_added"], done["gap"]) == (len(expected), None)
    assert_plays_are_true(context.database, account, expected)
    for row in sql(context, "SELECT t.*, b.enrichment FROM tracks t JOIN albums b ON b.id = t.album_id"):
        wanted = simulator.world.truth()["tracks"][row.id]
        assert (row.name, row.isrc, row.duration_ms) == (wanted["name"], wanted["isrc"], wanted["duration_ms"])
        assert row.enrichment == "stub"
    assert {row.context_uri is None for row in rows(context.database, account)} == {True, False}
    assert playback.track_plays(context, account.name)["plays_added"] == 0
    assert len(requests(simulator)) == 2
    found = lane(context, account)
    assert found["read_at"]
    assert (found["last_error"], found["gaps"]) == (None, [])


def test_differing_and_late_reports_of_a_play_are_one_row(
    context: Context, simulator: Server, account: Account
) -> None:
    simulator.world.play_shift = 7
    for number in range(4):
        playback.track_plays(context)
        late = simulator.world.library().plays[-1].played_at - number * 2 * MINUTES
        simulator.world.edit("play", at_ms=late - MINUTES)
        simulator.world.edit("play", at_ms=late - MINUTES + 5_000, ms_played=4_000)
    playback.track_plays(context)
    expected = [play for play in truth(simulator, account) if play["ms_played"] > 30_000]
    assert_plays_are_true(context.database, account, expected, timedelta(seconds=8))
    assert lane(context, account)["gaps"] == []


@pytest.fixture
def two(make_context: Callable[..., Context]) -> Iterator[tuple[Context, Server, Account, Account]]:
    with start("tiny", seed=7, accounts=2) as simulator:
        context = make_context(simulator)
        one, other = (
            Account(accounts.add(context, simulator.refresh_token(name), None).spotify_user_id)
            for name in simulator.world.accounts
        )
        yield context, simulator, one, other


def test_an_error_of_one_account_does_not_affect_another(two: tuple[Context, Server, Account, Account]) -> None:
    context, simulator, one, other = two
    simulator.control.revoke(one.name, access=True)
    lost, read = playback.track_plays(context)["accounts"]
    assert (lost["account"], lost["plays_added"]) == (one.name, 0)
    assert "log in again" in lost["error"]
    assert read["plays_added"] == len(truth(simulator, other))
    assert_plays_are_true(context.database, other, truth(simulator, other))
    assert [each["account"] for each in playback.track_plays(context)["accounts"]] == [other.name]
    assert "log in again" in lane(context, one)["last_error"]


def test_an_account_removed_meanwhile_stops_no_other_read(
    two: tuple[Context, Server, Account, Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, simulator, one, other = two
    get = context.spotify.get

    def remove_and_get(request: Request, token: str) -> Any:
        with suppress(Unknown):
            accounts.remove(context, other.name)
        return get(request, token)

    monkeypatch.setattr(context.spotify, "get", remove_and_get)
    read, removed = playback.track_plays(context)["accounts"]
    assert (read["account"], read["plays_added"]) == (one.name, len(truth(simulator, one)))
    assert "the account was removed" in removed["error"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "garbage"},
        {"kind": "status", "status": 403, "message": "Insufficient client scope"},
    ],
    ids=lambda fault: str(fault.get("status", fault["kind"])),
)
def test_a_failed_read_is_reported_and_the_next_one_stores_its_plays(
    context: Context, simulator: Server, account: Account, fault: dict[str, Any]
) -> None:
    simulator.control.add_fault(**fault, family="player")
    (failed,) = playback.track_plays(context)["accounts"]
    assert failed["error"] == lane(context, account)["last_error"] != ""
    assert playback.track_plays(context)["plays_added"] == len(truth(simulator, account))
    assert lane(context, account)["last_error"] is None


@pytest.mark.parametrize(("family", "reads"), [("library", True), ("artists", True), ("player", False), ("*", False)])
def test_only_its_own_and_global_cooldowns_delay_a_read(
    context: Context, simulator: Server, account: Account, family: str, reads: bool
) -> None:
    sql(
        context,
        """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
        VALUES ('simulated', :family, now() + interval '1 day', 'quota')""",
        family=family,
    )
    (done,) = playback.track_plays(context)["accounts"]
    assert (done["plays_added"] > 0, done["error"] is None) == (reads, reads)
    assert bool(requests(simulator)) == reads
    assert reads or "wait until" in done["error"]


def test_a_429_for_plays_blocks_only_plays(context: Context, simulator: Server, account: Account) -> None:
    simulator.control.add_fault(kind="status", status=429, retry_after=86_400, family="player")
    assert "wait until" in playback.track_plays(context)["accounts"][0]["error"]
    assert [row.family for row in sql(context, "SELECT family FROM rate_limits")] == ["player"]


def test_one_worker_at_a_time_reads_plays(context: Context, simulator: Server, account: Account) -> None:
    with context.database.begin() as connection:
        assert plays.claim_read(connection, find_account(connection, account.name).id, uuid4())
    assert "another worker" in playback.track_plays(context)["accounts"][0]["error"]
    assert not requests(simulator)
    sql(context, "UPDATE playback SET claim_until = now()")
    assert playback.track_plays(context)["plays_added"] > 0


def test_rejects_an_unknown_or_disabled_account(context: Context, simulator: Server, account: Account) -> None:
    with pytest.raises(Fatal, match="Unknown account 'nobody'"):
        playback.track_plays(context, "nobody")
    accounts.set_status(context, account.name, "disabled")
    assert playback.track_plays(context)["accounts"] == []
    assert "disabled" in playback.track_plays(context, account.name)["accounts"][0]["error"]
    assert not requests(simulator)


# ---- gaps and the import --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_import_closes_a_gap_of_120_plays(
    context: Context, simulator: Server, account: Account, tmp_path: Path, shuffled: bool
) -> None:
    playback.track_plays(context)
    before = truth(simulator, account)
    listen(simulator, 120)
    done = playback.track_plays(context)
    after = truth(simulator, account)
    assert done["plays_added"] == 50
    assert done["gap"]["account"] == account.name
    (gap,) = lane(context, account)["gaps"]
    assert {key: gap[key] for key in ("from", "to")} == {key: done["gap"][key] for key in ("from", "to")}
    assert gap["from"][:23] == before[-1]["played_at"][:23]
    assert gap["to"][:23] == after[-50]["played_at"][:23]
    assert playback.track_plays(context)["gap"] is None
    imported = import_history(context.database, None, export(simulator, tmp_path, shuffled=shuffled), silent)
    assert (imported.added, imported.known, imported.gaps_closed) == (70, len(before) + 50, 1)
    assert lane(context, account)["gaps"] == []
    assert_plays_are_true(context.database, account, after)
    assert {row.ms_played is None for row in rows(context.database, account)} == {False}


@pytest.mark.slow
def test_invented_years_are_imported_once(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    playback.track_plays(context)
    full_sync(context, account)
    history = tmp_path / "my_spotify_data.zip"
    history.write_bytes(simulator.world.listening_history(zone=ZoneInfo("Europe/Berlin")))
    imported = import_history(context.database, account.name, history, silent)
    assert imported.skipped.total() == 4
    assert imported.added == imported.rows - 4 - len(truth(simulator, account))
    assert imported.added > 35_000
    assert import_history(context.database, account.name, history, silent).added == 0
    with context.database.begin() as connection:
        owner = find_account(connection, account.name).id
        days = listening.list_days(connection, owner, "Europe/Berlin")
        favourites = listening.read_ranking(connection, owner, None, 10).favourites
        anniversaries = listening.list_anniversaries(connection, owner, "Europe/Berlin", days[-1].day)
    assert (days[-1].day - days[0].day).days in range(4 * 365 - 10, 4 * 365 + 1)
    assert sum(day.plays for day in days) < imported.added < 1.2 * sum(day.plays for day in days)
    assert {kind: len(found) for kind, found in favourites.items()}["tracks"] == 10
    assert anniversaries


def test_an_export_that_does_not_cover_the_gap_leaves_it_open(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    playback.track_plays(context)
    listen(simulator, 60)
    exported = export(simulator, tmp_path)
    listen(simulator, 60)
    assert playback.track_plays(context)["gap"]
    assert import_history(context.database, None, exported, silent).gaps_closed == 0
    assert len(lane(context, account)["gaps"]) == 1


def test_reads_after_an_import_add_no_duplicates(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    simulator.world.edit("play", ms_played=3_000)
    exported = export(simulator, tmp_path)
    imported = import_history(context.database, account.name, exported, silent)
    skipped = {"podcasts": 1, "audiobooks": 1, "without_track": 1, "unreadable": 1, "unmatched": 0}
    assert imported.as_dict()["skipped"] == skipped
    assert_plays_are_true(context.database, account, truth(simulator, account))
    simulator.world.play_shift = 7
    assert playback.track_plays(context)["plays_added"] == 0
    again = import_history(context.database, account.name, exported, silent)
    assert (again.added, again.known) == (0, imported.added)
    assert_plays_are_true(context.database, account, truth(simulator, account))
    assert {row.source for row in rows(context.database, account)} == {"import"}


@pytest.mark.parametrize("import_first", [False, True])
def test_reports_with_the_start_of_a_play_add_no_duplicates(
    context: Context, simulator: Server, account: Account, tmp_path: Path, import_first: bool
) -> None:
    listen(simulator, 5)
    simulator.world.edit("play", ms_played=45_000)
    exported = export(simulator, tmp_path)
    simulator.world.play_starts = True
    steps: list[Callable[[], Any]] = [
        lambda: playback.track_plays(context),
        lambda: import_history(context.database, account.name, exported, silent),
    ]
    for step in [*(reversed(steps) if import_first else steps), *steps]:
        step()
    assert_plays_are_true(context.database, account, truth(simulator, account))


def test_one_track_in_a_row_reported_by_its_start_is_one_row_per_play(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    track_id = truth(simulator, account)[-1]["track_id"]
    length = simulator.world.truth()["tracks"][track_id]["duration_ms"]
    for _ in range(12):
        last = simulator.world.library().plays[-1].played_at
        simulator.world.edit("play", track=track_id, at_ms=last + length)
    simulator.world.play_starts = True
    playback.track_plays(context)
    simulator.world.play_starts = False
    import_history(context.database, account.name, export(simulator, tmp_path), silent)
    assert_plays_are_true(context.database, account, truth(simulator, account))


def test_an_import_does_not_overwrite_a_known_track(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    sql(
        context,
        "INSERT INTO tracks (id, name, uri) SELECT :id, 'New name', 'x'",
        id=truth(simulator, account)[0]["track_id"],
    )
    import_history(context.database, None, export(simulator, tmp_path), silent)
    assert sql(context, "SELECT name FROM tracks WHERE uri = 'x'") == [("New name",)]
    assert sql(context, "SELECT 1 FROM tracks WHERE name IS NULL") == []
    everything = "SELECT h::text FROM play_history h UNION ALL SELECT t::text FROM tracks t"
    assert not [row for (row,) in sql(context, everything) if "192.0.2" in row or "Secretive" in row]


def test_an_interrupted_import_can_be_repeated(
    context: Context, simulator: Server, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "ROWS_PER_COMMIT", 5)
    exported = export(simulator, tmp_path, rows_per_file=4)

    def break_off(done: int, total: int) -> None:
        assert total == 16
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_history(context.database, None, exported, break_off)
    assert 0 < len(rows(context.database, account)) <= 10
    import_history(context.database, None, exported, silent)
    assert_plays_are_true(context.database, account, truth(simulator, account))


def test_names_an_invalid_file_and_imports_nothing(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    import zipfile

    with zipfile.ZipFile(export(simulator, tmp_path)) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "Streaming_History_Audio_2030_9.json").write_text('[{"ts": "2024-01-01T0')
    with pytest.raises(Fatal, match=r"Streaming_History_Audio_2030_9\.json can't be read"):
        import_history(context.database, None, tmp_path, silent)
    assert rows(context.database, account) == []


def test_concurrent_imports_and_reads_create_no_duplicates(
    context: Context, make_context: Callable[..., Context], simulator: Server, account: Account, tmp_path: Path
) -> None:
    simulator.world.play_shift = 7
    exported = export(simulator, tmp_path)
    others = [make_context(simulator) for _ in range(2)]
    with ThreadPoolExecutor(5) as pool:
        imports = [pool.submit(import_history, context.database, None, exported, silent) for _ in range(3)]
        reads = [pool.submit(playback.track_plays, other) for other in others]
        assert [each.result().rows for each in imports] == [len(truth(simulator, account)) + 4] * 3
        assert len([each.result() for each in reads]) == 2
    assert_plays_are_true(context.database, account, truth(simulator, account), timedelta(seconds=8))


def test_the_import_command_reports_what_it_imported(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    cli = InProcess(environment(context.settings))
    exported = str(export(simulator, tmp_path))
    expected = len(truth(simulator, account))
    done = cli("import", exported, "--json").json
    assert (done["account"], done["plays_added"], done["gaps_closed"]) == (account.name, expected, 0)
    result = cli("import", exported)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Imported 0 plays for {account.name}; {expected} were already stored. ")
    assert f"Rows read: {done['rows']:,}." in result.out
    assert "1 (podcasts), 1 (audiobooks), 1 (without a track), 1 (unreadable)" in result.out
    left_out = "Spotify Extended Streaming History/ReadMeFirst_ExtendedStreamingHistory.pdf"
    assert f"Files left out: 1 ({left_out})." in result.out
    assert done["files_left_out"] == [left_out]
    (tmp_path / "Playlist1.json").write_text(json.dumps([{"name": "A playlist"}]))
    wrong = cli("import", str(tmp_path / "Playlist1.json"))
    assert (wrong.code, wrong.out) == (1, "")
    assert "request the extended streaming history" in wrong.err
    assert cli("import", str(tmp_path / "nowhere.zip")).code == 2


def history_row(track_id: str, at: str, ms: int = 180_000) -> dict[str, Any]:
    uri = f"spotify:track:{track_id}"
    return {"ts": at, "ms_played": ms, "master_metadata_track_name": "Song", "spotify_track_uri": uri}


@pytest.mark.parametrize("recent", [False, True])
@pytest.mark.parametrize("lengths", [[0, 180_000], [180_000, 0], [0, 90_000, 0, 180_000]])
def test_of_two_rows_with_one_time_the_longer_one_counts(
    context: Context, simulator: Server, account: Account, tmp_path: Path, lengths: list[int], recent: bool
) -> None:
    if recent:
        playback.track_plays(context)
    play = truth(simulator, account)[-1]
    at = f"{play['played_at'][:19]}Z"
    for number, ms in enumerate(lengths):
        row = history_row(play["track_id"], at, ms)
        (tmp_path / f"endsong_{number}.json").write_text(json.dumps([row] * 2))
    for _ in range(2):
        import_history(context.database, None, tmp_path, silent)
    stored = sql(context, "SELECT ms_played FROM play_history WHERE track_id = :id", id=play["track_id"])
    assert [row.ms_played for row in stored if row.ms_played is not None] == [180_000]
    assert len(rows(context.database, account)) == (len(truth(simulator, account)) if recent else 1)


def test_several_imports_keep_the_longest_row_of_one_time(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    for ms in (2_000, 180_000, 0):
        path = tmp_path / f"{ms}.json"
        path.write_text(json.dumps([history_row("4rOoJ6Egrf8K2IrywzwOMk", "2024-05-01T10:00:00Z", ms)]))
        import_history(context.database, None, path, silent)
    assert [row.ms_played for row in rows(context.database, account)] == [180_000]


def test_imports_each_kind_of_file_and_counts_the_rest(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    import zipfile

    ids = [f"{number:022d}" for number in range(4)]
    array = [json.dumps([history_row(id_, f"2024-03-0{n}T10:00:00Z")]) for n, id_ in enumerate(ids, 1)]
    podcast = history_row("", "2024-03-09T10:00:00Z") | {"spotify_track_uri": None, "episode_name": "Pod"}
    with zipfile.ZipFile(tmp_path / "my_spotify_data.zip", "w") as made:
        made.writestr("Spotify Data\\endsong_0 (1).JSON", array[0] + "\n" + array[1])
        made.writestr("Spotify Data\\Streaming_History_Audio_2024_1.json", array[2].encode("utf-16"))
        made.writestr("Spotify Data\\Streaming_History_Video_2024.json", array[3][:-1] + f", {json.dumps(podcast)}]")
        made.writestr("Spotify Data\\notes.txt", "x")
    done = import_history(context.database, None, tmp_path, silent)
    assert (done.files, done.rows, done.added, done.skipped["podcasts"]) == (3, 5, 4, 1)
    assert done.left_out == ["my_spotify_data.zip/Spotify Data/notes.txt"]
    assert [row.track_id for row in rows(context.database, account)] == ids


# ---- the account data -----------------------------------------------------------------------------------------------


def account_data(simulator: Server, directory: Path) -> Path:
    path = directory / "my_account_data.zip"
    path.write_bytes(simulator.world.account_data())
    return path


@pytest.fixture
def named(simulator: Server) -> Server:
    """The simulator without plays of artists that have no name."""
    catalogue, library = simulator.world.catalogue, simulator.world.library()
    library.plays = [play for play in library.plays if catalogue.artist(catalogue.track(play.track).artists[0]).name]
    return simulator


def test_plays_of_the_account_data_are_matched_by_name_and_artist(
    context: Context, named: Server, account: Account, tmp_path: Path
) -> None:
    assert full_sync(context, account)["status"] == "success"
    expected = truth(named, account)
    done = import_history(context.database, None, account_data(named, tmp_path), silent)
    assert (done.added, done.skipped["podcasts"], done.skipped["unmatched"]) == (len(expected), 1, 1)
    assert_plays_are_true(context.database, account, expected, timedelta(minutes=1))
    again = import_history(context.database, None, account_data(named, tmp_path), silent)
    assert (again.added, again.known) == (0, len(expected))
    import_history(context.database, None, export(named, tmp_path), silent)
    assert_plays_are_true(context.database, account, expected)
    import_history(context.database, None, account_data(named, tmp_path), silent)
    assert_plays_are_true(context.database, account, expected)


@pytest.mark.parametrize("starts", [False, True])
def test_plays_of_the_account_data_that_were_read_are_stored_once(
    context: Context, named: Server, account: Account, tmp_path: Path, starts: bool
) -> None:
    full_sync(context, account)
    named.world.play_starts = starts
    playback.track_plays(context)
    done = import_history(context.database, None, account_data(named, tmp_path), silent)
    assert (done.added, done.gaps_closed) == (0, 0)
    assert_plays_are_true(context.database, account, truth(named, account), timedelta(minutes=1))


def test_unknown_and_ambiguous_names_are_counted_as_unmatched(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    sql(context, "INSERT INTO artists (id, name, uri) VALUES ('a', 'The Band', ''), ('b', 'Guest', '')")
    names = ["One Song", "Twice", "TWICE", "Café", "Duet", "Duet"]
    for id_, name in enumerate(names):
        sql(context, "INSERT INTO tracks (id, name, uri) VALUES (:id, :name, '')", id=str(id_), name=name)
    artists = ["0 0 a", "1 0 a", "2 0 a", "3 0 a", "4 0 a", "4 1 b", "5 0 b"]
    for track, position, artist in map(str.split, artists):
        sql(context, "INSERT INTO track_artists VALUES (:t, :p, :a)", t=track, p=int(position), a=artist)
    heard = ["one song/THE BAND", "twice/The Band", "Cafe/The Band", "CAFÉ/The band", "Duet/Guest", "Duet/The Band"]
    heard += ["One Song/Guest", "Nothing/Nobody"]
    found = [dict(zip(("trackName", "artistName"), each.split("/"), strict=True)) for each in heard]
    path = tmp_path / "StreamingHistory_music_0.json"
    path.write_text(
        json.dumps([row | {"endTime": f"2024-01-01 00:0{n}", "msPlayed": 1_000} for n, row in enumerate(found)])
    )
    cli = InProcess(environment(context.settings))
    done = cli("import", str(path), "--json").json
    assert (done["plays_added"], done["skipped"]["unmatched"]) == (4, 4)
    assert [row.track_id for row in rows(context.database, account)] == ["0", "3", "5", "4"]
    assert "4 (not matched to a known track)" in cli("import", str(path)).out


def test_the_next_run_looks_up_stubs_from_plays(
    context: Context, simulator: Server, account: Account, tmp_path: Path
) -> None:
    import_history(context.database, None, export(simulator, tmp_path), silent)
    playback.track_plays(context)
    assert full_sync(context, account)["status"] == "success"
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
    assert sql(context, "SELECT id FROM artists WHERE enrichment = 'stub'") == []
    assert_plays_are_true(context.database, account, truth(simulator, account))
