"""The public tables, columns and keys."""

import pytest
from sqlalchemy.exc import IntegrityError

from tests.support.store import Store

# name:type, with a `?` if the column may be null. The columns before the bar are the key.
TABLES = {
    "accounts": """id:bigint | spotify_user_id:text spotify_account_id:text? display_name:text status:text
        client_id:text? authorised_at:time created_at:time updated_at:time""",
    "artists": """id:text | name:text uri:text genres:text[]? popularity:int? followers:int? image_url:text?
        enrichment:text enriched_at:time?""",
    "albums": """id:text | name:text uri:text album_type:text release_date:text? release_date_precision:text?
        released_on:date? total_tracks:int? label:text? popularity:int? upc:text? image_url:text? enrichment:text
        enriched_at:time?""",
    "tracks": """id:text | name:text uri:text album_id:text? duration_ms:int explicit:bool disc_number:int
        track_number:int isrc:text? popularity:int?""",
    "track_artists": "track_id:text position:int | artist_id:text",
    "album_artists": "album_id:text position:int | artist_id:text",
    "saved_tracks": "account_id:bigint track_id:text | added_at:time removed_at:time?",
    "playlists": """id:text | name:text description:text? owner_id:text? owner_name:text? public:bool?
        collaborative:bool snapshot_id:text total_items:int? items_snapshot_id:text? image_url:text?""",
    "account_playlists": "account_id:bigint playlist_id:text | position:int items_status:text removed_at:time?",
    "playlist_items": """playlist_id:text position:int | kind:text track_id:text? uri:text? name:text? added_at:time?
        added_by:text?""",
    "saved_albums": "account_id:bigint album_id:text | added_at:time removed_at:time?",
    "followed_artists": "account_id:bigint artist_id:text | removed_at:time?",
    "play_history": """account_id:bigint played_at:time track_id:text | context_uri:text? ms_played:int?
        source:text""",
    "playback_gaps": "id:bigint | account_id:bigint from_at:time to_at:time noticed_at:time closed_at:time?",
    "sync_history": """id:bigint | account_id:bigint sync_type:text status:text trigger:text idempotency_key:text?
        task_id:text? started_at:time completed_at:time? cancel_requested_at:time? items_processed:int items_added:int
        items_updated:int items_removed:int api_calls:int last_error:text?""",
    "sync_state": """id:bigint | sync_id:bigint state_key:text entity_type:text current_offset:int cursor:jsonb?
        total_items:int? items_processed:int items_added:int items_updated:int items_removed:int items_deferred:int
        batches:int failures:int status:text last_error:text? rate_limit_reset_at:time? created_at:time updated_at:time
        completed_at:time?""",
    "rate_limits": "client_id:text family:text | blocked_until:time reason:text retry_after:int? updated_at:time",
}
TYPES = {"int": "integer", "bool": "boolean", "time": "timestamp with time zone"}
COLUMNS = """SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a
    WHERE a.attrelid = to_regclass(:table) AND a.attnum > 0 AND NOT a.attisdropped"""
KEY = """SELECT a.attname FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k(attnum, n), pg_attribute a
    WHERE i.indrelid = to_regclass(:table) AND i.indisprimary AND a.attrelid = i.indrelid AND a.attnum = k.attnum
    ORDER BY k.n"""
WORDS = {
    "accounts.status": "active needs_login disabled",
    "artists.enrichment": "stub full partial gone",
    "albums.enrichment": "stub full partial gone",
    "account_playlists.items_status": "pending synced forbidden not_found",
    "playlist_items.kind": "track episode local unavailable",
    "play_history.source": "recent import",
    "sync_history.sync_type": "full incremental",
    "sync_history.trigger": "beat cli api web task",
    "sync_history.status": "pending in_progress rate_limited success failed cancelled",
    "sync_state.status": "pending in_progress rate_limited success failed cancelled",
    "sync_state.entity_type": "tracks artists albums playlists",
    "rate_limits.reason": "rate quota manual",
}


def test_public_tables_have_the_documented_columns_and_keys(store: Store) -> None:
    wrong = []
    for table, line in TABLES.items():
        key, rest = (part.split() for part in line.split("|"))
        there = {name: (type_, not_null) for name, type_, not_null in store.sql(COLUMNS, table=table)}
        for word in key + rest:
            name, kind = word.rstrip("?").split(":")
            type_, not_null = there.get(name, ("missing", None))
            if type_ != TYPES.get(kind, kind):
                wrong.append(f"{table}.{name} is {type_}")
            if word.endswith("?") and not_null:
                wrong.append(f"{table}.{name} can't be null")
            if word in key and not not_null:
                wrong.append(f"{table}.{name} may be null")
        if [name for (name,) in store.sql(KEY, table=table)] != [word.split(":")[0] for word in key]:
            wrong.append(f"{table} has another key")
    assert wrong == []


@pytest.mark.parametrize("column", WORDS)
def test_a_column_accepts_only_the_documented_values(store: Store, column: str) -> None:
    table, name = column.split(".")
    (check,) = store.sql(
        """SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = to_regclass(:table) AND contype = 'c' AND conname = :name""",
        table=table,
        name=f"ck_{table}_{name}",
    )
    taken = set()
    for word in [*WORDS[column].split(), "nonsense"]:
        expression = check[0].removeprefix("CHECK ").replace(name, f"CAST('{word}' AS text)")
        if store.one(f"SELECT {expression}"):
            taken.add(word)
    assert taken == set(WORDS[column].split())


@pytest.mark.parametrize("status", ["pending", "in_progress", "rate_limited"])
def test_an_account_has_one_unfinished_run_per_type(store: Store, status: str) -> None:
    store.run("full", status=status)
    with pytest.raises(IntegrityError, match="uq_sync_history_unfinished"):
        store.sql(
            """INSERT INTO sync_history (account_id, sync_type, status, trigger)
            VALUES (:account, 'full', 'pending', 'cli')""",
            account=store.account_id,
        )
    store.run("incremental", status="rate_limited")
    store.run("full", account_id=store.account("user02"))


def test_an_account_has_one_run_in_progress(store: Store) -> None:
    store.run("full")
    incremental = store.run("incremental")
    assert incremental.status == "pending"
    with pytest.raises(IntegrityError, match="uq_sync_history_running"):
        store.set(incremental.id, status="in_progress")
    store.run("incremental", account_id=store.account("user02"))


def test_an_account_can_have_any_number_of_finished_runs(store: Store) -> None:
    for status in ("success", "failed", "cancelled", "success"):
        store.run("full", status=status)


def test_an_idempotency_key_is_unique_per_account(store: Store) -> None:
    store.run("full", status="success", idempotency_key="k")
    store.run("full", account_id=store.account("user02"), idempotency_key="k")
    run = store.run("full")
    with pytest.raises(IntegrityError, match="idempotency_key"):
        store.set(run.id, idempotency_key="k")


def test_a_run_has_one_state_row_per_phase_with_its_key(store: Store) -> None:
    run = store.run()
    keys = [key for (key,) in store.sql("SELECT state_key FROM sync_state WHERE sync_id = :id ORDER BY id", id=run.id)]
    assert keys == [f"sync_{run.id}_{phase}" for phase in ("tracks", "artists", "albums", "playlists")]


def test_deleting_an_account_deletes_its_rows_but_not_the_catalogue(store: Store) -> None:
    store.run()
    store.sql("INSERT INTO tracks (id, uri) VALUES ('t1', 'u')")
    store.sql("INSERT INTO saved_tracks (account_id, track_id, added_at) VALUES (:a, 't1', now())", a=store.account_id)
    store.sql("DELETE FROM accounts")
    assert store.one("SELECT count(*) FROM sync_history") == 0
    assert store.one("SELECT count(*) FROM saved_tracks") == 0
    assert store.one("SELECT count(*) FROM tracks") == 1


def test_no_trigger_notifies(store: Store) -> None:
    """Commits that notify wait for each other until each is flushed."""
    functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosrc ~* 'notify'"
    assert store.sql(functions) == []
