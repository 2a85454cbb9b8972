"""What shows that a form was sent from our own page: a token in the form, or in a header of htmx's.

It is the seal on a random word that lies in the browser's cookie: another site can send the cookie, but neither read it
nor make the seal. Nothing is stored, and it works before a login and without one.
"""

import secrets
from http.cookies import SimpleCookie
from typing import Any, Final

from fastapi import Depends, HTTPException, Request

COOKIE: Final = "spotisync_form"
SESSION: Final = "spotisync_session"
LONGEST: Final = 100
REFUSED: Final = "This form is not from our page, or too old. Load the page again, and try once more."


def token(request: Request) -> str:
    """For a form's hidden field `csrf`, or the header `X-CSRF-Token`."""
    return _sealed(request, _word(request) or _new_word(request))


def cookie(name: str, value: str, *, secure: bool, seconds: int | None = None) -> str:
    """As a header. Lax, for the way back from Spotify is a link from another site."""
    made: SimpleCookie = SimpleCookie({name: value})
    rules: dict[str, Any] = {"path": "/", "httponly": True, "samesite": "lax", "secure": secure}
    made[name].update(rules if seconds is None else {**rules, "max-age": str(seconds)})
    return made[name].OutputString()


def _word(request: Request) -> str | None:
    """The browser's own, or the one that this very answer brings."""
    new: str | None = getattr(request.state, "form_word", None)
    known = request.cookies.get(COOKIE)
    return new or (known if known and len(known) < LONGEST else None)


def _new_word(request: Request) -> str:
    request.state.form_word = secrets.token_urlsafe(24)
    return str(request.state.form_word)


def _sealed(request: Request, word: str) -> str:
    """It ends with the session that it was made in."""
    return str(request.app.state.seal.mark("form", f"{word}\0{request.cookies.get(SESSION, '')}"))


async def _posted_here(request: Request) -> None:
    sent = request.headers.get("X-CSRF-Token") or await _in_form(request)
    word = request.cookies.get(COOKIE)
    bound = f"{word}\0{request.cookies.get(SESSION, '')}"
    if not (word and isinstance(sent, str) and request.app.state.seal.fits("form", bound, sent)):
        raise HTTPException(403, REFUSED)


async def _in_form(request: Request) -> object:
    """Not of a form with files, which sends the header."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return (await request.form()).get("csrf") if kind == "application/x-www-form-urlencoded" else None


FromThePage = Depends(_posted_here)
"""A dependency of every endpoint that a form of ours posts to: 403 to anything else."""
