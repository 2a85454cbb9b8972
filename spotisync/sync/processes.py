"""The timeline of unfinished runs says when all processes were stopped and started."""

from spotisync.store import events
from spotisync.store.database import Database


def record_start(database: Database) -> None:
    database.transact(events.add_start_of_processes)


def record_stop(database: Database) -> None:
    database.transact(events.add_stop_of_processes)
