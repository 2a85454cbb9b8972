"""One wrong reply about the contents of a playlist: no hole may stay, although the snapshot has not changed."""

from typing import Any

import pytest

from spotisync.simulator import Server
from spotisync.sync import Context
from tests.support import driver
from tests.support.driver import Account
from tests.support.parameters import mostly_slow
from tests.support.truth import assert_tables_equal_truth


def longest(simulator: Server) -> str:
    found = simulator.world.truth()["playlist_items"]
    return str(max(found, key=lambda id_: len(found[id_])))


# Wrong replies of Spotify, each with the page that gets it.
LIES = [
    (r"offset=100", {"kind": "ignored_offset", "times": 1}),
    (r"offset=0&", {"kind": "empty_list", "times": 2}),
    (r"offset=150", {"kind": "ignored_offset", "times": 1}),
    (r"offset=0&", {"kind": "empty_list", "times": 1}),
    (r"offset=100", {"kind": "empty_list", "times": 1}),
]


@pytest.mark.parametrize("lie", mostly_slow(LIES, 2))
@pytest.mark.parametrize("known", mostly_slow([True, False]))
def test_contents_after_a_lie_are_repaired(
    known: bool, lie: tuple[str, Any], context: Context, simulator: Server, account: Account
) -> None:
    id_, (query, rule) = longest(simulator), lie
    if known:
        driver.full_sync(context, account)
        simulator.world.edit("rename_playlist", playlist=id_)
    simulator.control.add_fault(path=rf"/playlists/{id_}/items\?.*{query}", **rule)
    driver.full_sync(context, account)
    assert simulator.control.faults()[0]["struck"] >= 1
    for _ in range(2):
        driver.full_sync(context, account)
    assert_tables_equal_truth(context, account, simulator.world.truth(account.name))
