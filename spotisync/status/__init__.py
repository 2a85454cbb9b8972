"""The one read model: what `get()`, the command line and every other face of a run say about it.

A status document holds the numbers (`read`), when it will be done (`forecast`) and all of it in words (`words`).
"""

from spotisync.status.read import Document, documents, history, run, status_document, summary
from spotisync.status.story import fold_batches
from spotisync.status.timeline import timeline, totals

__all__ = [
    "Document",
    "documents",
    "fold_batches",
    "history",
    "run",
    "status_document",
    "summary",
    "timeline",
    "totals",
]
