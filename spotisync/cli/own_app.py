"""Options that choose the Spotify app of an account."""

import sys
from getpass import getpass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from spotisync.sync import Context
    from spotisync.sync.accounts import AppChoice

ClientId = Annotated[
    str | None,
    typer.Option(
        help="Use this app for the account instead of that of SPOTIPY_CLIENT_ID. Its secret is asked for; without one, "
        "PKCE is used."
    ),
]
SecretStdin = Annotated[
    bool, typer.Option("--client-secret-stdin", help="Read the secret of --client-id from stdin, one line.")
]
Developer = Annotated[
    str | None,
    typer.Option(help="A name for the owner of the app. Give apps of one owner the same name: they share its limits."),
]
DefaultApp = Annotated[
    bool, typer.Option("--default-app", help="Use the app of SPOTIPY_CLIENT_ID again, if the account had its own.")
]


def choose_app(
    context: "Context", client_id: str | None, developer: str | None, *, secret_stdin: bool, default_app: bool
) -> "AppChoice | None":
    """Return the chosen app; read its secret from stdin, or ask for it on a terminal. None: nothing was chosen."""
    from spotisync.sync.accounts import AppChoice

    check_options(client_id, developer, secret_stdin=secret_stdin, default_app=default_app)
    if client_id is None:
        return AppChoice() if default_app else None
    secret = _read_secret(client_id, stdin=secret_stdin)
    return AppChoice(context.apps.name_app(client_id.strip(), secret or None, developer))


def check_options(client_id: str | None, developer: str | None, *, secret_stdin: bool, default_app: bool) -> None:
    """Raises typer.BadParameter for options that exclude or need each other."""
    if client_id is None and (developer is not None or secret_stdin):
        raise typer.BadParameter("--developer and --client-secret-stdin describe the app of --client-id; add that")
    if client_id is not None and default_app:
        raise typer.BadParameter("give either --client-id or --default-app")
    if client_id is not None and len(client_id.split()) != 1:
        raise typer.BadParameter("expected a client ID without whitespace", param_hint="--client-id")


def _read_secret(client_id: str, *, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().strip()
    return getpass(f"Client secret of {client_id} (empty: none, use PKCE): ").strip() if sys.stdin.isatty() else ""
