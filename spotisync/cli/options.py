"""Options that several commands have."""

from typing import Annotated

import typer

Account = Annotated[
    str | None, typer.Option("--account", help="Spotify user id; not needed while there is only one account.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show live bars until it is over; exit 0 only on success.")]
RunId = Annotated[int, typer.Argument(metavar="ID", help="The run's number, as `status` and `history` show it.")]
