"""The client for other services: light, typed, and as strict as the tasks."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, cast, get_args

import pytest
from celery import Celery, chain, group
from celery.canvas import Signature
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ReadOnlyError

from spotisync import callers, tasks
from spotisync import client as published
from spotisync.client import Client
from spotisync.core import arguments
from spotisync.errors import Fatal, Misconfigured, Unavailable
from spotisync.status import parts, read

ours: Any = tasks.full_sync.app
HEAVY = ("sqlalchemy", "psycopg", "spotipy", "requests", "fastapi", "pydantic", "alembic", "aiohttp", "rich", "typer")
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("full_sync", {"account": 5}, "account of spotisync.full_sync must be a string of 1 to 255 characters or null"),
    ("full_sync", {"account": ""}, "of 1 to 255 characters or null, not ''"),
    ("full_sync", {"account": "half a \ud800 character"}, "must be a string"),
    ("full_sync", {"idempotency_key": "k" * 256}, "of 1 to 255 characters"),
    ("full_sync", {"idempotency_key": "\0"}, "idempotency_key of spotisync.full_sync must be a string"),
    ("incremental_sync", {"idempotency_key": ["a"]}, "must be a string"),
    ("resume_sync", {"sync_id": "x"}, "must be the number of a run (list them: spotisync history), not 'x'"),
    ("resume_sync", {"sync_id": True}, "not True"),
    ("resume_sync", {"sync_id": -1}, "not -1"),
    ("resume_sync", {"sync_id": 0}, "not 0"),
    ("resume_sync", {"sync_id": 1.0}, "not 1.0"),
    ("resume_sync", {"sync_id": None}, "not None"),
    ("cancel_sync", {"sync_id": 2**63}, "must be the number of a run"),
    ("track_playback", {"account": {"a": 1}}, "must be a string"),
]
MISNAMED: list[tuple[str, dict[str, Any], str]] = [
    ("full_sync", {"acount": "a"}, "spotisync.full_sync takes account and idempotency_key, not acount"),
    ("resume_sync", {}, "spotisync.resume_sync needs sync_id"),
    ("cancel_sync", {"sync_id": 1, "force": True}, "takes sync_id, not force"),
    ("enrich", {"family": "artists"}, "takes no arguments, not family"),
]


@pytest.fixture
def client() -> Iterator[Client]:
    with Client("memory://") as made:
        yield made
        for queue in set(arguments.QUEUES.values()):  # or a later client would find them
            sent(made, queue)


def sent(client: Client, queue: str) -> list[Any]:
    """The messages in a queue."""
    with client._app.connection() as connection, connection.SimpleQueue(queue) as waiting:
        messages = [waiting.get_nowait() for _ in range(waiting.qsize())]
        for message in messages:
            message.ack()
        return messages


def test_the_client_imports_no_heavy_module() -> None:
    code = f"import sys, spotisync.client; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize(("name", "kwargs", "words"), WRONG)
def test_publisher_and_task_reject_wrong_values(client: Client, name: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(Fatal) as here:
        getattr(client, name)(**kwargs)
    assert words in str(here.value)
    assert sent(client, arguments.QUEUES[f"spotisync.{name}"]) == []
    with pytest.raises(Fatal) as there:
        ours.tasks[f"spotisync.{name}"].before_start("id", (), kwargs)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize(("name", "kwargs", "words"), MISNAMED)
def test_publisher_and_task_reject_wrong_argument_names(
    client: Client, name: str, kwargs: dict[str, Any], words: str
) -> None:
    task = cast("Any", f"spotisync.{name}")
    with pytest.raises(Fatal) as here:
        client.signature(task, **kwargs)
    with pytest.raises(Fatal) as there:
        ours.tasks[task].before_start("id", (), kwargs)
    assert words in str(here.value)
    assert str(there.value) == str(here.value)


def test_rejects_positional_arguments() -> None:
    with pytest.raises(Fatal, match="keyword arguments only"):
        callers.check_arguments(ours.tasks["spotisync.full_sync"], "id", ("alice",), {})
    with pytest.raises(Fatal, match=r"no public task .spotisync.batch."):
        arguments.check("spotisync.batch", (), {})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255))
def test_accepts_any_text_that_postgres_can_store(words: str) -> None:
    arguments.check("spotisync.full_sync", (), {"account": words, "idempotency_key": words})


def test_public_tasks_exist_and_use_the_queues_of_the_app() -> None:
    assert set(get_args(published.Task)) == set(arguments.QUEUES) <= set(ours.tasks)
    for task, queue in arguments.QUEUES.items():
        assert ours.conf.task_routes.get(task, {}).get("queue", ours.conf.task_default_queue) == queue
        assert cast("Any", ours.tasks[task].before_start).__func__ is callers.check_arguments


def test_a_message_names_its_arguments_and_uses_the_queue_of_its_task(client: Client) -> None:
    running = client.full_sync("alice", "nightly")
    (message,) = sent(client, "spotisync.sync")
    assert message.headers["id"] == running.id
    assert message.payload[:2] == [[], {"account": "alice", "idempotency_key": "nightly"}]
    client.cancel_sync(12)
    client.track_playback()
    assert sent(client, "spotisync.control")[0].payload[1] == {"sync_id": 12}
    assert sent(client, "spotisync.playback")[0].payload[1] == {}


def test_a_link_needs_an_explicit_queue(client: Client) -> None:
    foreign = Celery("foreign", set_as_current=False)

    def task(**options: Any) -> "Signature[Any]":
        made: Signature[Any] = foreign.signature("foreign.follow_up", **options)
        return made

    for bad in (task(), group([task(queue="foreign"), task()], app=foreign), chain(task(), task(), app=foreign)):
        with pytest.raises(Fatal, match=r"foreign.follow_up has no queue"):
            client.full_sync(link=bad)
    client.full_sync(link=task(queue="foreign"), link_error=[task(queue="foreign")])
    (message,) = sent(client, "spotisync.sync")
    embed = message.payload[2]
    assert [len(embed[kind]) for kind in ("callbacks", "errbacks")] == [1, 1]


def test_without_a_result_backend_the_error_says_what_is_missing(client: Client) -> None:
    with pytest.raises(Misconfigured, match="result_backend"):
        client.full_sync().get(timeout=1)


@pytest.mark.parametrize("timeout", [0, -1])
def test_without_time_left_the_result_is_looked_up_once(timeout: float) -> None:
    """As at the end of a deadline that the caller has computed."""
    running = Client("memory://", "cache+memory://").running("1")
    backend: Any = running._result.backend
    with pytest.raises(TimeoutError, match="1 is not finished after"):
        running.get(timeout=timeout)
    backend.store_result("1", {"status": "success"}, "SUCCESS")
    assert running.get(timeout=timeout)["status"] == "success"
    backend.forget("1")


@pytest.mark.parametrize("results", [None, "cache+memory://", "rpc://"])
def test_closes_with_any_kind_of_results(results: str | None) -> None:
    with Client("memory://", results) as client:
        client.running("1")


def test_reports_an_unreachable_broker_within_seconds() -> None:
    with (
        Client("redis://127.0.0.1:1/0") as away,
        pytest.raises(Unavailable, match="again with the same idempotency key"),
    ):
        away.full_sync()


def test_the_types_match_the_documents() -> None:
    assert set(published.Summary.__annotations__) == {*read.SUMMARY, "phases"}
    assert set(published.PhaseSummary.__annotations__) == set(parts.PHASE_COLUMNS.split(", "))


def test_sentinel_urls_name_their_master() -> None:
    client = Client("sentinel://a:26379/0;sentinel://b:26379/0?master_name=mine")
    app = client._app
    assert app.conf.broker_url == "sentinel://a:26379/0;sentinel://b:26379/0"
    assert app.conf.broker_transport_options["master_name"] == "mine"
    assert app.conf.result_backend_transport_options["master_name"] == "mine"
    client._app.close()
    with pytest.raises(Misconfigured, match="add the name of the master"):
        Client("sentinel://a:26379/0")


def test_a_server_that_refuses_writes_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client("redis://127.0.0.1:1/0")

    def send_task(*_: Any, **__: Any) -> None:
        raise ReadOnlyError("You can't write against a read only replica.")

    monkeypatch.setattr(client._app, "send_task", send_task)
    with pytest.raises(Unavailable, match="read only replica"):
        client.full_sync()
    client.close()
