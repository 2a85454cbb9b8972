"""What every use case needs, created once per process."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, Self, TypeVar

from spotisync.gate import Gate, Pace
from spotisync.gate.pace import redis_url
from spotisync.settings import Settings
from spotisync.spotify import AccountsClient, SpotifyClient
from spotisync.store.accounts import TokenVault
from spotisync.store.database import Connection, Database
from spotisync.sync.calls import CallRecorder
from spotisync.sync.reply_shapes import ShapeRecorder

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    gate: Gate
    spotify: SpotifyClient
    accounts_client: AccountsClient
    vault: TokenVault
    threads: ThreadPoolExecutor
    recorder: CallRecorder
    shapes: ShapeRecorder
    stopping: Callable[[], bool]
    """Whether this process was asked to stop. Long operations check it and release their work."""

    @classmethod
    def from_settings(cls, settings: Settings, stopping: Callable[[], bool] = lambda: False) -> Self:
        """Raises `Misconfigured` if the client id or the secret key is missing."""
        database = Database(settings.database, settings.stall_seconds)
        client_id = settings.require_client_id()
        return cls(
            settings=settings,
            database=database,
            gate=Gate(
                database.begin,
                client_id,
                Pace(_redis_url(settings), client_id, 90 if settings.api_rate == "auto" else settings.api_rate),
            ),
            spotify=SpotifyClient(settings.spotify_api_url, settings.api_timeout),
            accounts_client=AccountsClient(settings.spotify_accounts_url, client_id, settings.client_secret),
            vault=TokenVault(settings.secret_keys()),
            threads=ThreadPoolExecutor(settings.api_concurrency, thread_name_prefix="spotify"),
            recorder=CallRecorder(database, client_id),
            shapes=ShapeRecorder(database, client_id),
            stopping=stopping,
        )

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.shapes.close()
        self.database.close()


def _redis_url(settings: Settings) -> str | None:
    return redis_url(settings.backend, settings.sentinel_masters[1])


def in_transaction(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Context, P], T]:
    """Adapt a function of `store`: it takes the context instead of a connection and has a transaction of its own.

    After a deadlock it runs again, so it must change nothing but the database.
    """

    @wraps(work)
    def run(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return context.database.transact(lambda connection: work(connection, *args, **kwargs))

    return run
