"""The clocks of hosts differ by minutes: waits last as long as they must, and nothing is late or lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.hosts.cluster import Cluster

LIBRARY: Final = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
]
# Seconds. `STALL`: until sweep publishes a message again that a worker holds for too long by its clock.
COOLDOWN, PARKED = 8, 15
STALL, SWEEP, SLACK = 5, 1, 15


def shift(seconds: int) -> dict[str, str]:
    """The environment of a process on a host whose clock is wrong by that much."""
    return {"LD_PRELOAD": str(LIBRARY), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.mark.parametrize("ahead", [(90,), (90, -90)])
def test_waits_with_wrong_clocks(ahead: tuple[int, ...], cluster: Callable[..., Cluster]) -> None:
    """A short wait, which is a countdown, and a long one, which ends with a sweep that beat sends."""
    hosts = cluster(max_countdown=10)
    account, control = hosts.deployment.account(), hosts.deployment.simulator.control
    hosts.beat()
    for seconds in ahead:
        hosts.worker(**shift(seconds))
    control.add_fault(status=429, retry_after=COOLDOWN, retry_date=True, path="/v1/me/tracks", after=2)
    control.add_fault(status=429, retry_after=PARKED, path="/v1/me/playlists")
    hosts.full_sync(account)
    hosts.finish(account)
    short, parked = measure_pauses(control.requests())
    assert COOLDOWN - 1 <= short < COOLDOWN + STALL + SWEEP + SLACK  # an HTTP date has whole seconds
    assert PARKED <= parked < PARKED + SWEEP + SLACK


def measure_pauses(requests: list[dict[str, Any]]) -> list[float]:
    """Seconds from each 429 to the next request that began more than one second later."""
    times = sorted((each["time"], each["status"]) for each in requests if each["path"].startswith("/v1/"))
    return [next(later for later, _ in times if later > time + 1) - time for time, status in times if status == 429]
