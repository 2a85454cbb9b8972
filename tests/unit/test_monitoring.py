"""The dashboards and the alert rules use metrics that exist, and the runbook has an entry for each alert."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import yaml

from spotisync.core.histograms import BATCH_SECONDS, REQUEST_SECONDS
from spotisync.status.metrics import GAUGES
from spotisync.web.ops.metrics import COUNTERS, PREFIX, QUEUES
from tests.system.compose import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in (DEPLOY / "grafana").iterdir()}
DASHBOARD = DASHBOARDS["spotisync"]
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [each["expr"] for panel in PANELS for each in panel["targets"]]
SELECTOR = re.compile(rf"({PREFIX}\w+)(?:\{{(.*?)\}})?")


def exposed() -> Iterator[tuple[str, Mapping[str, Sequence[str]]]]:
    """Yield each sample name with its labels, and their values as far as they are fixed."""
    yield f"{PREFIX}build_info", {"version": ()}
    for counter in COUNTERS:
        yield f"{PREFIX}{counter.name}_total", counter.labels
    for gauge in (*GAUGES, QUEUES):
        yield PREFIX + gauge.name, dict.fromkeys(gauge.labels, ())
    for histogram in (BATCH_SECONDS, REQUEST_SECONDS):
        yield f"{PREFIX}{histogram.name}_bucket", {**histogram.labels, "le": ()}
        yield f"{PREFIX}{histogram.name}_sum", histogram.labels
        yield f"{PREFIX}{histogram.name}_count", histogram.labels


METRICS = dict(exposed())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_use_metrics_and_labels_that_exist(expression: str) -> None:
    found = SELECTOR.findall(expression)
    assert found
    labels: dict[str, Sequence[str]] = {}
    for name, matchers in found:
        labels |= METRICS[name]
        for label, pattern in re.findall(r'(\w+)=~?"(.*?)"', matchers):
            values = METRICS[name][label]
            assert set(pattern.split("|")) <= set(values) or not values
    for names in re.findall(r"by \((.*?)\)", expression):
        assert set(names.split(", ")) <= labels.keys()


def test_the_dashboard_shows_every_metric() -> None:
    shown = {name for panel in PANELS for each in panel["targets"] for name, _ in SELECTOR.findall(each["expr"])}
    # Started runs end, undelivered notifications raise an alert, and the version is not a measurement.
    left_out = {f"{PREFIX}{name}" for name in ("runs_started_total", "notices_pending", "build_info")}
    assert METRICS.keys() - shown == left_out | {f"{PREFIX}request_seconds_sum"}


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_panels_have_a_place_of_their_own_and_the_chosen_data_source(dashboard: dict[str, Any]) -> None:
    every = dashboard["panels"]
    assert len({each["id"] for each in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for place in (each["gridPos"] for each in every):
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    variable, *_ = dashboard["templating"]["list"]
    for panel in (each for each in every if each["type"] != "row"):
        sources = [panel["datasource"], *(each["datasource"] for each in panel["targets"])]
        assert all(each == {"type": variable["query"], "uid": f"${{{variable['name']}}}"} for each in sources)


def test_each_legend_names_a_label_of_its_expression() -> None:
    for each in (target for panel in PANELS for target in panel["targets"]):
        labels = {label for name, _ in SELECTOR.findall(each["expr"]) for label in METRICS[name]}
        assert set(re.findall(r"\{\{(\w+)\}\}", each["legendFormat"])) <= labels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_each_alert_has_an_entry_in_the_runbook_and_a_test(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.*)$", (ROOT / path).read_text(), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()
    tests = yaml.safe_load((DEPLOY / "prometheus" / "alerts.test.yml").read_text())["tests"]
    cases = [case for each in tests for case in each["alert_rule_test"] if case["alertname"] == rule["alert"]]
    assert any(case.get("exp_alerts") for case in cases)


def test_the_runbook_names_no_other_alert() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    names = {rule["alert"] for rule in RULES}
    assert set(re.findall(r"^## (.*)$", text, re.MULTILINE)) == names
    assert set(re.findall(r"\(#(\w+)\)", text)) <= {name.lower() for name in names}
