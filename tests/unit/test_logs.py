"""Log lines have their bound fields and no token."""

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from contextvars import copy_context
from pathlib import Path
from typing import Any, Literal

import pytest
from celery import Celery

import spotisync.celery
from spotisync import logs
from spotisync.settings import Settings

log = logging.getLogger("spotisync.test_logs")


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # Otherwise `configure` would close pytest's handlers.
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def configured(stream: io.StringIO, form: Literal["json", "text"] | None, level: Any = "INFO") -> io.StringIO:
    with redirect_stderr(stream):
        logs.configure(Settings(_env_file=None, log_format=form, log_level=level, data_dir=Path("/nowhere")))
    return stream


def test_a_json_line_has_the_bound_fields() -> None:
    stream = configured(io.StringIO(), "json")
    with logs.bind(sync_id=7, account="user01"), logs.bind(phase="tracks", batch=3):
        log.info("batch %s", "in")
    log.info("outside")
    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert inside.pop("time").endswith("+00:00")
    assert inside == {
        "level": "INFO",
        "logger": "spotisync.test_logs",
        "message": "batch in",
        "sync_id": 7,
        "account": "user01",
        "phase": "tracks",
        "batch": 3,
    }
    assert "sync_id" not in outside


def test_a_text_line_has_the_bound_fields() -> None:
    stream = configured(io.StringIO(), "text")
    with logs.bind(sync_id=7, phase="tracks"):
        log.warning("careful")
    log.warning("outside")
    inside, outside = stream.getvalue().splitlines()
    assert inside.endswith("WARNING spotisync.test_logs: careful  [sync_id=7 phase=tracks]")
    assert outside.endswith("spotisync.test_logs: outside")


def test_a_thread_with_a_copied_context_logs_its_fields() -> None:
    stream = configured(io.StringIO(), "json")
    with logs.bind(run=7, batch=3), ThreadPoolExecutor(2) as threads:
        for each in [threads.submit(copy_context().run, log.info, "from a library") for _ in range(2)]:
            each.result()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["run"], line["batch"]) for line in lines] == [(7, 3)] * 2


def test_lines_of_a_task_have_its_fields_and_later_lines_do_not() -> None:
    assert spotisync.celery.app  # the import connects the signals
    app = Celery("elsewhere", set_as_current=False)

    @app.task(name="one")
    def one(**_: Any) -> None:
        with logs.bind(run=7):
            logs.add_task_fields(account="user01")
        log.info("in the task")

    stream = configured(io.StringIO(), "json")
    one.apply(kwargs={"sync_id": 7, "phase": "tracks", "seq": 0, "account": None}, task_id="id-1")
    logs.add_task_fields(account="nobody")
    log.info("after it")
    *lines, after = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["logger"] for line in lines] == ["spotisync.test_logs", "celery.app.trace"]
    for line in lines:
        fields = [line[name] for name in ("run", "phase", "batch", "account", "task_id")]
        assert fields == [7, "tracks", 0, "user01", "id-1"]
    assert {"run", "task_id", "account"} & set(after) == set()


def test_a_line_break_in_a_field_stays_on_the_line() -> None:
    stream = configured(io.StringIO(), "text")
    with logs.bind(account="x\n2026 ERROR forged"):
        log.info("hello")
    assert len(stream.getvalue().splitlines()) == 1


def test_bound_fields_are_removed_after_an_exception() -> None:
    stream = configured(io.StringIO(), "json")
    with pytest.raises(LookupError), logs.bind(sync_id=7):
        raise LookupError
    log.info("after")
    assert "sync_id" not in json.loads(stream.getvalue())


def test_an_exception_is_one_json_line_with_its_traceback() -> None:
    stream = configured(io.StringIO(), "json")
    try:
        raise LookupError("not\nthere \ud800")  # noqa: TRY301
    except LookupError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "LookupError: not\nthere" in json.loads(line)["exception"]


@pytest.mark.parametrize(("stream", "is_json"), [(Screen(), False), (io.StringIO(), True)])
def test_by_default_a_terminal_gets_text_and_a_pipe_json(stream: io.StringIO, is_json: bool) -> None:
    configured(stream, None)
    log.info("hello")
    assert stream.getvalue().startswith("{") is is_json


def test_logs_at_the_configured_level() -> None:
    stream = configured(io.StringIO(), "text", "WARNING")
    log.info("quiet")
    log.warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


@pytest.mark.parametrize("name", ["spotipy.client", "spotipy.oauth2", "urllib3.connectionpool", "requests.sessions"])
def test_libraries_that_log_tokens_never_log_at_debug_level(name: str) -> None:
    stream = configured(io.StringIO(), "text", "DEBUG")
    logging.getLogger(name).debug("Authorization: Bearer BQ0secret")
    log.debug("but we do")
    assert "BQ0secret" not in stream.getvalue()
    assert "but we do" in stream.getvalue()
