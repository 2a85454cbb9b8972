"""The roles of the embedded database: its superuser, and the owner of the tables, which every process connects as.

The statements are for PostgreSQL's single-user mode, where each line is one statement.
"""

from typing import Final

OWNER: Final = "spotisync"
"""The name of the owner and of the database. The owner can create roles, for `spotisync db reader`."""
SUPERUSER: Final = "spotisync_admin"
"""It can't log in: no rule of `stack/authentication.py` is for it."""
_CREATE_OWNER: Final = f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE"

CREATE: Final = f"{_CREATE_OWNER}\nCREATE DATABASE {OWNER} OWNER {OWNER}\n"

# The role that initdb made can't lose its rights, and only another session user can rename it. Its objects can't be
# given away at once (REASSIGN OWNED), since the system's own are among them.
CONVERT: Final = " ".join(
    f"""DO $do$
DECLARE
    statement text;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = '{OWNER}') THEN
        RETURN;
    END IF;
    CREATE ROLE spotisync_converting SUPERUSER;
    SET SESSION AUTHORIZATION spotisync_converting;
    ALTER ROLE {OWNER} RENAME TO {SUPERUSER};
    {_CREATE_OWNER};
    SET SESSION AUTHORIZATION {SUPERUSER};
    DROP ROLE spotisync_converting;
    ALTER DATABASE {OWNER} OWNER TO {OWNER};
    FOR statement IN
        WITH made AS (
            SELECT 'pg_class'::regclass AS class, oid, relowner AS owner, oid::regclass::text AS name,
                CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind
            FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
            UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, oid::regprocedure::text, 'ROUTINE' FROM pg_proc
            UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, quote_ident(nspname), 'SCHEMA' FROM pg_namespace
            UNION ALL SELECT 'pg_type'::regclass, t.oid, typowner, t.oid::regtype::text, 'TYPE'
                FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
                WHERE typtype IN ('e', 'd', 'r') OR c.relkind = 'c'
        )
        SELECT format('ALTER %s %s OWNER TO {OWNER}', kind, name) FROM made
        WHERE oid >= 16384 AND owner = '{SUPERUSER}'::regrole AND NOT EXISTS (
            SELECT 1 FROM pg_depend d WHERE d.classid = made.class AND d.objid = made.oid
            AND (deptype = 'e' OR (kind = 'SEQUENCE' AND deptype IN ('a', 'i'))))
    LOOP
        EXECUTE statement;
    END LOOP;
    WITH given AS (
        UPDATE pg_extension SET extowner = '{OWNER}'::regrole
        WHERE extname = 'pg_trgm' AND extowner = '{SUPERUSER}'::regrole RETURNING oid
    )
    INSERT INTO pg_shdepend (dbid, classid, objid, objsubid, refclassid, refobjid, deptype)
        SELECT d.oid, 'pg_extension'::regclass, given.oid, 0, 'pg_authid'::regclass, '{OWNER}'::regrole, 'o'
        FROM given, pg_database d WHERE datname = current_database();
    IF to_regrole('spotisync_reader') IS NOT NULL THEN
        GRANT spotisync_reader TO {OWNER} WITH ADMIN OPTION;
    END IF;
END $do$""".split()
)
"""For a database of an older version, where the superuser was the owner. Does nothing if it is converted."""
