"""Start syncs from another service through the broker: a thin, typed publisher.

    client = Client("redis://:password@broker:6379/0")
    running = client.full_sync(account="alice", idempotency_key="nightly-2026-11-23")
    print(running.get(timeout=3600)["items_processed"])

Of the dependencies it needs Celery alone: `pip install "celery[redis]"`, then `pip install --no-deps spotisync`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, cast

from celery import Celery
from celery.canvas import Signature
from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from spotisync import urls
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
    """One phase of a run. Unknown values are null."""

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
    """The summary of a run. Times are ISO 8601, UTC."""

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
    """`status` is `cancelled`."""

    sync_id: int
    status: str


class AccountPlays(TypedDict):
    """`error`: why this account's plays could not be read, or null."""

    account: str
    plays_added: int
    gap: dict[str, str] | None
    error: str | None


class Plays(TypedDict):
    """`gap`: the interval in which plays may be missing, of the first account that has one."""

    plays_added: int
    gap: dict[str, str] | None
    accounts: list[AccountPlays]


class Enriched(TypedDict):
    """`looked_up`: artists or albums (`family`) that were looked up. `more`: others may still be pending."""

    family: str | None
    looked_up: int
    more: bool


T = TypeVar("T")


class Running(Generic[T]):
    """A task that was sent. Another process needs only its `id` to read the result: `Client.running(id)`."""

    def __init__(self, result: "AsyncResult[Any]") -> None:
        self._result = result

    @property
    def id(self) -> str:
        return str(self._result.id)

    @property
    def state(self) -> str:
        """`SYNCING` until the run is over; `PENDING` before a worker has received it, or once its state has expired."""
        return str(self._result.state)

    def get(self, timeout: float | None = None) -> T:
        """Wait for the result.

        Raises `SyncFailed` or `SyncCancelled` if the run failed or was cancelled, `Fatal` if the task refused its
        arguments, `TimeoutError` if it is still running after `timeout` seconds. After a `TimeoutError`, or an error
        of an unreachable Redis, call it again.
        """
        try:
            return cast("T", self._wait(timeout))
        except NotYet:
            raise TimeoutError(f"{self.id} is not finished after {timeout:g} s; its state is {self.state}") from None
        except NotImplementedError:
            raise Misconfigured("results can't be read: give the client spotisync's result_backend") from None

    def _wait(self, timeout: float | None) -> Any:
        if timeout is not None and timeout <= 0 and not self._result.ready():
            raise NotYet  # Celery takes 0 for no timeout
        return self._result.get(timeout=timeout)


class Client:
    """Publishes tasks to the broker, by name and queue. It reads no tables and does not call Spotify.

    Invalid arguments raise `Fatal` before anything is sent. `Unavailable`: the broker did not accept the message; send
    it again with the same idempotency key.
    """

    def __init__(self, broker_url: str, result_backend: str | None = None) -> None:
        """`result_backend` defaults to the broker if that is Redis, as in spotisync itself."""
        try:
            broker = urls.parse_broker_url(broker_url)
            results = urls.parse_result_url(result_backend) if result_backend else None
        except ValueError as error:
            raise Misconfigured(f"invalid URL of the broker or the result backend: {error}") from None
        redis = broker.startswith(("redis", "rediss", "sentinel"))
        results = results or (broker if redis else None)
        self._app = Celery(
            "spotisync.client",
            broker=urls.without_options(broker),
            backend=urls.without_options(results) if results else None,
            set_as_current=False,
        )
        self._app.conf.update(
            accept_content=["json"],
            task_serializer="json",
            result_serializer="json",
            broker_use_ssl=urls.get_ssl_options(broker) or False,
            # An unreachable broker is reported within seconds.
            broker_transport_options={**(_TIMEOUTS if redis else {}), **_sentinel_options(broker)},
            redis_socket_timeout=10,
            redis_socket_connect_timeout=5,
            task_publish_retry_policy={"max_retries": 3, "interval_start": 0, "interval_step": 0.2},
            result_backend_transport_options={
                "retry_policy": {"max_retries": 2, "interval_step": 0.5},
                **_sentinel_options(results or ""),
            },
        )
        refused: tuple[Any, ...] = self._app.connection_for_write().channel_errors  # the errors of the server's library
        # Celery's Redis backend raises RuntimeError when Redis is away.
        self._errors = (OperationalError, RuntimeError, OSError, *refused)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; Celery leaves those to the result backend to the garbage collector."""
        backend: Any = self._app.backend
        if hasattr(backend, "client") and hasattr(backend, "result_consumer"):  # Redis
            backend.result_consumer.stop()
            backend.client.connection_pool.disconnect()
        # A result that its holder drops later would connect again to unsubscribe.
        backend.remove_pending_result = lambda result: result
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
        """Sync the whole library. The same key never starts a second run; an unfinished run is joined."""
        return self._send("spotisync.full_sync", link, link_error, account=account, idempotency_key=idempotency_key)

    def incremental_sync(
        self,
        account: str | None = None,
        idempotency_key: str | None = None,
        *,
        link: Links = None,
        link_error: Links = None,
    ) -> Running[Summary]:
        """Sync what has changed."""
        return self._send(
            "spotisync.incremental_sync", link, link_error, account=account, idempotency_key=idempotency_key
        )

    def resume_sync(self, sync_id: int, *, link: Links = None, link_error: Links = None) -> Running[Summary]:
        """Resume a failed or cancelled run."""
        return self._send("spotisync.resume_sync", link, link_error, sync_id=sync_id)

    def cancel_sync(self, sync_id: int) -> Running[Cancelled]:
        return self._send("spotisync.cancel_sync", sync_id=sync_id)

    def track_playback(self, account: str | None = None) -> Running[Plays]:
        """Read recently played of one account or of all."""
        return self._send("spotisync.track_playback", account=account)

    def enrich(self) -> Running[Enriched]:
        """Look up one batch of deferred artists or albums."""
        return self._send("spotisync.enrich")

    # ---- canvases and running tasks ----

    def signature(self, task: Task, **kwargs: Any) -> "Signature[Any]":
        """For your own chain, group or chord. Set a queue on each of your links, which spotisync's worker publishes."""
        arguments.check(task, (), kwargs)
        return self._app.signature(task, kwargs=kwargs, queue=arguments.QUEUES[task], immutable=True)

    def running(self, task_id: str) -> Running[Summary]:
        """A sync that was sent earlier, by this or another process."""
        return Running(self._app.AsyncResult(task_id))

    def _send(self, task: Task, link: Links = None, link_error: Links = None, **kwargs: Any) -> Running[Any]:
        arguments.check(task, (), kwargs)
        follow_ups: dict[str, Any] = {"link": _as_list(link), "link_error": _as_list(link_error)}
        for follow_up in (*follow_ups["link"], *follow_ups["link_error"]):
            _check_queue(follow_up)
        given = {name: value for name, value in kwargs.items() if value is not None}
        try:
            sent = self._app.send_task(task, kwargs=given, queue=arguments.QUEUES[task], **follow_ups)
        except self._errors as error:
            raise Unavailable(
                f"the broker did not accept {task} ({error}); send it again with the same idempotency key"
            ) from error
        return Running(sent)


def _sentinel_options(url: str) -> dict[str, str]:
    master = urls.get_sentinel_master(url)
    return {"master_name": master} if master else {}


def _as_list(links: Links) -> "list[Signature[Any]]":
    if links is None:
        return []
    return [links] if isinstance(links, Signature) else list(links)


def _check_queue(link: "Signature[Any]") -> None:
    """Raise `Fatal` if a link has no queue: our worker would publish it to its own, where no worker knows the task."""
    for part in _parts(link):
        if not part.options.get("queue"):
            raise Fatal(f"{part.task} has no queue; set your worker's queue, as in .set(queue='mine')")


def _parts(link: "Signature[Any]") -> "Iterator[Signature[Any]]":
    parts = [*getattr(link, "tasks", []), *filter(None, [getattr(link, "body", None)])]
    for part in parts:
        yield from _parts(part)
    if not parts:
        yield link
