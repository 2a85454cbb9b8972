"""`spotisync web`: the page and the API, alone."""

from typing import Annotated

import typer

from spotisync.cli.output import print_text

Host = Annotated[str | None, typer.Option("--host", help="Where to listen, instead of SPOTISYNC_HOST.")]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="The port, instead of SPOTISYNC_PORT; 0: a free one.")
]


def web(*, host: Host = None, port: Port = None) -> None:
    """Serve the web page and the HTTP API, until Ctrl-C. `up` and `demo` do it already.

    Where others can reach it, it asks for SPOTISYNC_API_TOKEN, and does not start without.
    """
    from spotisync import logs
    from spotisync.settings import override
    from spotisync.web.server import serve

    given = {"SPOTISYNC_HOST": host, "SPOTISYNC_PORT": port}
    chosen = override({name: str(value) for name, value in given.items() if value is not None})
    logs.configure(chosen)
    serve(chosen, lambda address: print_text(f"spotisync listens at {address}. The API: {address}/docs"))
    print_text("Stopped.")
