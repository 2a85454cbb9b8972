"""A library that is edited while workers read it."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from spotisync.simulator import World
from tests.support.truth import assert_tables_equal_truth
from tests.system.programs import Deployment

EDITS = ["like", "unlike", "relike", "like_album", "add_items", "remove_items", "reorder_items", "rename_playlist"]
LIST_EDITS = ["create_playlist", "delete_playlist", "move_playlist"]


def edit_before_each_request(deployment: Deployment, rng: Random) -> Callable[[], None]:
    """Make one or twenty edits before every other reply of the Web API. Return a function that stops this."""
    api: Any = deployment.simulator.app.api
    answer, world = api.answer, deployment.simulator.world

    def edited(*args: Any) -> Any:
        for _ in range(rng.choice((0, 0, 1, 1, 2, 20))):
            edit(world, rng)
        return answer(*args)

    api.answer = edited
    return lambda: setattr(api, "answer", answer)


def edit(world: World, rng: Random) -> None:
    if rng.random() < 0.3:
        world.edit("move_playlist", rng=rng, to=rng.randrange(len(world.first.playlists) - 1))
    world.random_edit(rng, ops=EDITS if rng.random() < 0.7 else LIST_EDITS)


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    deployment = deploy(160, tracks_batch_size=100)
    deployment.beat()
    deployment.worker()
    return deployment


def test_workers_sync_a_library_that_changes(deployment: Deployment) -> None:
    """Two runs while the library changes, the second with rows to remove, and one run without changes."""
    world, account = deployment.simulator.world, deployment.account()
    for _ in range(60):  # a list of two pages
        world.edit("create_playlist", tracks=[])
    world.snapshot_lag = 30
    stop = edit_before_each_request(deployment, Random(4))
    for _ in range(2):
        assert run_full_sync(deployment, account.name)["status"] == "success"
    stop()
    world.clock_offset += 60
    summary = run_full_sync(deployment, account.name)
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert_tables_equal_truth(deployment.context, account, world.truth(account.name))


def run_full_sync(deployment: Deployment, account: str) -> dict[str, Any]:
    summary: dict[str, Any] = deployment.foreign.send_task(
        "spotisync.full_sync", kwargs={"account": account}, queue="spotisync.sync"
    ).get(timeout=120)
    return summary
