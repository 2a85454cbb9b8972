"""`spotisync schedule`: the scheduled syncs."""

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from spotisync.cli.context import AsJson, OneAccount, open_database
from spotisync.cli.output import print_json, print_text
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document


def schedule(*, account: OneAccount = None, json: AsJson = False) -> None:
    """Show the next and the last run of each scheduled sync."""
    from spotisync.core.apps import find_default_app
    from spotisync.settings import settings
    from spotisync.status import upcoming
    from spotisync.sync import schedule

    with open_database() as database:
        rows = schedule.list_schedule(database, settings(), account)
        with database.begin() as connection:
            app = find_default_app(settings())
            look_ups = upcoming.lookup_forecast(connection, settings(), app, datetime.now(UTC)) if rows else []
    if json:
        return print_json([*rows, *({"account": None, **each} for each in look_ups)])
    for name, entries in groupby(rows, lambda row: row["account"]):
        print_text(name)
        for entry in entries:
            for line in format_entry(entry, settings().zone):
                print_text(line)
    for each in look_ups:
        print_text(f"Pending look-ups: {each['words']}.")
    if not rows:
        print_text(f"No account yet. Log in: {LOGIN}")
    return None


def format_entry(row: "Document", zone: str) -> list[str]:
    """Lines with the next time, the result of the last sync, and why the next one is postponed, if it is."""
    from spotisync.core.schedule import format_clock
    from spotisync.status import upcoming

    parts = [upcoming.describe_entry(row, zone)]
    if row["last_at"]:
        last = format_clock(datetime.fromisoformat(row["last_at"]), datetime.fromisoformat(row["as_of"]), zone)
        parts.append(f"last: {last}{_format_result(row)}")
    if row["note"]:
        parts.append(row["note"])
    return [f"  {row['kind'] if not number else '':11}  {part}" for number, part in enumerate(parts)]


def _format_result(row: "Document") -> str:
    from spotisync.status.messages import STATUS_LABELS

    return f", run {row['last_sync_id']}: {STATUS_LABELS[row['last_status']]}" if row["last_sync_id"] else ""
