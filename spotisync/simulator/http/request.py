"""A request and its reply as the routes see them, independent of the HTTP server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from spotisync.simulator.http.shapes import Shapes
from spotisync.simulator.http.text import dumps
from spotisync.simulator.world.library import Library
from spotisync.simulator.world.world import World


class Reply(NamedTuple):
    status: int
    body: str
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"
    limit: str | None = None  # of a 429: "rate", "quota" or "ban"


class Refusal(Exception):
    """Ends a request with the given reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body)
        self.reply = reply


@dataclass(slots=True)
class ApiRequest:
    """What a route needs to answer: the world, the account's library, the path and the query."""

    world: World
    shapes: Shapes
    library: Library
    api_url: str
    path: str  # without a trailing slash
    query: Mapping[str, str]
    args: tuple[str, ...] = field(default=())
    page_size: int | None = None  # a lie: instead of the requested limit

    @property
    def url(self) -> str:
        return self.api_url + self.path.removeprefix("/v1")

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Read an integer from the query. Outside its bounds Spotify answers 400."""
        try:
            value = int(self.query.get(name, default))
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise refusal(400, f"Invalid {name}")
        return value

    def window(self, max_limit: int = 50, max_offset: int = 10**9) -> tuple[int, int]:
        """Read the offset and the limit of a page."""
        return self.number("offset", 0, 0, max_offset), self.limit(max_limit)

    def limit(self, highest: int = 50) -> int:
        requested = self.number("limit", 20, 1, highest)
        return requested if self.page_size is None else self.page_size


def error(status: int, message: str, headers: Mapping[str, str] | None = None, reason: str | None = None) -> Reply:
    members = {"status": status, "message": message} | ({} if reason is None else {"reason": reason})
    return Reply(status, dumps({"error": members}), headers or {})


def refusal(status: int, message: str) -> Refusal:
    return Refusal(error(status, message))
