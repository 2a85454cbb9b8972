"""Run the simulator in the foreground of a process, or in a thread beside a test."""

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from spotisync.simulator.control import Control
from spotisync.simulator.http.app import SimulatorApp, response
from spotisync.simulator.http.control_api import ControlApi
from spotisync.simulator.http.request import Reply
from spotisync.simulator.settings import SimulatorSettings
from spotisync.simulator.world import covers
from spotisync.simulator.world.world import World


async def serve(app: SimulatorApp, host: str, port: int) -> web.ServerRunner:
    """Start listening, at the URL in `app.url`. The caller cleans the runner up."""
    control = ControlApi(app)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_sim/"):
            return response(await control.answer(request))
        if request.path.startswith(covers.PATH):
            return response(Reply(200, covers.draw(request.path), covers.CACHED, "image/svg+xml"))
        return await app.handle(request)

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    app.set_url(f"http://{host}:{runner.addresses[0][1]}")
    return runner


class Server:
    """A simulator in a thread of this process, until `stop` or the end of a `with` block."""

    def __init__(
        self,
        world: World,
        settings: SimulatorSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Path | None = None,
    ) -> None:
        self.world, self.settings = world, settings or SimulatorSettings()
        self.app = SimulatorApp(world, self.settings, log)
        self._host, self._port = host, port
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._error: BaseException | None = None
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def start(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return self.app.url

    @property
    def api_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def control(self) -> Control:
        return Control(self.url)

    def refresh_token(self, account: str | None = None) -> str:
        """Return a valid refresh token of the account."""
        token = self.app.logins.refresh_token(self.world.library(account).id)
        if token is None:
            raise LookupError("all of this account's refresh tokens have ended")
        return token

    def access_token(self, account: str | None = None, life: float | None = None, client_id: str | None = None) -> str:
        return self.app.logins.access_token(self.world.library(account).id, life, client_id)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 (`start` raises it in the caller's thread)
            self._error = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        runner = await serve(self.app, self._host, self._port)
        self._ready.set()
        await self._end.wait()
        self.app.held_requests.release()
        await runner.cleanup()
        self.app.request_log.close()


def start(
    library: str | int = "tiny",
    *,
    seed: int = 1,
    accounts: int = 1,
    others: int | None = None,
    quirks: bool = True,
    host: str = "127.0.0.1",
    port: int = 0,
    **settings: Any,
) -> Server:
    """Start a simulator in a thread; use it in a `with` block. `settings` are fields of SimulatorSettings."""
    chosen = SimulatorSettings()
    chosen.change(settings)
    return Server(
        World(library, seed=seed, accounts=accounts, others=others, quirks=quirks), chosen, host=host, port=port
    ).start()
