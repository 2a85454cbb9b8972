"""Messages as Celery and kombu put them into a list of Redis, and everything that is almost one."""

import base64
import json
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Json = Any
Tasks = tuple[tuple[str, dict[str, Any]], ...]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["2026-01-01T00:00:00", "9999-12-31T23:59:59", "spotisync.sweep", "base64", "json", 1e308, -1])
)  # fmt: skip
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
GOOD_BODY: Json = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def envelope(
    task: str = "spotisync.sweep",
    kwargs: dict[str, Any] | None = None,
    *,
    queue: str = "spotisync.sync",
    embed: Json = None,
    task_id: str | None = None,
) -> Json:
    """A message of protocol 2. The body is not yet encoded; see `dump`."""
    task_id = task_id or str(uuid.uuid4())
    return {
        "body": [[], kwargs or {}, {**GOOD_BODY[2], **(embed or {})}],
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": task, "id": task_id, "root_id": task_id, "parent_id": None, "group": None,
            "shadow": None, "eta": None, "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": "()",
            "kwargsrepr": "{}", "origin": "gen1@test", "ignore_result": False, "stamped_headers": None, "stamps": {},
        },
        "properties": {
            "correlation_id": task_id, "reply_to": str(uuid.uuid4()), "delivery_mode": 2,
            "delivery_info": {"exchange": queue, "routing_key": queue}, "priority": 0, "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }  # fmt: skip


def dump(message: Json) -> bytes:
    """As kombu does. A body of bytes is sent as it is."""
    if isinstance(message, dict) and "body" in message:
        body = message["body"]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = {**message, "body": base64.b64encode(raw).decode()}
    return json.dumps(message).encode()


def paths(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from paths(inner, (*path, key))


def change(message: Json, path: tuple[Any, ...], value: Json) -> Json:
    """Set one value of the message."""
    holder = message
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return message


@st.composite
def mutated(draw: st.DrawFn, tasks: Tasks) -> bytes:
    """A good message with one to three wrong values."""
    task, kwargs = draw(st.sampled_from(tasks))
    task_id = str(draw(st.uuids()))
    message = envelope(task, dict(kwargs), task_id=task_id)
    message["properties"]["delivery_tag"] = task_id
    for _ in range(draw(st.integers(1, 3))):
        change(message, draw(st.sampled_from(sorted(paths(message), key=str))), draw(VALUES))
    return dump(message)


def items(tasks: Tasks) -> st.SearchStrategy[bytes]:
    """What may be found in the list: mostly mutated messages, sometimes any JSON or any bytes."""
    anything = (
        VALUES.map(dump) | st.binary(max_size=50) | st.text(max_size=20).map(lambda text: json.dumps(text).encode())
    )
    return st.one_of(mutated(tasks), mutated(tasks), mutated(tasks), anything)


# Each once was a task to send for every element.
FOLLOW_UPS: list[Json] = ["x" * 20_000, {"a": 1}, ["x"] * 20_000, [{"task": "x"}] * 20_000, 5]
BODIES: list[Json] = [{"a": 1}, [[], {}], [1, 2, 3, 4], 5, None, [[], {}, 5], b"\xff", b"[" * 50_000]
HEADERS: dict[str, list[Json]] = {
    "id": [{}, None, 5, [], "", "a\0b", "x" * 10_000],
    "task": [{}, None, 5, [], "celery.chord_unlock", "celery.map"],
    "timelimit": [5, "soon", [1], [-1, "x"], {"a": 1}, [None, None, None]],
    "retries": ["x", {}],
    "eta": [5, "soon", {}],
    "expires": [5, "soon", {}],
}
ENVELOPE: dict[tuple[str, ...], list[Json]] = {
    ("headers",): [None, [], 5, {}],
    ("properties", "delivery_tag"): [None, {}, [], True],
    ("properties", "delivery_info"): [None, {}, [], 5],
    ("properties", "body_encoding"): ["rot13", {}],
    ("properties",): [None, [], 5, {}],
    ("content-type",): [5, "application/x-python-serialize", {}],
    ("content-encoding",): ["rot13", 5],
}
BOMB = zlib.compress(b" " * 2**25)  # larger than a worker decompresses
NO_ENVELOPE = [b"raw text", b"[1]", b"\xff\xfe", b"null", b"5", b"[" * 50_000, b'{"__type__":"uuid","__value__":5}']


def poison_of_tasks() -> list[Json]:
    """Messages of kombu that are not of a task. Many of them once ended a worker."""
    changes: dict[tuple[str, ...], list[Json]] = {("headers", name): values for name, values in HEADERS.items()}
    changes["body",] = [*BODIES, *([[], {}, {name: each}] for name in ("callbacks", "errbacks") for each in FOLLOW_UPS)]
    return [change(envelope(), path, value) for path, values in changes.items() for value in values]


def poison() -> list[bytes]:
    """All kinds of malformed messages in a list of Redis."""
    broken = [change(envelope(), path, value) for path, values in ENVELOPE.items() for value in values]
    compressed = change({**envelope(), "body": BOMB}, ("headers", "compression"), "application/x-gzip")
    return [*map(dump, [*poison_of_tasks(), *broken, compressed]), *NO_ENVELOPE]


REPLY: Json = {"exchange": "spotisync.sync", "routing_key": "spotisync.sync"}
# Malformed commands of Celery's remote control, and those that no worker needs.
COMMANDS: list[Json] = [
    5, None, [], {}, {"method": 5}, {"method": "no such command"}, {"method": "ping", "arguments": 5},
    {"method": "ping", "destination": 5}, {"method": "ping", "reply_to": 5}, {"method": "ping", "reply_to": {}},
    {"method": "ping", "reply_to": {"exchange": 5, "routing_key": []}}, {"method": "ping", "ticket": {}},
    {"method": "ping", "pattern": "(", "matcher": "pcre"},
    {"method": "ping", "pattern": "((.+)+)+$", "matcher": "pcre"},
    {"method": "add_consumer", "arguments": {"queue": {}}},
    {"method": "cancel_consumer", "arguments": {"queue": 5}}, {"method": "revoke", "arguments": {"task_id": {}}},
    {"method": "rate_limit", "arguments": {"task_name": "spotisync.batch", "rate_limit": "x"}},
    {"method": "time_limit", "arguments": {"task_name": "spotisync.batch", "soft": "x", "hard": {}}},
    {"method": "pool_shrink", "arguments": {"n": 10**9}}, {"method": "pool_restart"},
    {"method": "shutdown", "arguments": {"a": 1}},
    {"method": "hello", "arguments": {"from_node": "x", "revoked": {"a": {}}}},
    {"method": "autoscale", "arguments": {"max": "a", "min": None}}, {"method": "memdump"},
    {"method": "election", "arguments": {"id": 1, "topic": 2, "action": 3}},
]  # fmt: skip
# Well-formed. Errors in their arguments are those of Celery to answer.
QUESTIONS: list[Json] = [
    {"method": "ping", "reply_to": REPLY, "ticket": "x"},
    {"method": "query_task", "arguments": {"ids": 5}},
    {"method": "conf", "arguments": {"nothing": 1}},
]


def broadcast(body: Json, headers: Json = None) -> bytes:
    """A message of a fanout exchange, as kombu publishes it."""
    message = envelope()
    message["properties"]["delivery_info"] = {"exchange": "celery.pidbox", "routing_key": ""}
    return dump({**message, "body": body, "headers": {} if headers is None else headers})


def control_poison() -> list[bytes]:
    """Commands that a worker must not obey."""
    clocks: list[Json] = ["soon", {}, -1, 2**70]
    return [
        *(broadcast(command) for command in COMMANDS),
        *(broadcast(body) for body in BODIES),
        *(broadcast({"method": "ping"}, {"clock": clock}) for clock in clocks),
        *NO_ENVELOPE,
    ]
