"""The Spotify apps of a process: each has its own recorders, and those of one developer share a gate."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

from spotisync.core.apps import App, AppOwner, get_default_app
from spotisync.gate import Gate, Pace
from spotisync.gate.shared_log import redis_url
from spotisync.settings import Settings
from spotisync.spotify import AccountsClient
from spotisync.store.accounts import TokenVault
from spotisync.store.database import Database
from spotisync.sync.calls import CallRecorder
from spotisync.sync.reply_shapes import ShapeRecorder


@dataclass(frozen=True)
class SpotifyApp:
    """An app as this process uses it. Cooldowns and the call ledger are those of its developer."""

    identity: App
    gate: Gate
    recorder: CallRecorder
    shapes: ShapeRecorder
    make_client: Callable[[], AccountsClient] = field(repr=False)

    @property
    def client_id(self) -> str:
        return self.identity.client_id

    @property
    def developer(self) -> str:
        return self.identity.developer

    @cached_property
    def accounts_client(self) -> AccountsClient:
        """Raises `Misconfigured` if the app's secret was encrypted with another key."""
        return self.make_client()


class Apps:
    """The apps in use, made when first needed and then reused. Thread-safe."""

    def __init__(self, settings: Settings, database: Database, vault: TokenVault) -> None:
        self._settings = settings
        self._database = database
        self._vault = vault
        self._lock = threading.Lock()
        self._gates: dict[str, Gate] = {}
        self._own: dict[tuple[str, str | None, str | None], SpotifyApp] = {}
        self._default_app = get_default_app(settings)
        self.default = self._make(self._default_app, AppOwner())

    def get(self, owner: AppOwner) -> SpotifyApp:
        """The app that the account uses. A changed secret makes a new one."""
        if owner.own_client_id is None:
            return self.default
        key = (owner.own_client_id, owner.own_client_secret, owner.own_developer)
        with self._lock:
            if key not in self._own:
                self._own[key] = self._make(owner.get_app(self._default_app), owner)
            return self._own[key]

    def name_app(self, client_id: str, client_secret: str | None, developer: str | None) -> App | None:
        """An account's own app; None if it is the default one."""
        default = self._default_app
        if client_id == default.client_id and client_secret in {None, default.client_secret}:
            return None
        known = default.developer if client_id == default.client_id else client_id
        return App(client_id, developer or known, client_secret)

    def close(self) -> None:
        with self._lock:
            for app in (self.default, *self._own.values()):
                app.shapes.close()

    def _make(self, app: App, owner: AppOwner) -> SpotifyApp:
        return SpotifyApp(
            identity=App(app.client_id, app.developer),
            gate=self._get_gate(app.developer),
            recorder=CallRecorder(self._database, app.client_id, app.developer),
            shapes=ShapeRecorder(self._database, app.client_id),
            make_client=partial(self._make_client, owner),
        )

    def _make_client(self, owner: AppOwner) -> AccountsClient:
        return self.make_client(owner.get_own_app(self._vault.decrypt))

    def make_client(self, own: App | None) -> AccountsClient:
        """The accounts service for an app that no account uses yet; None: for the default app."""
        app = own or self._default_app
        return AccountsClient(self._settings.spotify_accounts_url, app.client_id, app.client_secret)

    def _get_gate(self, developer: str) -> Gate:
        if developer not in self._gates:
            self._gates[developer] = Gate(self._database.begin, developer, self._make_pace(developer))
        return self._gates[developer]

    def _make_pace(self, developer: str) -> Pace:
        settings = self._settings
        redis = redis_url(settings.backend, settings.sentinel_masters[1])
        is_default = developer == self._default_app.developer
        return Pace(redis, developer, settings.api_rate, is_default=is_default)
