"""What every use case needs, made once per process and handed in."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from spotisync.gate import Gate, Pace
from spotisync.gate.pace import redis_of
from spotisync.settings import Settings
from spotisync.spotify import Client, Login
from spotisync.store.accounts import Vault
from spotisync.store.database import Database
from spotisync.sync.calls import Book


@dataclass(frozen=True)
class Sync:
    settings: Settings
    database: Database
    gate: Gate
    client: Client
    login: Login
    vault: Vault
    threads: ThreadPoolExecutor
    book: Book
    stopping: Callable[[], bool]
    """Whether this process is asked to end: what takes long looks at it, and hands back what it has begun."""

    @classmethod
    def from_settings(cls, settings: Settings, stopping: Callable[[], bool] = lambda: False) -> Self:
        """Raises `Misconfigured` if the client id or the secret key is missing."""
        database = Database(settings.database)
        client_id = settings.require_client_id()
        return cls(
            settings=settings,
            database=database,
            gate=Gate(database.begin, client_id, Pace(redis_of(settings.backend), client_id, settings.api_rate)),
            client=Client(settings.spotify_api_url, settings.api_timeout),
            login=Login(settings.spotify_accounts_url, client_id, settings.client_secret),
            vault=Vault(settings.secret_keys()),
            threads=ThreadPoolExecutor(settings.api_concurrency, thread_name_prefix="spotify"),
            book=Book(database, client_id),
            stopping=stopping,
        )

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.database.close()
