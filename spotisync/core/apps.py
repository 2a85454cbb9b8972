"""Spotify apps: the default one, from the settings, and those of accounts."""

from collections.abc import Callable
from dataclasses import dataclass, field

from spotisync.settings import Settings


@dataclass(frozen=True)
class App:
    """`developer`: its owner, by whom Spotify counts quotas and rate limits. Without a secret, PKCE is used."""

    client_id: str
    developer: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class AppOwner:
    """An account's own app, as stored: the secret is encrypted. Without a client id, the account uses the default app.

    Columns of `accounts`; rows that are joined with that table inherit them.
    """

    own_client_id: str | None = None
    own_client_secret: str | None = field(default=None, repr=False)
    own_developer: str | None = None

    def get_app(self, default: App, decrypt: Callable[[str], str] | None = None) -> App:
        """The app that the account uses, without its own secret unless `decrypt` is given."""
        if self.own_client_id is None:
            return default
        secret = decrypt(self.own_client_secret) if decrypt and self.own_client_secret else None
        return App(self.own_client_id, self.own_developer or self.own_client_id, secret)

    def get_own_app(self, decrypt: Callable[[str], str]) -> App | None:
        """The account's own app with its secret; None: it uses the default app."""
        return self.get_app(App("", ""), decrypt) if self.own_client_id else None

    def find_app(self, default: App | None) -> App | None:
        """As `get_app`, without the secret. None: the account uses the default app, and there is none."""
        return self.get_app(default or App("", "")) if default or self.own_client_id else None


def get_default_app(settings: Settings) -> App:
    """Raises `Misconfigured` without a client id."""
    client_id = settings.require_client_id()
    return App(client_id, settings.developer or client_id, settings.client_secret)


def find_default_app(settings: Settings) -> App | None:
    return get_default_app(settings) if settings.client_id else None
