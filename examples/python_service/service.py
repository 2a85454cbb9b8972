"""A service that uses spotisync by its broker and task names, without importing it.

export BROKER_URL=redis://:password@127.0.0.1:6379/0
celery -A service worker -Q reports        # runs the tasks that follow a sync
python service.py alice nightly-2026-11-23 # syncs, then makes the report and prints it
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
    """The argument is the summary of the run."""
    return f"{summary['account']} has {summary['phases']['tracks']['items_processed']} tracks"


@app.task(name="reports.failed")
def failed(task_id: str) -> None:
    """The argument is the id of the failed task: the sync, or a link after it."""
    print(f"no report: {app.AsyncResult(task_id).result}", flush=True)


def report_after_sync(account: str, key: str) -> Any:
    # Immutable, since it takes keyword arguments only, also after another link. Every link names its queue, because
    # spotisync's worker publishes the next one.
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


def start_sync(account: str) -> Any:
    return app.send_task("spotisync.full_sync", kwargs={"account": account}, queue="spotisync.sync")


if __name__ == "__main__":
    print(report_after_sync(*sys.argv[1:3]).get(timeout=3600))
