"""Prometheus' own tool on the alert rules, the dashboard's expressions and the exposed metrics."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.exposition import generate_latest

from spotisync.store import migrate
from spotisync.store.budgets import Developer
from spotisync.store.database import Database
from spotisync.web.ops import metrics
from tests.system.compose import ROOT

PROGRAM = shutil.which("promtool")
pytestmark = [pytest.mark.servers, pytest.mark.skipif(PROGRAM is None, reason="promtool is not installed")]
RULES = ROOT / "deploy" / "prometheus"


def promtool(*words: str | Path, typed: bytes = b"") -> None:
    done = subprocess.run([str(PROGRAM), *words], input=typed, cwd=RULES, capture_output=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_the_alert_rules_are_valid() -> None:
    promtool("check", "rules", "--lint-fatal", "alerts.yml")


def test_the_alerts_fire_and_end_as_they_should() -> None:
    promtool("test", "rules", "alerts.test.yml")


def test_the_expressions_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    panels = json.loads((ROOT / "deploy" / "grafana" / "spotisync.json").read_text())["panels"]
    expressions = [
        each["expr"].replace("$__rate_interval", "5m") for panel in panels for each in panel.get("targets", [])
    ]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_the_exposed_metrics_follow_prometheus_conventions(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    database = Database(empty_database_url)
    with database.begin() as connection:
        scrape = metrics.read(connection, Developer("simulated", "simulated", {"library": 300}), {"spotisync.sync": 3})
    database.close()
    promtool("check", "metrics", typed=generate_latest(scrape))
