"""The library: search and filter."""

from fastapi import APIRouter

router = APIRouter()
