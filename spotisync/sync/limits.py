"""Cooldowns, for a person to see and to end."""

from spotisync import gate
from spotisync.gate import Block
from spotisync.sync.context import Sync


def listed(sync: Sync) -> list[Block]:
    with sync.database.begin() as connection:
        return gate.read(connection, sync.settings.require_client_id())


def clear(sync: Sync, family: str | None) -> list[str]:
    """End them (of one family, or all); returns whose. Parked runs go on with the next sweep."""
    with sync.database.begin() as connection:
        return gate.clear(connection, sync.settings.require_client_id(), family)
