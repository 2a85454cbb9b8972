"""tables == truth, for plays: exactly one row per real play."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from spotisync.store.database import Database
from tests.support.driver import Account

# The export has whole seconds.
PRECISE = timedelta(seconds=1)


def rows(database: Database, account: Account) -> list[Any]:
    with database.begin() as connection:
        found = connection.execute(
            text(
                """SELECT h.* FROM play_history h JOIN accounts a ON a.id = h.account_id
                WHERE a.spotify_user_id = :account ORDER BY played_at, track_id"""
            ),
            {"account": account.name},
        )
        return list(found)


def assert_plays_are_true(
    database: Database, account: Account, plays: list[dict[str, Any]], near: timedelta = PRECISE
) -> None:
    left = rows(database, account)
    missing = []
    for play in plays:
        ended = datetime.fromisoformat(play["played_at"]).astimezone(UTC)
        mine = [
            row
            for row in left
            if row.track_id == play["track_id"]
            and abs(row.played_at - ended) <= near
            and row.ms_played in (None, play["ms_played"])
        ]
        if mine:
            left.remove(min(mine, key=lambda row: abs(row.played_at - ended)))
        else:
            missing.append(play)
    assert not missing, f"{len(missing)} plays have no row: {missing[:5]}"
    assert not left, f"{len(left)} rows belong to no play: {left[:5]}"
