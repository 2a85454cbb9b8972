"""Rows as a JSON parameter."""

import json
from datetime import date
from typing import Any
from uuid import UUID


def _plain(value: Any) -> str:
    if isinstance(value, date):  # datetimes too
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a row")


def dumps(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)
