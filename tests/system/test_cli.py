"""The command line with real servers: exit codes, messages, JSON documents."""

import fcntl
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from spotisync.cli.app import app
from spotisync.sync import runs
from tests.support.waiting import wait_until
from tests.system.command_line import InProcess, Subprocess, bare_environment
from tests.system.programs import Deployment, environment


@pytest.fixture
def deployment(deploy: Callable[..., Deployment]) -> Deployment:
    return deploy(120)


@pytest.fixture
def cli(deployment: Deployment) -> InProcess:
    return InProcess(environment(deployment.settings))


@pytest.fixture
def shell(deployment: Deployment) -> Subprocess:
    """Run commands in a new process, with one account."""
    deployment.account()
    return Subprocess(environment(deployment.settings))


# ---- help -----------------------------------------------------------------------------------------------------------


def commands(group: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    for command in group.registered_commands:
        assert command.callback
        yield [*path, command.name or command.callback.__name__]
    for inner in group.registered_groups:
        assert inner.typer_instance
        yield from commands(inner.typer_instance, (*path, str(inner.name)))


@pytest.mark.parametrize("command", [each for each in commands(app) if each != ["simulator"]], ids=" ".join)
def test_the_help_of_each_command_has_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "100", "NO_COLOR": "1"})
    assert result.exit_code == 0
    assert f"spotisync {' '.join(command)}" in result.output.partition("Example: ")[2]


def test_help_lists_the_commands_and_version_prints_the_version() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert all(word in result.output for word in ("demo", "up", "accounts", "sync", "status", "limits", "psql", "db"))
    assert CliRunner().invoke(app, ["--version"]).output.startswith("spotisync 0.")


def test_the_simulator_command_has_its_own_options(cli: InProcess) -> None:
    result = cli("simulator", "--help")
    assert result.code == 0
    assert "--latency-ms" in result.out


def test_wrong_usage_exits_with_2(cli: InProcess) -> None:
    assert cli("sink").code == 2
    assert cli("sync", "full", "--never").code == 2
    assert cli("status", "--watch", "--json").code == 2
    assert cli("limits", "clear", "everything").code == 2


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_a_missing_client_id_is_an_error_with_a_remedy(deployment: Deployment) -> None:
    env = {name: value for name, value in environment(deployment.settings).items() if name != "SPOTIPY_CLIENT_ID"}
    for command in (["sync", "full"], ["up"]):
        result = InProcess(env)(*command)
        assert (result.code, result.out) == (2, "")
        assert "SPOTIPY_CLIENT_ID is not set" in result.err
    assert InProcess(env)("status").code == 0


def test_names_a_wrong_setting(deployment: Deployment) -> None:
    result = InProcess({**environment(deployment.settings), "SPOTISYNC_LEASE_SECONDS": "soon"})("status")
    assert result.code == 2
    assert "SPOTISYNC_LEASE_SECONDS" in result.err


def test_reports_an_embedded_server_that_is_not_running(tmp_path: Path) -> None:
    cli = InProcess(bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path), SPOTIPY_CLIENT_ID="some"))
    for command in (["status"], ["history", "--json"], ["db", "upgrade"], ["psql"]):
        result = cli(*command)
        assert (result.code, result.out) == (3, "")
        assert "Start it: spotisync up" in result.err
    for words in (["psql", "--demo"], ["--demo", "status"], ["status", "--demo"], ["export", "--demo", "x"]):
        result = cli(*words)
        assert result.code == 3
        assert "start it: spotisync demo" in result.err


def test_an_error_names_the_running_demo(tmp_path: Path) -> None:
    cli = InProcess(bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path), SPOTIPY_CLIENT_ID="some"))
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ("status", "doctor"):
            result = cli(command)
            assert result.code == 3
            assert "spotisync --demo status" in " ".join((result.out + result.err).split())
        assert "spotisync demo" not in cli("status", "--demo").err


def test_doctor_creates_nothing(tmp_path: Path) -> None:
    cli = InProcess(bare_environment(SPOTISYNC_DATA_DIR=str(tmp_path / "none"), SPOTIPY_CLIENT_ID="some"))
    assert cli("doctor").code == 3
    assert list(tmp_path.iterdir()) == []


def test_help_names_no_type_beside_a_flag() -> None:
    cli = InProcess(bare_environment())
    for command in ((), ("status",), ("sync", "full"), ("doctor",)):
        assert "bool" not in cli(*command, "--help").out.lower()


def test_reports_an_external_server_that_is_not_running(deployment: Deployment) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    result = InProcess({**environment(deployment.settings), "SPOTISYNC_DATABASE_URL": url})("status")
    assert result.code == 3
    assert "SPOTISYNC_DATABASE_URL" in result.err
    assert "Traceback" not in result.err


def test_prints_a_traceback_only_at_debug_level(cli: InProcess) -> None:
    assert "Traceback" not in cli("cancel", "77").err
    assert "Traceback" in InProcess({**cli.env, "SPOTISYNC_LOG_LEVEL": "DEBUG"})("cancel", "77").err


# ---- accounts -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_adds_and_removes_an_account(deployment: Deployment, cli: InProcess) -> None:
    assert "spotisync login" in cli("accounts", "list").out
    token, name = deployment.simulator.refresh_token(), next(iter(deployment.simulator.world.accounts))

    added = cli("accounts", "add", "--refresh-token-stdin", "--authorised-at", "2026-10-01T08:00:00Z", stdin=token)
    assert added.code == 0
    assert token not in added.out + added.err
    (listed,) = cli("accounts", "list", "--json").json
    assert (listed["spotify_user_id"], listed["status"]) == (name, "active")
    assert listed["authorised_at"].startswith("2026-10-01T08:00:00")

    assert cli("accounts", "disable", name).code == 0
    refused = cli("sync", "full")
    assert refused.code == 1
    assert "accounts enable" in refused.err
    assert cli("accounts", "enable", name).code == 0
    assert "active" in cli("accounts", "list").out

    assert cli("accounts", "remove", name).code == 1, "the removal was not confirmed"
    assert cli("accounts", "remove", name, "--yes").code == 0
    assert cli("accounts", "list", "--json").json == []
    assert cli("accounts", "remove", name, "--yes").code == 4, "there is no account"


def test_reports_a_token_that_spotify_rejects(cli: InProcess) -> None:
    result = cli("accounts", "add", "--refresh-token-stdin", stdin="AQD-not-a-token\n")
    assert result.code == 4
    assert "AQD-not-a-token" not in result.out + result.err
    assert "spotisync login" in result.err


def test_reports_that_spotify_is_unreachable(deployment: Deployment) -> None:
    env = {**environment(deployment.settings), "SPOTISYNC_SPOTIFY_ACCOUNTS_URL": "http://127.0.0.1:1"}
    result = InProcess(env)("accounts", "add", "--refresh-token-stdin", stdin="AQD-token")
    assert result.code == 3
    assert "Spotify can't be reached" in result.err


def test_adding_an_account_needs_a_token(cli: InProcess) -> None:
    assert cli("accounts", "add").code == 2
    assert cli("accounts", "add", "--refresh-token-stdin").code == 2
    assert cli("accounts", "add", "--refresh-token-stdin", "--authorised-at", "lately", stdin="AQD").code == 2
    assert cli("accounts", "add", "--refresh-token-stdin", "--authorised-at", "2999-01-01", stdin="AQD").code == 2


HOLD = """INSERT INTO listings (account_id, list, held_rows, held_sync_id) SELECT id, list, rows, 1 FROM accounts,
    (VALUES ('saved_tracks', 1097), ('playlists', 30)) AS held (list, rows)"""
CONFIRMED = "SELECT count(*) FROM listings WHERE removal_confirmed"


@pytest.mark.slow
def test_confirms_a_held_removal(deployment: Deployment, cli: InProcess, shell: Subprocess) -> None:
    (name,) = (each["spotify_user_id"] for each in cli("accounts", "list", "--json").json)
    command = ("accounts", "confirm-removal")
    assert cli(*command).code == 2
    assert "Unknown account 'nobody'" in cli(*command, "nobody", "--yes").err
    nothing = cli(*command, name, "--yes")
    assert (nothing.code, nothing.out) == (1, "")
    assert f"no removal of {name} has to be confirmed" in nothing.err

    runs.cancel(deployment.context, runs.trigger(deployment.context, name, "full", "cli").run.id)
    deployment.sql(HOLD)
    assert f"spotisync accounts confirm-removal {name}" in cli("status").out
    asked = cli(*command, name, stdin="n\n")
    assert (asked.code, "1,097 saved tracks" in asked.out, "30 playlists" in asked.out) == (1, True, True)
    assert deployment.scalar(CONFIRMED) == 0

    done = shell(*command, name, "--yes", "--json")
    assert done.code == 0, done.err
    assert "1,097 saved tracks" in done.err
    assert done.json["confirmed"] == {"saved_tracks": 1097, "playlists": 30}
    assert (done.json["account"], done.json["run"]["sync_type"]) == (name, "incremental")
    assert deployment.scalar(CONFIRMED) == 2
    again = shell(*command, name, "--yes")
    assert f"Joined run {done.json['run']['sync_id']}" in again.out
    assert "spotisync status --watch" in again.out


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_says_that_no_sync_has_run_yet(cli: InProcess) -> None:
    assert "No account yet" in cli("status").out
    assert "No sync has run yet" in cli("history").out
    assert cli("status", "--json").json["status"] is None
    assert cli("history", "--json").json == []
    assert "No account yet" in cli("sync", "full").err
    assert cli("status", "--account", "nobody").code == 4, "there is no account"


@pytest.mark.slow
def test_waits_for_a_sync(deployment: Deployment, cli: InProcess, shell: Subprocess) -> None:
    deployment.worker()
    result = shell("sync", "full", "--wait", "--json")
    assert result.code == 0, result.err
    summary = result.json
    assert (summary["status"], summary["items_deferred"]) == ("success", 0)
    assert summary["phases"].keys() == {"tracks", "artists", "albums", "playlists"}
    assert "Completed at" in result.err
    assert "Completed at" in cli("status").out
    (listed,) = cli("history", "--json").json
    assert (listed["sync_id"], listed["trigger"]) == (summary["sync_id"], "cli")
    assert "done" in cli("history", "--limit", "1").out
    assert cli("cancel", str(summary["sync_id"])).code == 1, "the run has ended"
    assert shell("resume", str(summary["sync_id"])).code == 1

    again = shell("sync", "full", "--wait")
    assert again.code == 0
    assert "started" in again.out
    assert "Expected cost: about " in again.out.splitlines()[0]
    assert "of about 600 left today)" in again.out.splitlines()[0]
    assert "Completed at" in again.out


@pytest.mark.slow
def test_joins_cancels_and_resumes_a_run_without_a_worker(cli: InProcess, shell: Subprocess) -> None:
    run = shell("sync", "full", "--json", "--idempotency-key", "k").json
    assert run["status"] == "in_progress"
    name = str(run["sync_id"])
    assert "Waiting for a worker" in cli("status").out
    assert shell("sync", "full", "--idempotency-key", "k", "--json").json["sync_id"] == run["sync_id"]
    assert "Joined run" in shell("sync", "full").out

    assert cli("cancel", name).code == 0
    assert cli("cancel", name).code == 0, "repeating it is not an error"
    assert f"spotisync resume {name}" in cli("status").out
    assert cli("status", "--json").json["status"] == "cancelled"

    assert "resumed" in shell("resume", name).out
    assert "Joined" in shell("resume", name).out
    assert cli("status", "--json").json["status"] == "in_progress"
    assert [cli(command, "77").code for command in ("cancel", "resume")] == [2, 2]


@pytest.mark.slow
def test_resumes_a_run_and_waits_for_it(deployment: Deployment, cli: InProcess, shell: Subprocess) -> None:
    name = str(shell("sync", "full", "--json").json["sync_id"])
    cli("cancel", name)
    deployment.worker()
    result = shell("resume", name, "--wait")
    assert result.code == 0
    assert "Completed at" in result.out


@pytest.mark.slow
def test_without_premium_the_cure_is_said_once_and_never_to_resume(deployment: Deployment, shell: Subprocess) -> None:
    deployment.worker()
    deployment.simulator.control.settings(premium=False)
    synced = shell("sync", "full", "--wait")
    assert synced.code == 1
    for said in (synced.out + synced.err, shell("status").out):
        assert said.count("Spotify refuses all requests of this app") == 1, said
        assert " ".join(said.split()).count("subscribe to Premium with the account that owns the app") == 1, said
        assert "esume" not in said


@pytest.mark.slow
def test_reports_a_sync_that_fails(deployment: Deployment, shell: Subprocess) -> None:
    deployment.worker()
    deployment.simulator.control.add_fault(kind="status", status=403, path="/v1/me/", times=None)
    result = shell("sync", "full", "--wait")
    assert result.code == 1
    assert "Failed: Spotify answered 403" in result.out
    assert "spotisync resume" in result.out


@pytest.mark.slow
def test_reports_a_sync_that_needs_a_login(deployment: Deployment, shell: Subprocess) -> None:
    deployment.worker()
    deployment.simulator.control.revoke(access=True)
    result = shell("sync", "full", "--wait", "--json")
    assert result.code == 4
    assert result.json["status"] == "failed"
    refused = shell("sync", "full")
    assert refused.code == 4
    assert "spotisync login" in refused.err


@pytest.mark.slow
def test_stores_a_sync_without_a_broker_and_starts_it_later(
    deployment: Deployment, cli: InProcess, shell: Subprocess
) -> None:
    """The run is in Postgres, so the command succeeds: exit code 3 means that nothing could be done."""
    away = Subprocess({**shell.env, "SPOTISYNC_BROKER_URL": "redis://127.0.0.1:1"})
    with away.start("sync", "full", "--wait") as waiting:
        deployment.beat()
        deployment.worker()
        assert waiting.stdout
        result = waiting.stdout.read()
        assert waiting.wait(60) == 0, "the command did what was requested"
    assert "The broker can't be reached. Run 1 is stored" in result
    assert "Completed at" in result
    assert cli("status", "--json").json["status"] == "success"


@pytest.mark.slow
def test_ctrl_c_leaves_the_run_active(deployment: Deployment, cli: InProcess, shell: Subprocess) -> None:
    with shell.start("sync", "full", "--wait") as waiting:
        assert waiting.stdout
        assert "Expected cost" in waiting.stdout.readline()
        assert "started" in waiting.stdout.readline()
        assert "Waiting for a worker" in waiting.stdout.readline()
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(60) == 130
    assert cli("status", "--json").json["status"] == "in_progress"
    deployment.worker()
    wait_until(lambda: cli("status", "--json").json["status"] == "success", "the end of the run")


@pytest.mark.slow
def test_works_with_several_accounts(deployment: Deployment, cli: InProcess, shell: Subprocess) -> None:
    deployment.sql("INSERT INTO accounts (spotify_user_id, status) VALUES ('second', 'active')")
    which = shell("sync", "full")
    assert which.code == 1
    assert "More than one account" in which.err
    run = shell("sync", "full", "--account", "second", "--json").json
    assert run["account"] == "second"
    assert [(each["account"], each["status"]) for each in cli("status", "--json").json][1:] == [
        ("second", "in_progress")
    ]
    assert cli("status", "--account", "second", "--json").json["sync_id"] == run["sync_id"]
    assert cli("history", "--account", next(iter(deployment.simulator.world.accounts)), "--json").json == []


@pytest.mark.slow
def test_watches_status_until_ctrl_c(cli: InProcess, shell: Subprocess) -> None:
    shell("sync", "full")
    with shell.start("status", "--watch") as watching:
        assert watching.stdout
        assert "Waiting for a worker" in watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0


# ---- limits, tables, prompt -----------------------------------------------------------------------------------------


def test_lists_and_clears_cooldowns(deployment: Deployment, cli: InProcess) -> None:
    assert "No cooldowns" in cli("limits", "list").out
    for family in ("artists", "*"):
        deployment.sql(
            """INSERT INTO rate_limits (client_id, family, blocked_until, reason)
            VALUES ('simulated', :family, now() + interval '1 hour', 'quota')""",
            family=family,
        )
    assert {each["family"] for each in cli("limits", "list", "--json").json} == {"artists", "*"}
    words = cli("limits", "list").out
    assert "All requests blocked until" in words
    assert "Artist look-ups blocked until" in words
    assert "Cleared: artists" in cli("limits", "clear", "artists").out
    assert [each["family"] for each in cli("limits", "list", "--json").json] == ["*"]
    assert "Cleared: *" in cli("limits", "clear").out
    assert cli("limits", "list", "--json").json == []
    assert "No cooldowns to clear" in cli("limits", "clear", "*").out


def test_blocks_a_family_by_hand(deployment: Deployment, cli: InProcess) -> None:
    account = deployment.account()
    assert "Library reads blocked until" in cli("limits", "set", "library", "--for", "2h").out
    (found,) = cli("limits", "list", "--json").json
    assert (found["family"], found["reason"], round(found["seconds"], -2)) == ("library", "manual", 7200)
    assert "by hand, with spotisync limits set" in cli("limits", "list").out
    assert "blocked until" in cli("limits", "set", "library", "--for", "30m").out
    assert round(cli("limits", "list", "--json").json[0]["seconds"], -2) == 7200
    assert "by hand (to end it: spotisync limits clear)" in " ".join(cli("status").out.split())
    for wrong, words in (("2 weeks", "not a duration"), ("25h", "24 hours")):
        refused = cli("limits", "set", "library", "--for", wrong)
        assert refused.code == 2
        assert words in " ".join(refused.err.replace("│", " ").split())
    deployment.sql("UPDATE rate_limits SET reason = 'quota'")
    assert ", as before: Spotify quota used up" in cli("limits", "set", "library", "--for", "1m").out
    assert cli("limits", "set", "player", "--for", "1d", "--account", "nobody").code == 2
    deployment.sql("UPDATE accounts SET client_id = 'theirs'")
    assert cli("limits", "set", "player", "--for", "1d", "--account", account.name).code == 0
    assert deployment.sql("SELECT client_id FROM rate_limits WHERE family = 'player'") == [("theirs",)]


@pytest.mark.slow
def test_a_sync_ends_a_wait_for_the_budget(deployment: Deployment, shell: Subprocess) -> None:
    deployment.account()
    assert "Expected cost: unknown before the first sync." in shell("sync", "full").out
    deployment.sql(
        "UPDATE sync_history SET status = 'rate_limited', asked = false, not_before = now() + interval '2 hours'"
    )
    assert "continues within seconds, with the reserve of the budget" in shell("sync", "full").out
    assert deployment.sql("SELECT asked, not_before FROM sync_history") == [(True, None)]
    assert "with the reserve" not in shell("sync", "full").out


def test_shows_the_budget(deployment: Deployment, cli: InProcess) -> None:
    account = deployment.account()
    deployment.sql(
        "INSERT INTO call_ledger SELECT 'simulated', 'library', date_trunc('minute', now()), id, 312 FROM accounts"
    )
    found = cli("budget", "--json").json
    library = next(each for each in found["developers"][0]["families"] if each["family"] == "library")
    assert (library["spent"], library["ceiling"], library["source"]) == (312, 600, "assumed")
    words = cli("budget", "--account", account.name).out
    assert "312 of an assumed 600 calls spent in 24 h" in " ".join(words.split())
    assert words.isascii()
    assert cli("budget", "--account", "nobody").code == 2
    help_ = " ".join(cli("budget", "--help").out.replace("│", " ").split())
    assert all(word in help_ for word in ("learned:", "assumed:", "reserved"))


@pytest.mark.slow
def test_says_why_a_parked_run_waits(deployment: Deployment, cli: InProcess, shell: Subprocess) -> None:
    deployment.worker()
    deployment.simulator.control.add_fault(kind="status", status=429, retry_after=3600, family="library", times=1)
    run = shell("sync", "full", "--json").json
    wait_until(lambda: cli("status", "--json").json["status"] == "rate_limited", "the run to be parked")
    words = " ".join(cli("status").out.split())  # at any line break
    assert "Paused until" in words
    assert "(1 h): Spotify quota for library reads" in words
    assert "Only library reads are blocked" in words
    assert cli("limits", "clear").code == 0
    deployment.beat()
    wait_until(lambda: cli("status", "--json").json["status"] == "success", f"the end of run {run['sync_id']}")


def test_creates_and_drops_the_tables(empty_database_url: str, deployment: Deployment) -> None:
    cli = InProcess({**environment(deployment.settings), "SPOTISYNC_DATABASE_URL": empty_database_url})
    assert "spotisync db upgrade" in cli("db", "current").out
    without = cli("status")
    assert without.code == 1
    assert "spotisync db upgrade" in without.err
    assert "The schema is up to date" in cli("db", "upgrade").out
    assert cli("db", "upgrade").code == 0
    assert cli("status").code == 0
    assert "at revision none" in cli("db", "downgrade", "base").out
    assert cli("db", "downgrade", "no-such-revision").code == 2


def test_opens_a_prompt_on_the_database(shell: Subprocess) -> None:
    result = shell("psql", "-At", "-c", "SELECT count(*) FROM accounts")
    assert (result.code, result.out) == (0, "1\n")


def test_psql_uses_the_time_zone_of_the_settings(deployment: Deployment) -> None:
    chosen = {**environment(deployment.settings), "SPOTISYNC_TIMEZONE": "Asia/Kathmandu"}
    for given, used in (({}, "Asia/Kathmandu"), ({"PGTZ": "Europe/Berlin"}, "Europe/Berlin")):
        assert Subprocess({**chosen, **given})("psql", "-At", "-c", "SHOW timezone").out == f"{used}\n"
