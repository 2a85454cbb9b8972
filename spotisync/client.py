"""Start syncs from another service, by its broker: a thin typed publisher.

    client = Client("redis://:password@broker:6379/0")
    running = client.full_sync(account="alice", idempotency_key="nightly-2026-11-23")
    print(running.get(timeout=3600)["items_processed"])

It needs Celery and nothing else of what spotisync needs: `pip install --no-deps spotisync` beside `celery[redis]` does.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, cast

from celery import Celery
from celery.canvas import Signature
from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from spotisync.core import arguments
from spotisync.errors import Fatal, Misconfigured, SpotisyncError, SyncCancelled, SyncFailed, Unavailable

__all__ = [
    "AccountPlays",
    "Cancelled",
    "Client",
    "Enriched",
    "Fatal",
    "Misconfigured",
    "PhaseSummary",
    "Plays",
    "Running",
    "SpotisyncError",
    "Summary",
    "SyncCancelled",
    "SyncFailed",
    "Unavailable",
]

Task: TypeAlias = Literal[
    "spotisync.full_sync",
    "spotisync.incremental_sync",
    "spotisync.resume_sync",
    "spotisync.cancel_sync",
    "spotisync.enrich",
    "spotisync.track_playback",
]
_TIMEOUTS: Final = {"socket_timeout": 10, "socket_connect_timeout": 5}
Links: TypeAlias = "Signature[Any] | Iterable[Signature[Any]] | None"


class PhaseSummary(TypedDict):
    """One phase of a run; what is not known is null."""

    status: str
    current_offset: int
    total_items: int | None
    items_processed: int
    items_added: int
    items_updated: int
    items_removed: int
    items_deferred: int
    batches: int
    failures: int
    percent_complete: float | None
    last_error: str | None
    rate_limit_reset_at: str | None


class Summary(TypedDict):
    """What a run came to. Times are ISO 8601, UTC."""

    sync_id: int
    account: str
    sync_type: str
    status: str
    started_at: str
    completed_at: str | None
    items_processed: int
    items_added: int
    items_updated: int
    items_removed: int
    items_deferred: int
    api_calls: int
    calls_saved: int | None
    phases: dict[str, PhaseSummary]
    last_error: str | None


class Cancelled(TypedDict):
    """`status` is `cancelled`, unless the run was over before."""

    sync_id: int
    status: str


class AccountPlays(TypedDict):
    """`error`: why this account's plays could not be read."""

    account: str
    plays_added: int
    gap: dict[str, str] | None
    error: str | None


class Plays(TypedDict):
    """`gap`: between which times plays may be missing, of the first account that has one."""

    plays_added: int
    gap: dict[str, str] | None
    accounts: list[AccountPlays]


class Enriched(TypedDict):
    """How many look-ups of which family are in. `more`: there may be more to do."""

    family: str | None
    looked_up: int
    more: bool


T = TypeVar("T")


class Running(Generic[T]):
    """A task that was sent. `id` is all that another process needs to ask for the result: `Client.running(id)`."""

    def __init__(self, result: "AsyncResult[Any]") -> None:
        self._result = result

    @property
    def id(self) -> str:
        return str(self._result.id)

    @property
    def state(self) -> str:
        """`SYNCING` while it goes; `PENDING` while it waits for a worker, or once the result backend forgot it."""
        return str(self._result.state)

    def get(self, timeout: float | None = None) -> T:
        """Wait for the result.

        Raises `SyncFailed` or `SyncCancelled` when the run ended so, `Fatal` when the task refused its arguments,
        `TimeoutError` when it is not over by then: call it again, as you may when Redis was away.
        """
        try:
            return cast("T", self._result.get(timeout=timeout))
        except NotYet:
            raise TimeoutError(f"{self.id} is not over after {timeout:g} s; it reads {self.state}") from None
        except NotImplementedError:
            raise Misconfigured("results can't be read: give the client spotisync's result_backend") from None


class Client:
    """Publishes to the broker, by the names and queues of the tasks; knows no tables and no Spotify.

    Wrong arguments raise `Fatal` here already, as the task would. `Unavailable`: the broker did not take the message;
    send it again, with the same idempotency key.
    """

    def __init__(self, broker_url: str, result_backend: str | None = None) -> None:
        """Without a `result_backend` it is the broker, if that is Redis, as on spotisync's side."""
        redis = broker_url.startswith(("redis", "rediss", "sentinel"))
        self._app = Celery(
            "spotisync.client",
            broker=broker_url,
            backend=result_backend or (broker_url if redis else None),
            set_as_current=False,
        )
        self._app.conf.update(
            accept_content=["json"],
            task_serializer="json",
            result_serializer="json",
            # A service that can't reach the broker hears of it within seconds.
            broker_transport_options=_TIMEOUTS if redis else {},
            redis_socket_timeout=10,
            redis_socket_connect_timeout=5,
            task_publish_retry_policy={"max_retries": 3, "interval_start": 0, "interval_step": 0.2},
            result_backend_transport_options={"retry_policy": {"max_retries": 2, "interval_step": 0.5}},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Celery would leave its connections to the result backend to the garbage collector."""
        backend: Any = self._app.backend
        if hasattr(backend, "client"):
            backend.result_consumer.stop()
            backend.client.connection_pool.disconnect()
        self._app.close()

    # ---- triggers ----

    def full_sync(
        self,
        account: str | None = None,
        idempotency_key: str | None = None,
        *,
        link: Links = None,
        link_error: Links = None,
    ) -> Running[Summary]:
        """Sync the whole library. The same key never starts a second run; an unfinished one is joined."""
        return self._send("spotisync.full_sync", link, link_error, account=account, idempotency_key=idempotency_key)

    def incremental_sync(
        self,
        account: str | None = None,
        idempotency_key: str | None = None,
        *,
        link: Links = None,
        link_error: Links = None,
    ) -> Running[Summary]:
        """Read what has changed."""
        return self._send(
            "spotisync.incremental_sync", link, link_error, account=account, idempotency_key=idempotency_key
        )

    def resume_sync(self, sync_id: int, *, link: Links = None, link_error: Links = None) -> Running[Summary]:
        """Go on with a run that failed or was cancelled."""
        return self._send("spotisync.resume_sync", link, link_error, sync_id=sync_id)

    def cancel_sync(self, sync_id: int) -> Running[Cancelled]:
        return self._send("spotisync.cancel_sync", sync_id=sync_id)

    def track_playback(self, account: str | None = None) -> Running[Plays]:
        """Read recently played, of one account or of all."""
        return self._send("spotisync.track_playback", account=account)

    def enrich(self) -> Running[Enriched]:
        """Look up some of what runs have put off."""
        return self._send("spotisync.enrich")

    # ---- for canvases, and for later ----

    def signature(self, task: Task, **kwargs: Any) -> "Signature[Any]":
        """For a chain, group or chord of your own. Give each link of yours a queue of yours: our worker sends it."""
        arguments.check(task, (), kwargs)
        return self._app.signature(task, kwargs=kwargs, queue=arguments.QUEUES[task], immutable=True)

    def running(self, task_id: str) -> Running[Summary]:
        """A sync that was sent before, perhaps by another process."""
        return Running(self._app.AsyncResult(task_id))

    def _send(self, task: Task, link: Links = None, link_error: Links = None, **kwargs: Any) -> Running[Any]:
        arguments.check(task, (), kwargs)
        follow_ups: dict[str, Any] = {"link": _listed(link), "link_error": _listed(link_error)}
        for follow_up in (*follow_ups["link"], *follow_ups["link_error"]):
            _check_queue(follow_up)
        given = {name: value for name, value in kwargs.items() if value is not None}
        try:
            sent = self._app.send_task(task, kwargs=given, queue=arguments.QUEUES[task], **follow_ups)
        except (OperationalError, RuntimeError) as error:  # Celery's Redis backend says RuntimeError when it is away
            raise Unavailable(
                f"the broker does not take {task} ({error}); send it again, with the same idempotency key"
            ) from error
        return Running(sent)


def _listed(links: Links) -> "list[Signature[Any]]":
    if links is None:
        return []
    return [links] if isinstance(links, Signature) else list(links)


def _check_queue(link: "Signature[Any]") -> None:
    """Our worker publishes it, and would take its own queue, where nobody knows the task."""
    for part in _parts(link):
        if not part.options.get("queue"):
            raise Fatal(f"give {part.task} a queue of your own, as in .set(queue='mine'): spotisync's worker sends it")


def _parts(link: "Signature[Any]") -> "Iterator[Signature[Any]]":
    inside = [*getattr(link, "tasks", []), *filter(None, [getattr(link, "body", None)])]
    for part in inside:
        yield from _parts(part)
    if not inside:
        yield link
