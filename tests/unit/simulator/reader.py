"""Reads a simulator over HTTP, like any client."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import requests


class Reader:
    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.session.close()

    def get(self, path: str, timeout: float = 60, **query: Any) -> requests.Response:
        return self.session.get(f"{self.url}/v1{path}", params=query, timeout=timeout)

    def json(self, path: str, **query: Any) -> Any:
        reply = self.get(path, **query)
        assert reply.status_code == 200, (path, query, reply.status_code, reply.text)
        return reply.json()

    def rows(self, path: str, limit: int = 50, **query: Any) -> Iterator[Any]:
        offset, total = 0, 1
        while offset < total:
            page = self.json(path, limit=limit, offset=offset, **query)
            yield from page["items"]
            offset, total = offset + limit, page["total"]

    def followed(self) -> Iterator[Any]:
        query: dict[str, Any] = {"type": "artist", "limit": 2}
        while True:
            page = self.json("/me/following", **query)["artists"]
            yield from page["items"]
            if page["next"] is None:
                return
            query["after"] = page["cursors"]["after"]
