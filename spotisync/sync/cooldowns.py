"""Cooldowns, for a person to see and to end."""

from spotisync.store import cooldowns
from spotisync.store.cooldowns import Cooldown
from spotisync.sync.context import Context


def list_cooldowns(context: Context) -> list[Cooldown]:
    with context.database.begin() as connection:
        return cooldowns.list_active(connection, context.settings.require_client_id())


def clear(context: Context, family: str | None) -> list[str]:
    """End them (of one family, or all); returns whose. Parked runs go on with the next sweep."""
    with context.database.begin() as connection:
        return cooldowns.clear(connection, context.settings.require_client_id(), family)
