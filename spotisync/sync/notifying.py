"""What people are told: noticed, taken by one process at a time, and noted when it has reached them."""

from collections.abc import Callable

from spotisync.store import notices
from spotisync.store.database import Connection
from spotisync.store.notices import Fact, Notice
from spotisync.sync.context import Sync

# A batch that is due is with a worker in milliseconds, and sweep looks every few seconds.
STUCK_SECONDS = 900
Words = Callable[[Connection, Fact], tuple[str, str]]


def notice(sync: Sync, words: Words) -> None:
    """Keep what is to be told, in the words (title, text) of this moment. At any time one process does so."""
    with sync.database.begin() as connection:
        if not notices.only_one(connection):
            return
        client_id, after = sync.settings.require_client_id(), sync.settings.notify_after
        for fact in [*notices.over(connection), *notices.facts(connection, client_id, after, STUCK_SECONDS)]:
            notices.add(connection, fact, *words(connection, fact))


def take(sync: Sync) -> Notice | None:
    with sync.database.begin() as connection:
        return notices.take(connection)


def told(sync: Sync, notice: Notice, digest: str) -> None:
    with sync.database.begin() as connection:
        notices.told(connection, notice, digest)


def done(sync: Sync, notice: Notice) -> None:
    with sync.database.begin() as connection:
        notices.done(connection, notice)
