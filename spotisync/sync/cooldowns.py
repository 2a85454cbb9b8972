"""List and clear cooldowns."""

from spotisync.store import cooldowns
from spotisync.store.cooldowns import Cooldown
from spotisync.sync.context import Context


def list_cooldowns(context: Context) -> list[Cooldown]:
    with context.database.begin() as connection:
        return cooldowns.list_active(connection, context.default_app.developer)


def clear(context: Context, family: str | None) -> list[str]:
    """Clear the cooldowns of one family or of all; return the families. The next sweep resumes parked runs."""
    with context.database.begin() as connection:
        return cooldowns.clear(connection, context.default_app.developer, family)
