"""`python -m proof mutants`: bugs planted in a copy of the code, one at a time; the tests named for each must fail."""

import argparse
import json
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from time import monotonic

ROOT = Path(__file__).parents[1]
MUTANTS = Path(__file__).with_name("mutants.toml")
# What the tests of mutants read.
COPIED = ("spotisync", "migrations", "tests", "proof", "celeryconfig.py", "pyproject.toml")
# Without schemathesis and the like, pytest begins in half the time.
PLUGINS = ("xdist.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
PYTEST = (
    *(sys.executable, "-m", "pytest", *(f"-p{name}" for name in PLUGINS), "-pno:cacheprovider"),
    *("-x", "-q", "-n0", "--tb=no", "--no-header", "--durations=0", "-rf", "--hypothesis-seed=0", "--timeout=60"),
)
PATIENCE_SECONDS = 240


class UnusableError(Exception):
    """A mutant or its tests say nothing about the bug."""


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: list[str]

    def plant(self, source: str) -> str:
        if source.count(self.old) != 1:
            raise UnusableError(f"{self.file} does not have exactly once the text of {self.name!r}:\n{self.old}")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Checked:
    """`caught_by`: the first test that failed; None if the mutant survived. `output`: of the tests."""

    mutant: Mutant
    caught_by: str | None
    seconds: float
    output: str

    def __str__(self) -> str:
        by = self.caught_by or f"SURVIVED: {self.mutant.breaks}\n{self.output}"
        return f"{self.seconds:5.1f} s  {self.mutant.name}\n         {by}"

    def as_json(self) -> str:
        return json.dumps({**vars(self.mutant), "caught_by": self.caught_by, "seconds": round(self.seconds, 1)})


def load() -> list[Mutant]:
    return [Mutant(**each) for each in tomllib.loads(MUTANTS.read_text())["mutant"]]


def choose(words: Sequence[str]) -> list[Mutant]:
    """The mutants whose name contains one of the words; all without words."""
    return [each for each in load() if not words or any(word in each.name for word in words)]


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    chosen = choose(options.words)
    if options.list:
        for each in chosen:
            print(json.dumps(vars(each)) if options.json else f"{each.name}\n    {each.file}: {each.breaks}")
        return 0 if chosen else 1
    began, checked = monotonic(), list[Checked]()

    def show(each: Checked) -> None:
        checked.append(each)
        print(each.as_json() if options.json else each, flush=True)

    if options.minutes:
        print(f"in the order of --seed {options.seed}", file=sys.stderr)
        random.Random(options.seed).shuffle(chosen)
    try:
        run(chosen, options.jobs, show, began + 60 * (options.minutes or math.inf))
    except UnusableError as error:
        print(error, file=sys.stderr)
        return 2
    survivors = [each.mutant.name for each in checked if each.caught_by is None]
    left_out = f", {len(chosen) - len(checked)} not tried" if len(checked) < len(chosen) else ""
    caught = f"{len(checked) - len(survivors)} of {len(checked)} mutants caught in {monotonic() - began:.0f} s"
    print(f"{caught}{left_out}", *(f"SURVIVED: {name}" for name in survivors), sep="\n", file=sys.stderr)
    return 0 if checked and not survivors else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proof mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only those whose name contains one of these words")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument("--minutes", type=float, help="begin no mutant later than this; their order is random")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of that order (default: random)")
    parser.add_argument("--list", action="store_true", help="show them, run nothing")
    parser.add_argument("--json", action="store_true", help="one JSON document per line")
    return parser


def run(mutants: Sequence[Mutant], jobs: int, done: Callable[[Checked], None], until: float = math.inf) -> None:
    """Run the tests of each mutant, in `jobs` copies of the tree at a time, and call `done` in their order.

    `until`: the `monotonic()` time after which none is begun. Raises `UnusableError` if the tests fail without a
    mutant, too.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copies = SimpleQueue[Path]()
        for number in range(jobs):
            copies.put(_copy(Path(directory) / str(number)))

        def check(mutant: Mutant) -> Checked | None:
            copy = copies.get()
            try:
                return _check(mutant, copy) if monotonic() < until else None
            finally:
                copies.put(copy)

        check_tests(Path(directory) / "0", mutants)
        with ThreadPoolExecutor(jobs) as threads:
            try:
                for each in threads.map(check, mutants):
                    if each:
                        done(each)
            finally:
                threads.shutdown(cancel_futures=True)  # after Ctrl-C


def _copy(to: Path) -> Path:
    to.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, symlinks=True)
        else:
            shutil.copy2(ROOT / name, to / name)
    return to


def check_tests(copy: Path, mutants: Iterable[Mutant]) -> None:
    passed, output = _pytest(copy, sorted({test for mutant in mutants for test in mutant.tests}))
    if not passed:
        raise UnusableError(f"without a mutant, too, these tests fail:\n{output}")


def _check(mutant: Mutant, copy: Path) -> Checked:
    began = monotonic()
    with _planted(mutant, copy):
        passed, output = _pytest(copy, mutant.tests)
    # A mutant that is no Python, or whose tests do not begin, says nothing.
    failed = None if passed else re.search(r"^FAILED (\S+)", output, re.MULTILINE)
    return Checked(mutant, failed[1] if failed else None, monotonic() - began, output)


@contextmanager
def _planted(mutant: Mutant, copy: Path) -> Iterator[None]:
    path = copy / mutant.file
    source = path.read_text()
    _replace(path, mutant.plant(source))
    try:
        yield
    finally:
        _replace(path, source)


def _replace(path: Path, source: str) -> None:
    path.write_text(source)
    # Python takes bytecode for current whose source had the same size in the same second.
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _pytest(copy: Path, tests: Sequence[str]) -> tuple[bool, str]:
    """Returns whether all have passed, and what was printed."""
    try:
        ended = subprocess.run(
            [*PYTEST, *tests],
            cwd=copy,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"no end within {PATIENCE_SECONDS} s"
    return ended.returncode == 0, ended.stdout + ended.stderr
