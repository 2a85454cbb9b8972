"""Paths through the model, and their replay on the real code: random ones, and the shortest to each rare situation."""

import logging
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from proof import murphi
from proof.check import MODEL, ONE_PROCESS, RARE, TWO_RUNS, Scenario, Step, check
from proof.replay import CONSTANTS, Difference, Replay, replaying
from spotisync.settings import Settings
from spotisync.stack.postgres import Postgres
from spotisync.stack.process import stop_all
from spotisync.store import migrate

TROUBLES = 8
QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}


def load(troubles: int = TROUBLES) -> Any:
    """The model with as many batches per run as the replay has."""
    scenario = Scenario("replay", {**CONSTANTS, "TROUBLES": str(troubles)})
    return murphi.load(scenario.apply(MODEL.read_text()))


def list_enabled(model: Any, state: Any) -> dict[str, list[Step]]:
    """The steps that are possible, by rule."""
    enabled: dict[str, list[Step]] = {}
    for rule in model.RULES:
        types = {name: kind for name, kind in rule.body.__annotations__.items() if name not in {"s", "return"}}
        ranges = [(False, True) if kind == "bool" else model.RANGES[kind] for kind in types.values()]
        for values in product(*ranges):
            if rule.guard(state, *values):
                enabled.setdefault(rule.name, []).append((rule.name, dict(zip(types, values, strict=True))))
    return enabled


def apply(model: Any, state: Any, step: Step) -> None:
    (rule,) = (each for each in model.RULES if each.name == step[0])
    rule.body(state, **step[1])


# Rules that are nearly always possible, and would use up the faults of a path before it gets anywhere.
WEIGHTS = {"crash": 0.2, "cancel": 0.2, "lose_message": 0.2, "pass_wake_at": 0.4, "calm_down": 0.02, "receive_429": 2.0}


def walk(model: Any, seed: int, steps: int) -> list[Step]:
    """A random path, which ends early where nothing is left to do."""
    chance, state, path = random.Random(seed), model.State(), list[Step]()
    while len(path) < steps and (enabled := list_enabled(model, state)):
        rules = sorted(enabled)
        (rule,) = chance.choices(rules, [WEIGHTS.get(each, 1.0) for each in rules])
        step = chance.choice(enabled[rule])
        apply(model, state, step)
        path.append(step)
    return path


def find_shortest(name: str, scenario: Scenario, threads: int = 2) -> list[Step]:
    """The checker's path to a state in which the `cover` property holds."""
    source = Scenario("rare", {**scenario.constants, **CONSTANTS}).apply(MODEL.read_text())
    (holds,) = (each.holds.__name__ for each in murphi.load(source).PROPERTIES if each.name == name)
    never = f'\n\n@invariant("never: {name}")\ndef never(s: State) -> bool:\n    return not {holds}(s)\n'
    source = source.replace(f'@cover("{name}")\n', "") + never
    checked = check(source, RARE, threads=threads, optimise="-O1")
    if checked.violated != f"never: {name}":
        raise ValueError(f"the checker found no path to: {name}")
    return checked.trace


def find_all_rare(threads: int = 2) -> Iterator[tuple[str, list[Step]]]:
    for name in sorted(RARE):
        scenario = TWO_RUNS if name in ONE_PROCESS.unreached else ONE_PROCESS
        yield name, find_shortest(name, scenario, threads)


@dataclass
class Summary:
    """What was replayed. `steps`: by rule."""

    paths: int = 0
    steps: Counter[str] = field(default_factory=Counter)


def replay_path(model: Any, replay: Replay, path: list[Step], summary: Summary) -> None:
    """Raises `Difference`, with the path so far."""
    state = model.State()
    try:
        for number, step in enumerate(path, 1):
            try:
                apply(model, state, step)
                replay.step(*step)
                replay.compare(state)
            except Exception as error:
                raise Difference(describe(path[:number], error)) from error
            summary.steps[step[0]] += 1
    finally:
        replay.close()
    summary.paths += 1


def describe(path: list[Step], error: Exception) -> str:
    lines = (
        f"  {n}. {name} {' '.join(f'{k}={v}' for k, v in values.items())}" for n, (name, values) in enumerate(path, 1)
    )
    kind = "" if isinstance(error, Difference) else f"{type(error).__name__}: "
    return "\n".join(("after these steps", *lines, f"{kind}{error}"))


@contextmanager
def embedded_database() -> Iterator[Settings]:
    """Settings for a new database of an embedded Postgres with all tables."""
    with tempfile.TemporaryDirectory(prefix="proof-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        postgres = Postgres(Path(directory, "data"), Path(directory, "run"), QUICK)
        try:
            postgres.start().wait_ready()
            migrate.upgrade(postgres.url)
            yield Settings(
                _env_file=None,
                database_url=postgres.url,
                data_dir=Path(directory, "data"),
                client_id="simulated",
                secret_key="c3BvdGlzeW5jLXRlc3RzLW9ubHktMzItYnl0ZXMtISE=",  # noqa: S106 (of no account)
                api_rate=0,
            )
        finally:
            stop_all([postgres])


def replay_random(settings: Settings, seed: int, runs: int, steps: int, summary: Summary) -> None:
    """Replay `runs` random paths with the seeds from `seed` on. Raises `Difference`."""
    model = load()
    with replaying(settings) as begin:
        for number in range(seed, seed + runs):
            try:
                replay_path(model, begin(), walk(model, number, steps), summary)
            except Difference as difference:
                raise Difference(f"seed {number}, {difference}") from difference


def replay_rare(settings: Settings, summary: Summary, threads: int = 2) -> None:
    """Replay the shortest path to each rare situation. Raises `Difference`."""
    model = load()
    with replaying(settings) as begin:
        for name, path in find_all_rare(threads):
            try:
                replay_path(model, begin(), path, summary)
            except Difference as difference:
                raise Difference(f"{name}, {difference}") from difference


def replay_many(runs: int, steps: int, seed: int | None, console: Console) -> bool:
    """Print what was replayed, or the first difference. Returns whether there was none."""
    first = random.randrange(10**9) if seed is None else seed
    console.print(f"{runs} random paths of {steps} steps, from seed {first}")
    logging.getLogger("spotisync").setLevel(logging.CRITICAL)  # the errors are the model's
    summary = Summary()
    with embedded_database() as settings, console.status("replaying ..."):
        try:
            replay_random(settings, first, runs, steps, summary)
        except Difference as difference:
            console.print(f"DIFFERENCE: {difference}", markup=False)
            return False
    console.print(f"no difference: {summary.paths:,} paths, {summary.steps.total():,} steps")
    console.print(", ".join(f"{name} {count:,}" for name, count in summary.steps.most_common()), style="dim")
    return True
