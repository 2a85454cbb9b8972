"""the library is searched

Revision: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SEARCHED = ("tracks", "albums", "artists")

# What makes capitals small must know more letters than ASCII, and must not change with the system: what is stored was
# made by it. From PostgreSQL 17 on that is a collation of its own; before, ICU's.
COLLATIONS = """SELECT collname FROM pg_collation WHERE collname IN ('pg_c_utf8', 'und-x-icu')
    AND collnamespace = 'pg_catalog'::regnamespace AND collencoding IN (-1, 6) ORDER BY collname LIMIT 1"""
OURS = "made by spotisync"
# It may be there already, in a schema that is not searched.
SCHEMA = """SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
    WHERE extname = 'pg_trgm'"""


def upgrade() -> None:
    op.execute(_plain(op.get_bind().execute(sa.text(COLLATIONS)).scalar_one_or_none()))
    for table in SEARCHED:
        op.execute(f"ALTER TABLE {table} ADD COLUMN search text GENERATED ALWAYS AS (plain(name)) STORED")
    schema = _trigrams()
    if schema:
        for table in SEARCHED:
            op.execute(f"CREATE INDEX ix_{table}_search ON {table} USING gin (search {schema}.gin_trgm_ops)")


def _plain(collation: str | None) -> str:
    """Without case, accents and apostrophes: as people type. Letters that do not decompose are told one by one."""
    small = f'COLLATE "{collation}"' if collation else ""
    return rf"""CREATE FUNCTION plain(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
        SELECT replace(replace(replace(replace(translate(
            lower(regexp_replace(normalize($1, NFKD), '[\u0300-\u036f''’‘ʼ]', '', 'g') {small}),
            'øłđıħς', 'oldihσ'), 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th') $$"""


def _trigrams() -> str | None:
    """The schema of pg_trgm. Where it can't be had, everything is found all the same, only slower."""
    bind = op.get_bind()
    found: str | None = bind.execute(sa.text(SCHEMA)).scalar_one_or_none()
    if found is None:
        try:
            with bind.begin_nested():
                bind.execute(sa.text("CREATE EXTENSION pg_trgm"))
                bind.execute(sa.text(f"COMMENT ON EXTENSION pg_trgm IS '{OURS}'"))
        except sa.exc.DBAPIError:
            return None
        found = bind.execute(sa.text(SCHEMA)).scalar_one()
    return found


def downgrade() -> None:
    for table in SEARCHED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN search")
    op.execute("DROP FUNCTION plain(text)")
    comment = sa.text("SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'pg_trgm'")
    if op.get_bind().execute(comment).scalar_one_or_none() == OURS:
        op.execute("DROP EXTENSION pg_trgm")
