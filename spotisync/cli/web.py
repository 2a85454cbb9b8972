"""`spotisync web`: the web page and the HTTP API."""

from typing import Annotated

import typer

from spotisync.cli.output import print_text

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on, instead of SPOTISYNC_HOST.")]
Port = Annotated[
    int | None,
    typer.Option("--port", min=0, max=65535, help="Port to listen on, instead of SPOTISYNC_PORT; 0: any free one."),
]


def web(*, host: Host = None, port: Port = None) -> None:
    """Serve the web page and the HTTP API, until Ctrl-C.

    The commands up and demo include this. Set SPOTISYNC_API_TOKEN to listen on
    an address that other machines can reach.
    """
    from spotisync import logs, telemetry
    from spotisync.settings import override
    from spotisync.web.server import serve

    options = {"SPOTISYNC_HOST": host, "SPOTISYNC_PORT": port}
    chosen = override({name: str(value) for name, value in options.items() if value is not None})
    logs.configure(chosen)
    telemetry.start(chosen)
    serve(chosen, lambda url: print_text(f"spotisync listens at {url}. API documentation: {url}/docs"))
    telemetry.stop()
    print_text("Stopped.")
