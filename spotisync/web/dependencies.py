"""FastAPI dependencies shared by the pages and the API: the context, a transaction, validated parameters."""

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import Depends, Header, Path, Query, Request

from spotisync.store.database import Connection
from spotisync.sync import Context
from spotisync.web.security.sessions import BrowserCipher

MAX_ID: Final = 2**63 - 1
NO_NUL: Final = r"^[^\x00]+$"

RunId = Annotated[int, Path(ge=1, le=MAX_ID, description="Id of the run", examples=[12])]
AccountFilter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Spotify user id; optional if there is only one account",
        examples=["alice"],
    ),
]
AccountInPath = Annotated[
    str, Path(min_length=1, max_length=200, pattern=NO_NUL, description="Spotify user id", examples=["alice"])
]
Limit = Annotated[int, Query(ge=1, le=200, description="Maximum number of runs")]
Before = Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only runs with a smaller id: the next page")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Repeating a request with the same key and account returns the same run",
        examples=["nightly-2026-11-23"],
    ),
]


def _get_context(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


ContextDep = Annotated[Context, Depends(_get_context)]


def _open_transaction(context: ContextDep) -> Iterator[Connection]:
    with context.database.begin() as connection:
        yield connection


ConnectionDep = Annotated[Connection, Depends(_open_transaction)]


def get_cipher(request: Request) -> BrowserCipher:
    found: BrowserCipher = request.app.state.cipher
    return found
