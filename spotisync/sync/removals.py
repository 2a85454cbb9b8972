"""Confirm held removals: of most rows of a list at once, which may be an error of Spotify."""

from dataclasses import dataclass

from spotisync.errors import Fatal
from spotisync.store import listings
from spotisync.sync import runs
from spotisync.sync.context import Context
from spotisync.sync.runs import Trigger, Triggered


@dataclass(frozen=True)
class ConfirmedRemovals:
    """The number of rows by list, and the sync that was started or joined to remove them."""

    rows: dict[str, int]
    triggered: Triggered


def confirm(context: Context, account: str | None, by: Trigger) -> ConfirmedRemovals:
    """Confirm the account's held removals and start an incremental sync, or neither.

    The sync removes only rows that Spotify still does not list. A joined run that has already read the list leaves the
    removal to the next one. Raises `Unknown` if there is no such account, `NeedsLogin` or `Fatal` if it can't be
    synced, `Fatal` if nothing is held.
    """
    with context.database.begin() as connection:
        # The run before the list, in the order of a batch's commit, which would otherwise deadlock with this.
        triggered = runs.find_or_create(connection, account, "incremental", by)
        rows = listings.confirm_removals(connection, triggered.run.account_id)
        if not rows:
            raise Fatal(nothing_held_message(triggered.run.account))
        return ConfirmedRemovals(rows, triggered)


def nothing_held_message(account: str) -> str:
    return f"no removal of {account} has to be confirmed. Show the state: spotisync status --account {account}"
