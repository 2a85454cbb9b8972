"""The embedded Valkey: the broker, on a unix socket. A power failure loses at most the last second."""

import os
from pathlib import Path
from urllib.parse import quote

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from spotisync.stack.binaries import valkey_server
from spotisync.stack.directories import make_private, prepare_data_dir, server_user
from spotisync.stack.process import ChildSpec, Process


class Valkey(Process):
    def __init__(self, data_dir: Path, socket_dir: Path) -> None:
        self._files = data_dir.absolute() / "valkey"
        self._socket_dir = socket_dir.absolute()
        self._user = server_user(data_dir.absolute())
        prepare_data_dir(data_dir.absolute())
        super().__init__(self._child(valkey_server(data_dir.absolute(), self._user)), data_dir.absolute())

    @property
    def socket(self) -> Path:
        return self._socket_dir / "valkey.sock"

    @property
    def url(self) -> str:
        """The URL for Celery, as broker and as result backend."""
        return f"redis+socket://{quote(str(self.socket))}?virtual_host=0"

    def ready(self) -> bool:
        if not self.running:
            return False
        try:
            with Redis(unix_socket_path=str(self.socket), socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
                return bool(client.ping())
        except RedisError:
            return False

    def prepare(self) -> None:
        make_private(self._socket_dir, self._user)
        make_private(self._files, self._user)

    def _child(self, program: Path) -> ChildSpec:
        options = {
            "dir": str(self._files),
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "shutdown-on-sigterm": "force",  # otherwise it does not stop while its disk is full
        }
        return ChildSpec(
            name="valkey",
            argv=[program, *(word for name, value in options.items() for word in (f"--{name}", value))],
            env={"LC_ALL": "C", "PATH": os.defpath},
            bare_env=True,
            cwd=Path("/"),
            user=self._user,
            stop_grace=10,
            orphan_signal=ChildSpec.stop_signals[0],  # SIGTERM lets it flush its append-only file
        )
