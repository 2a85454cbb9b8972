"""One run: the timeline of its batches, waits, retries, kills and resumes."""

from fastapi import APIRouter

router = APIRouter()
