"""Both embedded servers in a `with` block."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spotisync.stack.directories import lock_data_dir
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import stop_all
from spotisync.stack.valkey import Valkey


@contextmanager
def start_servers(
    data_dir: Path, socket_dir: Path, options: Mapping[str, str] | None = None
) -> Iterator[tuple[Postgres, Valkey]]:
    """Lock the data dir and yield both servers when they are ready. Call it in the main thread: they end with it."""
    with lock_data_dir(data_dir):
        postgres, valkey = Postgres(data_dir, socket_dir, options), Valkey(data_dir, socket_dir)
        try:
            valkey.start()
            postgres.start().wait_ready()
            valkey.wait_ready()
            yield postgres, valkey
        finally:
            stop_all([postgres, valkey])
