"""The probes of deploy/kubernetes, sent to the application."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from spotisync.settings import Settings
from spotisync.web import create_app
from tests.unit.test_kubernetes import CONFIG, container
from tests.web.conftest import TOKEN
from tests.web.served import served
from tests.web.test_health import use


def test_probes_pass_host_and_token_checks(
    make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web, token = container("web"), tmp_path / "api_token"
    token.write_text(TOKEN + "\n")
    use(monkeypatch, "memory://")
    hosts = CONFIG["SPOTISYNC_ALLOWED_HOSTS"]
    application = create_app(make_settings("http://127.0.0.1:9", api_token=TOKEN, allowed_hosts=hosts))
    python, *arguments = web["readinessProbe"]["exec"]["command"]
    assert python == "python"
    with served(application) as url:

        def ready() -> int:
            code = arguments[1].replace("http://127.0.0.1:8420", url).replace("/run/secrets/api_token", str(token))
            return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode

        assert ready() == 0
        token.write_text("another")
        assert ready() == 1
        probe = web["livenessProbe"]["httpGet"]
        headers = {each["name"]: each["value"] for each in probe["httpHeaders"]}
        assert httpx.get(url + probe["path"], headers=headers).status_code == 200
        assert httpx.get(url + probe["path"], headers={"Host": "10.0.0.7:8420"}).status_code == 421
