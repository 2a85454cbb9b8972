"""The worker of another service: `celery -A tests.system.foreign_tasks worker -Q foreign`."""

import os
from pathlib import Path
from typing import Any

from celery import Celery

app = Celery("foreign", broker=os.environ["FOREIGN_BROKER"], backend=os.environ["FOREIGN_BROKER"])
app.conf.update(task_default_queue="foreign", result_extended=True, worker_hijack_root_logger=False)
_calls = Path(os.environ["FOREIGN_CALLS"])


def _note(line: str) -> None:
    with _calls.open("a") as file:
        file.write(line + "\n")


@app.task(bind=True, name="foreign.follow_up")
def follow_up(self: Any, summary: dict[str, Any], tag: str) -> dict[str, Any]:
    _note(f"{tag} {summary['status']} {summary['items_processed']} {self.request.id}")
    return {"tag": tag, "sync_id": summary["sync_id"]}


@app.task(name="foreign.pass_on")
def pass_on(result: dict[str, Any], tag: str) -> str:
    """A second link."""
    assert result["tag"] == tag
    return tag


@app.task(bind=True, name="foreign.gather")
def gather(self: Any, results: list[dict[str, Any]], tag: str) -> list[Any]:
    """A chord's body."""
    _note(f"{tag} {len(results)} {self.request.id}")
    return [each.get("account") or each["tag"] for each in results]


@app.task(name="foreign.count")
def count(results: list[Any], tag: str) -> int:
    """A chord's body for any header."""
    _note(f"{tag} {len(results)}")
    return len(results)


@app.task(name="foreign.on_error")
def on_error(*_: Any, tag: str) -> None:
    _note(f"{tag} errback")
