"""A request and its reply, as the routes see them: no HTTP server in sight."""

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


class Refusal(Exception):
    """Ends a request with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body)
        self.reply = reply


@dataclass(slots=True)
class Ask:
    """What a route answers: who asks, for what, of which world."""

    world: World
    shapes: Shapes
    library: Library
    api_url: str
    path: str  # without a slash at the end
    query: Mapping[str, str]
    args: tuple[str, ...] = field(default=())

    @property
    def url(self) -> str:
        return self.api_url + self.path.removeprefix("/v1")

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Read a number from the query; outside its bounds Spotify answers 400."""
        try:
            value = int(self.query.get(name, default))
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise refused(400, f"Invalid {name}")
        return value

    def window(self, most: int = 50, farthest: int = 10**9) -> tuple[int, int]:
        """Read offset and limit."""
        return self.number("offset", 0, 0, farthest), self.number("limit", 20, 1, most)


def error(status: int, message: str, headers: Mapping[str, str] | None = None, reason: str | None = None) -> Reply:
    inside = {"status": status, "message": message} | ({} if reason is None else {"reason": reason})
    return Reply(status, dumps({"error": inside}), headers or {})


def refused(status: int, message: str) -> Refusal:
    return Refusal(error(status, message))
