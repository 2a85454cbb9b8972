"""The read model: the status document that command line, page, HTTP API and notifications show.

It has the numbers (`read`), the expected completion (`forecast`) and the sentences (`messages`).
"""

from spotisync.status.changes import list_changes
from spotisync.status.read import MOST_ACCOUNTS, Document, documents, history, read_clock, run, summary
from spotisync.status.timeline import fold_batches, get_totals, list_events

__all__ = [
    "MOST_ACCOUNTS",
    "Document",
    "documents",
    "fold_batches",
    "get_totals",
    "history",
    "list_changes",
    "list_events",
    "read_clock",
    "run",
    "summary",
]
