"""The root path: the path below which a proxy serves the pages, such as `/spotify`; otherwise empty."""

from fastapi import Request
from fastapi.responses import RedirectResponse
from starlette.types import Scope


def get_root(scope: Scope) -> str:
    """Mounted applications, such as the static files, have a root path of their own, which is ignored."""
    root: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root


def get_path(scope: Scope) -> str:
    """Return the path of the request below the root path, as in the routes."""
    path: str = scope["path"]
    return path.removeprefix(get_root(scope))


def format_path(request: Request, path: str) -> str:
    """Return the path of a route as browsers have to request it."""
    return f"{get_root(request.scope)}{path}"


def redirect(request: Request, path: str) -> RedirectResponse:
    return RedirectResponse(format_path(request, path), 303)
