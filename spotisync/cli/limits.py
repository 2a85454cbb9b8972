"""`spotisync limits`: the cooldowns that Spotify has imposed."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from spotisync.cli.context import AsJson, open_context
from spotisync.cli.output import print_json, print_text

if TYPE_CHECKING:
    from spotisync.store.cooldowns import Cooldown

app = typer.Typer(help="List and clear cooldowns: requests that Spotify has blocked for a time.", no_args_is_help=True)

Family = Literal["library", "playlists", "artists", "albums", "player", "*"]
REASONS: Final = {"rate": "Spotify rate limit", "quota": "Spotify quota used up"}


@app.command("list", epilog="Example: spotisync limits list")
def list_(*, json: AsJson = False) -> None:
    """List the cooldowns: which requests are blocked, until when, and why."""
    from spotisync.status.messages import REQUESTS, capitalize
    from spotisync.sync import cooldowns

    with open_context() as context:
        found = cooldowns.list_cooldowns(context)
    if json:
        return print_json([_as_dict(each) for each in found])
    for each in found:
        requests = capitalize(REQUESTS[each.family]) + (f" of {each.developer}" if each.developer else "")
        print_text(f"{requests} blocked until {each.until.astimezone():%Y-%m-%d %H:%M:%S}: {REASONS[each.reason]}.")
    if not found:
        print_text("No cooldowns.")
    return None


@app.command(epilog="Example: spotisync limits clear artists")
def clear(
    family: Annotated[
        Family | None,
        typer.Argument(help="Clear only this family; * is the cooldown of all requests."),
    ] = None,
    account: Annotated[
        str | None,
        typer.Option("--account", help="Clear those of this account's own app instead of the default one's."),
    ] = None,
) -> None:
    """Clear cooldowns.

    Use this only if Spotify has lifted them: requests during a cooldown lead to
    longer ones.
    """
    from spotisync.sync import cooldowns

    with open_context() as context:
        cleared = cooldowns.clear(context, family, account)
    print_text(
        f"Cleared: {', '.join(cleared)}. Waiting runs resume within seconds." if cleared else "No cooldowns to clear."
    )


def _as_dict(cooldown: "Cooldown") -> dict[str, Any]:
    return {
        "family": cooldown.family,
        "blocked_until": cooldown.until.isoformat(),
        "reason": cooldown.reason,
        "seconds": round(cooldown.seconds, 1),
        "developer": cooldown.developer,
    }
