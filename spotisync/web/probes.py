"""Is it alive, is it ready, what does it count: for who runs it."""

from fastapi import APIRouter

router = APIRouter()


@router.get("/healthz", tags=["probes"], summary="Is it alive?")
async def healthz() -> dict[str, str]:
    """It asks nobody else: while the database is away, starting this program again is no cure."""
    return {"status": "ok"}
