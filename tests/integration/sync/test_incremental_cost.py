"""The calls of an incremental, counted by the simulator: 10,000 tracks, 100 playlists."""

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from spotisync import status
from spotisync.simulator import Server, start
from spotisync.sync import Context, accounts
from tests.support import driver
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth


def requests(server: Server) -> list[str]:
    return [each["path"] for each in server.control.requests() if each["path"].startswith("/v1/")]


def incremental(server: Server, context: Context, account: Account) -> Counter[str]:
    server.control.reset_log()
    assert driver.incremental_sync(context, account)["status"] == "success"
    return Counter(path.removeprefix("/v1").partition("?")[0] for path in requests(server))


LOOK_UPS = ("/artists", "/albums")


def beyond_look_ups(spent: Counter[str]) -> int:
    return sum(count for path, count in spent.items() if path.rstrip("/") not in LOOK_UPS)


def fifteen_ties(server: Server) -> list[str]:
    """Return fifteen tracks that were saved in one minute long ago."""
    library = server.world.first
    at = library.saved[6_000][0]
    return [server.world.edit("insert_old", at=at)["track_id"] for _ in range(15)]


def saved(context: Context, account: Account) -> int:
    """Return the calls that the last run reports as saved."""
    with context.database.begin() as connection:
        newest = status.history(connection, account.name, 1)[0]
        return int(status.summary(connection, newest["sync_id"])["calls_saved"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_counts_the_calls_of_an_incremental(make_context: Callable[..., Context]) -> None:
    with start("medium", seed=11) as server:
        context = make_context(server)
        account = Account(accounts.add(context, server.refresh_token(), None).spotify_user_id)
        del server.world.first.playlists[100:]
        ties = fifteen_ties(server)
        driver.full_sync(context, account)
        incremental(server, context, account)
        spent = incremental(server, context, account)
        print("nothing changed:", dict(spent))
        assert sum(spent.values()) <= 6
        rng = Random(5)
        for _ in range(2):
            server.world.edit("unlike", rng=rng)
            spent = incremental(server, context, account)
            print("one removal:", dict(spent))
            assert sum(spent.values()) <= 15
        for _ in range(5):
            server.world.edit("unlike", rng=rng)
        spent = incremental(server, context, account)
        print("five removals:", dict(spent))
        assert sum(spent.values()) <= 48
        for id_ in ties:
            server.world.edit("unlike", track=id_)
        spent = incremental(server, context, account)
        print("fifteen ties:", dict(spent))
        assert sum(spent.values()) <= 17
        assert saved(context, account) >= 200
        for _ in range(20):
            server.world.random_edit(rng, ops=["like"])
        spent = incremental(server, context, account)
        print("new tracks:", dict(spent))
        assert beyond_look_ups(spent) <= 7
        assert_tables_equal_truth(context, account, server.world.truth(account.name))
