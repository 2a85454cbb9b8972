"""The web page and the HTTP API: server-rendered, fed by server-sent events, on the one read model (`status`)."""

from spotisync.web.app import create_app

__all__ = ["create_app"]
