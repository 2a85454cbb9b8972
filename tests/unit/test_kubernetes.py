"""The manifests of deploy/kubernetes against Kubernetes' schemas, docker-compose.yml, the settings and the programs."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from celery.bin.celery import celery
from click.testing import CliRunner as ClickRunner
from typer.testing import CliRunner

from spotisync.cli.app import app as cli
from spotisync.settings import Settings
from tests.system.compose import ROOT, Service, load, seconds
from tests.unit.test_compose_file import DOCKERFILE, VARIABLES

PLACE = ROOT / "deploy" / "kubernetes"
Manifest = dict[str, Any]
# The servers are the user's own.
SERVERS = {"postgres_password", "valkey.conf"}


def read(name: str) -> list[Manifest]:
    """Return the manifests of a file, those of a list one by one."""
    found = list(yaml.safe_load_all((PLACE / name).read_text()))
    return [each for manifest in found for each in manifest.get("items", [manifest])]


KUSTOMIZATION = yaml.safe_load((PLACE / "kustomization.yaml").read_text())
APPLIED = [each for name in KUSTOMIZATION["resources"] for each in read(name)]
FILES = sorted(each.name for each in PLACE.glob("*.yaml") if each.name != "kustomization.yaml")
WORKLOADS = {
    each["metadata"]["name"].removeprefix("spotisync-"): each
    for each in APPLIED
    if each["kind"] in {"Deployment", "Job"}
}
COMPOSE = load({"SPOTIPY_CLIENT_ID": "mine"})
SERVICES: dict[str, Service] = {name: COMPOSE["services"][name] for name in WORKLOADS}
(CONFIG,) = (each["data"] for each in APPLIED if each["kind"] == "ConfigMap")


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = WORKLOADS[name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    (found,) = pod(name)["containers"]
    return dict(found)


def containers() -> Iterator[dict[str, Any]]:
    for name in WORKLOADS:
        yield from [*pod(name)["containers"], *pod(name).get("initContainers", [])]


def environment(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in found["env"]}


# ---- the manifests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.25", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", FILES)
def test_kubernetes_accepts_the_manifests(name: str, version: str) -> None:
    for manifest in read(name):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_all_files_but_the_examples_are_applied() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == [each for each in FILES if ".example." not in each]
    assert all(each["metadata"].keys() == {"name"} for each in APPLIED)  # the namespace is the user's choice


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_resolves_the_anchors_of_the_list() -> None:
    built = subprocess.run(["kubectl", "kustomize", PLACE], capture_output=True, check=True, text=True).stdout
    found = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(built)}
    assert len(found) == len(APPLIED)
    for each in APPLIED:
        assert found[each["kind"], each["metadata"]["name"]].get("spec") == each.get("spec")


def test_selectors_find_one_workload_each() -> None:
    labels = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in WORKLOADS.items()}
    assert {each["app.kubernetes.io/component"] for each in labels.values()} == WORKLOADS.keys()
    for each in APPLIED:
        selector = each.get("spec", {}).get("selector")
        if selector:
            name = each["metadata"]["name"].removeprefix("spotisync-")
            assert [at for at in labels if labels[at] == selector.get("matchLabels", selector)] == [name]


def test_services_and_the_ingress_lead_to_ports_of_containers() -> None:
    services = {each["metadata"]["name"]: each["spec"] for each in APPLIED if each["kind"] == "Service"}
    for name, service in services.items():
        (port,) = service["ports"]
        (open_port,) = container(name.removeprefix("spotisync-"))["ports"]
        assert (port["name"], port["port"]) == (port["targetPort"], open_port["containerPort"])
        assert port["targetPort"] == open_port["name"]
    (ingress,) = read("ingress.example.yaml")
    (rule,) = ingress["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend["port"]["name"] == services[backend["name"]]["ports"][0]["name"]
    assert rule["host"] in CONFIG["SPOTISYNC_ALLOWED_HOSTS"].split(",")
    assert CONFIG["SPOTIPY_REDIRECT_URI"].startswith(f"https://{rule['host']}/")


def test_pods_have_minimal_privileges() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert user
    for name in WORKLOADS:
        assert pod(name)["securityContext"]["runAsNonRoot"] is True
        assert pod(name)["securityContext"]["runAsUser"] == int(user[1])
        assert pod(name)["securityContext"]["fsGroup"] == int(user[2])
        assert pod(name)["automountServiceAccountToken"] is False
        # Otherwise the Services of the namespace would set variables that have the names of settings.
        assert pod(name)["enableServiceLinks"] is False
    for each in containers():
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert each["resources"]["requests"].keys() == {"cpu", "memory"}
        assert each["resources"]["limits"] == {"memory": "1Gi"}


# ---- like docker-compose.yml ----------------------------------------------------------------------------------------


def test_the_workloads_are_the_services_of_compose_but_the_servers() -> None:
    ours = {name for name, each in COMPOSE["services"].items() if each["image"].startswith("spotisync:")}
    assert WORKLOADS.keys() == {name for name in ours if "profiles" not in COMPOSE["services"][name]}
    assert {each["image"] for each in containers()} == {each["image"] for each in SERVICES.values()}
    # A number that is left out stays at 0 when the manifests are applied after an upgrade's `kubectl scale`.
    assert all(each["spec"]["replicas"] for each in WORKLOADS.values() if each["kind"] == "Deployment")
    (image,) = KUSTOMIZATION["images"]
    assert {f"{image['name']}:{image['newTag']}"} == {each["image"] for each in containers()}


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_runs_as_its_service_does(name: str) -> None:
    service, found = SERVICES[name], container(name)
    assert [each.replace("$$(", "$(") for each in found["command"]] == service["command"]
    files = {variable: value for variable, value in service["environment"].items() if variable.endswith("_FILE")}
    assert environment(found) == files
    (secrets,) = (each["secret"] for each in pod(name)["volumes"] if each["name"] == "secrets")
    assert [each["key"] for each in secrets["items"]] == service["secrets"]
    assert all(each["key"] == each["path"] for each in secrets["items"])
    if name != "migrate":
        assert pod(name)["terminationGracePeriodSeconds"] == seconds(service["stop_grace_period"])


def test_the_example_of_the_secret_has_all_keys() -> None:
    (secret,) = read("secret.example.yaml")
    assert secret["stringData"].keys() == COMPOSE["secrets"].keys() - SERVERS - {"valkey_conf"}
    assert {each["metadata"]["name"] for each in (secret, *read("settings.yaml"))} == {"spotisync"}


# ---- settings, programs, probes -------------------------------------------------------------------------------------


def test_variables_are_settings_with_valid_values(monkeypatch: pytest.MonkeyPatch) -> None:
    example = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert CONFIG.keys() <= VARIABLES & example
    for name, value in SERVICES["worker"]["environment"].items():
        if value and not name.endswith("_FILE") and name in CONFIG and name != "SPOTIPY_CLIENT_ID":
            assert CONFIG[name] == value
    for each in containers():
        assert {name.removesuffix("_FILE") for name in environment(each)} <= VARIABLES
    for name, value in CONFIG.items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None).allowed_hosts == CONFIG["SPOTISYNC_ALLOWED_HOSTS"]
    # Kubernetes adds these for the Services of a namespace, unless enableServiceLinks is false.
    monkeypatch.setenv("SPOTISYNC_FLOWER_PORT", "tcp://10.0.0.1:5555")
    with pytest.raises(ValueError, match="flower_port"):
        Settings(_env_file=None)


@pytest.mark.parametrize("name", WORKLOADS)
def test_programs_know_their_arguments(name: str) -> None:
    """`--help` is only reached if all other arguments are known."""
    words = container(name)["command"]
    program, *arguments = shlex.split(words[-1].partition(" exec ")[2]) if words[0] == "sh" else words
    if program == "spotisync":
        assert CliRunner().invoke(cli, [*arguments, "--help"]).exit_code == 0
    else:
        assert program == "celery"
        assert ClickRunner().invoke(celery, [*arguments, "--help"], obj={}).exit_code == 0


def test_pods_wait_for_migrations() -> None:
    source = (ROOT / "spotisync" / "cli" / "db.py").read_text()
    for name in WORKLOADS.keys() - {"migrate", "flower"}:
        (first,) = pod(name)["initContainers"]
        shell, phrase = first["command"][2], "up to date"
        assert f"spotisync db current | grep '{phrase}'" in shell
        assert f"The schema is {phrase}" in source
        assert environment(first) == environment(container("migrate"))


def test_health_is_probed_as_in_compose() -> None:
    for name in ("worker", "control", "playback", "beat"):
        found = container(name)
        (kind, shell), command = SERVICES[name]["healthcheck"]["test"], found["readinessProbe"]["exec"]["command"]
        assert (kind, command) == ("CMD-SHELL", ["sh", "-c", shell])
        # A restart brings no broker back.
        assert "10 minutes" in found["livenessProbe"]["exec"]["command"][-1]
    for name in ("web", "flower"):
        url = re.search(r"http://127.0.0.1:(\d+)(/\w+)", SERVICES[name]["healthcheck"]["test"][-1])
        assert url
        for probe in ("startupProbe", "livenessProbe"):
            assert container(name)[probe]["httpGet"]["path"] == url[2]
        assert container(name)["ports"] == [{"name": "http", "containerPort": int(url[1])}]
    assert container("flower")["readinessProbe"]["httpGet"]["path"] == "/healthcheck"
