"""The tables. Migrations create them; `migrate.check` compares the two. The newest migration of a view defines it.

`NULL` in a catalogue field means unknown. Columns below a `# private` line may change without notice.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TIME = DateTime(timezone=True)
NOW = text("now()")
LIMITED_FAMILIES = ("library", "playlists", "artists", "albums", "player", "*")
# For people; docs/sql.md describes them.
VIEWS = ("library_now", "playlist_now", "listening", "listening_by_day", "vanished")
UNFINISHED = text("status IN ('pending', 'in_progress', 'rate_limited')")


def table(name: str, *items: SchemaItem, comment: str | None = None) -> Table:
    return Table(name, metadata, *items, comment=comment)


def one_of(column: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


def counter(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def account_id(*, primary_key: bool = False) -> Column[int]:
    return _owner("account_id", "accounts.id", primary_key=primary_key)


def sync_id(*, primary_key: bool = False) -> Column[int]:
    return _owner("sync_id", "sync_history.id", primary_key=primary_key)


def _owner(name: str, key: str, *, primary_key: bool) -> Column[int]:
    """The row is deleted together with its owner."""
    owner = ForeignKey(key, ondelete="CASCADE")
    return Column(name, BigInteger, owner, primary_key=primary_key, autoincrement=False, nullable=False)


accounts = table(
    "accounts",
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("spotify_user_id", Text, nullable=False, unique=True),
    Column("spotify_account_id", Text, unique=True),
    Column("display_name", Text),
    Column("status", Text, nullable=False, server_default="active"),
    Column("refresh_token", Text),
    Column("access_token", Text),
    Column("access_token_expires_at", TIME),
    Column("scope", Text),
    # the account's own app; null: SPOTIPY_CLIENT_ID. The secret is encrypted; null: PKCE
    Column("client_id", Text),
    Column("client_secret", Text),
    # the owner of that app; null: the app counts as its own developer account
    Column("developer", Text),
    Column("authorised_at", TIME),
    Column("last_error", Text),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    # private: the claim on refreshing the token, and its lease
    Column("refresh_claim", Uuid),
    Column("refresh_claim_until", TIME),
    # ... Spotify's total at the last proved walk over the saved tracks
    Column("walked_total", Integer),
    Column("patrol_offset", Integer, nullable=False, server_default="0"),
    # ... and its time
    Column("tracks_proved_at", TIME),
    # ... until when notifications of vanished music were made
    Column("vanished_until", TIME),
    one_of("status", "active", "needs_login", "disabled"),
)


def searched(table: str) -> tuple[Column[Any] | Index, ...]:
    """The name without case and accents, for search. Migrations create the index only where pg_trgm is available."""
    return (
        Column("search", Text, Computed("plain(name)", persisted=True)),
        Index(f"ix_{table}_search", "search", postgresql_using="gin", postgresql_ops={"search": "gin_trgm_ops"}),
    )


def lookup_columns(table: str) -> tuple[Column[Any] | CheckConstraint | Index, ...]:
    return (
        Column("enrichment", Text, nullable=False, server_default="stub"),
        Column("enriched_at", TIME),
        # private: the run that looks the stub up (0: enrich), the lease of that claim, attempts, and how many accounts'
        # lists contain it, by which stubs are ordered
        Column("lookup_sync_id", BigInteger),
        Column("lookup_until", TIME),
        counter("lookup_attempts"),
        counter("saves"),
        one_of("enrichment", "stub", "full", "partial", "gone"),
        Index(f"ix_{table}_stubs", text("saves DESC"), "id", postgresql_where=text("enrichment = 'stub'")),
        Index(f"ix_{table}_partial", "enriched_at", "id", postgresql_where=text("enrichment = 'partial'")),
        Index(f"ix_{table}_full", "enriched_at", "id", postgresql_where=text("enrichment = 'full'")),
    )


artists = table(
    "artists",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("uri", Text, nullable=False),
    Column("genres", ARRAY(Text)),
    Column("popularity", Integer),
    Column("followers", Integer),
    Column("image_url", Text),
    *lookup_columns("artists"),
    *searched("artists"),
)

albums = table(
    "albums",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("uri", Text, nullable=False),
    Column("album_type", Text),
    Column("release_date", Text),
    Column("release_date_precision", Text),
    Column("released_on", Date),
    Column("total_tracks", Integer),
    Column("label", Text),
    Column("popularity", Integer),
    Column("upc", Text),
    Column("image_url", Text),
    *lookup_columns("albums"),
    *searched("albums"),
)

tracks = table(
    "tracks",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("uri", Text, nullable=False),
    Column("album_id", Text, ForeignKey("albums.id"), index=True),
    Column("duration_ms", Integer),
    Column("explicit", Boolean),
    Column("disc_number", Integer),
    Column("track_number", Integer),
    Column("isrc", Text),
    Column("popularity", Integer),
    # as the last reply that tells; accounts in other markets may get another answer (`unplayable_tracks`)
    Column("is_playable", Boolean),
    Column("unavailable_since", TIME),
    # the id that Spotify has replaced by this one
    Column("linked_from", Text),
    *searched("tracks"),
)

track_artists = table(
    "track_artists",
    Column("track_id", Text, ForeignKey("tracks.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("artist_id", Text, ForeignKey("artists.id"), nullable=False, index=True),
)

album_artists = table(
    "album_artists",
    Column("album_id", Text, ForeignKey("albums.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("artist_id", Text, ForeignKey("artists.id"), nullable=False, index=True),
)

saved_tracks = table(
    "saved_tracks",
    account_id(primary_key=True),
    Column("track_id", Text, ForeignKey("tracks.id"), primary_key=True, index=True),
    Column("added_at", TIME, nullable=False),
    Column("removed_at", TIME),
    # private: a walk does not remove rows that were written after it began
    Column("touched_at", TIME, nullable=False, server_default=NOW),
    # ... and since when a track missing from Spotify's list may be hidden behind a null row, and is (if not earlier)
    Column("hidden_since", TIME),
    Column("surely_hidden_since", TIME),
    Index("ix_saved_tracks_live", "account_id", text("added_at DESC"), postgresql_where=text("removed_at IS NULL")),
)

unplayable_tracks = table(
    "unplayable_tracks",
    account_id(primary_key=True),
    Column("track_id", Text, ForeignKey("tracks.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("since", TIME),
    Column("restriction", Text),
    comment="Tracks that Spotify shows greyed out to an account; since is null if it was so at the first sync",
)


def listed() -> tuple[Column[Any], ...]:
    """Private columns of a row of a list that is read whole.

    The last run that listed it, in which readings of the list (1, 2, both: 3), since when a null row may hide it.
    """
    return Column("listed_sync_id", BigInteger), counter("listed_readings"), Column("hidden_since", TIME)


playlists = table(
    "playlists",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("description", Text),
    Column("owner_id", Text),
    Column("owner_name", Text),
    Column("public", Boolean),
    Column("collaborative", Boolean, nullable=False),
    Column("snapshot_id", Text, nullable=False),
    Column("total_items", Integer),
    Column("items_snapshot_id", Text),
    Column("image_url", Text),
    # private: items that Spotify counts beyond the last one it lists
    Column("phantom_items", Integer),
)

account_playlists = table(
    "account_playlists",
    account_id(primary_key=True),
    Column("playlist_id", Text, ForeignKey("playlists.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
    Column("items_status", Text, nullable=False, server_default="pending"),
    Column("removed_at", TIME),
    Column("deferred_reason", Text),
    Column("deferred_until", TIME),
    *listed(),
    # ... how often in a row the contents were deferred, and the regime in which the playlist was listed last
    counter("deferrals"),
    Column("listed_regime", Text),
    # ... the last run that tried to read the playlist's contents, whether its row in the list had a snapshot id, and
    # the snapshot whose contents were refused to this account
    Column("tried_sync_id", BigInteger),
    Column("snapshot_told", Boolean, nullable=False, server_default=text("false")),
    Column("refused_snapshot_id", Text),
    one_of("items_status", "pending", "synced", "forbidden", "not_found", "deferred"),
)

playlist_items = table(
    "playlist_items",
    Column("playlist_id", Text, ForeignKey("playlists.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("track_id", Text, ForeignKey("tracks.id"), index=True),
    Column("uri", Text),
    Column("name", Text),
    Column("added_at", TIME),
    Column("added_by", Text),
    one_of("kind", "track", "episode", "local", "unavailable"),
)

saved_spans = table(
    "saved_spans",
    Column("id", BigInteger, Identity(), primary_key=True),
    account_id(),
    # Neither an index, which would double the time of an insert, nor a foreign key: tracks are never deleted, and the
    # foreign key of saved_tracks has checked the id.
    Column("track_id", Text, nullable=False),
    Column("added_at", TIME, nullable=False),
    # No foreign keys to runs: runs may be trimmed, and their spans stay valid.
    Column("from_run", BigInteger, index=True),
    Column("from_at", TIME, nullable=False),
    Column("to_run", BigInteger, index=True),
    Column("to_at", TIME),
    Index("uq_saved_spans_open", "account_id", "track_id", unique=True, postgresql_where=text("to_at IS NULL")),
    Index("ix_saved_spans_ended", "account_id", "to_at", postgresql_where=text("to_at IS NOT NULL")),
    Index("ix_saved_spans_added_at", "account_id", "added_at"),
    comment="Periods in which a track was saved, as known to runs; maintained by a trigger on saved_tracks",
)

playlist_spans = table(
    "playlist_spans",
    Column("id", BigInteger, Identity(), primary_key=True),
    account_id(),
    Column("playlist_id", Text, ForeignKey("playlists.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("from_run", BigInteger, index=True),
    Column("from_at", TIME, nullable=False),
    Column("to_run", BigInteger, index=True),
    Column("to_at", TIME),
    Index("uq_playlist_spans_open", "account_id", "playlist_id", unique=True, postgresql_where=text("to_at IS NULL")),
    Index("ix_playlist_spans_account_id", "account_id"),
    Index("ix_playlist_spans_ended", "account_id", "to_at", postgresql_where=text("to_at IS NOT NULL")),
    comment="Periods in which an account had a playlist; maintained by a trigger on account_playlists",
)

playlist_versions = table(
    "playlist_versions",
    Column("playlist_id", Text, ForeignKey("playlists.id", ondelete="CASCADE"), primary_key=True),
    Column("read_at", TIME, primary_key=True),
    Column("snapshot_id", Text, nullable=False),
    Column("sync_id", BigInteger, index=True),
    Column("items", JSONB, nullable=False),
    comment="Contents of a playlist, one row per change: [position, kind, track, uri, name, added, by]",
)

saved_albums = table(
    "saved_albums",
    account_id(primary_key=True),
    Column("album_id", Text, ForeignKey("albums.id"), primary_key=True),
    Column("added_at", TIME, nullable=False),
    Column("removed_at", TIME),
    *listed(),
)

shows = table(
    "shows",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("uri", Text, nullable=False),
    Column("publisher", Text),
    Column("total_episodes", Integer),
    Column("explicit", Boolean),
    Column("languages", ARRAY(Text)),
    Column("media_type", Text),
    Column("image_url", Text),
    Column("is_audiobook", Boolean, nullable=False, server_default=text("false")),
    comment="Podcasts, and audiobooks that Spotify lists among them",
)

episodes = table(
    "episodes",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("uri", Text, nullable=False),
    Column("show_id", Text, ForeignKey("shows.id"), index=True),
    Column("duration_ms", Integer),
    Column("explicit", Boolean),
    Column("language", Text),
    Column("release_date", Text),
    Column("release_date_precision", Text),
    Column("released_on", Date),
    Column("image_url", Text),
)

audiobooks = table(
    "audiobooks",
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("uri", Text, nullable=False),
    Column("authors", ARRAY(Text)),
    Column("narrators", ARRAY(Text)),
    Column("publisher", Text),
    Column("edition", Text),
    Column("total_chapters", Integer),
    Column("explicit", Boolean),
    Column("languages", ARRAY(Text)),
    Column("image_url", Text),
)

saved_shows = table(
    "saved_shows",
    account_id(primary_key=True),
    Column("show_id", Text, ForeignKey("shows.id"), primary_key=True),
    Column("added_at", TIME),
    Column("removed_at", TIME),
    *listed(),
)

saved_episodes = table(
    "saved_episodes",
    account_id(primary_key=True),
    Column("episode_id", Text, ForeignKey("episodes.id"), primary_key=True),
    Column("added_at", TIME),
    Column("removed_at", TIME),
    *listed(),
)

saved_audiobooks = table(
    "saved_audiobooks",
    account_id(primary_key=True),
    Column("audiobook_id", Text, ForeignKey("audiobooks.id"), primary_key=True),
    Column("added_at", TIME),
    Column("removed_at", TIME),
    *listed(),
)

followed_artists = table(
    "followed_artists",
    account_id(primary_key=True),
    Column("artist_id", Text, ForeignKey("artists.id"), primary_key=True),
    Column("removed_at", TIME),
    *listed(),
)

listings = table(
    "listings",
    account_id(primary_key=True),
    Column("list", Text, primary_key=True),
    # the last proved reading; an equal total and first page show that the list is unchanged
    Column("total", Integer),
    Column("first_page", Text),
    Column("read_at", TIME),
    Column("null_rows", Integer),
    Column("idle_null_rows", Integer),
    # ... of playlists as a restricted app is shown them: without those that a full app is shown as null rows
    Column("restricted_null_rows", Integer),
    Column("restricted_idle_null_rows", Integer),
    counter("deferred"),
    Column("deferred_sync_id", BigInteger),
    Column("deferred_reason", Text),
    Column("deferred_until", TIME),
    # ... how often in a row it was deferred, whether nothing of it could be read, and a removal of most of its rows
    # that the next run or a person has to confirm
    counter("deferrals"),
    Column("unread", Boolean, nullable=False, server_default=text("false")),
    Column("held_rows", Integer),
    Column("held_sync_id", BigInteger),
    Column("removal_confirmed", Boolean, nullable=False, server_default=text("false")),
    # when a list that incrementals read once a day was last read, or could not be
    Column("attempted_at", TIME),
    one_of(
        "list",
        "saved_tracks",
        "followed_artists",
        "saved_albums",
        "saved_audiobooks",
        "saved_shows",
        "saved_episodes",
        "playlists",
    ),
    comment="The last proved reading of each list that is read whole, and what a run left of it to a later one",
)

play_history = table(
    "play_history",
    account_id(primary_key=True),
    Column("played_at", TIME, primary_key=True),
    Column("track_id", Text, ForeignKey("tracks.id"), primary_key=True),
    Column("context_uri", Text),
    Column("ms_played", Integer),
    Column("source", Text, nullable=False),
    one_of("source", "recent", "import"),
    Index("ix_play_history_track", "account_id", "track_id", "played_at"),
    Index("ix_play_history_unknown_length", "track_id", postgresql_where=text("ms_played IS NULL")),
)

listening_slots = table(
    "listening_slots",
    account_id(primary_key=True),
    Column("slot", TIME, primary_key=True),
    Column("plays", Integer, nullable=False),
    Column("ms", BigInteger, nullable=False),
    comment="Plays and milliseconds listened by quarter of an hour; maintained by a trigger on play_history",
)

listening_hours = table(
    "listening_hours",
    account_id(primary_key=True),
    Column("hour", TIME, primary_key=True),
    Column("plays", Integer, nullable=False),
    Column("ms", BigInteger, nullable=False),
    comment="Plays and milliseconds listened by hour; maintained by a trigger on listening_slots",
)

listened_tracks = table(
    "listened_tracks",
    account_id(primary_key=True),
    Column("track_id", Text, primary_key=True),
    Column("plays", Integer, nullable=False),
    Column("ms", BigInteger, nullable=False),
    Column("first_at", TIME, nullable=False),
    Column("last_at", TIME, nullable=False),
    comment="Plays of each track; maintained by a trigger on play_history",
)

playback = table(
    "playback",
    account_id(primary_key=True),
    Column("read_at", TIME),
    Column("last_error", Text),
    # private: the claim on reading, and its lease
    Column("claim", Uuid),
    Column("claim_until", TIME),
    # ... and when the top artists and tracks are read next; null: now
    Column("top_items_due_at", TIME),
    comment="The last read of recently played, and the error of a later read that failed",
)

top_items = table(
    "top_items",
    account_id(primary_key=True),
    Column("taken_on", Date, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("time_range", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    # of an artist or a track
    Column("id", Text, nullable=False),
    one_of("kind", "artists", "tracks"),
    one_of("time_range", "short_term", "medium_term", "long_term"),
    comment="Spotify's top artists and tracks of an account, one snapshot a week",
)

playback_gaps = table(
    "playback_gaps",
    Column("id", BigInteger, Identity(), primary_key=True),
    account_id(),
    Column("from_at", TIME, nullable=False),
    Column("to_at", TIME, nullable=False),
    Column("noticed_at", TIME, nullable=False, server_default=NOW),
    Column("closed_at", TIME),
    Index("ix_playback_gaps_account_id", "account_id"),
    Index("ix_playback_gaps_open", "account_id", "from_at", postgresql_where=text("closed_at IS NULL")),
    comment="Where plays may be missing: Spotify returns the last 50 plays, and all of them were new",
)

sync_history = table(
    "sync_history",
    Column("id", BigInteger, Identity(), primary_key=True),
    account_id(),
    Column("sync_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("task_id", Text),
    Column("started_at", TIME, nullable=False, server_default=NOW),
    Column("completed_at", TIME),
    Column("cancel_requested_at", TIME),
    counter("items_processed"),
    counter("items_added"),
    counter("items_updated"),
    counter("items_removed"),
    counter("api_calls"),
    Column("calls_saved", Integer),
    Column("last_error", Text),
    # private: a person or another service asked for the run, when it began or later
    Column("asked", Boolean, nullable=False, server_default=text("false")),
    # ... the next batch, and the endpoint family that it counts against
    Column("phase", Text, nullable=False, server_default="tracks"),
    Column("seq", Integer, nullable=False, server_default="0"),
    Column("family", Text, nullable=False, server_default="library"),
    # ... its claim: a fencing token, and the database session of the claimant
    Column("claim", Uuid),
    Column("claim_pid", Integer),
    Column("claim_started", TIME),
    # ... claims without a commit, and when the sweep publishes the batch again unless it was committed before
    counter("attempts"),
    Column("wake_at", TIME),
    # ... the batch can't be claimed before this time
    Column("not_before", TIME),
    # ... counts of tracks added and removed, and of playlists new, gone and changed; null: unfinished or no changes
    Column("changes", JSONB),
    # ... the span that began the run, where traces are sent (W3C Trace Context)
    Column("traceparent", Text),
    UniqueConstraint("account_id", "idempotency_key"),
    # One run per account is in progress, and one run per account and type is unfinished.
    Index("uq_sync_history_running", "account_id", unique=True, postgresql_where=text("status = 'in_progress'")),
    Index("uq_sync_history_unfinished", "account_id", "sync_type", unique=True, postgresql_where=UNFINISHED),
    Index("ix_sync_history_wake_at", "wake_at", postgresql_where=UNFINISHED),
    Index("ix_sync_history_account_id", "account_id", text("id DESC")),
    Index("ix_sync_history_newest", "account_id", "sync_type", text("id DESC")),
    Index("ix_sync_history_completed_at", "account_id", "completed_at"),
    Index("ix_sync_history_changes", "account_id", text("id DESC"), postgresql_where=text("changes IS NOT NULL")),
    Index("ix_sync_history_failed", "completed_at", postgresql_where=text("status = 'failed'")),
    one_of("sync_type", "full", "incremental"),
    one_of("status", "pending", "in_progress", "rate_limited", "success", "failed", "cancelled"),
    one_of("trigger", "beat", "cli", "api", "web", "task"),
    one_of("phase", "tracks", "artists", "albums", "playlists", "finish"),
)

sync_state = table(
    "sync_state",
    Column("id", BigInteger, Identity(), primary_key=True),
    sync_id(),
    Column("state_key", Text, nullable=False, unique=True),
    Column("entity_type", Text, nullable=False),
    counter("current_offset"),
    Column("cursor", JSONB),
    Column("total_items", Integer),
    counter("items_processed"),
    counter("items_added"),
    counter("items_updated"),
    counter("items_removed"),
    counter("items_deferred"),
    counter("batches"),
    counter("failures"),
    Column("status", Text, nullable=False, server_default="pending"),
    Column("last_error", Text),
    Column("rate_limit_reset_at", TIME),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    Column("completed_at", TIME),
    Column("percent_complete", Float),
    # private: working time without waits; the ETA is computed from it
    Column("busy_seconds", Float, nullable=False, server_default="0"),
    # ... and the size of the next batch, as a multiple of the usual one
    Column("batch_factor", Integer, nullable=False, server_default="1"),
    UniqueConstraint("sync_id", "entity_type"),
    one_of("entity_type", "tracks", "artists", "albums", "playlists"),
    one_of("status", "pending", "in_progress", "rate_limited", "success", "failed", "cancelled"),
)

# `seconds`: how long a batch took, or how long a wait will last.
run_events = table(
    "run_events",
    Column("id", BigInteger, Identity(), primary_key=True),
    sync_id(),
    Column("at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    Column("kind", Text, nullable=False),
    Column("phase", Text),
    Column("seq", Integer),
    Column("attempt", Integer),
    Column("family", Text),
    Column("seconds", Float),
    Column("items", Integer),
    Column("calls", Integer),
    Column("message", Text),
    Index(None, "sync_id", "id"),
    one_of(
        "kind",
        "begun",
        "batch",
        "wait",
        "parked",
        "woken",
        "retried",
        "lost",
        "resumed",
        "put_off",
        "success",
        "failed",
        "cancelled",
    ),
)

rate_limits = table(
    "rate_limits",
    # the developer account: its client id unless SPOTISYNC_DEVELOPER names it
    Column("client_id", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("blocked_until", TIME, nullable=False),
    Column("reason", Text, nullable=False),
    Column("retry_after", Integer),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    # private: consecutive 429s without Retry-After
    counter("strikes"),
    one_of("family", *LIMITED_FAMILIES),
    # manual: `spotisync limits set`
    one_of("reason", "rate", "quota", "manual"),
)

apps = table(
    "apps",
    Column("client_id", Text, primary_key=True),
    Column("regime", Text),
    Column("regime_since", TIME),
    # private: the claim on draining the backlog of look-ups, and its lease
    Column("enrich_claim", Uuid),
    Column("enrich_pid", Integer),
    Column("enrich_started", TIME),
    Column("enrich_until", TIME),
    # ... and when stale catalogue rows were last refreshed
    Column("refreshed_at", TIME),
    # ... and replies in a row that showed the other regime
    counter("contrary_replies"),
    one_of("regime", "full", "restricted"),
    comment="The API regime of each Spotify app, detected from responses; null: not known yet",
)

call_ledger = table(
    "call_ledger",
    # the developer account, as in `rate_limits`
    Column("client_id", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    Column("minute", TIME, primary_key=True),
    # 0: no account, or all accounts once the minute is over. No foreign key: calls still count after their account is
    # removed.
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),
    # Look-ups are recorded before they are sent and corrected later, so a row may be negative.
    Column("calls", Integer, nullable=False),
    Index("ix_call_ledger_detail", "minute", postgresql_where=text("account_id <> 0")),
    comment="Web API requests sent, by minute; budgets per 24 hours are computed from it",
)
budgets = table(
    "budgets",
    Column("developer", Text, primary_key=True),
    Column("family", Text, primary_key=True),
    # calls of the 24 hours before the last 429 for a quota; the current estimate is computed from it
    Column("estimate", Integer, nullable=False),
    Column("refused_at", TIME, nullable=False),
    one_of("family", *LIMITED_FAMILIES),
    comment="Calls per 24 hours that Spotify's last refusal for a quota allowed, by developer account and family",
)
paces = table(
    "paces",
    Column("developer", Text, primary_key=True),
    Column("rate", Float, nullable=False),
    Column("failed_rate", Float),
    Column("changed_at", TIME, nullable=False, server_default=NOW),
    comment="The learned pace of each developer account, in requests per 30 seconds",
)
rhythms = table(
    "rhythms",
    account_id(primary_key=True),
    # bit h: plays or changes are usual in this hour of the day, UTC
    Column("busy_hours", Integer, nullable=False),
    # of the fastest ten plays in a row
    Column("seconds_per_play", Float),
    # the last play or change
    Column("active_at", TIME),
    Column("known_since", TIME, nullable=False),
    Column("updated_at", TIME, nullable=False, server_default=NOW),
    comment="When each account listens and edits, from its own plays and changes; schedules are adapted to it",
)

# Written by triggers on the counted tables and by `counters`. No key, since rows are only inserted and summed.
tallies = table(
    "tallies",
    Column("name", Text, nullable=False),
    Column("labels", ARRAY(Text), nullable=False),
    Column("value", Float, nullable=False),
    comment="Increments of counters; a total is the sum of its rows, which the sweep compacts",
)

notices = table(
    "notices",
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    account_id(),
    Column("sync_id", BigInteger, ForeignKey("sync_history.id", ondelete="CASCADE"), index=True),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("made_at", TIME, nullable=False, server_default=NOW),
    # Next attempt; digests of the addresses that received it; when delivery was completed.
    Column("wake_at", TIME, nullable=False, server_default=NOW),
    counter("tries"),
    Column("told_to", ARRAY(Text), nullable=False, server_default="{}"),
    Column("told_at", TIME),
    # Since when the condition no longer holds.
    Column("over_at", TIME),
    Index("ix_notices_account_id", "account_id"),
    Index("ix_notices_open", "account_id", postgresql_where=text("over_at IS NULL AND kind <> 'over'")),
    Index("ix_notices_due", "made_at", "key", postgresql_where=text("told_at IS NULL")),
    one_of("kind", "failed", "needs_login", "login_ends", "waiting", "stuck", "over", "drift", "vanished"),
    comment="Notifications for the operator; each is sent once",
)

heartbeats = table(
    "heartbeats",
    Column("name", Text, primary_key=True),
    Column("beat_at", TIME, nullable=False, server_default=NOW),
    comment="When periodic tasks last ran",
)

history_retention = table(
    "history_retention",
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("trimmed_at", TIME, nullable=False, server_default=NOW),
    Column("kept_since", TIME),
    CheckConstraint("only_row", name="only_row"),
    comment="When history was last trimmed, and the moment before which it may be incomplete; one row",
)

schedules = table(
    "schedules",
    account_id(primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("due_at", TIME, nullable=False),
    # the cron expression with its time zone, or the interval, that `due_at` was computed from
    Column("rule", Text, nullable=False),
    # seconds: the longer interval in use while the day's calls would not suffice
    Column("stretched_to", Integer),
    Column("last_at", TIME),
    Column("sync_id", BigInteger, ForeignKey("sync_history.id", ondelete="SET NULL"), index=True),
    Column("note", Text),
    one_of("kind", "full", "incremental", "playback"),
    comment="When scheduled syncs and playback reads are due, and the result of the last one",
)

waiters = table(
    "waiters",
    Column("task_id", Text, primary_key=True),
    # Null: the run was removed with its account, and the caller has not been answered yet.
    Column("sync_id", BigInteger, ForeignKey("sync_history.id", ondelete="CASCADE")),
    # Text instead of jsonb: a caller's message may contain values that jsonb rejects, such as NUL.
    Column("envelope", Text, nullable=False),
    Column("created_at", TIME, nullable=False, server_default=NOW),
    Column("wake_at", TIME, nullable=False, server_default=NOW),
    counter("tries"),
    # Attempts that failed because of the caller's message; the error after which no further attempt is made.
    counter("failures"),
    Column("unanswerable", Text),
    # The answer, fixed by the first attempt: later attempts repeat it even if the run has changed.
    Column("ended", Text),
    Column("error", Text),
    Column("answered_at", TIME),
    # When the expiry of its keys in the result backend was last extended; since when its result must be stored again.
    Column("kept_at", TIME, nullable=False, server_default=text("'-infinity'")),
    Column("restore_at", TIME),
    Index("ix_waiters_sync_id", "sync_id"),
    Index("ix_waiters_due", "wake_at", postgresql_where=text("answered_at IS NULL")),
    Index("ix_waiters_answered_at", "answered_at"),
    Index("ix_waiters_restore_at", "restore_at", postgresql_where=text("restore_at IS NOT NULL")),
    one_of("ended", "success", "failed", "cancelled"),
    comment="One row for each task message that triggered a run: its caller gets the result when the run ends",
)

seen_tracks = table(
    "seen_tracks",
    sync_id(primary_key=True),
    Column("track_id", Text, primary_key=True),
    Column("added_at", TIME, primary_key=True),
    comment="Staging: tracks met so far by a walk over saved tracks",
)

seen_nulls = table(
    "seen_nulls",
    sync_id(primary_key=True),
    Column("added_at", TIME, primary_key=True),
    Column("from_end", Integer, primary_key=True, autoincrement=False),
    comment="Staging: rows without a track met so far by a walk over saved tracks",
)

null_rows = table(
    "null_rows",
    account_id(primary_key=True),
    Column("added_at", TIME, primary_key=True),
    Column("rows", Integer, nullable=False),
    Column("idle", Integer, nullable=False),
    comment="Rows without a track in the last proved walk: all, and those that hide no known track",
)

excess_rows = table(
    "excess_rows",
    account_id(primary_key=True),
    Column("minute", TIME, primary_key=True),
    Column("rows", Integer, nullable=False),
    comment="Rows in Spotify's list of saved tracks without a stored row, by the minute of their date",
)

read_rows = table(
    "read_rows",
    sync_id(primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("track_id", Text),
    Column("added_at", TIME, nullable=False),
    comment="Staging: rows of the list of saved tracks read by an incremental sync, by position",
)

staged_items = table(
    "staged_items",
    sync_id(primary_key=True),
    Column("playlist_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("track_id", Text),
    Column("uri", Text),
    Column("name", Text),
    Column("added_at", TIME),
    Column("added_by", Text),
    comment="Staging: contents of a playlist until its last page has been read",
)

pending_lookups = table(
    "pending_lookups",
    sync_id(primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    comment="Staging: stubs that a run's account has and the run looks up, in this order",
)

reply_shapes = table(
    "reply_shapes",
    Column("client_id", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("first_seen_at", TIME, nullable=False, server_default=NOW),
    Column("last_seen_at", TIME, nullable=False, server_default=NOW),
    comment="Keys of Spotify's replies by endpoint; the last time is exact to a day",
)

reply_statuses = table(
    "reply_statuses",
    Column("client_id", Text, primary_key=True),
    Column("endpoint", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("status", Integer, primary_key=True, autoincrement=False),
    Column("replies", Integer, nullable=False),
    Column("last_at", TIME, nullable=False, server_default=text("clock_timestamp()")),
    comment="Spotify's replies of the last 30 days by endpoint, day (UTC) and HTTP status",
)

drift_alarms = table(
    "drift_alarms",
    Column("client_id", Text, primary_key=True),
    # A kind of request; `*` for the regime.
    Column("endpoint", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("since", TIME, nullable=False, server_default=NOW),
    Column("last_seen_at", TIME, nullable=False, server_default=NOW),
    Column("ended_at", TIME),
    # When a person accepted the change: it is no longer reported, and freezes nothing.
    Column("accepted_at", TIME),
    one_of("kind", "missing_key", "status", "regime"),
    comment="Changes of Spotify's replies: needed keys that are missing, unknown statuses, changes of the regime",
)

ended_sessions = table(
    "ended_sessions",
    Column("session_id", Text, primary_key=True),
    Column("ended_at", TIME, nullable=False, server_default=NOW),
    comment="Sessions of the page that were logged out, until they would have expired",
)
