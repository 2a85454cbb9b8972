"""`spotisync notify`: who is told when something needs a person."""

from typing import Annotated

import typer

from spotisync.cli.exit_codes import FAILED
from spotisync.cli.output import print_text


def notify(
    *,
    test: Annotated[
        bool, typer.Option("--test", help="Send a message to each address, and say what became of it.")
    ] = False,
) -> None:
    """Say who is told when a sync fails, waits for long, or needs a login; with --test, try it.

    Exit code: 0 if every address has taken it, 1 if one has not, 2 if none is set or one is wrong.
    """
    from spotisync import notifications
    from spotisync.core.durations import format_duration
    from spotisync.errors import Misconfigured
    from spotisync.settings import settings

    to = notifications.parse_targets(settings())
    if not to:
        raise Misconfigured("nobody is told: SPOTISYNC_NOTIFY is not set. It takes addresses of Apprise, as ntfy://…")
    if not test:
        after = format_duration(settings().notify_after)
        print_text(
            f"Told of failed syncs, logins, and waits of more than {after}: {', '.join(each.name for each in to)}."
        )
        print_text("To try it: spotisync notify --test")
        return
    reached = [
        notifications.send(each, "spotisync: a test", "This is how you will be told. All is well.") for each in to
    ]
    for each, taken in zip(to, reached, strict=True):
        print_text(f"{each.name}: {'taken' if taken else 'not taken; is the address right, and its service up?'}")
    raise typer.Exit(0 if all(reached) else FAILED)
