"""Bulk writes: one statement per table, rows as one JSON parameter in key order, writing only rows that change."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import JSON

from spotisync.store.database import Connection, execute

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
Key = tuple[Any, ...]


def dumps(rows: Any) -> str:
    """Serialise rows as one JSON parameter. What orjson rejects, such as integers beyond 64 bits, is left to json."""
    try:
        return orjson.dumps(rows, default=_to_json, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    except orjson.JSONEncodeError:
        return json.dumps(rows, default=_to_json, ensure_ascii=False)


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, date):  # datetimes too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"Can't store a {type(value).__name__} in a row")


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    keep_unknown: bool = True,
    also: str = "",
) -> tuple[set[Key], set[Key]]:
    """Insert the rows or update those that differ; return the keys inserted and the keys updated.

    `keep_unknown`: None never overwrites a value (law 6). `also` is an additional assignment for updated rows.
    All rows have the same columns, and each key occurs once.
    """
    if not rows:
        return set(), set()
    statement = _statement(table, tuple(rows[0]), keep_unknown=keep_unknown, also=also)
    inserted: set[Key] = set()
    updated: set[Key] = set()
    for *key, new in execute(connection, statement, {"rows": dumps(rows)}).all():
        (inserted if new else updated).add(tuple(key))
    return inserted, updated


@cache
def _statement(table: Table, columns: tuple[str, ...], *, keep_unknown: bool, also: str) -> str:
    key = [column.name for column in table.primary_key]
    free = [name for name in columns if name not in key]

    def values(source: str) -> list[str]:
        return [f"COALESCE({source}.{name}, t.{name})" if keep_unknown else f"{source}.{name}" for name in free]

    def changed(source: str) -> str:
        return f"ROW({_list(free, 't')}) IS DISTINCT FROM ROW({', '.join(values(source))})"

    assignments = [f"{name} = {value}" for name, value in zip(free, values("excluded"), strict=True)]
    action = f"UPDATE SET {', '.join([*assignments, also] if also else assignments)} WHERE {changed('excluded')}"
    same_key = " AND ".join(f"k.{name} = r.{name}" for name in key)
    # ON CONFLICT locks every conflicting row, changed or not, and a row lock is a write. So unchanged rows are filtered
    # out first; the condition is repeated for rows that another transaction writes in between.
    return (
        f"INSERT INTO {table.name} AS t ({_list(columns)}) "
        f"SELECT {_list(columns, 'r')} FROM {recordset(table, columns)} "
        f"LEFT JOIN {lookup_by_key(table, same_key)} AS t ON true "
        f"WHERE t.{key[0]} IS NULL {'OR ' + changed('r') if free else ''} ORDER BY {_list(key, 'r')} "
        f"ON CONFLICT ({_list(key)}) DO {action if free else 'NOTHING'} RETURNING {_list(key, 't')}, t.xmax = 0"
    )


def _list(names: Iterable[str], source: str = "") -> str:
    return ", ".join(f"{source}.{name}" if source else name for name in names)


def lookup_by_key(table: Table, whole_key: str) -> str:
    """A FROM item: for each preceding row, the row of `table` (`k` in the condition) with that key.

    LIMIT prevents Postgres from planning a join. A cached plan, or one without statistics of a table that has just
    been filled, would scan the whole table; the lateral subquery always uses the index of the key.
    """
    return f"LATERAL (SELECT * FROM {table.name} k WHERE {whole_key} LIMIT 1)"


def recordset(table: Table, columns: Iterable[str]) -> str:
    """A FROM item that reads the parameter `:rows` as rows of these columns."""
    # CAST instead of `::`, which text() would parse as a parameter.
    types = ", ".join(f"{name} {_type(table, name)}" for name in columns)
    # json, not jsonb: the text is read once, so its conversion would only cost a fifth of the time.
    return f"json_to_recordset(CAST(:rows AS json)) AS r({types})"


def _type(table: Table, column: str) -> str:
    kind = table.c[column].type
    return "jsonb" if isinstance(kind, JSON) else kind.compile(dialect=DIALECT)


def replace_children(
    connection: Connection, table: Table, parent: str, child: str, lists: Mapping[str, Sequence[str]]
) -> set[str]:
    """Replace the ordered lists of these parents; return the parents whose list changed."""
    rows = [
        {parent: id_, "position": position, child: child_id}
        for id_, children in lists.items()
        for position, child_id in enumerate(children)
    ]
    inserted, updated = upsert(connection, table, rows)
    # Positions have no gaps, so a list whose first row is new has no tail.
    sizes = {id_: len(children) for id_, children in lists.items() if (id_, 0) not in inserted}
    shortened = _delete_tails(connection, table, parent, sizes)
    return {key[0] for key in inserted | updated} | shortened


def _delete_tails(connection: Connection, table: Table, parent: str, sizes: Mapping[str, int]) -> set[str]:
    """Delete rows beyond the end of each list; return the parents whose list was longer."""
    if not sizes:
        return set()
    # A longer list has a row at position `size`.
    longer = set(
        execute(
            connection,
            "SELECT r.id FROM json_to_recordset(CAST(:rows AS json)) AS r(id text, size int), "
            + lookup_by_key(table, f"k.{parent} = r.id AND k.position = r.size")
            + " AS t",
            {"rows": dumps([{"id": id_, "size": size} for id_, size in sizes.items()])},
        ).scalars()
    )
    if longer:
        execute(
            connection,
            f"DELETE FROM {table.name} WHERE {parent} = :id AND position >= :size",
            [{"id": id_, "size": sizes[id_]} for id_ in sorted(longer)],
        )
    return longer
