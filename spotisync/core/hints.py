"""Hints that fix a broken server, shared by the command line, `spotisync doctor` and `/readyz`."""

from typing import Final

MIGRATE: Final = "bring the schema up to date: spotisync db upgrade"
BROKER: Final = (
    "check that the server is running and SPOTISYNC_BROKER_URL is correct. The embedded broker runs only while "
    "`spotisync up` runs"
)


def database_hint(*, embedded: bool) -> str:
    if embedded:
        return "the embedded database runs only while `spotisync up` runs. Start it: spotisync up"
    return "check that the server is running and SPOTISYNC_DATABASE_URL is correct"
