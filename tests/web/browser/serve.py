"""Serve the page in a separate process with the settings of its environment: `python -m tests.web.browser.serve`."""

import uvicorn

from spotisync.settings import settings
from spotisync.web import create_app

if __name__ == "__main__":
    chosen = settings()
    uvicorn.run(
        create_app(chosen),
        host=chosen.host,
        port=chosen.port,
        proxy_headers=False,
        log_level="warning",
        timeout_graceful_shutdown=1,
    )
