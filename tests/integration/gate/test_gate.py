"""The gate: cooldowns are extended and never shortened, and every process notices them within a second."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from spotisync.core.pace import Turn
from spotisync.core.requests import Family, Request
from spotisync.errors import Unavailable, Wait
from spotisync.gate import Gate
from spotisync.gate.gate import CACHE_SECONDS
from spotisync.gate.pace import Pace
from spotisync.simulator import Server
from spotisync.stack.postgres import Postgres
from spotisync.store import migrate
from spotisync.store.cooldowns import clear
from spotisync.store.database import Connection
from spotisync.sync import Context, accounts
from tests.conftest import QUICK, settings_for
from tests.support import driver
from tests.support.driver import Account
from tests.support.store import CLIENT, Store
from tests.support.waiting import wait_until


@pytest.fixture
def gate(store: Store) -> Gate:
    return Gate(store.database.begin, CLIENT)


def seconds(store: Store, family: str) -> int:
    """The remaining seconds of the cooldown of a family, rounded."""
    found = store.one(
        "SELECT EXTRACT(epoch FROM blocked_until - clock_timestamp()) FROM rate_limits WHERE family = :f", f=family
    )
    return round(float(found))


def over(store: Store) -> None:
    store.sql("UPDATE rate_limits SET blocked_until = now() - interval '1 second'")


def pass_a_second(gate: Gate) -> None:
    """What the gate knows becomes a second older."""
    gate._read_at -= 1


def test_without_a_cooldown_no_family_is_blocked(gate: Gate) -> None:
    for family in ("library", "artists", "albums", "playlists"):
        gate.check_cooldown(family)


def test_a_rate_limit_blocks_every_family(gate: Gate, store: Store) -> None:
    wait = gate.record_429("artists", "20", quota=False)
    assert isinstance(wait, Wait)
    assert (wait.family, wait.reason) == ("artists", "rate")
    for family in ("library", "artists", "albums", "playlists"):
        with pytest.raises(Wait, match=f"requests of {family} wait until"):
            gate.check_cooldown(family)
    assert abs(seconds(store, "*") - 20) <= 1


@pytest.mark.parametrize(("header", "quota"), [("3600", False), ("10", True), ("3600", True)])
def test_a_quota_blocks_only_its_family(gate: Gate, header: str, quota: bool) -> None:
    assert gate.record_429("artists", header, quota=quota).reason == "quota"
    gate.check_cooldown("albums")
    with pytest.raises(Wait, match="quota"):
        gate.check_cooldown("artists")


def test_a_cooldown_is_extended_and_never_shortened(gate: Gate, store: Store) -> None:
    for header, expected in (("20", 20), ("50", 50), ("5", 50), ("55", 55)):
        gate.record_429("library", header, quota=False)
        assert abs(seconds(store, "*") - expected) <= 2
    assert store.one("SELECT retry_after FROM rate_limits") == 55


def test_a_shorter_cooldown_does_not_change_the_reason_of_a_longer_one(gate: Gate, store: Store) -> None:
    gate.record_429("artists", "7200", quota=True)
    wait = gate.record_429("artists", None, quota=True)
    assert wait.reason == "quota"
    assert abs(seconds(store, "artists") - 7200) <= 2


def test_the_longer_of_two_cooldowns_counts(gate: Gate) -> None:
    gate.record_429("artists", "7200", quota=True)
    gate.record_429("library", "20", quota=False)
    block = gate.find_block("artists")
    assert block
    assert block.seconds > 7000
    library = gate.find_block("library")
    assert library
    assert library.seconds <= 20


def test_notices_a_cooldown_changed_in_sql_within_a_second(gate: Gate, store: Store) -> None:
    assert gate.find_block("library") is None
    store.block("library")
    pass_a_second(gate)
    assert gate.find_block("library") is not None
    over(store)
    pass_a_second(gate)
    assert gate.find_block("library") is None


def test_another_process_notices_a_cooldown_within_a_second(gate: Gate, store: Store) -> None:
    other = Gate(store.database.begin, CLIENT)
    assert other.find_block("artists") is None
    gate.record_429("artists", "30", quota=False)
    assert gate.find_block("artists") is not None
    pass_a_second(other)
    assert other.find_block("artists") is not None


def test_ignores_the_cooldown_of_another_app(gate: Gate, store: Store) -> None:
    Gate(store.database.begin, "another").record_429("library", "30", quota=False)
    assert gate.find_block("library") is None


def test_a_cooldown_survives_a_restart(gate: Gate, store: Store) -> None:
    gate.record_429("library", "30", quota=False)
    with pytest.raises(Wait):
        Gate(store.database.begin, CLIENT).check_cooldown("library")


@pytest.mark.parametrize(
    ("quota", "family", "waits"), [(False, "*", (30, 60, 120, 240)), (True, "artists", (3600, 7200, 14400))]
)
def test_without_a_header_the_wait_doubles_if_it_was_too_short(
    gate: Gate, store: Store, quota: bool, family: str, waits: Any
) -> None:
    for wanted in waits:
        gate.record_429("artists", None, quota=quota)
        assert abs(seconds(store, family) - wanted) <= 2
        over(store)


def test_concurrent_requests_that_hit_one_limit_do_not_double_it(gate: Gate, store: Store) -> None:
    for family in ("artists", "artists", "albums", "library"):
        gate.record_429(family, None, quota=False)
    assert abs(seconds(store, "*") - 30) <= 2
    over(store)
    for _ in range(4):
        gate.record_429("artists", None, quota=False)
    assert abs(seconds(store, "*") - 60) <= 2


def test_a_header_resets_the_doubling(gate: Gate, store: Store) -> None:
    for header, wanted in ((None, 30), (None, 60), ("5", 5), (None, 30)):
        gate.record_429("artists", header, quota=False)
        assert abs(seconds(store, "*") - wanted) <= 2
        over(store)


def test_a_guess_from_long_ago_is_not_doubled(gate: Gate, store: Store) -> None:
    gate.record_429("artists", None, quota=False)
    store.sql("UPDATE rate_limits SET blocked_until = now() - interval '1 hour'")
    gate.record_429("artists", None, quota=False)
    assert abs(seconds(store, "*") - 30) <= 2


def test_clearing_cooldowns_resets_the_doubling(gate: Gate, store: Store) -> None:
    families: tuple[Family, ...] = ("artists", "albums")
    for family in families:
        gate.record_429(family, None, quota=True)
    with store.database.begin() as connection:
        assert clear(connection, CLIENT, "artists") == ["artists"]
        assert clear(connection, CLIENT, "library") == []
    pass_a_second(gate)
    assert gate.find_block("artists") is None
    assert gate.find_block("albums")
    gate.record_429("artists", None, quota=True)
    assert abs(seconds(store, "artists") - 3600) <= 2
    with store.database.begin() as connection:
        assert clear(connection, CLIENT, None) == ["albums", "artists"]
    assert store.one("SELECT count(*) FROM rate_limits") == 0


class SlowPace(Pace):
    """A Redis that answers seconds late. Meanwhile another process records a cooldown."""

    def __init__(self, store: Store) -> None:
        super().__init__(None, CLIENT, 0)
        self.other = Gate(store.database.begin, CLIENT)
        self.turns = 0

    def take_turn(self, _: Family) -> Turn:
        self.turns += 1
        if self.turns == 2:
            self.other.record_429("library", "3600", quota=True)
            time.sleep(CACHE_SECONDS + 0.1)
        return Turn(0.0, 1)


def test_a_cooldown_recorded_while_a_turn_was_taken_blocks_the_request(store: Store) -> None:
    gate = Gate(store.database.begin, CLIENT, SlowPace(store))
    gate.enter("library")
    with pytest.raises(Wait, match="quota"):
        gate.enter("library")


# ---- Postgres is away ------------------------------------------------------------------------------------------------


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that a test may stop. A short path, because of sockets."""
    path = Path(tempfile.mkdtemp(prefix="spotisync-", dir="/tmp"))
    path.chmod(0o755)
    postgres = Postgres(path / "data", path / "run", QUICK).start().wait_ready()
    try:
        migrate.upgrade(postgres.url)
        yield postgres
    finally:
        postgres.stop()
        shutil.rmtree(path, ignore_errors=True)


def test_a_429_that_arrives_while_postgres_is_away_is_kept_and_stored(
    own_postgres: Postgres, directory: Path, simulator: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context.from_settings(settings_for(own_postgres.url, directory, simulator.url))
    store = Store(context.database)
    account = Account(accounts.add(context, simulator.refresh_token(), None).spotify_user_id)
    run = driver.start(context, account)
    simulator.control.add_fault(kind="status", status=429, retry_after=600, path="/v1/me/tracks", times=None)
    get = context.spotify.get

    def stop_postgres(request: Request, token: str) -> Any:
        own_postgres.stop()
        return get(request, token)

    monkeypatch.setattr(context.spotify, "get", stop_postgres)
    with closing(context):
        with pytest.raises(Unavailable):
            driver.step(context, run)
        sent = len(simulator.control.requests())
        with pytest.raises(Wait) as waiting:
            context.default_app.gate.enter("library")
        assert waiting.value.until > datetime.now(UTC) + timedelta(seconds=590)
        own_postgres.start().wait_ready()
        wait_until(lambda: store.sql("SELECT 1 FROM rate_limits"), "the cooldown to be stored")
        assert 550 < seconds(store, "library") <= 600
        wait_until(lambda: not context.default_app.gate._unsaved, "the process to forget it")
        driver.step(context, run)
        assert len(simulator.control.requests()) == sent
        assert driver.get_run(context, run).status == "rate_limited"


class OutageGate(Gate):
    """A gate whose database is away while `away` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(self._connect, CLIENT)
        self.store, self.away = store, False

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        if self.away:
            raise Unavailable("the database can't be reached")
        with self.store.database.begin() as connection:
            yield connection

    def record_during_outage(self, family: Family, header: str | None, *, quota: bool) -> Wait:
        self.away = True
        return self.record_429(family, header, quota=quota)

    def end_outage(self) -> None:
        self.away = False
        wait_until(lambda: not self._unsaved, "the cooldowns to be stored")


@pytest.fixture
def outage(store: Store) -> Iterator[OutageGate]:
    gate = OutageGate(store)
    yield gate
    gate.end_outage()


def test_a_kept_cooldown_blocks_only_its_family(outage: OutageGate) -> None:
    assert outage.record_during_outage("artists", "3600", quota=True).reason == "quota"
    with pytest.raises(Wait, match="quota"):
        outage.check_cooldown("artists")
    with pytest.raises(Unavailable):
        outage.check_cooldown("albums")


def test_a_kept_cooldown_does_not_shorten_a_longer_stored_one(outage: OutageGate, store: Store) -> None:
    store.block("artists", 7200)
    outage.record_during_outage("artists", "3600", quota=True)
    outage.end_outage()
    assert abs(seconds(store, "artists") - 7200) <= 2


def test_a_cooldown_stored_late_ends_when_spotify_said(
    outage: OutageGate, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=500), usegmt=True)
    for family, header in (("artists", "500"), ("albums", date)):
        outage.record_during_outage(family, header, quota=True)  # type: ignore[arg-type]
    real = time.monotonic
    monkeypatch.setattr("spotisync.gate.gate.time.monotonic", lambda: real() + 100)
    outage.end_outage()
    assert abs(seconds(store, "artists") - 400) <= 2
    assert abs(seconds(store, "albums") - 400) <= 2


def test_a_cooldown_that_ends_during_the_outage_is_forgotten(outage: OutageGate, store: Store) -> None:
    outage.record_during_outage("library", "1", quota=False)
    wait_until(lambda: not outage._unsaved, "the end of the cooldown")
    outage.end_outage()
    assert store.sql("SELECT 1 FROM rate_limits") == []
