"""A pace costs no calls: what a batch can't send in time is sent once, later."""

from collections.abc import Callable

import pytest

from spotisync.gate import Pace, pace
from spotisync.simulator import start
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account


def count_calls(make_context: Callable[..., Context], rate: int) -> tuple[int, int]:
    """The calls of a full sync, and the batches that had to wait."""
    with start(400, seed=5) as simulator:
        context = make_context(simulator, tracks_batch_size=200)
        context.default_app.gate._pace = Pace(None, "paced", rate, window=1.0)
        account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
        driver.full_sync(context, account)
        with context.database.begin() as connection:
            waits = connection.exec_driver_sql("SELECT COALESCE(sum(attempt), 0) FROM run_events WHERE kind = 'wait'")
            found = len(simulator.control.requests()), waits.scalar_one()
            for table in ("accounts", "playlists", "tracks", "albums", "artists", "apps"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
            return found


def test_a_sync_with_a_pace_makes_no_more_calls(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PATIENCE", 0.05)
    unpaced, paced = count_calls(make_context, 0), count_calls(make_context, 10)
    assert unpaced[1] == 0
    assert paced[1] >= 3, "batches have waited"
    assert paced[0] <= unpaced[0]
