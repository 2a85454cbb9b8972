"""CSRF tokens: they prove that a form was sent from our own page.

A token encrypts the random value of the browser's form cookie together with its session. Another site can make the
browser send the cookie, but can neither read it nor create the token. It works before and without a login.
"""

import secrets
from http.cookies import SimpleCookie
from typing import Any, Final

from fastapi import Depends, HTTPException, Request

from spotisync.web.dependencies import get_cipher
from spotisync.web.paths import get_root
from spotisync.web.security.sessions import SESSION_COOKIE

FORM_COOKIE: Final = "spotisync_form"
MAX_FORM_ID_LENGTH: Final = 100
INVALID_FORM: Final = "This form is invalid or has expired. Reload the page and try again."


def create_token(request: Request) -> str:
    """Return the value of a form's hidden field `csrf`, or of the header `X-CSRF-Token`."""
    form_id = _get_form_id(request) or _create_form_id(request)
    return get_cipher(request).encrypt("form", _bind_to_session(request, form_id))


def format_cookie(request: Request, name: str, value: str, *, seconds: int | None = None) -> str:
    """Return a Set-Cookie header. SameSite is lax because Spotify returns by a link from another site."""
    made: SimpleCookie = SimpleCookie({name: value})
    path, is_https = get_root(request.scope) or "/", request.url.scheme == "https"
    rules: dict[str, Any] = {"path": path, "httponly": True, "samesite": "lax", "secure": is_https}
    made[name].update(rules if seconds is None else {**rules, "max-age": str(seconds)})
    return made[name].OutputString()


def _get_form_id(request: Request) -> str | None:
    """The browser's form cookie, or the one that this response sets."""
    new: str | None = getattr(request.state, "new_form_id", None)
    known = request.cookies.get(FORM_COOKIE)
    return new or (known if known and len(known) < MAX_FORM_ID_LENGTH else None)


def _create_form_id(request: Request) -> str:
    request.state.new_form_id = secrets.token_urlsafe(24)
    return str(request.state.new_form_id)


def _bind_to_session(request: Request, form_id: str) -> str:
    """A token is valid only in the session in which it was created."""
    return f"{form_id}\0{request.cookies.get(SESSION_COOKIE, '')}"


async def _check_token(request: Request) -> None:
    sent = request.headers.get("X-CSRF-Token") or await _read_form_field(request)
    form_id = request.cookies.get(FORM_COOKIE)
    known = get_cipher(request).decrypt("form", sent) if isinstance(sent, str) else None
    if not form_id or known != _bind_to_session(request, form_id):
        raise HTTPException(403, INVALID_FORM)


async def _read_form_field(request: Request) -> object:
    """Multipart forms are not parsed: they send the header instead."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return (await request.form()).get("csrf") if kind == "application/x-www-form-urlencoded" else None


RequireCsrfToken = Depends(_check_token)
"""Dependency of every endpoint to which our forms post: 403 without a valid token."""
