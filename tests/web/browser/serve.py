"""Serve the page in a separate process with the settings of its environment: `python -m tests.web.browser.serve`."""

from spotisync.settings import settings
from spotisync.web.server import serve

if __name__ == "__main__":
    serve(settings(), print)
