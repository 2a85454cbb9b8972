"""The control API: the request log, counters, settings, error messages."""

import json
from pathlib import Path

import pytest

from spotisync.simulator import Control, Server, SimulatorSettings, World
from spotisync.simulator.http.app import SimulatorApp

from .reader import Reader


def test_the_log_records_caller_path_and_query(server: Server, reader: Reader) -> None:
    reader.get("/me/tracks", limit=5)
    reader.get("/artists/" + "0" * 22)
    first, second = server.control.requests()
    assert (first["method"], first["path"], first["query"]) == ("GET", "/v1/me/tracks", "limit=5")
    assert (first["account"], first["family"], first["status"]) == ("user01", "library", 200)
    assert (second["family"], second["status"]) == ("artists", 404)
    assert abs(first["time"] - server.world.now()) < 60
    assert server.control.requests(last=1) == [second]


def test_counts_requests_and_resets_the_counters(server: Server, reader: Reader) -> None:
    for path in ("/me/tracks", "/me/albums", "/playlists/" + "0" * 22):
        reader.get(path)
    counters = server.control.counters()
    assert counters["total"] == 3
    assert counters["families"] == {"library": 2, "playlists": 1}
    assert counters["statuses"]["playlists"] == {"404": 1}
    server.control.reset_log()
    assert server.control.counters()["total"] == 0
    assert server.control.requests() == []


def test_rejects_wrong_settings_before_changing_any(server: Server) -> None:
    before = server.control.settings()
    for wrong, words in (
        ({"latency_ms": 5, "speed": 1}, "no setting 'speed'; the settings are regime"),
        ({"latency_ms": 5, "regime": "half"}, "regime must be one of full, restricted"),
        ({"latency_ms": 5, "rate": "fast"}, "rate must be int"),
    ):
        with pytest.raises(ValueError, match=words):
            server.control.settings(**wrong)
    assert server.control.settings() == before


def test_a_wrong_call_is_rejected_with_the_valid_ones(server: Server) -> None:
    with pytest.raises(ValueError, match="unknown call; the calls are GET info"):
        Control(server.url)._object("GET", "nothing")
    with pytest.raises(ValueError, match="no edit 'lick'"):
        server.control.edit("lick")
    with pytest.raises(ValueError, match="KeyError"):
        server.control.truth("nobody")


def test_edits_and_reads_the_truth_over_http(server: Server) -> None:
    done = server.control.edit("like", "user02")
    assert server.control.truth("user02")["saved_tracks"][0]["track_id"] == done["track_id"]
    assert server.control.truth("user02") == json.loads(json.dumps(server.world.truth("user02")))


def test_issues_tokens_without_the_token_endpoint(server: Server) -> None:
    token = server.control.token("user02", life=60)
    with Reader(server.url, token["access_token"]) as reader:
        assert reader.json("/me")["id"] == "user02"
    assert token["refresh_token"] == server.refresh_token("user02")


def test_writes_the_log_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    with (
        Server(World("tiny"), SimulatorSettings(), log=file).start() as server,
        Reader(server.url, server.access_token()) as reader,
    ):
        reader.get("/me")
    (line,) = file.read_text().splitlines()
    assert json.loads(line)["path"] == "/v1/me"


def test_an_app_works_without_a_server() -> None:
    assert SimulatorApp(World("tiny"), SimulatorSettings()).info()["accounts"][0]["id"] == "user01"
