"""A client for the simulator's control API, for tests and the demo."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


class Control:
    """Steers the simulator at `url`, which may run in another process.

    A call that the simulator refuses raises ValueError with the reason.
    """

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        self.url, self._timeout = url.rstrip("/"), timeout

    def info(self) -> dict[str, Any]:
        """Say where everything is, and give each account's id and refresh token."""
        return self._ask("GET", "info")

    def add_fault(self, **rule: Any) -> int:
        """Add a rule, see `Fault` for its fields, and give its id."""
        return int(self._ask("POST", "faults", rule)["id"])

    def faults(self) -> list[dict[str, Any]]:
        return self._list("GET", "faults")

    def clear_faults(self, id_: int | None = None) -> int:
        """Remove one rule, or all; say how many went."""
        return int(self._ask("DELETE", "faults", {} if id_ is None else {"id": id_})["removed"])

    def held(self) -> list[dict[str, Any]]:
        """List the requests that a `hold` rule keeps waiting."""
        return self._list("GET", "held")

    def release(self, hold: int | None = None) -> int:
        """Let one held request go, or all; say how many."""
        return int(self._ask("POST", "release", {} if hold is None else {"hold": hold})["released"])

    def edit(self, op: str, account: str | None = None, **args: Any) -> dict[str, Any]:
        return self._ask("POST", "edit", {"op": op, "account": account, **args})

    def truth(self, account: str | None = None, **options: Any) -> dict[str, Any]:
        return self._ask("GET", "truth", query=options | ({} if account is None else {"account": account}))

    def requests(self, last: int | None = None) -> list[dict[str, Any]]:
        return self._list("GET", "requests", query={} if last is None else {"last": last})

    def counters(self) -> dict[str, Any]:
        return self._ask("GET", "counters")

    def reset_log(self) -> None:
        self._ask("POST", "reset-log")

    def reset_limits(self) -> None:
        """Forget what was counted for the window and the quotas."""
        self._ask("POST", "reset-limits")

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings (none: just read them) and give all of them."""
        return self._ask("POST", "settings", changes)

    def revoke(self, account: str | None = None, *, how: str = "revoked", access: bool = False) -> int:
        """End the account's consents ("revoked" or "expired"), with `access` its access tokens too."""
        return int(self._ask("POST", "revoke", {"account": account, "how": how, "access": access})["ended"])

    def token(self, account: str | None = None, life: float | None = None) -> dict[str, Any]:
        """Give a new access token, and the refresh token that is good now."""
        return self._ask("POST", "token", {"account": account, "life": life})

    def _ask(self, method: str, call: str, body: Any = None, query: dict[str, Any] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._call(method, call, body, query)
        return answer

    def _list(self, method: str, call: str, query: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self._call(method, call, None, query)
        return answer

    def _call(self, method: str, call: str, body: Any, query: dict[str, Any] | None) -> Any:
        address = f"{self.url}/_sim/{call}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = Request(address, data, method=method)  # noqa: S310 (our own address)
        try:
            with urlopen(request, timeout=self._timeout) as reply:  # noqa: S310
                return json.load(reply)
        except HTTPError as problem:
            with problem:
                raise ValueError(json.load(problem)["error"]) from None
