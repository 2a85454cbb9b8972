"""Beat on two hosts, one of which is cut off from the broker and joined again: each due time is taken once."""

from collections.abc import Callable

import pytest

from tests.hosts.cluster import PATIENCE, Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.hosts

ACCOUNTS, ROUNDS, HOUR = 3, 3, 3600


def make_due(hosts: Cluster) -> None:
    """Make all schedules due, and wait until they have run."""
    hosts.deployment.sql("UPDATE schedules SET due_at = now() - interval '1 second'")
    unfinished = """SELECT FROM schedules WHERE due_at <= now()
        UNION ALL SELECT FROM sync_history WHERE completed_at IS NULL"""
    wait_until(lambda: not hosts.deployment.sql(unfinished), "the schedules to run", PATIENCE)


def test_two_beats_make_no_call_twice(cluster: Callable[..., Cluster]) -> None:
    hosts = cluster(60, accounts=ACCOUNTS, incremental_interval=HOUR, playback_interval=HOUR)
    deployment, control = hosts.deployment, hosts.deployment.simulator.control
    accounts = [deployment.account(number) for number in range(ACCOUNTS)]
    beats = [hosts.beat(), hosts.beat()]
    hosts.worker()
    hosts.worker()
    known = "SELECT FROM schedules"
    wait_until(lambda: len(deployment.sql(known)) == 2 * ACCOUNTS, "the schedules", PATIENCE)
    make_due(hosts)
    ((runs, last),) = deployment.sql("SELECT count(*), max(id) FROM sync_history")
    wait_until(lambda: control.counters()["families"].get("player", 0) == ACCOUNTS, "the first reads of plays")
    control.reset_log()

    make_due(hosts)
    hosts.cut(beats[0], hosts.site.broker)
    make_due(hosts)
    hosts.join(beats[0], hosts.site.broker)
    sent = beats[0].log().count("Sending due task")
    wait_until(lambda: beats[0].log().count("Sending due task") > sent, "the beat that was cut off", PATIENCE)
    make_due(hosts)

    wait_until(lambda: control.counters()["families"].get("player", 0) >= ROUNDS * ACCOUNTS, "the reads of plays")
    calls = deployment.scalar("SELECT sum(api_calls) FROM sync_history WHERE id > :last", last=last)
    counters = control.counters()
    assert counters["families"]["player"] == ROUNDS * ACCOUNTS
    assert counters["total"] == ROUNDS * ACCOUNTS + calls
    hosts.finish(accounts[0], runs + ROUNDS * ACCOUNTS)
