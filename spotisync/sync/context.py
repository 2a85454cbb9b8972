"""What every use case needs, created once per process."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, Self, TypeVar

from spotisync.settings import Settings
from spotisync.spotify import SpotifyClient
from spotisync.store import accounts
from spotisync.store.accounts import TokenVault
from spotisync.store.database import Connection, Database
from spotisync.sync.apps import Apps, SpotifyApp

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    settings: Settings
    database: Database
    spotify: SpotifyClient
    vault: TokenVault
    apps: Apps
    threads: ThreadPoolExecutor
    stopping: Callable[[], bool]
    """Whether this process was asked to stop. Long operations check it and release their work."""

    @classmethod
    def from_settings(cls, settings: Settings, stopping: Callable[[], bool] = lambda: False) -> Self:
        """Raises `Misconfigured` if the client id or the secret key is missing."""
        database = Database(settings.database, settings.stall_seconds)
        settings.require_client_id()
        vault = TokenVault(settings.secret_keys())
        return cls(
            settings=settings,
            database=database,
            spotify=SpotifyClient(settings.spotify_api_url, settings.api_timeout),
            vault=vault,
            apps=Apps(settings, database, vault),
            threads=ThreadPoolExecutor(settings.api_concurrency, thread_name_prefix="spotify"),
            stopping=stopping,
        )

    @property
    def default_app(self) -> SpotifyApp:
        """The app of the settings, which accounts without an app of their own use."""
        return self.apps.default

    def get_app(self, account_id: int) -> SpotifyApp:
        """The app that the account uses. Rows with the account's columns need no query: see `Apps.get`."""
        with self.database.begin() as connection:
            owner = accounts.get_tokens(connection, account_id)
        return self.apps.get(owner)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.apps.close()
        self.database.close()


def in_transaction(work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Context, P], T]:
    """Adapt a function of `store`: it takes the context instead of a connection and has a transaction of its own.

    After a deadlock it runs again, so it must change nothing but the database.
    """

    @wraps(work)
    def run(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return context.database.transact(lambda connection: work(connection, *args, **kwargs))

    return run
