"""The lists of an account that are read whole: followed artists, saved albums, shows and the like, playlists.

Each has a table of the same form: a row per member, `removed_at` once removed, `hidden_since` while a null row may
hide it, and the run and readings that met it last. The table `listings` stores the last proved reading of each list,
and what of it (or of the saved tracks) a run deferred.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Table

from spotisync.core.cursors import ListName
from spotisync.core.listing import SPOKEN, LastRead, ListEvidence, ListVerdict
from spotisync.core.null_rows import NullCount, SuspectRow
from spotisync.core.parse import EPOCH
from spotisync.core.regimes import Regime
from spotisync.core.rows import ListingRow
from spotisync.store import schema, spoken
from spotisync.store.bulk import upsert
from spotisync.store.database import Connection, execute

TABLES: dict[ListName, Table] = {
    "followed_artists": schema.followed_artists,
    "saved_albums": schema.saved_albums,
    "saved_audiobooks": schema.saved_audiobooks,
    "saved_shows": schema.saved_shows,
    "saved_episodes": schema.saved_episodes,
    "playlists": schema.account_playlists,
}
AnyList = ListName | Literal["saved_tracks"]
KEYS: dict[ListName, str] = {
    "followed_artists": "artist_id",
    "saved_albums": "album_id",
    "saved_audiobooks": "audiobook_id",
    "saved_shows": "show_id",
    "saved_episodes": "episode_id",
    "playlists": "playlist_id",
}


def last_read(connection: Connection, account_id: int, name: ListName, regime: Regime | None = None) -> LastRead | None:
    """The last proved reading; None if there was none."""
    found = execute(
        connection,
        f"""SELECT total, first_page, read_at, {", ".join(_null_columns(name, regime))} FROM listings
        WHERE account_id = :account_id AND list = :list AND read_at IS NOT NULL""",
        {"account_id": account_id, "list": name},
    ).one_or_none()
    if found is None:
        return None
    return LastRead(found[0], found[1], found[2], None if found[3] is None else NullCount(found[3], found[4]))


def _null_columns(name: ListName, regime: Regime | None) -> tuple[str, str]:
    """A full app is shown some playlists as null rows, and a restricted app not at all: they are counted apart."""
    prefix = "restricted_" if name == "playlists" and regime == "restricted" else ""
    return f"{prefix}null_rows", f"{prefix}idle_null_rows"


def now(connection: Connection) -> datetime:
    found: datetime = execute(connection, "SELECT now()").scalar_one()
    return found


def save(
    connection: Connection,
    account_id: int,
    sync_id: int,
    name: ListName,
    rows: Sequence[ListingRow],
    reading: int,
    regime: Regime | None = None,
) -> set[str]:
    """Write rows as listed; one that had been removed is restored. Returns the ids that are new to the account."""
    table, key, by_id = TABLES[name].name, KEYS[name], {row.id: row for row in rows}
    bound = {"account_id": account_id, "ids": list(by_id)}
    known = execute(
        connection,
        f"SELECT {key} FROM {table} WHERE account_id = :account_id AND {key} = ANY(:ids) AND removed_at IS NULL",
        bound,
    )
    added = set(by_id) - set(known.scalars())
    columns = _columns(connection, account_id, name, by_id, regime)
    upsert(
        connection,
        TABLES[name],
        [{"account_id": account_id, key: id_, "removed_at": None, **columns[id_]} for id_ in by_id],
        keep_unknown=False,
    )
    execute(
        connection,
        f"""UPDATE {table} SET listed_sync_id = :sync_id,
            listed_readings = CASE WHEN listed_sync_id = :sync_id THEN listed_readings | :bit ELSE :bit END
        WHERE account_id = :account_id AND {key} = ANY(:ids)""",
        {**bound, "sync_id": sync_id, "bit": reading},
    )
    if name in ("saved_shows", "saved_audiobooks"):
        spoken.copy_dates(connection, account_id)
    return added


def _columns(
    connection: Connection, account_id: int, name: ListName, rows: Mapping[str, ListingRow], regime: Regime | None
) -> dict[str, dict[str, Any]]:
    """The columns of this list's table other than the key, by id."""
    match name:
        case "saved_albums" | "saved_audiobooks" | "saved_shows" | "saved_episodes":
            return {id_: {"added_at": date} for id_, date in _dates(connection, account_id, name, rows).items()}
        case "playlists":
            return {
                id_: {"position": row.position, "snapshot_told": row.snapshot_known, "listed_regime": regime}
                for id_, row in rows.items()
            }
        case "followed_artists":
            return {id_: {} for id_ in rows}


def _dates(
    connection: Connection, account_id: int, name: ListName, rows: Mapping[str, ListingRow]
) -> dict[str, datetime | None]:
    """The dates of rows; one listed without a date keeps the stored one."""
    dated = {id_: row.added_at for id_, row in rows.items() if row.added_at and row.added_at > EPOCH}
    stored = execute(
        connection,
        f"""SELECT {KEYS[name]} AS id, added_at FROM {TABLES[name].name}
        WHERE account_id = :account_id AND {KEYS[name]} = ANY(:ids)""",
        {"account_id": account_id, "ids": sorted(rows.keys() - dated.keys())},
    )
    unknown = EPOCH if name == "saved_albums" else None
    return dict.fromkeys(rows, unknown) | {row.id: row.added_at for row in stored} | dated


# ---- the end of a list ----------------------------------------------------------------------------------------------

_NOT_LISTED = "listed_sync_id IS DISTINCT FROM :sync_id"
# A restricted app is not shown all playlists of others that it was shown before: those have not been removed.
_NO_LONGER_SHOWN = """(t.listed_regime IS NOT DISTINCT FROM 'full' AND EXISTS (
    SELECT 1 FROM playlists p, accounts o WHERE p.id = t.playlist_id AND o.id = t.account_id
    AND p.owner_id IS DISTINCT FROM o.spotify_user_id))"""


def _stored(name: ListName, regime: Regime | None) -> str:
    """The condition for rows `t` of the account whose absence from this list means something."""
    shown = f" AND NOT {_NO_LONGER_SHOWN}" if name == "playlists" and regime != "full" else ""
    return f"t.account_id = :account_id AND t.removed_at IS NULL{shown}"


def get_evidence(
    connection: Connection, account_id: int, sync_id: int, name: ListName, reading: int, regime: Regime | None = None
) -> ListEvidence:
    return ListEvidence(
        met=count_listed(connection, account_id, sync_id, name, reading),
        same_as_before=reading == 2 and _met_same_rows(connection, account_id, sync_id, name),
        suspects=_find_suspects(connection, account_id, sync_id, name, reading, regime),
        last=last_read(connection, account_id, name, regime),
    )


def count_listed(connection: Connection, account_id: int, sync_id: int, name: ListName, reading: int = 3) -> int:
    """Count the distinct rows that this run met in that reading (3: in either)."""
    found = execute(
        connection,
        f"""SELECT count(*) FROM {TABLES[name].name} WHERE account_id = :account_id AND removed_at IS NULL
        AND listed_sync_id = :sync_id AND listed_readings & :reading > 0""",
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return int(found.scalar_one())


def _met_same_rows(connection: Connection, account_id: int, sync_id: int, name: ListName) -> bool:
    found = execute(
        connection,
        f"""SELECT count(*) FROM {TABLES[name].name}
        WHERE account_id = :account_id AND listed_sync_id = :sync_id AND listed_readings <> 3""",
        {"account_id": account_id, "sync_id": sync_id},
    )
    return not found.scalar_one()


def _find_suspects(
    connection: Connection, account_id: int, sync_id: int, name: ListName, reading: int, regime: Regime | None
) -> list[SuspectRow]:
    not_met = f"({_NOT_LISTED} OR listed_readings & :reading = 0)"
    found = execute(
        connection,
        f"""SELECT {KEYS[name]} AS id, hidden_since IS NOT NULL AS hidden, NOT {not_met} AS shown
        FROM {TABLES[name].name} t WHERE {_stored(name, regime)} AND ({not_met} OR hidden_since IS NOT NULL)""",
        {"account_id": account_id, "sync_id": sync_id, "reading": reading},
    )
    return [SuspectRow(row.id, hidden=row.hidden, shown=row.shown) for row in found]


def count_removable(
    connection: Connection,
    account_id: int,
    sync_id: int,
    name: ListName,
    hidden: Collection[str] = (),
    regime: Regime | None = None,
) -> int:
    """Count the stored rows that this run's list lacks, without those in `hidden`."""
    found = execute(
        connection,
        f"""SELECT count(*) FROM {TABLES[name].name} t
        WHERE {_stored(name, regime)} AND {_NOT_LISTED} AND {KEYS[name]} <> ALL(:hidden)""",
        {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(hidden)},
    )
    return int(found.scalar_one())


def count_stored(connection: Connection, account_id: int, name: ListName) -> int:
    found = execute(
        connection,
        f"SELECT count(*) FROM {TABLES[name].name} WHERE account_id = :account_id AND removed_at IS NULL",
        {"account_id": account_id},
    )
    return int(found.scalar_one())


def apply_verdict(
    connection: Connection,
    account_id: int,
    sync_id: int,
    name: ListName,
    verdict: ListVerdict,
    regime: Regime | None = None,
) -> int:
    """Remove rows missing from the proved list, and mark those that a null row may hide. Returns the number removed."""
    table, key = TABLES[name].name, KEYS[name]
    set_hidden(connection, table, key, account_id, verdict.hidden)
    return execute(
        connection,
        f"""UPDATE {table} t SET removed_at = now()
        WHERE {_stored(name, regime)} AND {_NOT_LISTED} AND {key} <> ALL(:hidden)""",
        {"account_id": account_id, "sync_id": sync_id, "hidden": sorted(verdict.hidden)},
    ).rowcount


def set_hidden(connection: Connection, table: str, key: str, account_id: int, ids: Collection[str]) -> None:
    """Mark exactly these rows of the account as possibly hidden by a null row."""
    execute(
        connection,
        f"""UPDATE {table} SET hidden_since = CASE WHEN {key} = ANY(:ids) THEN now() END
        WHERE account_id = :account_id AND (hidden_since IS NOT NULL) <> ({key} = ANY(:ids))""",
        {"account_id": account_id, "ids": sorted(ids)},
    )


def invalidate_first_page(connection: Connection, account_id: int, name: ListName) -> None:
    """Forget the first page before rows are written: until the next proved reading, no list counts as unchanged."""
    execute(
        connection,
        "UPDATE listings SET first_page = '' WHERE account_id = :account_id AND list = :list",
        {"account_id": account_id, "list": name},
    )


def record_read(
    connection: Connection,
    account_id: int,
    name: ListName,
    total: int,
    first_page: str,
    nulls: NullCount,
    regime: Regime | None = None,
) -> None:
    """Store a proved reading, with which the next one is compared."""
    rows, idle = _null_columns(name, regime)
    row = {
        "account_id": account_id,
        "list": name,
        "total": total,
        "first_page": first_page,
        rows: nulls.rows,
        idle: nulls.idle,
    }
    upsert(connection, schema.listings, [row])
    execute(connection, "UPDATE listings SET read_at = now() WHERE account_id = :account_id AND list = :list", row)


# ---- lists of spoken word -------------------------------------------------------------------------------------------


def record_attempt(connection: Connection, account_id: int, name: AnyList) -> None:
    """Note that a list was read, or could not be, so that no incremental tries it again within a day."""
    execute(
        connection,
        """INSERT INTO listings (account_id, list, attempted_at) VALUES (:account_id, :list, now())
        ON CONFLICT (account_id, list) DO UPDATE SET attempted_at = now()""",
        {"account_id": account_id, "list": name},
    )


def is_due(connection: Connection, account_id: int, name: ListName) -> bool:
    """Whether an incremental reads the list: it was not tried within a day."""
    found = execute(
        connection,
        """SELECT 1 FROM listings WHERE account_id = :account_id AND list = :list
        AND attempted_at > now() - interval '1 day'""",
        {"account_id": account_id, "list": name},
    )
    return found.one_or_none() is None


# ---- rows deferred to a later run -----------------------------------------------------------------------------------


# When a later run tries again what could not be read: the next one, then after 1, 2, 4 … 24 hours. A run that a person
# starts always tries. Bind `deferrals`, the number of deferrals before this one.
RETRY_AT = """now() + CASE WHEN {deferrals} = 0 THEN interval '0'
    ELSE LEAST(interval '1 day', interval '30 minutes' * 2 ^ LEAST({deferrals}, 6)) END"""


def defer(
    connection: Connection,
    account_id: int,
    sync_id: int,
    name: AnyList,
    rows: int,
    reason: str | None = None,
    *,
    failed: bool = False,
    unread: bool = False,
) -> None:
    """Store the number of rows that this run defers to a later one, and the reason.

    `failed`: not for a wait, but because the list could not be read or proved; `unread`: nothing of it was read.
    """
    execute(
        connection,
        f"""INSERT INTO listings AS l (account_id, list, deferred, deferred_sync_id, deferred_reason, unread,
            deferrals, deferred_until)
        VALUES (:account_id, :list, :rows, :sync_id, :reason, :unread, CAST(:failed AS integer),
            CASE WHEN CAST(:failed AS integer) = 1 THEN now() END)
        ON CONFLICT (account_id, list) DO UPDATE SET deferred = excluded.deferred,
            deferred_sync_id = excluded.deferred_sync_id, deferred_reason = excluded.deferred_reason,
            unread = excluded.unread, deferrals = CASE WHEN excluded.deferrals = 1 THEN l.deferrals + 1 ELSE 0 END,
            deferred_until = CASE WHEN excluded.deferrals = 1 THEN {RETRY_AT.format(deferrals="l.deferrals")} END""",
        {
            "account_id": account_id,
            "list": name,
            "rows": rows,
            "sync_id": sync_id,
            "reason": reason,
            "unread": unread,
            "failed": int(failed),
        },
    )


def keep_deferred(connection: Connection, account_id: int, sync_id: int, name: AnyList) -> None:
    """Note that this run did not try the list, because an earlier one deferred it."""
    execute(
        connection,
        """UPDATE listings SET deferred_sync_id = :sync_id, deferred = GREATEST(deferred, 1)
        WHERE account_id = :account_id AND list = :list""",
        {"account_id": account_id, "list": name, "sync_id": sync_id},
    )


def find_deferral(connection: Connection, account_id: int, name: AnyList, *, unread: bool = False) -> str | None:
    """The reason why a scheduled run must not try the list yet. `unread`: only if nothing of it could be read."""
    found = execute(
        connection,
        """SELECT COALESCE(deferred_reason, '') FROM listings WHERE account_id = :account_id AND list = :list
        AND deferred_until > now() AND (unread OR NOT :unread)""",
        {"account_id": account_id, "list": name, "unread": unread},
    )
    reason: str | None = found.scalar_one_or_none()
    return reason


def count_unread(connection: Connection, account_id: int, sync_id: int) -> int:
    """Count the lists of music, saved tracks included, that this run could not read, other than for a wait."""
    found = execute(
        connection,
        """SELECT count(*) FROM listings WHERE account_id = :account_id AND deferred_sync_id = :sync_id AND unread
        AND deferrals > 0 AND list <> ALL(:spoken)""",
        {"account_id": account_id, "sync_id": sync_id, "spoken": sorted(SPOKEN)},
    )
    return int(found.scalar_one())


def hold_removal(connection: Connection, account_id: int, sync_id: int, name: AnyList, rows: int) -> bool:
    """Hold a removal of most rows until another run finds the same or a person confirms it. False: it was confirmed."""
    bound = {"account_id": account_id, "list": name, "sync_id": sync_id, "rows": rows}
    confirmed = execute(
        connection,
        """UPDATE listings SET held_rows = NULL, held_sync_id = NULL, removal_confirmed = false
        WHERE account_id = :account_id AND list = :list AND (removal_confirmed
            -- another run has found about as many
            OR held_sync_id <> :sync_id AND abs(held_rows - :rows) <= 5 + held_rows / 10)""",
        bound,
    ).rowcount
    if confirmed:
        return False
    execute(
        connection,
        """INSERT INTO listings (account_id, list, held_rows, held_sync_id)
        VALUES (:account_id, :list, :rows, :sync_id) ON CONFLICT (account_id, list)
        DO UPDATE SET held_rows = excluded.held_rows, held_sync_id = excluded.held_sync_id""",
        bound,
    )
    return True


def clear_held(connection: Connection, account_id: int, name: AnyList) -> None:
    """Forget a held removal: the list is no longer short of most rows."""
    execute(
        connection,
        """UPDATE listings SET held_rows = NULL, held_sync_id = NULL, removal_confirmed = false
        WHERE account_id = :account_id AND list = :list AND (held_rows IS NOT NULL OR removal_confirmed)""",
        {"account_id": account_id, "list": name},
    )


def list_held(connection: Connection) -> dict[int, dict[str, int]]:
    """Rows of the removals that wait for a confirmation, by account id and list."""
    found: dict[int, dict[str, int]] = {}
    for row in execute(
        connection,
        """SELECT account_id, list, held_rows FROM listings WHERE held_rows IS NOT NULL AND NOT removal_confirmed
        ORDER BY list""",
    ):
        found.setdefault(row.account_id, {})[row.list] = row.held_rows
    return found


def confirm_removals(connection: Connection, account_id: int) -> dict[str, int]:
    """Confirm the held removals of the account: the next run applies them. Returns the number of rows by list."""
    found = execute(
        connection,
        """UPDATE listings SET removal_confirmed = true WHERE account_id = :account_id AND held_rows IS NOT NULL
        RETURNING list, held_rows""",
        {"account_id": account_id},
    )
    return {row.list: row.held_rows for row in found}


def count_deferred(connection: Connection, account_id: int, sync_id: int, name: AnyList) -> int:
    found = execute(
        connection,
        """SELECT COALESCE(sum(deferred), 0) FROM listings
        WHERE account_id = :account_id AND list = :list AND deferred_sync_id = :sync_id""",
        {"account_id": account_id, "list": name, "sync_id": sync_id},
    )
    return int(found.scalar_one())
