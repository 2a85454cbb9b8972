"""Faults on demand: rules that match requests and define how these fail."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from email.utils import formatdate
from random import Random
from typing import Any

from spotisync.simulator.http.request import Reply, error
from spotisync.simulator.http.text import dumps

KINDS = ("status", "cut", "garbage", "null", "empty", "reset", "hang", "delay", "hold")
LIES = (
    "empty_list",
    "phantom_total",
    "ignored_offset",
    "ignored_limit",
    "repeated_page",
    "wrong_offset",
    "beyond_end",
    "bad_item",
    "reordered_keys",
    "unknown_fields",
    "missing_fields",
    "genres_null",
)
BODIES = ("json", "text", "html", "empty", "quota", "list", "string", "error_string", "error_null")
MESSAGES = {400: "Bad request", 401: "The access token expired", 403: "Forbidden", 404: "Resource not found"}
MESSAGES |= {429: "API rate limit exceeded", 500: "Server error.", 502: "Bad gateway.", 503: "Service unavailable"}


@dataclass
class Fault:
    """One rule.

    It matches requests by method, path (a regular expression, searched in path and query), family, account and
    client id. It lets the first `after` of them pass, then applies to `times` of them (None: no limit), each with
    `probability`.

    kind     effect
    status   an error `status` with `body`, `message` and Retry-After (`retry_after`: seconds, or any text;
             `retry_date`: as an HTTP date)
    cut      the correct reply, but its body ends half-way
    garbage  200, not JSON;   null  200 `null`;   empty  204 without a body
    reset    the connection is reset before the reply
    hang     no reply for `seconds`, then the connection closes
    delay    the correct reply, `seconds` late
    hold     no reply until `release` (or `seconds`); it is computed after that, or with `when="reply"` before

    The other kinds are the lies of `lies.py`, which change a correct reply; several can apply to one request.
    """

    kind: str = "status"
    status: int = 500
    body: str = "json"
    message: str | None = None
    retry_after: int | str | None = None
    retry_date: bool = False
    seconds: float = 300.0
    when: str = "request"  # hold: or "reply"
    method: str | None = None
    path: str | None = None
    family: str | None = None
    account: str | None = None
    client_id: str | None = None
    after: int = 0
    times: int | None = 1
    probability: float = 1.0
    seed: int = 1
    count: int | None = None  # phantom_total, ignored_limit, wrong_offset; see lies.py
    item: str | None = None  # bad_item
    fields: list[str] | None = None  # missing_fields
    id: int = 0
    matched: int = 0
    applied: int = 0
    rng: Random = field(default_factory=Random, repr=False)

    def __post_init__(self) -> None:
        kinds = (*KINDS, *LIES)
        if self.kind not in kinds or self.body not in BODIES or self.when not in ("request", "reply"):
            raise ValueError(
                f"kind must be one of {', '.join(kinds)}; body one of {', '.join(BODIES)}; when request or reply"
            )
        if self.kind == "bad_item" and not self.item:
            raise ValueError("bad_item needs `item`, the id of a row")
        re.compile(self.path or "")
        self.rng = Random(self.seed)

    @property
    def is_lie(self) -> bool:
        return self.kind in LIES

    @property
    def label(self) -> str:
        return f"{self.id}:{self.kind}"

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "Fault":
        allowed = {each.name for each in fields(cls)} - {"id", "matched", "applied", "rng"}
        if unknown := set(values) - allowed:
            raise ValueError(
                f"a fault has no field {', '.join(sorted(unknown))}; its fields are {', '.join(sorted(allowed))}"
            )
        return cls(**values)

    def trigger(
        self, method: str, target: str, family: str, account: str | None = None, client_id: str | None = None
    ) -> bool:
        """Count the request if it matches, and return whether the fault applies to it."""
        if not self._matches(method, target, family, account, client_id):
            return False
        self.matched += 1
        if self.matched <= self.after or (self.times is not None and self.applied >= self.times):
            return False
        if self.rng.random() >= self.probability:
            return False
        self.applied += 1
        return True

    def _matches(self, method: str, target: str, family: str, account: str | None, client_id: str | None) -> bool:
        return (
            self.method in (None, method)
            and self.family in (None, family)
            and self.account in (None, account)
            and self.client_id in (None, client_id)
            and (self.path is None or re.search(self.path, target) is not None)
        )

    def reply(self, now: float) -> Reply:
        """Return the reply of the kinds status, garbage, null and empty."""
        match self.kind:
            case "garbage":
                return Reply(200, '{"items": [{"added_at": "2025-', {})
            case "null":
                return Reply(200, "null")
            case "empty":
                return Reply(204, "")
        return self._error(self._headers(now))

    def _headers(self, now: float) -> dict[str, str]:
        if self.retry_after is None:
            return {}
        if self.retry_date:
            return {"Retry-After": formatdate(now + float(self.retry_after), usegmt=True)}
        return {"Retry-After": str(self.retry_after)}

    def _error(self, headers: dict[str, str]) -> Reply:
        message = self.message or MESSAGES.get(self.status, "Something went wrong")
        match self.body:
            case "json":
                return error(self.status, message, headers)
            case "quota":
                return error(self.status, "Too many requests", headers, reason="QUOTA_EXCEEDED")
            case "text":
                text = "Too many requests" if self.status == 429 else message
                return Reply(self.status, self.message or text, headers, "text/plain")
            case "html":
                page = f"<html><head><title>{self.status}</title></head><body><h1>{message}</h1></body></html>"
                return Reply(self.status, page, headers, "text/html")
            case "empty":
                return Reply(self.status, "", headers)
        odd = {"list": [message], "string": message, "error_string": {"error": message}, "error_null": {"error": None}}
        return Reply(self.status, dumps(odd[self.body]), headers)

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        del values["rng"]
        return values | {"struck": values.pop("applied")}


class Faults:
    """The active rules. The first fault that applies to a request decides; of the lies, all that apply are told."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._last = 0

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._rules)

    def add(self, fault: Fault) -> int:
        self._last += 1
        fault.id = self._last
        self._rules.append(fault)
        return fault.id

    def remove(self, id_: int | None = None) -> int:
        """Remove one rule, or all of them; return how many."""
        before = len(self._rules)
        self._rules = [] if id_ is None else [rule for rule in self._rules if rule.id != id_]
        return before - len(self._rules)

    def trigger(
        self, method: str, target: str, family: str, account: str | None = None, client_id: str | None = None
    ) -> Fault | None:
        """Return the fault that applies, if any. `target`: path and query."""
        rules = (rule for rule in self._rules if not rule.is_lie)
        return next((rule for rule in rules if rule.trigger(method, target, family, account, client_id)), None)

    def trigger_lies(
        self, target: str, family: str, account: str | None = None, client_id: str | None = None
    ) -> list[Fault]:
        """Return every lie that applies to a GET request, in the order of the rules."""
        lies = (rule for rule in self._rules if rule.is_lie)
        return [lie for lie in lies if lie.trigger("GET", target, family, account, client_id)]
