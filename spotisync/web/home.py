"""The front page: what goes on, why it waits, what to do."""

from fastapi import APIRouter

router = APIRouter()
