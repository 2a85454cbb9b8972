"""What to do when a server is not as it should be: said alike by `spotisync doctor` and `/readyz`."""

from typing import Final

MIGRATIONS: Final = "bring them up to date: spotisync db upgrade"
BROKER: Final = "is the server up, and SPOTISYNC_BROKER_URL right? An embedded one runs while spotisync up does"


def database_hint(*, embedded: bool) -> str:
    return "start it: spotisync up" if embedded else "is the server up, and SPOTISYNC_DATABASE_URL right?"
