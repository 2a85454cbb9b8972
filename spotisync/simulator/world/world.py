"""The state together with its edits, its truth and its privacy export."""

from random import Random
from typing import Any

from spotisync.simulator.world import editor
from spotisync.simulator.world.state import WorldState
from spotisync.simulator.world.streaming_history import account_data, archive
from spotisync.simulator.world.truth import Truth


class World(WorldState):
    def edit(self, op: str, account: str | None = None, rng: Random | None = None, **args: Any) -> dict[str, Any]:
        return editor.edit(self, op, account, rng, **args)

    def random_edit(
        self, rng: Random | None = None, account: str | None = None, ops: list[str] | None = None
    ) -> dict[str, Any]:
        return editor.random_edit(self, rng, account, ops)

    def export(self, account: str | None = None, *, rows_per_file: int = 50, shuffled: bool = False) -> bytes:
        """Return the zip file of an account's extended streaming history; `shuffled`, as Spotify sent it until 2022."""
        with self.lock:
            return archive(self.catalogue, self.library(account), rows_per_file, shuffled=shuffled)

    def account_data(self, account: str | None = None) -> bytes:
        """Return the zip file with the last year's history, which has names instead of ids, and minutes."""
        with self.lock:
            return account_data(self.catalogue, self.library(account))

    def truth(self, account: str | None = None, *, regime: str = "full") -> dict[str, Any]:
        """Return what a correct sync of this account stores, as a JSON document."""
        with self.lock:
            return Truth(self, self.library(account), restricted=regime == "restricted").document()
