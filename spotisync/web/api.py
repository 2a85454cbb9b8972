"""The JSON API, as other services rely on it."""

from fastapi import APIRouter

router = APIRouter()
