"""A service that knows spotisync's broker and the names of its tasks, and imports nothing of it.

export BROKER_URL=redis://:password@127.0.0.1:6379/0
celery -A service worker -Q reports        # what runs after a sync runs here
python service.py alice nightly-2026-11-23 # syncs, then has the report made, and prints it
"""

import os
import sys
from typing import Any

from celery import Celery, chain, signature

BROKER = os.environ["BROKER_URL"]
app = Celery("service", broker=BROKER, backend=os.environ.get("RESULT_BACKEND", BROKER))
app.conf.task_default_queue = "reports"


@app.task(name="reports.make")
def make(summary: dict[str, Any]) -> str:
    """Gets the summary of the run before it."""
    return f"{summary['account']} has {summary['phases']['tracks']['items_processed']} tracks"


@app.task(name="reports.failed")
def failed(task_id: str) -> None:
    """Gets the id of the task that failed: that of the sync, or of a link after it."""
    print(f"no report: {app.AsyncResult(task_id).result}", flush=True)


def report_after_a_sync(account: str, key: str) -> Any:
    # Immutable: it takes keyword arguments alone, also after another link of yours. Every link has a queue of its own,
    # for it is spotisync's worker that sends the next one.
    sync = signature(
        "spotisync.full_sync",
        kwargs={"account": account, "idempotency_key": key},
        queue="spotisync.sync",
        immutable=True,
        app=app,
    )
    report = make.s().set(queue="reports")
    on_error = signature("reports.failed", queue="reports", app=app)
    return chain(sync, report, app=app).on_error(on_error).apply_async()


def sync_alone(account: str) -> Any:
    return app.send_task("spotisync.full_sync", kwargs={"account": account}, queue="spotisync.sync")


if __name__ == "__main__":
    print(report_after_a_sync(*sys.argv[1:3]).get(timeout=3600))
