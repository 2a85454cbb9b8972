"""The state together with its edits, its listeners, its truth and its privacy export."""

from dataclasses import replace
from datetime import UTC, tzinfo
from random import Random
from typing import Any

from spotisync.simulator.world import editor, listening
from spotisync.simulator.world.listeners import Listeners
from spotisync.simulator.world.state import WorldState
from spotisync.simulator.world.streaming_history import ROWS_PER_FILE, account_data, archive
from spotisync.simulator.world.truth import Truth


class World(WorldState):
    def __init__(
        self,
        library: str | int = "small",
        *,
        seed: int = 1,
        accounts: int = 1,
        libraries: int | None = None,
        others: int | None = None,
        quirks: bool = True,
    ) -> None:
        super().__init__(library, seed=seed, accounts=accounts, libraries=libraries, others=others, quirks=quirks)
        self._listeners = Listeners(self)

    def start_rhythm(self, kind: str, account: str | None = None, *, seed: int = 1, since: float | None = None) -> None:
        """Let an account play and edit from now on (or `since`) by one of `rhythms.KINDS`, instead of its old rhythm.

        Events are applied, with their own times, before the first request, edit or reading of the truth after them.
        """
        with self.lock:
            self._listeners.start(self.library(account), kind, seed, self.now() if since is None else since)

    def catch_up(self) -> None:
        """Make all plays and edits of the rhythms happen that are due."""
        with self.lock:
            self._listeners.catch_up()

    def edit(self, op: str, account: str | None = None, rng: Random | None = None, **args: Any) -> dict[str, Any]:
        self.catch_up()
        return editor.edit(self, op, account, rng, **args)

    def random_edit(
        self, rng: Random | None = None, account: str | None = None, ops: list[str] | None = None
    ) -> dict[str, Any]:
        self.catch_up()
        return editor.random_edit(self, rng, account, ops)

    def export(self, account: str | None = None, *, rows_per_file: int = 50, shuffled: bool = False) -> bytes:
        """Return the zip file of an account's extended streaming history; `shuffled`, as Spotify sent it until 2022."""
        with self.lock:
            self.catch_up()
            return archive(self.catalogue, self.library(account), rows_per_file, shuffled=shuffled)

    def listening_history(self, account: str | None = None, *, zone: tzinfo = UTC) -> bytes:
        """Return the zip file of four invented years of plays up to now, with the account's own; see `listening`."""
        with self.lock:
            self.catch_up()
            library = self.library(account)
            plays = listening.list_plays(self.catalogue, library, self.now(), zone)
            return archive(self.catalogue, replace(library, plays=plays), ROWS_PER_FILE, shuffled=False)

    def account_data(self, account: str | None = None) -> bytes:
        """Return the zip file with the last year's history, which has names instead of ids, and minutes."""
        with self.lock:
            self.catch_up()
            return account_data(self.catalogue, self.library(account))

    def truth(self, account: str | None = None, *, regime: str = "full") -> dict[str, Any]:
        """Return what a correct sync of this account stores, as a JSON document.

        `edits`: those that its rhythm has made, each with its time `at` in seconds since the epoch.
        """
        with self.lock:
            self.catch_up()
            library = self.library(account)
            document = Truth(self, library, restricted=regime == "restricted").document()
            return document | {"edits": self._listeners.edits.get(library.id, [])}
