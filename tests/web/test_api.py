"""The HTTP API."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from spotisync.web.api import models
from tests.support.store import Store
from tests.web.conftest import Broker, TestClient

FULL = {"sync_type": "full", "account": "me"}
STATUS: TypeAdapter[Any] = TypeAdapter(models.StatusDocument | list[models.StatusDocument])


def problem(answer: Any, status: int) -> dict[str, Any]:
    """Check that a response is a complete problem document; return it."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), answer.text
    document: dict[str, Any] = answer.json()
    assert set(document) == {"type", "title", "status", "detail", "instance"}
    assert (document["status"], document["instance"]) == (status, answer.request.url.path)
    return document


# ---- status ---------------------------------------------------------------------------------------------------------


def test_status_without_accounts_with_one_and_with_several(client: TestClient, store: Store) -> None:
    never = client.get("/api/sync/status").json()
    assert (never["account"], never["status"], never["phases"]) == ("me", None, {})
    run = store.run()
    document = client.get("/api/sync/status", params={"account": "me"}).json()
    assert (document["sync_id"], list(document["phases"])) == (run.id, ["tracks", "artists", "albums", "playlists"])
    store.account("other")
    several = client.get("/api/sync/status")
    assert [each["account"] for each in several.json()] == ["me", "other"]
    STATUS.validate_python(several.json())
    assert "Unknown account 'nobody'" in problem(client.get("/api/sync/status?account=nobody"), 404)["detail"]
    store.sql("DELETE FROM accounts")
    STATUS.validate_python(client.get("/api/sync/status").json())


def test_an_unchanged_status_is_not_sent_again(client: TestClient, store: Store) -> None:
    run = store.run()
    first = client.get("/api/sync/status")
    again = client.get("/api/sync/status", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    store.set(run.id, status="failed", completed_at="now()", last_error="no")
    other = client.get("/api/sync/status", headers={"If-None-Match": first.headers["ETag"]})
    assert (other.status_code, other.json()["status"]) == (200, "failed")


# ---- starting runs --------------------------------------------------------------------------------------------------


def test_starts_joins_and_finds_a_sync_by_its_key(client: TestClient, broker: Broker, store: Store) -> None:
    begun = client.post("/api/sync", json=FULL, headers={"Idempotency-Key": "k1"})
    run = begun.json()
    assert (begun.status_code, begun.headers["Location"]) == (202, f"/api/sync/{run['sync_id']}")
    assert (run["trigger"], run["status"], broker.published) == ("api", "in_progress", [run["sync_id"]])
    assert run["notes"][-1] == "Expected cost: unknown before the first sync."
    joined = client.post("/api/sync", json={"sync_type": "incremental"})
    assert (joined.status_code, joined.json()["sync_id"]) == (200, run["sync_id"]), (
        "a full sync includes everything an incremental reads"
    )
    store.set(run["sync_id"], status="success", completed_at="now()")
    seen = client.post("/api/sync", json=FULL, headers={"Idempotency-Key": "k1"})
    assert (seen.status_code, seen.json()["sync_id"], seen.json()["status"]) == (200, run["sync_id"], "success")
    assert client.post("/api/sync", json=FULL).status_code == 202
    assert len(broker.published) == 2


def test_without_a_broker_the_run_is_stored_and_the_reply_says_so(client: TestClient, broker: Broker) -> None:
    broker.away = True
    begun = client.post("/api/sync", json=FULL)
    assert begun.status_code == 202
    assert "starts automatically" in begun.json()["notes"][-1]
    assert client.get("/api/sync/status").json()["sync_id"] == begun.json()["sync_id"]


def test_explains_why_no_sync_starts(client: TestClient, store: Store) -> None:
    assert "/api/sync" in problem(client.post("/api/sync", json={**FULL, "account": "nobody"}), 404)["instance"]
    store.account("other")
    assert "More than one account" in problem(client.post("/api/sync", json={"sync_type": "full"}), 409)["detail"]
    store.sql("UPDATE accounts SET status = 'needs_login', last_error = 'Spotify no longer takes it'")
    assert "log in again" in problem(client.post("/api/sync", json=FULL), 409)["detail"]
    store.sql("UPDATE accounts SET status = 'disabled'")
    assert "enable" in problem(client.post("/api/sync", json=FULL), 409)["detail"]
    store.sql("DELETE FROM accounts")
    assert "spotisync login" in problem(client.post("/api/sync", json={"sync_type": "full"}), 404)["detail"]


# ---- cancel, resume -------------------------------------------------------------------------------------------------


def test_cancels_and_resumes_a_run(client: TestClient, broker: Broker, store: Store) -> None:
    run = store.run()
    ended = client.post(f"/api/sync/{run.id}/cancel")
    assert (ended.status_code, ended.json()["status"], broker.sweeps) == (202, "cancelled", 1)
    assert client.post(f"/api/sync/{run.id}/cancel").status_code == 202, "repeating it is not an error"
    again = client.post(f"/api/sync/{run.id}/resume")
    assert (again.status_code, again.json()["status"], broker.published) == (202, "in_progress", [run.id])
    assert client.post(f"/api/sync/{run.id}/resume", json={}).status_code == 202, "the run is joined"
    assert broker.published == [run.id]


def test_explains_why_a_state_forbids_an_action(client: TestClient, store: Store) -> None:
    run = store.run(status="success", completed_at="now()")
    assert (
        "has already succeeded, so it can't be cancelled"
        in problem(client.post(f"/api/sync/{run.id}/cancel"), 409)["detail"]
    )
    assert "can't be resumed" in problem(client.post(f"/api/sync/{run.id}/resume"), 409)["detail"]
    old = store.run(status="failed", completed_at="now()")
    store.run(status="failed", completed_at="now()")
    assert "not the newest full run" in problem(client.post(f"/api/sync/{old.id}/resume"), 409)["detail"]


# ---- history --------------------------------------------------------------------------------------------------------


def test_pages_through_the_history(client: TestClient, store: Store) -> None:
    ids = [store.run(status="success", completed_at="now()").id for _ in range(5)]
    other = store.run(account_id=store.account("other"), status="failed", completed_at="now()").id
    url, seen = "/api/sync/history?limit=2&account=me", []
    while url:
        page = client.get(url)
        seen.append([run["sync_id"] for run in page.json()])
        store.run(status="success", completed_at="now()")  # does not shift the pages
        url = page.headers.get("Link", "").partition(">")[0].removeprefix("<")
    assert seen == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]
    assert other in [run["sync_id"] for run in client.get("/api/sync/history").json()]
    assert client.get("/api/sync/history?before=1").json() == []
    problem(client.get("/api/sync/history?account=nobody"), 404)


# ---- rejected requests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/api/sync/{10**30}", 422),
        ("GET", f"/api/sync/{2**63 - 1}", 404),
        ("GET", "/api/sync/0", 422),
        ("GET", "/api/sync/1.5", 422),
        ("POST", f"/api/sync/{2**63}/cancel", 422),
        ("POST", "/api/sync/77/resume", 404),
        ("GET", "/api/sync/status?account=%00", 422),
        ("GET", "/api/sync/events?account=%00", 422),
        ("GET", "/api/sync/history?limit=201", 422),
        ("GET", "/api/sync/history?limit=0", 422),
        ("GET", f"/api/sync/history?before={10**20}", 422),
        ("GET", "/api/sync/history?account=a%00", 422),
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/sync", 405),
        ("GET", "/nothing", 404),
        ("GET", "/events/nothing", 404),
    ],
)
def test_an_invalid_request_is_a_problem_with_a_detail(client: TestClient, method: str, path: str, status: int) -> None:
    assert problem(client.request(method, path), status)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"{}", b'{"sync_type":"half"}', b'{"sync_type":"full","account":""}',
        b'{"sync_type":"full","account":"\\u0000"}', b'{"sync_type":"full","account":"\\ud800"}',
        b'{"sync_type":"full","more":1}', b"\xff", b"[" * 100_000,
    ],
)  # fmt: skip
def test_an_invalid_body_is_a_problem(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/sync", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    problem(answer, answer.status_code)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
def test_accepts_only_json(client: TestClient, store: Store, kind: str) -> None:
    run = store.run()
    for path in ("/api/sync", f"/api/sync/{run.id}/cancel", f"/api/sync/{run.id}/resume"):
        assert (
            "application/json"
            in problem(client.post(path, content=b"{}", headers={"Content-Type": kind}), 415)["detail"]
        )
    assert store.get_run(run.id).status == "in_progress"


def test_rejects_an_invalid_idempotency_key(client: TestClient) -> None:
    for key in ("", "a b", "x" * 256):
        problem(client.post("/api/sync", json=FULL, headers={"Idempotency-Key": key}), 422)


def test_reports_an_unreachable_database_and_missing_tables(
    make_client: Callable[..., TestClient], empty_database_url: str
) -> None:
    away = make_client(database_url="postgresql+psycopg://nobody@127.0.0.1:1/x")
    for path in ("/api/sync/status", "/api/sync/1", "/api/sync/history"):
        answer = away.get(path)
        assert "spotisync doctor" in problem(answer, 503)["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert away.get("/healthz").json() == {"status": "ok"}
    bare = TestClient(
        make_client(database_url=empty_database_url).app, "http://localhost", raise_server_exceptions=False
    )
    answer = bare.get("/api/sync/status")
    assert "spotisync db upgrade" in problem(answer, 503)["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_docs_list_every_request_and_load_only_local_files(client: TestClient) -> None:
    shown = client.get("/docs").text
    assert all(path in shown for path in client.get("/openapi.json").json()["paths"])
    assert re.findall(r"<script[^>]*>", shown) == re.findall(r'<script src="/static/[^>]*>', shown)
    assert "style=" not in shown
    assert "&#34;sync_type&#34;: &#34;incremental&#34;" in shown, "the request body is documented"
    assert "&#34;percent_complete&#34;: 35.6" in shown, "the responses are documented"


# ---- held removals --------------------------------------------------------------------------------------------------


def test_confirms_a_held_removal_and_starts_a_sync(client: TestClient, broker: Broker, store: Store) -> None:
    path = "/api/accounts/me/confirm-removal"
    assert "No removal of me has to be confirmed" in problem(client.post(path), 409)["detail"].capitalize()
    assert "nobody" in problem(client.post("/api/accounts/nobody/confirm-removal"), 404)["detail"]
    assert store.one("SELECT count(*) FROM sync_history") == 0
    store.hold_removal("followed_artists", 30)
    before = client.get("/api/sync/status").json()
    STATUS.validate_python(before)
    (held,) = before["deferred"]
    assert (held["kind"], held["id"], held["rows"], held["confirmed"]) == ("removal", "followed_artists", 30, False)
    assert before["can"]["confirm_removal"]

    begun = client.post(path)
    run = begun.json()
    assert (begun.status_code, begun.headers["Location"]) == (202, f"/api/sync/{run['sync_id']}")
    assert (run["sync_type"], run["trigger"], broker.published) == ("incremental", "api", [run["sync_id"]])
    assert (run["deferred"][0]["confirmed"], run["can"]["confirm_removal"]) == (True, False)
    again = client.post(path, json={})
    assert (again.status_code, again.json()["sync_id"], len(broker.published)) == (202, run["sync_id"], 1)
    problem(client.post(path, data={"a": "form"}), 415)
    problem(client.post(path, headers={"Origin": "https://evil.example"}), 403)

    store.sql("UPDATE accounts SET status = 'disabled'")
    store.sql("UPDATE sync_history SET status = 'cancelled', completed_at = now() WHERE id = :id", id=run["sync_id"])
    assert "accounts enable me" in problem(client.post(path), 409)["detail"]
