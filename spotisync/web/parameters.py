"""What a request may say, and how: everything else is a 422 before anybody looks at it."""

from typing import Annotated, Final

from fastapi import Header, Path, Query

LARGEST: Final = 2**63 - 1
NO_NUL: Final = r"^[^\x00]+$"

RunId = Annotated[int, Path(ge=1, le=LARGEST, description="The run's number", examples=[12])]
OfAccount = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=NO_NUL,
        description="Spotify user id; not needed while there is one account",
        examples=["alice"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=200, description="How many, at most")]
Before = Annotated[int | None, Query(ge=1, le=LARGEST, description="Only runs with a smaller number: the next page")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="The same key again, for the same account, means the same run, not another one",
        examples=["nightly-2026-11-23"],
    ),
]
