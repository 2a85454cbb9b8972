"""Accounts: connect, log in again, disconnect, delete."""

from fastapi import APIRouter

router = APIRouter()
