"""What happened in a run is what the run has counted; the document's facts beside the run; who is woken, and who is not."""

import json
import os
from collections.abc import Callable
from typing import Any

from spotisync import status
from spotisync.settings import Settings
from spotisync.simulator import Server
from spotisync.sync import Sync
from tests.drive import Account, full_sync, incremental_sync, start, step, run_to_end
from tests.store.conftest import Store


def test_example(sync: Sync, account: Account, store: Store, simulator: Server) -> None:
    store.sql("DELETE FROM accounts WHERE spotify_user_id = 'me'")
    first = full_sync(sync, account)
    simulator.world.edit("like"); simulator.world.edit("unlike")
    incremental_sync(sync, account)
    run = start(sync, account)
    simulator.control.add_fault(kind="status", status=503, path="/v1/me/tracks", times=4)
    simulator.control.add_fault(kind="status", status=429, retry_after=7200, path="/v1/me/tracks", times=4)
    step(sync, run); 
    run_to_end(sync, run)
    with sync.database.begin() as connection:
        document = status.look(connection, sync.settings)
        events = status.timeline(connection, run.id)
        out = {"document": document, "timeline": events, "folded": status.fold(status.timeline(connection, first["sync_id"])), "totals": status.totals(connection, run.id)}
    open(os.environ["OUT"], "w").write(json.dumps(out, indent=1))
