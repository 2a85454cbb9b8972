"""The Web API without faults, but with lies. Checks in order: limits, token, app, method and scope, regime."""

from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web

from spotisync.simulator.http import lies, routes
from spotisync.simulator.http.faults import Fault
from spotisync.simulator.http.limits import Limits
from spotisync.simulator.http.logins import AccessToken, Logins
from spotisync.simulator.http.request import ApiRequest, Refusal, Reply, error, refusal
from spotisync.simulator.http.shapes import Shapes
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world.world import World

NO_PREMIUM = (
    "Active premium subscription required for the owner of the app. When the subscription status changes, it can take "
    "a few hours before requests are allowed again."
)
NOT_LISTED = "Check settings on developer.spotify.com/dashboard, the user may not be registered."


class Api:
    """Answers requests about one world. `url` must be set before the first request."""

    def __init__(self, world: World, settings: SimulatorSettings, logins: Logins) -> None:
        self._world, self._settings, self._logins = world, settings, logins
        self.limits = Limits(settings)
        self.url = ""
        self._shapes = lru_cache(2)(self._make_shapes)

    def _make_shapes(self, regime: str, drifts: int) -> Shapes:
        del drifts  # only part of the cache key: `drift` changes every text
        return Shapes(self._world.catalogue, self.url, restricted=regime == "restricted")

    def warm_up(self) -> None:
        """Cache the text of every saved track, so that a benchmark does not measure it."""
        shapes = self._shapes(self._settings.regime, self._world.catalogue.drifts)
        for library in self._world.accounts.values():
            for added, track in library.saved:
                shapes.saved_row(added, track)

    def access(self, request: web.BaseRequest) -> AccessToken | None:
        return self._logins.access(request.headers.get("Authorization", "").removeprefix("Bearer "))

    def answer(
        self, request: web.BaseRequest, path: str, match: routes.RouteMatch | None, told: Sequence[Fault] = ()
    ) -> Reply:
        """Answer under the lock of the world, so that no edit can interfere. `told`: lies that change the reply."""
        family = match[0].family if match else "other"
        with self._world.lock:
            self._world.catch_up()
            known = self.access(request)
            if refused := self.limits.admit(family, self._world.now(), known.client_id if known else None):
                return refused
            access = self._authenticate(request)
            self._check_app(access)
            if match is None:
                raise refusal(404, "Service not found")
            route, args = match
            self._check(request, route, access)
            library = self._world.accounts[access.grant.account]
            shapes = self._shapes(self._settings.regime, self._world.catalogue.drifts)
            return lies.tell(
                told, route.answer, ApiRequest(self._world, shapes, library, self.url, path, request.query, args)
            )

    def _check_app(self, access: AccessToken) -> None:
        if not self._settings.premium:
            raise Refusal(Reply(403, NO_PREMIUM, content_type="text/plain"))
        if access.grant.account in self._settings.unlisted:
            raise refusal(403, NOT_LISTED)

    def _check(self, request: web.BaseRequest, route: routes.Route, access: AccessToken) -> None:
        scope = access.grant.scope
        if request.method != "GET":
            raise refusal(405, "Method not allowed")
        if route.scope and scope is not None and route.scope not in scope.split():
            raise refusal(403, "Insufficient client scope")
        if self._settings.regime == "restricted" and route.full_only:
            raise refusal(403, "Forbidden")

    def _authenticate(self, request: web.BaseRequest) -> AccessToken:
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
