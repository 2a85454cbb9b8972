"""Every fault as seen by `requests`."""

import threading
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from spotisync.simulator import Server, start
from tests.support.waiting import wait_until

from .reader import Reader


def test_a_429_with_retry_after_is_followed_by_a_success(server: Server, reader: Reader) -> None:
    server.control.add_fault(status=429, retry_after=7)
    reply = reader.get("/me/tracks")
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
    assert reply.json() == {"error": {"status": 429, "message": "API rate limit exceeded"}}
    assert reader.get("/me/tracks").status_code == 200


def test_retry_after_can_be_a_date_missing_or_invalid(server: Server, reader: Reader) -> None:
    server.control.add_fault(status=429, retry_after=90, retry_date=True)
    server.control.add_fault(status=429)
    server.control.add_fault(status=429, retry_after="soon")
    date = parsedate_to_datetime(reader.get("/me").headers["Retry-After"])
    assert 0 <= date.timestamp() - server.world.now() <= 91
    assert "Retry-After" not in reader.get("/me").headers
    assert reader.get("/me").headers["Retry-After"] == "soon"


@pytest.mark.parametrize(
    ("rule", "content_type", "text"),
    [
        ({"status": 429, "body": "text"}, "text/plain", "Too many requests"),
        ({"status": 429, "body": "quota"}, "application/json", '"reason": "QUOTA_EXCEEDED"'),
        ({"status": 502, "body": "html"}, "text/html", "<h1>Bad gateway.</h1>"),
        ({"status": 500, "body": "empty"}, "application/json", ""),
        ({"status": 503}, "application/json", '{"error": {"status": 503, "message": "Service unavailable"}}'),
        ({"status": 400, "body": "list"}, "application/json", '["Bad request"]'),
        ({"status": 400, "body": "string"}, "application/json", '"Bad request"'),
        ({"status": 400, "body": "error_string"}, "application/json", '{"error": "Bad request"}'),
        ({"status": 400, "body": "error_null"}, "application/json", '{"error": null}'),
        ({"status": 403, "body": "text", "message": "Active premium subscription"}, "text/plain", "Active premium"),
    ],
)
def test_error_bodies_take_every_recorded_form(
    server: Server, reader: Reader, rule: dict[str, Any], content_type: str, text: str
) -> None:
    server.control.add_fault(**rule)
    reply = reader.get("/me")
    assert reply.status_code == rule["status"]
    assert reply.headers["Content-Type"].startswith(content_type)
    assert text in reply.text


def test_a_success_can_have_an_unusable_body(server: Server, reader: Reader) -> None:
    for kind in ("garbage", "null", "empty"):
        server.control.add_fault(kind=kind)
    garbage, null, empty = (reader.get("/me/tracks") for _ in range(3))
    with pytest.raises(requests.JSONDecodeError):
        garbage.json()
    assert (null.status_code, null.json()) == (200, None)
    assert (empty.status_code, empty.content) == (204, b"")


def test_a_body_can_be_cut(server: Server, reader: Reader) -> None:
    server.control.add_fault(kind="cut")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        reader.get("/me/tracks")
    assert reader.get("/me/tracks").status_code == 200


def test_a_connection_can_be_reset(server: Server, reader: Reader) -> None:
    server.control.add_fault(kind="reset")
    with pytest.raises(requests.ConnectionError):
        reader.get("/me/tracks")
    assert reader.get("/me/tracks").status_code == 200
    assert [each["status"] for each in server.control.requests()] == [0, 200]


def test_a_request_can_hang(server: Server, reader: Reader) -> None:
    server.control.add_fault(kind="hang", seconds=60)
    with pytest.raises(requests.ReadTimeout):
        reader.get("/me", timeout=0.1)
    server.control.add_fault(kind="hang", seconds=0.05)
    with pytest.raises(requests.ConnectionError):
        reader.get("/me")


def test_a_delayed_reply_is_correct(server: Server, reader: Reader) -> None:
    server.control.add_fault(kind="delay", seconds=0.15)
    reply = reader.get("/me")
    assert reply.json()["id"] == "user01"
    assert reply.elapsed.total_seconds() >= 0.15


@pytest.fixture
def beside() -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Run a function in a thread; call the result to wait for its return value."""

    def run(call: Callable[[], Any]) -> Callable[[], Any]:
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        thread.start()

        def wait() -> Any:
            thread.join(60)
            return answers[0]

        return wait

    return run


@pytest.mark.parametrize(("when", "shift"), [("request", 1), ("reply", 0)])
def test_an_edit_can_happen_while_a_request_is_held(
    server: Server, reader: Reader, beside: Any, when: str, shift: int
) -> None:
    total = reader.json("/me/tracks")["total"]
    server.control.add_fault(kind="hold", path="/me/tracks", when=when)
    wait = beside(lambda: reader.json("/me/tracks")["total"])
    (held,) = wait_until(server.control.held_requests, "a held request")
    assert held["path"] == "/v1/me/tracks"
    server.control.edit("like")
    assert server.control.release(held["hold"]) == 1
    assert wait() == total + shift
    assert server.control.held_requests() == []


def test_stopping_releases_held_requests(beside: Any) -> None:
    with start("tiny") as server, Reader(server.url, server.access_token()) as reader:
        server.control.add_fault(kind="hold")
        wait = beside(lambda: reader.get("/me").status_code)
        wait_until(server.control.held_requests, "a held request")
        server.stop()
        assert wait() == 200


def test_a_rule_applies_after_and_times_as_configured(server: Server, reader: Reader) -> None:
    rule = server.control.add_fault(status=500, family="library", after=2, times=3)
    statuses = [reader.get("/me/tracks").status_code for _ in range(7)]
    assert statuses == [200, 200, 500, 500, 500, 200, 200]
    (seen,) = server.control.faults()
    assert (seen["id"], seen["matched"], seen["struck"]) == (rule, 7, 3)


def test_a_rule_matches_by_path_family_account_and_method(server: Server, reader: Reader) -> None:
    server.control.add_fault(status=500, times=None, path=r"/me/tracks\?.*offset=20")
    server.control.add_fault(status=501, times=None, family="player")
    server.control.add_fault(status=502, times=None, account="user02")
    server.control.add_fault(status=503, times=None, method="POST")
    assert reader.get("/me/tracks", limit=20, offset=0).status_code == 200
    assert reader.get("/me/tracks", limit=20, offset=20).status_code == 500
    assert reader.get("/me/player/recently-played").status_code == 501
    with Reader(server.url, server.access_token("user02")) as other:
        assert other.get("/me").status_code == 502
    assert reader.session.post(f"{server.url}/api/token", timeout=60).status_code == 503
    assert server.control.clear_faults() == 4
    assert reader.get("/me/tracks", limit=20, offset=20).status_code == 200


def test_one_rule_can_be_removed(server: Server, reader: Reader) -> None:
    first = server.control.add_fault(status=500, times=None)
    server.control.add_fault(status=503, times=None)
    assert reader.get("/me").status_code == 500
    assert server.control.clear_faults(first) == 1
    assert reader.get("/me").status_code == 503


def test_the_seed_determines_random_faults(server: Server, reader: Reader) -> None:
    def strikes() -> list[int]:
        rule = server.control.add_fault(status=500, times=None, probability=0.5, seed=4)
        statuses = [reader.get("/me").status_code for _ in range(30)]
        server.control.clear_faults(rule)
        return statuses

    first = strikes()
    assert first == strikes()
    assert 5 < first.count(500) < 25


def test_rejects_a_wrong_rule_with_a_message(server: Server) -> None:
    with pytest.raises(ValueError, match=r"a fault has no field colour; its fields are account, after"):
        server.control.add_fault(colour="red")
    with pytest.raises(ValueError, match="kind must be one of status, cut"):
        server.control.add_fault(kind="flood")


def test_a_fault_can_be_limited_to_one_client(server: Server) -> None:
    """As a ban of one app for a day that also concerns its requests for tokens."""
    server.control.add_fault(status=429, body="quota", retry_after=86_400, times=None, client_id="banned")
    for client, status in (("banned", 429), ("other", 200), (None, 200)):
        with Reader(server.url, server.access_token(client_id=client)) as reader:
            assert reader.get("/me").status_code == status
    form = {"grant_type": "refresh_token", "refresh_token": server.refresh_token()}
    for client, status in (("banned", 429), ("other", 200)):
        reply = requests.post(f"{server.url}/api/token", data=form | {"client_id": client}, timeout=60)
        assert reply.status_code == status
