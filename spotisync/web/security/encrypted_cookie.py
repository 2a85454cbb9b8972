"""Short-lived encrypted cookies: the browser can neither read nor forge them."""

import json
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from spotisync.web.dependencies import get_cipher
from spotisync.web.paths import format_path


class EncryptedCookie:
    """A JSON object in a cookie. SameSite is lax because Spotify returns by a link from another site."""

    def __init__(self, name: str, path: str, seconds: int) -> None:
        self._name = name
        self._path = path
        self._seconds = seconds

    def set(self, request: Request, response: Response, data: dict[str, Any]) -> None:
        response.set_cookie(
            self._name,
            get_cipher(request).encrypt(self._name, json.dumps(data)),
            max_age=self._seconds,
            path=format_path(request, self._path),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )

    def get(self, request: Request) -> dict[str, Any] | None:
        """Return None if the cookie is missing, expired or not ours."""
        found = get_cipher(request).decrypt(self._name, request.cookies.get(self._name, ""), self._seconds)
        data: dict[str, Any] | None = None if found is None else json.loads(found)
        return data

    def delete(self, request: Request, response: Response) -> None:
        response.delete_cookie(self._name, path=format_path(request, self._path), httponly=True, samesite="lax")
