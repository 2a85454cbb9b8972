"""A client for the simulator's control API, for tests and the demo."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


class Control:
    """Steers the simulator at `url`, which may run in another process.

    A call that the simulator rejects raises ValueError with the reason.
    """

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        self.url, self._timeout = url.rstrip("/"), timeout

    def info(self) -> dict[str, Any]:
        """Return the URLs, and each account's id and refresh token."""
        return self._object("GET", "info")

    def add_fault(self, **rule: Any) -> int:
        """Add a rule with fields of `Fault`; return its id."""
        return int(self._object("POST", "faults", rule)["id"])

    def faults(self) -> list[dict[str, Any]]:
        return self._list("GET", "faults")

    def clear_faults(self, id_: int | None = None) -> int:
        """Remove one rule, or all; return how many."""
        return int(self._object("DELETE", "faults", {} if id_ is None else {"id": id_})["removed"])

    def held_requests(self) -> list[dict[str, Any]]:
        """List the requests that a `hold` rule delays."""
        return self._list("GET", "held")

    def release(self, hold: int | None = None) -> int:
        """Release one held request, or all; return how many."""
        return int(self._object("POST", "release", {} if hold is None else {"hold": hold})["released"])

    def edit(self, op: str, account: str | None = None, **args: Any) -> dict[str, Any]:
        return self._object("POST", "edit", {"op": op, "account": account, **args})

    def start_rhythm(self, kind: str, account: str | None = None, *, seed: int = 1, since: float | None = None) -> None:
        """Let an account play and edit by one of `rhythms.KINDS`, from now or `since` (epoch seconds) on.

        Moving `clock_offset` forward then simulates the time between.
        """
        self._object("POST", "rhythm", {"kind": kind, "account": account, "seed": seed, "since": since})

    def truth(self, account: str | None = None, **options: Any) -> dict[str, Any]:
        return self._object("GET", "truth", query=options | ({} if account is None else {"account": account}))

    def requests(self, last: int | None = None) -> list[dict[str, Any]]:
        return self._list("GET", "requests", query={} if last is None else {"last": last})

    def counters(self) -> dict[str, Any]:
        """Count finished requests by family and status, and those `limited` by client id, family and limit."""
        return self._object("GET", "counters")

    def reset_log(self) -> None:
        self._object("POST", "reset-log")

    def reset_limits(self) -> None:
        """Reset the counts of the rolling window and the quotas."""
        self._object("POST", "reset-limits")

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change the given settings; return all settings."""
        return self._object("POST", "settings", changes)

    def revoke(self, account: str | None = None, *, how: str = "revoked", access: bool = False) -> int:
        """End the account's consents ("revoked" or "expired"), with `access` also its access tokens."""
        return int(self._object("POST", "revoke", {"account": account, "how": how, "access": access})["ended"])

    def token(
        self, account: str | None = None, life: float | None = None, client_id: str | None = None
    ) -> dict[str, Any]:
        """Return a new access token, as if that client had requested it, and the valid refresh token."""
        return self._object("POST", "token", {"account": account, "life": life, "client_id": client_id})

    def _object(self, method: str, call: str, body: Any = None, query: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = self._call(method, call, body, query)
        return result

    def _list(self, method: str, call: str, query: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._call(method, call, None, query)
        return result

    def _call(self, method: str, call: str, body: Any, query: dict[str, Any] | None) -> Any:
        url = f"{self.url}/_sim/{call}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data, method=method)  # noqa: S310 (the simulator's own URL)
        try:
            with urlopen(request, timeout=self._timeout) as reply:  # noqa: S310
                return json.load(reply)
        except HTTPError as problem:
            with problem:
                raise ValueError(json.load(problem)["error"]) from None
