"""`spotisync limits`: how long Spotify has told us to wait."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from spotisync.cli.options import AsJson
from spotisync.cli.output import print_json, print_text
from spotisync.cli.resources import open_context

app = typer.Typer(help="Cooldowns: what Spotify has told us to wait for.", no_args_is_help=True)

Family = StrEnum(
    "Family",
    {
        "library": "library",
        "playlists": "playlists",
        "artists": "artists",
        "albums": "albums",
        "player": "player",
        "all": "*",
    },
)
WHY = {"rate": "too many requests in a short time", "quota": "the quota is used up"}


@app.command("list", epilog="Example: spotisync limits list")
def list_(*, json: AsJson = False) -> None:
    """Say which requests have to wait, until when, and why."""
    from spotisync.sync import cooldowns

    with open_context() as context:
        blocks = cooldowns.list_cooldowns(context)
    if json:
        return print_json([_plain(block) for block in blocks])
    for block in blocks:
        what = "every request" if block.family == "*" else f"requests of {block.family}"
        print_text(f"{what} until {block.until.astimezone():%Y-%m-%d %H:%M:%S}: {WHY[block.reason]}")
    if not blocks:
        print_text("Nothing has to wait.")
    return None


@app.command(epilog="Example: spotisync limits clear artists")
def clear(
    family: Annotated[
        Family | None, typer.Argument(help="Only of this family; `*` is the one of all requests.")
    ] = None,
) -> None:
    """End cooldowns, on your word that they are over; Spotify answers with longer ones if they are not."""
    from spotisync.sync import cooldowns

    with open_context() as context:
        cleared = cooldowns.clear(context, family.value if family else None)
    print_text(
        f"Cleared: {', '.join(cleared)}. Runs that waited go on within seconds."
        if cleared
        else "There was nothing to clear."
    )


def _plain(block: Any) -> dict[str, Any]:
    return {
        "family": block.family,
        "blocked_until": block.until.isoformat(),
        "reason": block.reason,
        "seconds": round(block.seconds, 1),
    }
