"""`spotisync schedule`: what comes by itself, and when."""

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from spotisync.cli.options import Account, AsJson
from spotisync.cli.output import print_json, print_text
from spotisync.cli.resources import open_database
from spotisync.core.oauth import LOGIN

if TYPE_CHECKING:
    from spotisync.cli.formatting import Document


def schedule(*, account: Account = None, json: AsJson = False) -> None:
    """Say when the next syncs come by themselves, how the last ones ended, and what is off."""
    from spotisync.settings import settings
    from spotisync.status import upcoming
    from spotisync.sync import schedule

    with open_database() as database:
        rows = schedule.list_schedule(database, settings(), account)
        with database.begin() as connection:
            look_ups = upcoming.lookup_forecast(connection, settings(), datetime.now(UTC)) if rows else []
    if json:
        return print_json([*rows, *({"account": None, **each} for each in look_ups)])
    for name, of_it in groupby(rows, lambda row: row["account"]):
        print_text(name)
        for row in of_it:
            for line in format_entry(row, settings().zone):
                print_text(line)
    for each in look_ups:
        print_text(f"Look-ups that were put off: {each['words']}.")
    if not rows:
        print_text(f"There is no account yet. Log in: {LOGIN}")
    return None


def format_entry(row: "Document", zone: str) -> list[str]:
    """When it comes; below it, what became of the last one, and why the next one is not where one would expect it."""
    from spotisync.status import upcoming

    said = [upcoming.describe_entry(row, zone)]
    if row["last_at"]:
        said.append(f"last: {_clock(row, 'last_at', zone)}{_outcome(row)}")
    if row["note"]:
        said.append(row["note"])
    return [f"  {row['kind'] if not number else '':11}  {words}" for number, words in enumerate(said)]


def _outcome(row: "Document") -> str:
    if row["last_sync_id"] is None:
        return ""
    return f", run {row['last_sync_id']}: {row['last_status'].replace('_', ' ')}"


def _clock(row: "Document", name: str, zone: str) -> str:
    from spotisync.core.schedule import format_clock

    return format_clock(datetime.fromisoformat(row[name]), datetime.fromisoformat(row["as_of"]), zone)
