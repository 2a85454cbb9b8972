"""A worker loses one of its servers, or its host vanishes: another worker continues, and tables == truth."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from tests.hosts.cluster import Cluster, Machine
from tests.support.driver import Account
from tests.support.store import Store

pytestmark = pytest.mark.hosts

# Seconds. What the settings of a deployment and of `store/engine.py` allow, and what a busy machine adds.
LEASE, SWEEP = 20, 1
STALL = LEASE / 4
CONNECT_TIMEOUT, KEEPALIVE = 5, 40
# Of the broker's connections, see celeryconfig.py: a reply is overdue, which is looked for at intervals.
BROKER_TIMEOUT = 1 + 2 * 25
SLACK = 15


@dataclass(frozen=True)
class Started:
    """A full sync whose batch is at the worker `lost`, which waits for Spotify; `other` is idle."""

    account: Account
    lost: Machine
    other: Machine


def start(hosts: Cluster) -> Started:
    account = hosts.deployment.account()
    hosts.beat()
    lost = hosts.worker()
    hosts.hold_look_up()
    hosts.full_sync(account)
    hosts.await_held_look_up()
    return Started(account, lost, hosts.worker())


def test_a_worker_cut_off_from_postgres(cluster: Callable[..., Cluster]) -> None:
    hosts = cluster()
    run = start(hosts)
    hosts.cut(run.lost, hosts.site.db)
    hosts.release()
    taken_over = hosts.measure_progress()
    assert taken_over < LEASE + SWEEP + SLACK
    noticed = taken_over + hosts.measure(lambda: not hosts.count_connections(run.lost), "the end of the connections")
    ended = noticed + hosts.measure(lambda: not hosts.count_sessions(run.lost), "the end of the sessions")
    assert max(noticed, ended) < KEEPALIVE + SLACK
    hosts.finish(run.account)
    run.other.program.end()
    hosts.full_sync(run.account)
    hosts.join(run.lost, hosts.site.db)
    back = hosts.measure_progress()
    assert back < CONNECT_TIMEOUT + SLACK
    hosts.finish(run.account, 2)


def test_a_worker_cut_off_from_the_broker(cluster: Callable[..., Cluster]) -> None:
    hosts = cluster()
    run = start(hosts)
    hosts.cut(run.lost, hosts.site.broker)
    hosts.release()
    hosts.measure_progress()  # the batch of the held look-up
    taken_over = hosts.measure_progress()
    assert taken_over < STALL + SWEEP + SLACK
    hosts.finish(run.account)
    run.other.program.end()
    hosts.full_sync(run.account)
    hosts.join(run.lost, hosts.site.broker)
    back = hosts.measure_progress()
    assert back < BROKER_TIMEOUT + SLACK
    hosts.finish(run.account, 2)


def test_a_host_vanishes_during_a_commit(cluster: Callable[..., Cluster]) -> None:
    """It holds the locks of an account and of a run, and a claim whose lease is long."""
    hosts = cluster(lease_seconds=600)
    run, database = start(hosts), hosts.deployment.context.database
    with database.begin() as connection:
        connection.execute(text("LOCK TABLE artists IN SHARE ROW EXCLUSIVE MODE"))
        hosts.release()
        Store(database).wait_until_blocked_by(connection)
        hosts.site.network.unplug(run.lost.host)
    taken_over = hosts.measure_progress()
    ended = taken_over + hosts.measure(lambda: not hosts.count_sessions(run.lost), "the end of its sessions")
    assert max(taken_over, ended) < KEEPALIVE + SWEEP + SLACK
    hosts.finish(run.account)
