"""The control API under /_sim/: how tests steer a simulator in another process, as JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from spotisync.simulator.http.app import SimulatorApp
from spotisync.simulator.http.faults import Fault
from spotisync.simulator.http.request import Reply
from spotisync.simulator.http.text import dumps

WORLD_SETTINGS = ("clock_offset", "snapshot_lag", "play_shift", "play_starts")


class ControlApi:
    def __init__(self, app: SimulatorApp) -> None:
        self._app = app
        self._calls: dict[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
            ("GET", "info"): lambda _: app.info(),
            ("POST", "faults"): self._add_fault,
            ("GET", "faults"): self._list_faults,
            ("DELETE", "faults"): self._remove_faults,
            ("GET", "held"): lambda _: app.held_requests.as_dicts(),
            ("POST", "release"): lambda body: {"released": app.held_requests.release(body.get("hold"))},
            ("POST", "edit"): self._edit,
            ("POST", "rhythm"): self._start_rhythm,
            ("GET", "truth"): self._truth,
            ("GET", "requests"): self._requests,
            ("GET", "counters"): lambda _: app.request_log.counters(),
            ("POST", "reset-log"): self._reset_log,
            ("POST", "reset-limits"): self._reset_limits,
            ("GET", "settings"): lambda _: self._settings(),
            ("POST", "settings"): self._change_settings,
            ("POST", "revoke"): self._revoke,
            ("POST", "token"): self._token,
        }

    async def answer(self, request: web.BaseRequest) -> Reply:
        call = self._calls.get((request.method, request.path.removeprefix("/_sim/").rstrip("/")))
        if call is None:
            calls = ", ".join(" ".join(each) for each in self._calls)
            return Reply(404, dumps({"error": f"unknown call; the calls are {calls}"}))
        text = await request.text()
        try:
            return Reply(200, dumps(call(json.loads(text) if text else dict(request.query))))
        except (ValueError, TypeError, LookupError) as problem:
            return Reply(400, dumps({"error": f"{type(problem).__name__}: {problem}"}))

    def _add_fault(self, body: Mapping[str, Any]) -> dict[str, int]:
        return {"id": self._app.faults.add(Fault.parse(body))}

    def _list_faults(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [fault.as_dict() for fault in self._app.faults]

    def _remove_faults(self, body: Mapping[str, Any]) -> dict[str, int]:
        return {"removed": self._app.faults.remove(int(body["id"]) if "id" in body else None)}

    def _edit(self, body: Mapping[str, Any]) -> Any:
        return self._app.world.edit(**body)

    def _start_rhythm(self, body: Mapping[str, Any]) -> dict[str, bool]:
        """Take `account`, `kind` (of `rhythms.KINDS`), `seed` and `since`."""
        self._app.world.start_rhythm(**body)
        return {"ok": True}

    def _truth(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._app.world.truth(body.get("account"), regime=body.get("regime", self._app.settings.regime))

    def _requests(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._app.request_log.requests(int(body["last"]) if "last" in body else None)

    def _reset_log(self, _: Mapping[str, Any]) -> dict[str, bool]:
        self._app.request_log.reset()
        return {"ok": True}

    def _reset_limits(self, _: Mapping[str, Any]) -> dict[str, bool]:
        self._app.api.limits.reset()
        return {"ok": True}

    def _settings(self) -> dict[str, Any]:
        return vars(self._app.settings) | {name: getattr(self._app.world, name) for name in WORLD_SETTINGS}

    def _change_settings(self, body: Mapping[str, Any]) -> dict[str, Any]:
        self._app.settings.change({name: value for name, value in body.items() if name not in WORLD_SETTINGS})
        for name in WORLD_SETTINGS:
            if name in body:
                setattr(self._app.world, name, type(getattr(self._app.world, name))(body[name]))
        return self._settings()

    def _revoke(self, body: Mapping[str, Any]) -> dict[str, int]:
        account = self._app.world.library(body.get("account")).id
        ended = self._app.logins.revoke(account, body.get("how", "revoked"), access=bool(body.get("access", False)))
        return {"ended": ended}

    def _token(self, body: Mapping[str, Any]) -> dict[str, str | None]:
        """Return a new access token and the valid refresh token, without the token endpoint."""
        account = self._app.world.library(body.get("account")).id
        token = self._app.logins.access_token(account, body.get("life"), body.get("client_id"))
        return {"access_token": token, "refresh_token": self._app.logins.refresh_token(account)}
