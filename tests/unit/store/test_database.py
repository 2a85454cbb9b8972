"""Database URLs for libpq's programs."""

import pytest

from spotisync.store.database import split_password


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://u:secret@h:5433/db", ("postgresql://u@h:5433/db", "secret")),
        ("postgresql://u@h/db?password=secret&sslmode=require", ("postgresql://u@h/db?sslmode=require", "secret")),
        ("postgresql+psycopg://u@/db?host=/run/my+sockets", ("postgresql://u@/db?host=%2Frun%2Fmy%20sockets", None)),
    ],
)
def test_the_address_contains_no_password(url: str, expected: tuple[str, str | None]) -> None:
    """The address is an argument of psql and pg_dump, so every user of the machine can read it."""
    assert split_password(url) == expected
