"""Is it alive, is it ready, what does it count: for who runs it."""

from fastapi import APIRouter

router = APIRouter()
