"""`spotisync limits`: the cooldowns that Spotify has imposed, or a person has set."""

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from spotisync.cli.context import AsJson, open_context
from spotisync.cli.output import print_json, print_text

if TYPE_CHECKING:
    from datetime import datetime

    from spotisync.store.cooldowns import Cooldown

app = typer.Typer(help="List, set and clear cooldowns: requests that are blocked for a time.", no_args_is_help=True)

Family = Literal["library", "playlists", "artists", "albums", "player", "*"]
REASONS: Final = {
    "rate": "Spotify rate limit",
    "quota": "Spotify quota used up",
    "manual": "by hand, with spotisync limits set",
}


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
        print_text(f"{requests} blocked until {_format_time(each.until)}: {REASONS[each.reason]}.")
    if not found:
        print_text("No cooldowns.")
    return None


@app.command("set", epilog="Example: spotisync limits set library --for 2h")
def set_(
    family: Annotated[Family, typer.Argument(help="The requests to block; * blocks all.")],
    *,
    duration: Annotated[str, typer.Option("--for", help="For how long: 30m, 2h or 1d; at most 24 hours.")],
    account: Annotated[
        str | None,
        typer.Option("--account", help="Block those of this account's own app instead of the default one's."),
    ] = None,
) -> None:
    """Block requests for a time.

    Runs that need them pause and continue afterwards. A cooldown that ends
    later is kept. To end it before: spotisync limits clear.
    """
    from spotisync.core.durations import parse_duration
    from spotisync.status.messages import REQUESTS, capitalize
    from spotisync.sync import cooldowns

    try:
        seconds = parse_duration(duration)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    with open_context() as context:
        until, reason = cooldowns.block(context, family, seconds, account)
    kept = "" if reason == "manual" else ", as before"
    requests = capitalize(REQUESTS[family])
    print_text(f"{requests} blocked until {_format_time(until)}{kept}: {REASONS[reason]}.")


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


def _format_time(until: "datetime") -> str:
    from zoneinfo import ZoneInfo

    from spotisync.settings import settings

    return f"{until.astimezone(ZoneInfo(settings().zone)):%Y-%m-%d %H:%M:%S}"


def _as_dict(cooldown: "Cooldown") -> dict[str, Any]:
    return {
        "family": cooldown.family,
        "blocked_until": cooldown.until.isoformat(),
        "reason": cooldown.reason,
        "seconds": round(cooldown.seconds, 1),
        "developer": cooldown.developer,
    }
