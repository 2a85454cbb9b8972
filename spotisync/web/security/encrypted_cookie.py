"""What the browser keeps for us for a while: encrypted, so that it can neither read nor make it."""

import json
import time
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from spotisync.errors import Misconfigured
from spotisync.store.accounts import TokenVault


class EncryptedCookie:
    """One cookie. Lax: the way back from Spotify is a link from another site, and must bring it along."""

    def __init__(self, name: str, path: str, seconds: int) -> None:
        self._name = name
        self._path = path
        self._seconds = seconds

    def put(self, request: Request, response: Response, vault: TokenVault, kept: dict[str, Any]) -> None:
        sealed = vault.encrypt(json.dumps({"for": self._name, "until": time.time() + self._seconds, **kept}))
        response.set_cookie(
            self._name,
            sealed,
            max_age=self._seconds,
            path=self._path,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )

    def take(self, request: Request, vault: TokenVault) -> dict[str, Any] | None:
        """None: there is nothing, or not any more, or not from us."""
        try:
            kept = json.loads(vault.decrypt(request.cookies.get(self._name, "")))
        except (Misconfigured, ValueError):
            return None
        sound = isinstance(kept, dict) and kept.get("for") == self._name and kept.get("until", 0) > time.time()
        return kept if sound else None

    def empty(self, response: Response) -> None:
        response.delete_cookie(self._name, path=self._path, httponly=True, samesite="lax")
