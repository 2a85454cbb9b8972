"""The web pages, rendered on the server and updated by server-sent events, and the HTTP API. Both show `status`."""

from spotisync.web.app import create_app

__all__ = ["create_app"]
