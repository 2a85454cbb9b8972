"""The Web API without faults: limits, then the token, then the app, then the regime, then the answer."""

from functools import lru_cache

from aiohttp import web

from spotisync.simulator.http import routes
from spotisync.simulator.http.limits import Limits
from spotisync.simulator.http.logins import Access, Logins
from spotisync.simulator.http.request import Ask, Refusal, Reply, error, refused
from spotisync.simulator.http.shapes import Shapes
from spotisync.simulator.settings import Settings
from spotisync.simulator.world.world import World

NO_PREMIUM = (
    "Active premium subscription required for the owner of the app. When the subscription status changes, it can take "
    "a few hours before requests are allowed again."
)
NOT_LISTED = "Check settings on developer.spotify.com/dashboard, the user may not be registered."


class Api:
    """Answers requests about one world. `url` must be set before the first one."""

    def __init__(self, world: World, settings: Settings, logins: Logins) -> None:
        self._world, self._settings, self._logins = world, settings, logins
        self.limits = Limits(settings)
        self.url = ""
        self._shapes = lru_cache(2)(self._make_shapes)

    def _make_shapes(self, regime: str, rise: int) -> Shapes:
        del rise  # texts of before the world has moved on are of no use
        return Shapes(self._world.catalogue, self.url, restricted=regime == "restricted")

    def warm_up(self) -> None:
        """Write every saved track once, so that a benchmark does not measure it."""
        shapes = self._shapes(self._settings.regime, self._world.catalogue.rise)
        for library in self._world.accounts.values():
            for added, track in library.saved:
                shapes.saved_row(added, track)

    def access(self, request: web.BaseRequest) -> Access | None:
        return self._logins.access(request.headers.get("Authorization", "").removeprefix("Bearer "))

    def answer(self, request: web.BaseRequest, path: str, found: routes.Found | None) -> Reply:
        """Answer in one go, so that no edit comes between."""
        family = found[0].family if found else "other"
        with self._world.lock:
            if limited := self.limits.refusal(family, self._world.now()):
                return limited
            access = self._allowed(request)
            self._check_app(access)
            if found is None:
                raise refused(404, "Service not found")
            route, args = found
            self._check(request, route, access)
            library, shapes = (
                self._world.accounts[access.grant.account],
                self._shapes(self._settings.regime, self._world.catalogue.rise),
            )
            return route.answer(Ask(self._world, shapes, library, self.url, path, request.query, args))

    def _check_app(self, access: Access) -> None:
        if not self._settings.premium:
            raise Refusal(Reply(403, NO_PREMIUM, content_type="text/plain"))
        if access.grant.account in self._settings.unlisted:
            raise refused(403, NOT_LISTED)

    def _check(self, request: web.BaseRequest, route: routes.Route, access: Access) -> None:
        scope = access.grant.scope
        if request.method != "GET":
            raise refused(405, "Method not allowed")
        if route.scope and scope is not None and route.scope not in scope.split():
            raise refused(403, "Insufficient client scope")
        if self._settings.regime == "restricted" and route.full_only:
            raise refused(403, "Forbidden")

    def _allowed(self, request: web.BaseRequest) -> Access:
        access = self.access(request)
        if "Authorization" not in request.headers:
            raise _unauthorized("No token provided")
        if access is None:
            raise _unauthorized("Invalid access token")
        if access.until <= self._world.now():
            raise _unauthorized("The access token expired")
        return access


def _unauthorized(message: str) -> Refusal:
    header = f'Bearer realm="spotify", error="invalid_token", error_description="{message}"'
    return Refusal(error(401, message, {"www-authenticate": header}))
