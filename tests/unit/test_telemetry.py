"""When traces are sent, and that a process without them loads nothing of OpenTelemetry."""

import logging
import os
import subprocess
import sys
from typing import Any

import pytest

from spotisync import telemetry
from spotisync.cli.checks import check_telemetry
from spotisync.settings import Settings

# Not its API and metrics, which redis-py and FastAPI import where they are installed.
FOREIGN = ("opentelemetry.exporter", "opentelemetry.instrumentation", "google.protobuf", "spotisync.telemetry.sdk")
ENDPOINT = {"otel_exporter_otlp_endpoint": "http://127.0.0.1:4318"}


def settings_with(**changes: Any) -> Settings:
    return Settings(_env_file=None, client_id="me", **changes)


def test_a_process_without_traces_imports_nothing_of_opentelemetry() -> None:
    program = (
        "import sys, spotisync.tasks, spotisync.celery, spotisync.cli.context\n"
        "from spotisync import telemetry\n"
        "from spotisync.settings import settings\n"
        "off = {'otel_sdk_disabled': 'true', 'otel_exporter_otlp_endpoint': 'http://127.0.0.1:4318'}\n"
        "for chosen in (settings(), settings().model_copy(update=off)):\n"
        "    telemetry.start(chosen, lambda sync_id: None)\n"
        "assert telemetry.begin_run(1, 'full', 'cli') is None\n"
        "telemetry.add_event('parked', seconds=1)\n"
        "with telemetry.within('00-1-1-01'):\n"
        "    telemetry.set_attributes(items=1)\n"
        "telemetry.stop()\n"
        f"print([name for name in sys.modules if name.startswith({FOREIGN})])\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", program], env=kept, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variables", "requested"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"otel_exporter_otlp_traces_endpoint": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"otel_traces_exporter": "console"}, True),
        ({"otel_traces_exporter": "none", **ENDPOINT}, False),
        ({"otel_sdk_disabled": "True", **ENDPOINT}, False),
        ({"otel_sdk_disabled": "false", **ENDPOINT}, True),
    ],
)
def test_the_standard_variables_decide(variables: dict[str, str], requested: bool) -> None:
    assert telemetry.is_requested(settings_with(**variables)) is requested


PROBLEMS = [
    ({"otel_traces_exporter": "otlp, jaeger"}, "OTEL_TRACES_EXPORTER names jaeger. Use otlp, console or none"),
    ({"otel_exporter_otlp_protocol": "grpc", **ENDPOINT}, "not sent by grpc. Set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="),
]


@pytest.mark.parametrize(("variables", "problem"), PROBLEMS)
def test_a_wrong_variable_is_explained_and_stops_nothing(
    variables: dict[str, str], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_with(**variables)
    with caplog.at_level(logging.WARNING):
        telemetry.start(settings)
    assert problem in caplog.text
    (finding,) = check_telemetry(settings)
    assert finding.state == "warning"
    assert f"{finding.message}. {finding.cure}" == telemetry.find_problem(settings)


def test_missing_packages_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "spotisync.telemetry.sdk", raising=False)
    monkeypatch.delattr(telemetry, "sdk", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.instrumentation.celery", None)
    telemetry.start(settings_with(**ENDPOINT))
    assert "opentelemetry.instrumentation.celery is not installed. Run: pip install 'spotisync[otel]'" in caplog.text
    (finding,) = check_telemetry(settings_with(**ENDPOINT))
    assert (finding.state, finding.cure) == ("warning", "Run: pip install 'spotisync[otel]'")


def test_doctor_says_that_traces_are_sent_and_nothing_without_them() -> None:
    assert list(check_telemetry(settings_with())) == []
    assert [each.state for each in check_telemetry(settings_with(**ENDPOINT))] == ["ok"]


def test_an_error_of_the_sdk_stops_nothing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from spotisync.telemetry import sdk

    def fail(*_: Any) -> None:
        raise ValueError("a broken plugin")

    monkeypatch.setattr(sdk, "start", fail)
    telemetry.start(settings_with(**ENDPOINT))
    assert "no traces are sent: OpenTelemetry can't be set up" in caplog.text
    assert telemetry.begin_run(1, "full", "cli") is None
