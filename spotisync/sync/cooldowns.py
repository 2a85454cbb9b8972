"""List, set and clear cooldowns."""

from dataclasses import replace
from datetime import datetime

from spotisync.core.requests import LimitedFamily
from spotisync.store import accounts, cooldowns
from spotisync.store.cooldowns import Cooldown
from spotisync.sync.context import Context


def list_cooldowns(context: Context) -> list[Cooldown]:
    """Those of the default app, then those of the apps of accounts, which have a `developer`."""
    default = context.default_app.developer
    with context.database.begin() as connection:
        found = {
            each: cooldowns.list_active(connection, each) for each in accounts.list_developers(connection, default)
        }
    return [
        replace(cooldown, developer=None if developer == default else developer)
        for developer, blocks in found.items()
        for cooldown in blocks
    ]


def block(context: Context, family: LimitedFamily, seconds: int, account: str | None = None) -> tuple[datetime, str]:
    """Block a family at a person's request; return the end of its cooldown, which may be a longer one, and its reason.

    It is that of the app of this account, else of the default app. Raises `Unknown` if there is no such account.
    """
    with context.database.begin() as connection:
        app = context.apps.get(accounts.find_account(connection, account)) if account else context.default_app
        return cooldowns.block(connection, app.developer, family, seconds)


def clear(context: Context, family: str | None, account: str | None = None) -> list[str]:
    """Clear the cooldowns of one family or of all; return the families. The next sweep resumes parked runs.

    They are those of the app of this account, else of the default app. Raises `Unknown` if there is no such account.
    """
    with context.database.begin() as connection:
        app = context.apps.get(accounts.find_account(connection, account)) if account else context.default_app
        return cooldowns.clear(connection, app.developer, family)
