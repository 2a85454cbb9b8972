"""A small `spotisync up`: `program.py PLACE [bare]`. Prints the pids once all run; a fatal error exits with 3.

The children write their names into PLACE/order when they start and stop. `bare` omits the servers.
"""

import json
import sys
from pathlib import Path
from signal import SIGTERM

from spotisync.errors import Fatal
from spotisync.stack.directories import lock_data_dir
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import ChildSpec, Process
from spotisync.stack.supervisor import Stage, Supervisor
from spotisync.stack.valkey import Valkey

SCRIPT = 'echo +{0} >>order; trap "{1}" TERM; while :; do sleep 0.05; done'


def child(place: Path, name: str, on_term: str) -> Process:
    started = f"+{name}\n"
    return Process(
        ChildSpec(
            name=name,
            argv=["sh", "-c", SCRIPT.format(name, on_term)],
            cwd=place,
            ready=lambda: started in (place / "order").read_text(),
            stop_signals=(SIGTERM,),
            stop_grace=60,
        ),
        place / "data",
    )


def servers(place: Path) -> list[Stage]:
    postgres = Postgres(place / "data", place / "s", {"fsync": "off"})
    return [[postgres], [Valkey(place / "data", place / "s")]]


def children(place: Path, *, stubborn: bool) -> list[Stage]:
    worker = "echo deaf-worker >>order" if stubborn else "echo -worker >>order; exit 0"
    return [
        lambda: (place / "order").write_text("+migrations\n"),
        [child(place, "worker", worker)],
        [child(place, name, f"sleep 0.1; echo -{name} >>order; exit 0") for name in ("beat", "web")],
    ]


def main(place: Path, *words: str) -> None:
    with lock_data_dir(place / "data"):
        stages = children(place, stubborn="stubborn" in words)
        if "bare" not in words:
            stages = [*servers(place), *stages]
        with Supervisor(stages) as supervisor:
            if supervisor.start():
                print(json.dumps(supervisor.pids()), flush=True)
            supervisor.run_until(lambda: False)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), *sys.argv[2:])
    except Fatal as error:
        print(error, flush=True)
        sys.exit(3)
