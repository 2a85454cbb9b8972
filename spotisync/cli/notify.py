"""`spotisync notify`: show and test the notification targets."""

from typing import Annotated

import typer

from spotisync.cli.exit_codes import FAILED
from spotisync.cli.output import print_text


def notify(
    *,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message to each target, and report the results.")
    ] = False,
) -> None:
    """Show the targets of notifications, or send them a test message.

    Notifications are sent when a sync fails or waits long, when an account
    must log in again, and when music has vanished at Spotify.

    Exit code: 0 if every target accepted the message, 1 if one did not, 2 if
    there is no target or one is invalid.
    """
    from spotisync import notifications
    from spotisync.core.durations import format_duration
    from spotisync.errors import Misconfigured
    from spotisync.settings import settings

    targets = notifications.parse_targets(settings())
    if not targets:
        raise Misconfigured("no notifications: set SPOTISYNC_NOTIFY to an Apprise URL, such as ntfy://my-topic")
    if not test:
        after = format_duration(settings().notify_after)
        print_text(
            "Notified of failed syncs, required logins, and waits longer than "
            f"{after}: {', '.join(each.name for each in targets)}."
        )
        print_text("To send a test message: spotisync notify --test")
        return
    results = [notifications.send(each, "spotisync: test", "Notifications work. Nothing to do.") for each in targets]
    for each, is_sent in zip(targets, results, strict=True):
        print_text(f"{each.name}: {'sent' if is_sent else 'failed; check the URL, and that the service is up'}")
    raise typer.Exit(0 if all(results) else FAILED)
