"""`spotisync schedule`: what comes by itself, and when."""

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from spotisync.cli.opened import library
from spotisync.cli.options import Account, AsJson
from spotisync.cli.output import document, say
from spotisync.core.consent import LOGIN

if TYPE_CHECKING:
    from spotisync.cli.words import Document


def schedule(*, account: Account = None, json: AsJson = False) -> None:
    """Say when the next syncs come by themselves, how the last ones ended, and what is off."""
    from spotisync.settings import settings
    from spotisync.status import upcoming
    from spotisync.sync import schedule

    with library() as database:
        rows = schedule.listed(database, settings(), account)
        with database.begin() as connection:
            look_ups = upcoming.look_ups(connection, settings(), datetime.now(UTC)) if rows else []
    if json:
        return document([*rows, *({"account": None, **each} for each in look_ups)])
    for name, of_it in groupby(rows, lambda row: row["account"]):
        say(name)
        for row in of_it:
            for line in lines(row, settings().zone):
                say(line)
    for each in look_ups:
        say(f"Look-ups that were put off: {each['words']}.")
    if not rows:
        say(f"There is no account yet. Log in: {LOGIN}")
    return None


def lines(row: "Document", zone: str) -> list[str]:
    """When it comes; below it, what became of the last one, and why the next one is not where one would expect it."""
    from spotisync.status import upcoming

    said = [upcoming.words(row, zone)]
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
    from spotisync.core.schedule import clock

    return clock(datetime.fromisoformat(row[name]), datetime.fromisoformat(row["as_of"]), zone)
