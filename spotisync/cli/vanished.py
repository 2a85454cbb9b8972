"""`spotisync vanished`: music that Spotify has greyed out, or lists as empty rows."""

from typing import TYPE_CHECKING

from spotisync.cli.context import AsJson, OneAccount, open_database
from spotisync.cli.output import print_json, print_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spotisync.cli.formatting import Document


def vanished(*, account: OneAccount = None, json: AsJson = False) -> None:
    """List the music that has vanished at Spotify: what, since when, and where it stood.

    Greyed out: Spotify lists the track and does not let you play it.

    Empty rows: Spotify lists a row without its track. An earlier version of the
    playlist tells which one it was, if spotisync has read one.

    Perhaps hidden: saved tracks or albums that are no longer listed, while
    Spotify lists empty rows that may be theirs.

    A recording that still plays under another id, with the same ISRC, is named
    where one is known. What you have removed is not listed: see the view
    vanished (spotisync psql -c "SELECT * FROM vanished").

    Exit code: 0, whether or not music has vanished.
    """
    from spotisync.settings import settings
    from spotisync.status import MOST_ACCOUNTS
    from spotisync.status.vanished import read_vanished
    from spotisync.store import accounts

    with open_database() as database, database.begin() as connection:
        known = (
            [accounts.find_account(connection, account)] if account else accounts.list_first(connection, MOST_ACCOUNTS)
        )
        found = [read_vanished(connection, each) for each in known]
    if json:
        return print_json({"accounts": found})
    for line in format_vanished(found, settings().zone):
        print_text(line)
    return None


def format_vanished(documents: "list[Document]", zone: str) -> "Iterator[str]":
    """Lines, with the name of the account if there are several."""
    if not documents:
        yield "No account yet. Connect one: spotisync login"
    for number, document in enumerate(documents):
        if number:
            yield ""
        owner = f"{document['account']}: " if len(documents) > 1 else ""
        if not document["groups"]:
            yield f"{owner}nothing has vanished." if owner else "Nothing has vanished."
        for group in document["groups"]:
            yield f"{owner}{group['title']} ({group['count']:,})"
            yield from (line for item in group["items"] for line in _item_lines(item, zone))
        if not document["complete"]:
            yield "There is more: spotisync psql -c 'SELECT * FROM vanished'"


def _item_lines(item: "Document", zone: str) -> "Iterator[str]":
    from spotisync.status.vanished import describe_item, describe_places, describe_twin

    yield f"  {describe_item(item)}"
    since = f"since {_format_day(item['gone_since'], zone)}" if item["gone_since"] else "since when is not known"
    details = [since, describe_places(item), describe_twin(item)]
    yield f"    {'; '.join(filter(None, details))}"


def _format_day(iso: str, zone: str) -> str:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    local = datetime.fromisoformat(iso).astimezone(ZoneInfo(zone))
    return f"{local.day} {local:%b %Y}"
