"""Putting JSON together from parts that are JSON already."""

import json
from typing import Any


def dumps(value: Any) -> str:
    """Write plain ASCII: it takes a byte a letter in memory, and putting pages together is several times quicker."""
    return json.dumps(value)


def join(plain: dict[str, Any], **ready: str) -> str:
    """Write an object of plain values and of members that are JSON already."""
    members = [dumps(plain)[1:-1], *(f'"{key}": {text}' for key, text in ready.items())]
    return "{" + ", ".join(member for member in members if member) + "}"


def listed(rows: list[str]) -> str:
    return "[" + ", ".join(rows) + "]"


def page(url: str, rows: list[str], total: int, offset: int, limit: int, *, more: str = "") -> str:
    """Write one page of an offset-paged list; `more` is added to the query of its links."""

    def link(start: int) -> str:
        return f"{url}?offset={start}&limit={limit}{more}"

    plain = {
        "href": link(offset),
        "limit": limit,
        "next": link(offset + limit) if offset + limit < total else None,
        "offset": offset,
        "previous": link(max(0, offset - limit)) if offset else None,
        "total": total,
    }
    return join(plain, items=listed(rows))
