"""the tables

Revision: 0001
Revises: 
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import postgresql
revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def _spans(table: str, spans: str, key: str, dated: bool) -> list[str]:
    """A trigger that keeps `spans`, a statement at a time; which run it is, the commit has said."""
    date, old_date, new_date = (", added_at", "o.added_at", "n.added_at") if dated else ("", "0", "0")
    value = ", n.added_at" if dated else ""
    return [
        f"""CREATE FUNCTION keep_{spans}() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE run bigint := NULLIF(current_setting('spotisync.sync_id', true), '')::bigint;
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                -- An array, so that each span is found by its index, whatever the planner thinks of the table.
                UPDATE {spans} SET to_run = run, to_at = now() WHERE id = ANY(ARRAY(
                    SELECT s.id FROM before o JOIN after n USING (account_id, {key}), LATERAL (
                        SELECT id FROM {spans} k WHERE k.account_id = o.account_id AND k.{key} = o.{key}
                        AND k.to_at IS NULL OFFSET 0) s
                    WHERE o.removed_at IS NULL AND (n.removed_at IS NOT NULL OR {old_date} <> {new_date})));
                INSERT INTO {spans} (account_id, {key}{date}, from_run, from_at)
                SELECT account_id, {key}{value}, run, now() FROM before o JOIN after n USING (account_id, {key})
                WHERE n.removed_at IS NULL AND (o.removed_at IS NOT NULL OR {old_date} <> {new_date});
            ELSIF TG_OP = 'DELETE' THEN
                UPDATE {spans} SET to_run = run, to_at = now() WHERE id = ANY(ARRAY(
                    SELECT s.id FROM before o, LATERAL (
                        SELECT id FROM {spans} k WHERE k.account_id = o.account_id AND k.{key} = o.{key}
                        AND k.to_at IS NULL OFFSET 0) s));
            ELSE
                INSERT INTO {spans} (account_id, {key}{date}, from_run, from_at)
                SELECT account_id, {key}{value}, run, now() FROM after n WHERE n.removed_at IS NULL;
            END IF;
            RETURN NULL;
        END $$""",
        f"""CREATE TRIGGER keep_{spans}_inserted AFTER INSERT ON {table} REFERENCING NEW TABLE AS after
        FOR EACH STATEMENT EXECUTE FUNCTION keep_{spans}()""",
        f"""CREATE TRIGGER keep_{spans}_updated AFTER UPDATE ON {table}
        REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION keep_{spans}()""",
        f"""CREATE TRIGGER keep_{spans}_deleted AFTER DELETE ON {table} REFERENCING OLD TABLE AS before
        FOR EACH STATEMENT EXECUTE FUNCTION keep_{spans}()""",
    ]


FUNCTIONS = (
    'keep_saved_spans()',
    'keep_playlist_spans()',
    'saved_between(bigint, timestamptz, timestamptz)',
    'library_as_of(bigint, timestamptz)',
    'playlist_as_of(text, timestamptz)',
    'changes_of_run(bigint)',
)
HISTORY = [
    *_spans('saved_tracks', 'saved_spans', 'track_id', True),
    *_spans('account_playlists', 'playlist_spans', 'playlist_id', False),
    """CREATE FUNCTION saved_between(account bigint, since timestamptz, until timestamptz)
    RETURNS TABLE (track_id text, name text, added_at timestamptz, still_saved boolean) LANGUAGE sql STABLE AS $$
        SELECT s.track_id, t.name, s.added_at, bool_or(s.to_at IS NULL)
        FROM saved_spans s JOIN tracks t ON t.id = s.track_id
        WHERE s.account_id = account AND s.added_at >= since AND s.added_at < until
        GROUP BY 1, 2, 3 ORDER BY 3, 1 $$""",
    """COMMENT ON FUNCTION saved_between(bigint, timestamptz, timestamptz) IS
    'What an account saved in a time, whether it is still saved or not'""",
    """CREATE FUNCTION library_as_of(account bigint, moment timestamptz)
    RETURNS TABLE (track_id text, name text, added_at timestamptz, run bigint) LANGUAGE sql STABLE AS $$
        SELECT s.track_id, t.name, s.added_at, r.id
        FROM (SELECT id, completed_at FROM sync_history WHERE account_id = account AND status = 'success'
            AND completed_at < moment ORDER BY completed_at DESC, id DESC LIMIT 1) r
        JOIN saved_spans s ON s.account_id = account AND s.from_at <= r.completed_at
            AND (s.to_at IS NULL OR s.to_at > r.completed_at)
        JOIN tracks t ON t.id = s.track_id ORDER BY 3 DESC, 1 $$""",
    """COMMENT ON FUNCTION library_as_of(bigint, timestamptz) IS
    'Saved tracks as the last successful run that ended before a moment knew them'""",
    """CREATE FUNCTION playlist_as_of(playlist text, moment timestamptz)
    RETURNS TABLE ("position" integer, kind text, track_id text, uri text, name text, added_at timestamptz,
        added_by text) LANGUAGE sql STABLE AS $$
        SELECT (i->>0)::integer, i->>1, i->>2, i->>3, COALESCE(i->>4, t.name),
            to_timestamp((i->>5)::double precision), i->>6
        FROM (SELECT items FROM playlist_versions WHERE playlist_id = playlist AND read_at < moment
            ORDER BY read_at DESC LIMIT 1) v
        CROSS JOIN LATERAL jsonb_array_elements(v.items) i LEFT JOIN tracks t ON t.id = i->>2 ORDER BY 1 $$""",
    """COMMENT ON FUNCTION playlist_as_of(text, timestamptz) IS
    'Contents of a playlist as they were last read before a moment'""",
    """CREATE FUNCTION changes_of_run(run bigint)
    RETURNS TABLE (kind text, change text, id text, name text) LANGUAGE sql STABLE AS $$
        SELECT 'track', 'added', s.track_id, t.name FROM saved_spans s JOIN tracks t ON t.id = s.track_id
        WHERE s.from_run = run
        UNION ALL
        SELECT 'track', 'removed', s.track_id, t.name FROM saved_spans s JOIN tracks t ON t.id = s.track_id
        WHERE s.to_run = run
        UNION ALL
        SELECT 'playlist', 'new', s.playlist_id, p.name FROM playlist_spans s JOIN playlists p ON p.id = s.playlist_id
        WHERE s.from_run = run
        UNION ALL
        SELECT 'playlist', 'gone', s.playlist_id, p.name FROM playlist_spans s JOIN playlists p ON p.id = s.playlist_id
        WHERE s.to_run = run
        UNION ALL
        SELECT 'playlist', 'changed', v.playlist_id, p.name
        FROM playlist_versions v JOIN playlists p ON p.id = v.playlist_id
        WHERE v.sync_id = run AND NOT EXISTS (
            SELECT 1 FROM playlist_spans s WHERE s.playlist_id = v.playlist_id AND s.from_run = run)
        ORDER BY 1, 2, 4, 3 $$""",
    """COMMENT ON FUNCTION changes_of_run(bigint) IS
    'What a run found changed: tracks added and removed (saved anew: both), playlists new, gone and changed'""",
]


def upgrade() -> None:
    # ### commands auto generated by Alembic - please adjust! ###
    op.create_table('accounts',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('spotify_user_id', sa.Text(), nullable=False),
    sa.Column('spotify_account_id', sa.Text(), nullable=True),
    sa.Column('display_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), server_default='active', nullable=False),
    sa.Column('refresh_token', sa.Text(), nullable=True),
    sa.Column('access_token', sa.Text(), nullable=True),
    sa.Column('access_token_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('scope', sa.Text(), nullable=True),
    sa.Column('authorised_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('refresh_claim', sa.Uuid(), nullable=True),
    sa.Column('refresh_claim_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('walked_total', sa.Integer(), nullable=True),
    sa.Column('walked_excess', sa.Integer(), nullable=True),
    sa.Column('patrol_offset', sa.Integer(), server_default='0', nullable=False),
    sa.Column('null_playlists', sa.Integer(), nullable=True),
    sa.Column('idle_null_playlists', sa.Integer(), nullable=True),
    sa.CheckConstraint("status IN ('active', 'needs_login', 'disabled')", name=op.f('ck_accounts_status')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_accounts')),
    sa.UniqueConstraint('spotify_account_id', name=op.f('uq_accounts_spotify_account_id')),
    sa.UniqueConstraint('spotify_user_id', name=op.f('uq_accounts_spotify_user_id'))
    )
    op.create_table('albums',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('uri', sa.Text(), nullable=False),
    sa.Column('album_type', sa.Text(), nullable=True),
    sa.Column('release_date', sa.Text(), nullable=True),
    sa.Column('release_date_precision', sa.Text(), nullable=True),
    sa.Column('released_on', sa.Date(), nullable=True),
    sa.Column('total_tracks', sa.Integer(), nullable=True),
    sa.Column('label', sa.Text(), nullable=True),
    sa.Column('popularity', sa.Integer(), nullable=True),
    sa.Column('upc', sa.Text(), nullable=True),
    sa.Column('image_url', sa.Text(), nullable=True),
    sa.Column('enrichment', sa.Text(), server_default='stub', nullable=False),
    sa.Column('enriched_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lookup_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('lookup_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lookup_attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('saves', sa.Integer(), server_default='0', nullable=False),
    sa.CheckConstraint("enrichment IN ('stub', 'full', 'partial', 'gone')", name=op.f('ck_albums_enrichment')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_albums'))
    )
    op.create_index('ix_albums_partial', 'albums', ['enriched_at', 'id'], unique=False, postgresql_where=sa.text("enrichment = 'partial'"))
    op.create_index('ix_albums_stubs', 'albums', [sa.literal_column('saves DESC'), 'id'], unique=False, postgresql_where=sa.text("enrichment = 'stub'"))
    op.create_table('apps',
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('regime', sa.Text(), nullable=True),
    sa.Column('regime_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('enrich_claim', sa.Uuid(), nullable=True),
    sa.Column('enrich_pid', sa.Integer(), nullable=True),
    sa.Column('enrich_started', sa.DateTime(timezone=True), nullable=True),
    sa.Column('enrich_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("regime IN ('full', 'restricted')", name=op.f('ck_apps_regime')),
    sa.PrimaryKeyConstraint('client_id', name=op.f('pk_apps')),
    comment='Which of the two Spotify APIs an app has, as its calls told; null: not known yet'
    )
    op.create_table('call_ledger',
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('family', sa.Text(), nullable=False),
    sa.Column('minute', sa.DateTime(timezone=True), nullable=False),
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('calls', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('client_id', 'family', 'minute', 'account_id', name=op.f('pk_call_ledger')),
    comment='How many Web API requests were sent: what a budget of 24 hours is measured by'
    )
    op.create_table('artists',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('uri', sa.Text(), nullable=False),
    sa.Column('genres', sa.ARRAY(sa.Text()), nullable=True),
    sa.Column('popularity', sa.Integer(), nullable=True),
    sa.Column('followers', sa.Integer(), nullable=True),
    sa.Column('image_url', sa.Text(), nullable=True),
    sa.Column('enrichment', sa.Text(), server_default='stub', nullable=False),
    sa.Column('enriched_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lookup_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('lookup_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lookup_attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('saves', sa.Integer(), server_default='0', nullable=False),
    sa.CheckConstraint("enrichment IN ('stub', 'full', 'partial', 'gone')", name=op.f('ck_artists_enrichment')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_artists'))
    )
    op.create_index('ix_artists_partial', 'artists', ['enriched_at', 'id'], unique=False, postgresql_where=sa.text("enrichment = 'partial'"))
    op.create_index('ix_artists_stubs', 'artists', [sa.literal_column('saves DESC'), 'id'], unique=False, postgresql_where=sa.text("enrichment = 'stub'"))
    op.create_table('heartbeats',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('beat_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_heartbeats')),
    comment="When what is done every so often was done last"
    )
    op.create_table('playback',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('claim', sa.Uuid(), nullable=True),
    sa.Column('claim_until', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_playback_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', name=op.f('pk_playback')),
    comment='The last read of recently played, and what kept it from being newer'
    )
    op.create_table('playback_gaps',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('to_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('noticed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_playback_gaps_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_playback_gaps')),
    comment='Where plays may be missing: Spotify tells the last fifty, and all of them were new'
    )
    op.create_index('ix_playback_gaps_open', 'playback_gaps', ['account_id', 'from_at'], unique=False, postgresql_where=sa.text('closed_at IS NULL'))
    op.create_table('playlists',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('owner_id', sa.Text(), nullable=True),
    sa.Column('owner_name', sa.Text(), nullable=True),
    sa.Column('public', sa.Boolean(), nullable=True),
    sa.Column('collaborative', sa.Boolean(), nullable=False),
    sa.Column('snapshot_id', sa.Text(), nullable=False),
    sa.Column('total_items', sa.Integer(), nullable=True),
    sa.Column('items_snapshot_id', sa.Text(), nullable=True),
    sa.Column('image_url', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_playlists'))
    )
    op.create_table('rate_limits',
    sa.Column('client_id', sa.Text(), nullable=False),
    sa.Column('family', sa.Text(), nullable=False),
    sa.Column('blocked_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('retry_after', sa.Integer(), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('strikes', sa.Integer(), server_default='0', nullable=False),
    sa.CheckConstraint("family IN ('library', 'playlists', 'artists', 'albums', 'player', '*')", name=op.f('ck_rate_limits_family')),
    sa.CheckConstraint("reason IN ('rate', 'quota')", name=op.f('ck_rate_limits_reason')),
    sa.PrimaryKeyConstraint('client_id', 'family', name=op.f('pk_rate_limits'))
    )
    op.create_table('account_playlists',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('playlist_id', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('items_status', sa.Text(), server_default='pending', nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('listed_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('tried_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('listed_readings', sa.Integer(), server_default='0', nullable=False),
    sa.Column('snapshot_told', sa.Boolean(), server_default=sa.text('false'), nullable=False),
    sa.Column('refused_snapshot_id', sa.Text(), nullable=True),
    sa.Column('hidden_since', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("items_status IN ('pending', 'synced', 'forbidden', 'not_found')", name=op.f('ck_account_playlists_items_status')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_account_playlists_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['playlist_id'], ['playlists.id'], name=op.f('fk_account_playlists_playlist_id')),
    sa.PrimaryKeyConstraint('account_id', 'playlist_id', name=op.f('pk_account_playlists'))
    )
    op.create_index(op.f('ix_account_playlists_playlist_id'), 'account_playlists', ['playlist_id'], unique=False)
    op.create_table('album_artists',
    sa.Column('album_id', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('artist_id', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['album_id'], ['albums.id'], name=op.f('fk_album_artists_album_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['artist_id'], ['artists.id'], name=op.f('fk_album_artists_artist_id')),
    sa.PrimaryKeyConstraint('album_id', 'position', name=op.f('pk_album_artists'))
    )
    op.create_index(op.f('ix_album_artists_artist_id'), 'album_artists', ['artist_id'], unique=False)
    op.create_table('followed_artists',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('artist_id', sa.Text(), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('listed_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('listed_readings', sa.Integer(), server_default='0', nullable=False),
    sa.Column('hidden_since', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_followed_artists_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['artist_id'], ['artists.id'], name=op.f('fk_followed_artists_artist_id')),
    sa.PrimaryKeyConstraint('account_id', 'artist_id', name=op.f('pk_followed_artists'))
    )
    op.create_table('saved_albums',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('album_id', sa.Text(), nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('listed_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('listed_readings', sa.Integer(), server_default='0', nullable=False),
    sa.Column('hidden_since', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_saved_albums_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['album_id'], ['albums.id'], name=op.f('fk_saved_albums_album_id')),
    sa.PrimaryKeyConstraint('account_id', 'album_id', name=op.f('pk_saved_albums'))
    )
    op.create_table('saved_lists',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('list', sa.Text(), nullable=False),
    sa.Column('total', sa.Integer(), nullable=True),
    sa.Column('first_page', sa.Text(), nullable=True),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('null_rows', sa.Integer(), nullable=True),
    sa.Column('idle_null_rows', sa.Integer(), nullable=True),
    sa.Column('put_off', sa.Integer(), server_default='0', nullable=False),
    sa.Column('put_off_sync_id', sa.BigInteger(), nullable=True),
    sa.Column('put_off_reason', sa.Text(), nullable=True),
    sa.CheckConstraint("list IN ('saved_albums', 'followed_artists')", name=op.f('ck_saved_lists_list')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_saved_lists_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'list', name=op.f('pk_saved_lists')),
    comment='The last reading of saved albums and followed artists, and what a run put off of them, and why'
    )
    op.create_table('sync_history',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('sync_type', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('trigger', sa.Text(), nullable=False),
    sa.Column('idempotency_key', sa.Text(), nullable=True),
    sa.Column('task_id', sa.Text(), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('items_processed', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_added', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_updated', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_removed', sa.Integer(), server_default='0', nullable=False),
    sa.Column('api_calls', sa.Integer(), server_default='0', nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('phase', sa.Text(), server_default='tracks', nullable=False),
    sa.Column('seq', sa.Integer(), server_default='0', nullable=False),
    sa.Column('family', sa.Text(), server_default='library', nullable=False),
    sa.Column('claim', sa.Uuid(), nullable=True),
    sa.Column('claim_pid', sa.Integer(), nullable=True),
    sa.Column('claim_started', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), server_default='0', nullable=False),
    sa.Column('wake_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('not_before', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("phase IN ('tracks', 'artists', 'albums', 'playlists', 'finish')", name=op.f('ck_sync_history_phase')),
    sa.CheckConstraint("status IN ('pending', 'in_progress', 'rate_limited', 'success', 'failed', 'cancelled')", name=op.f('ck_sync_history_status')),
    sa.CheckConstraint("sync_type IN ('full', 'incremental')", name=op.f('ck_sync_history_sync_type')),
    sa.CheckConstraint("trigger IN ('beat', 'cli', 'api', 'web', 'task')", name=op.f('ck_sync_history_trigger')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_sync_history_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sync_history')),
    sa.UniqueConstraint('account_id', 'idempotency_key', name=op.f('uq_sync_history_account_id_idempotency_key'))
    )
    op.create_index('ix_sync_history_account_id', 'sync_history', ['account_id', sa.literal_column('id DESC')], unique=False)
    op.create_index('ix_sync_history_wake_at', 'sync_history', ['wake_at'], unique=False, postgresql_where=sa.text("status IN ('pending', 'in_progress', 'rate_limited')"))
    op.create_index('uq_sync_history_running', 'sync_history', ['account_id'], unique=True, postgresql_where=sa.text("status = 'in_progress'"))
    op.create_index('uq_sync_history_unfinished', 'sync_history', ['account_id', 'sync_type'], unique=True, postgresql_where=sa.text("status IN ('pending', 'in_progress', 'rate_limited')"))
    op.create_table('tracks',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('uri', sa.Text(), nullable=False),
    sa.Column('album_id', sa.Text(), nullable=True),
    sa.Column('duration_ms', sa.Integer(), nullable=True),
    sa.Column('explicit', sa.Boolean(), nullable=True),
    sa.Column('disc_number', sa.Integer(), nullable=True),
    sa.Column('track_number', sa.Integer(), nullable=True),
    sa.Column('isrc', sa.Text(), nullable=True),
    sa.Column('popularity', sa.Integer(), nullable=True),
    sa.ForeignKeyConstraint(['album_id'], ['albums.id'], name=op.f('fk_tracks_album_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tracks'))
    )
    op.create_index(op.f('ix_tracks_album_id'), 'tracks', ['album_id'], unique=False)
    op.create_table('play_history',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('played_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('track_id', sa.Text(), nullable=False),
    sa.Column('context_uri', sa.Text(), nullable=True),
    sa.Column('ms_played', sa.Integer(), nullable=True),
    sa.Column('source', sa.Text(), nullable=False),
    sa.CheckConstraint("source IN ('recent', 'import')", name=op.f('ck_play_history_source')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_play_history_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['track_id'], ['tracks.id'], name=op.f('fk_play_history_track_id')),
    sa.PrimaryKeyConstraint('account_id', 'played_at', 'track_id', name=op.f('pk_play_history'))
    )
    op.create_table('playlist_items',
    sa.Column('playlist_id', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('track_id', sa.Text(), nullable=True),
    sa.Column('uri', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('added_by', sa.Text(), nullable=True),
    sa.CheckConstraint("kind IN ('track', 'episode', 'local', 'unavailable')", name=op.f('ck_playlist_items_kind')),
    sa.ForeignKeyConstraint(['playlist_id'], ['playlists.id'], name=op.f('fk_playlist_items_playlist_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['track_id'], ['tracks.id'], name=op.f('fk_playlist_items_track_id')),
    sa.PrimaryKeyConstraint('playlist_id', 'position', name=op.f('pk_playlist_items'))
    )
    op.create_index(op.f('ix_playlist_items_track_id'), 'playlist_items', ['track_id'], unique=False)
    op.create_table('saved_tracks',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('track_id', sa.Text(), nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('touched_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('hidden_since', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_saved_tracks_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['track_id'], ['tracks.id'], name=op.f('fk_saved_tracks_track_id')),
    sa.PrimaryKeyConstraint('account_id', 'track_id', name=op.f('pk_saved_tracks'))
    )
    op.create_index('ix_saved_tracks_live', 'saved_tracks', ['account_id', sa.literal_column('added_at DESC')], unique=False, postgresql_where=sa.text('removed_at IS NULL'))
    op.create_index(op.f('ix_saved_tracks_track_id'), 'saved_tracks', ['track_id'], unique=False)
    op.create_table('schedules',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('stretched_to', sa.Integer(), nullable=True),
    sa.Column('last_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('sync_id', sa.BigInteger(), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.CheckConstraint("kind IN ('full', 'incremental', 'playback')", name=op.f('ck_schedules_kind')),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_schedules_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_schedules_sync_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('account_id', 'kind', name=op.f('pk_schedules')),
    comment='When what comes by itself is due, and what became of it the last time'
    )
    op.create_index(op.f('ix_schedules_sync_id'), 'schedules', ['sync_id'], unique=False)
    op.create_table('seen_tracks',
    sa.Column('sync_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('track_id', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_seen_tracks_sync_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('sync_id', 'track_id', name=op.f('pk_seen_tracks')),
    comment='Staging: what a walk over saved tracks has met so far'
    )
    op.create_table('seen_nulls',
    sa.Column('sync_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('from_end', sa.Integer(), autoincrement=False, nullable=False),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_seen_nulls_sync_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('sync_id', 'added_at', 'from_end', name=op.f('pk_seen_nulls')),
    comment='Staging: rows without a track that a walk over saved tracks has met so far'
    )
    op.create_table('null_rows',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('idle', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_null_rows_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'added_at', name=op.f('pk_null_rows')),
    comment='Rows without a track that the last proved walk met: all, and those that hide no track we know'
    )
    op.create_table('excess_rows',
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('minute', sa.DateTime(timezone=True), nullable=False),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_excess_rows_account_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('account_id', 'minute', name=op.f('pk_excess_rows')),
    comment="Rows of Spotify's list of saved tracks that no stored row stands for, by the minute of their date"
    )
    op.create_table('read_rows',
    sa.Column('sync_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('place', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('track_id', sa.Text(), nullable=True),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_read_rows_sync_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('sync_id', 'place', name=op.f('pk_read_rows')),
    comment='Staging: what an incremental has read of the list of saved tracks, by its place there'
    )
    op.create_table('staged_items',
    sa.Column('sync_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('playlist_id', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('track_id', sa.Text(), nullable=True),
    sa.Column('uri', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('added_by', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_staged_items_sync_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('sync_id', 'playlist_id', 'position', name=op.f('pk_staged_items')),
    comment='Staging: contents of a playlist until its last page is in'
    )
    op.create_table('sync_state',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('sync_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('state_key', sa.Text(), nullable=False),
    sa.Column('entity_type', sa.Text(), nullable=False),
    sa.Column('current_offset', sa.Integer(), server_default='0', nullable=False),
    sa.Column('cursor', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('total_items', sa.Integer(), nullable=True),
    sa.Column('items_processed', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_added', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_updated', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_removed', sa.Integer(), server_default='0', nullable=False),
    sa.Column('items_deferred', sa.Integer(), server_default='0', nullable=False),
    sa.Column('batches', sa.Integer(), server_default='0', nullable=False),
    sa.Column('failures', sa.Integer(), server_default='0', nullable=False),
    sa.Column('status', sa.Text(), server_default='pending', nullable=False),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('rate_limit_reset_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('percent_complete', sa.Float(), nullable=True),
    sa.Column('busy_seconds', sa.Float(), server_default='0', nullable=False),
    sa.CheckConstraint("entity_type IN ('tracks', 'artists', 'albums', 'playlists')", name=op.f('ck_sync_state_entity_type')),
    sa.CheckConstraint("status IN ('pending', 'in_progress', 'rate_limited', 'success', 'failed', 'cancelled')", name=op.f('ck_sync_state_status')),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_sync_state_sync_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_sync_state')),
    sa.UniqueConstraint('state_key', name=op.f('uq_sync_state_state_key')),
    sa.UniqueConstraint('sync_id', 'entity_type', name=op.f('uq_sync_state_sync_id_entity_type'))
    )
    op.create_table('track_artists',
    sa.Column('track_id', sa.Text(), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('artist_id', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['artist_id'], ['artists.id'], name=op.f('fk_track_artists_artist_id')),
    sa.ForeignKeyConstraint(['track_id'], ['tracks.id'], name=op.f('fk_track_artists_track_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('track_id', 'position', name=op.f('pk_track_artists'))
    )
    op.create_index(op.f('ix_track_artists_artist_id'), 'track_artists', ['artist_id'], unique=False)
    op.create_table('waiters',
    sa.Column('task_id', sa.Text(), nullable=False),
    sa.Column('sync_id', sa.BigInteger(), nullable=True),
    sa.Column('envelope', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('wake_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('tries', sa.Integer(), server_default='0', nullable=False),
    sa.Column('ended', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('kept_at', sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False),
    sa.Column('restore_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("ended IN ('success', 'failed', 'cancelled')", name=op.f('ck_waiters_ended')),
    sa.ForeignKeyConstraint(['sync_id'], ['sync_history.id'], name=op.f('fk_waiters_sync_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('task_id', name=op.f('pk_waiters')),
    comment='One row for each message that triggered a run: who is told when it is over'
    )
    op.create_index('ix_waiters_answered_at', 'waiters', ['answered_at'], unique=False)
    op.create_index('ix_waiters_restore_at', 'waiters', ['restore_at'], unique=False, postgresql_where=sa.text('restore_at IS NOT NULL'))
    op.create_index('ix_waiters_unanswered', 'waiters', ['sync_id'], unique=False, postgresql_where=sa.text('answered_at IS NULL'))
    op.create_table('saved_spans',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('track_id', sa.Text(), nullable=False),
    sa.Column('added_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('from_run', sa.BigInteger(), nullable=True),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('to_run', sa.BigInteger(), nullable=True),
    sa.Column('to_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_saved_spans_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['track_id'], ['tracks.id'], name=op.f('fk_saved_spans_track_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_saved_spans')),
    comment='One row for each stretch that a track was saved, as runs knew it; kept by a trigger of saved_tracks'
    )
    op.create_index('ix_saved_spans_added_at', 'saved_spans', ['account_id', 'added_at'], unique=False)
    op.create_index(op.f('ix_saved_spans_from_run'), 'saved_spans', ['from_run'], unique=False)
    op.create_index(op.f('ix_saved_spans_to_run'), 'saved_spans', ['to_run'], unique=False)
    op.create_index(op.f('ix_saved_spans_track_id'), 'saved_spans', ['track_id'], unique=False)
    op.create_index('uq_saved_spans_open', 'saved_spans', ['account_id', 'track_id'], unique=True, postgresql_where=sa.text('to_at IS NULL'))
    op.create_table('playlist_spans',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('account_id', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('playlist_id', sa.Text(), nullable=False),
    sa.Column('from_run', sa.BigInteger(), nullable=True),
    sa.Column('from_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('to_run', sa.BigInteger(), nullable=True),
    sa.Column('to_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['account_id'], ['accounts.id'], name=op.f('fk_playlist_spans_account_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['playlist_id'], ['playlists.id'], name=op.f('fk_playlist_spans_playlist_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_playlist_spans')),
    comment='One row for each stretch that an account had a playlist; kept by a trigger of account_playlists'
    )
    op.create_index(op.f('ix_playlist_spans_from_run'), 'playlist_spans', ['from_run'], unique=False)
    op.create_index(op.f('ix_playlist_spans_playlist_id'), 'playlist_spans', ['playlist_id'], unique=False)
    op.create_index(op.f('ix_playlist_spans_to_run'), 'playlist_spans', ['to_run'], unique=False)
    op.create_index('uq_playlist_spans_open', 'playlist_spans', ['account_id', 'playlist_id'], unique=True, postgresql_where=sa.text('to_at IS NULL'))
    op.create_table('playlist_versions',
    sa.Column('playlist_id', sa.Text(), nullable=False),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('snapshot_id', sa.Text(), nullable=False),
    sa.Column('sync_id', sa.BigInteger(), nullable=True),
    sa.Column('items', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['playlist_id'], ['playlists.id'], name=op.f('fk_playlist_versions_playlist_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('playlist_id', 'read_at', name=op.f('pk_playlist_versions')),
    comment='Contents of a playlist, each time that they had changed: [position, kind, track, uri, name, added, by]'
    )
    op.create_index(op.f('ix_playlist_versions_sync_id'), 'playlist_versions', ['sync_id'], unique=False)
    # ### end Alembic commands ###
    for statement in HISTORY:
        op.execute(statement)


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION {function} CASCADE")
    # ### commands auto generated by Alembic - please adjust! ###
    op.drop_table('playlist_versions')
    op.drop_table('playlist_spans')
    op.drop_table('saved_spans')
    op.drop_index('ix_waiters_restore_at', table_name='waiters', postgresql_where=sa.text('restore_at IS NOT NULL'))
    op.drop_index('ix_waiters_answered_at', table_name='waiters')
    op.drop_index('ix_waiters_unanswered', table_name='waiters', postgresql_where=sa.text('answered_at IS NULL'))
    op.drop_table('waiters')
    op.drop_index(op.f('ix_track_artists_artist_id'), table_name='track_artists')
    op.drop_table('track_artists')
    op.drop_table('sync_state')
    op.drop_table('staged_items')
    op.drop_table('read_rows')
    op.drop_table('excess_rows')
    op.drop_table('null_rows')
    op.drop_table('seen_nulls')
    op.drop_table('seen_tracks')
    op.drop_index(op.f('ix_schedules_sync_id'), table_name='schedules')
    op.drop_table('schedules')
    op.drop_index(op.f('ix_saved_tracks_track_id'), table_name='saved_tracks')
    op.drop_index('ix_saved_tracks_live', table_name='saved_tracks', postgresql_where=sa.text('removed_at IS NULL'))
    op.drop_table('saved_tracks')
    op.drop_index(op.f('ix_playlist_items_track_id'), table_name='playlist_items')
    op.drop_table('playlist_items')
    op.drop_table('play_history')
    op.drop_index(op.f('ix_tracks_album_id'), table_name='tracks')
    op.drop_table('tracks')
    op.drop_index('uq_sync_history_unfinished', table_name='sync_history', postgresql_where=sa.text("status IN ('pending', 'in_progress', 'rate_limited')"))
    op.drop_index('uq_sync_history_running', table_name='sync_history', postgresql_where=sa.text("status = 'in_progress'"))
    op.drop_index('ix_sync_history_wake_at', table_name='sync_history', postgresql_where=sa.text("status IN ('pending', 'in_progress', 'rate_limited')"))
    op.drop_index('ix_sync_history_account_id', table_name='sync_history')
    op.drop_table('sync_history')
    op.drop_table('saved_lists')
    op.drop_table('saved_albums')
    op.drop_table('followed_artists')
    op.drop_index(op.f('ix_album_artists_artist_id'), table_name='album_artists')
    op.drop_table('album_artists')
    op.drop_index(op.f('ix_account_playlists_playlist_id'), table_name='account_playlists')
    op.drop_table('account_playlists')
    op.drop_table('rate_limits')
    op.drop_table('call_ledger')
    op.drop_table('apps')
    op.drop_table('playlists')
    op.drop_table('heartbeats')
    op.drop_index('ix_playback_gaps_open', table_name='playback_gaps', postgresql_where=sa.text('closed_at IS NULL'))
    op.drop_table('playback_gaps')
    op.drop_table('playback')
    op.drop_index('ix_artists_stubs', table_name='artists', postgresql_where=sa.text("enrichment = 'stub'"))
    op.drop_index('ix_artists_partial', table_name='artists', postgresql_where=sa.text("enrichment = 'partial'"))
    op.drop_table('artists')
    op.drop_index('ix_albums_stubs', table_name='albums', postgresql_where=sa.text("enrichment = 'stub'"))
    op.drop_index('ix_albums_partial', table_name='albums', postgresql_where=sa.text("enrichment = 'partial'"))
    op.drop_table('albums')
    op.drop_table('accounts')
    # ### end Alembic commands ###
