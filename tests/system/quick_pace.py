"""The app with a shorter window of the pace: `celery -A tests.system.quick_pace worker`. QUICK_WINDOW: its seconds."""

import os

import spotisync.tasks
from spotisync.celery import app
from spotisync.gate import pace

__all__ = ["app", "spotisync"]

pace.WINDOW = float(os.environ["QUICK_WINDOW"])
