"""Run the model checker rumur on the model, or on a variant of it."""

import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from proof import model, murphi

MODEL = Path(__file__).with_name("model.py")
PROGRAMS = ("rumur", "gcc")
Step = tuple[str, dict[str, Any]]


class NotInstalledError(Exception):
    """A program that the check needs is missing."""


@dataclass(frozen=True)
class Scenario:
    """Values of the model's constants. `unreached`: rare situations that are not possible with them."""

    name: str
    constants: Mapping[str, str]
    unreached: frozenset[str] = frozenset()

    def apply(self, source: str) -> str:
        for name, value in self.constants.items():
            source, found = re.subn(rf"(?m)^{name} = \S.*$", f"{name} = {value}", source)
            if found != 1:
                raise ValueError(f"the model has no constant {name}")
        return source


RARE = frozenset(each.name for each in model.PROPERTIES if each.kind == "cover")
STUCK = frozenset(
    {
        "a stuck process commits after another one took its batch over",
        "follow-ups are sent twice after a process was stuck",
    }
)
BEHIND = frozenset(
    {
        "a parked run waits behind another run of its account",
        "a resumed run waits for the other run of its account",
    }
)
TWICE = frozenset(
    {
        "a batch is given up because it has killed its workers",
        "a resumed run waits for the other run of its account",
        "a caller gets the failure of a run that was resumed meanwhile",
    }
)
JOINED = "two callers joined one run"

ONE_RUN = Scenario(
    "one run, two processes, three troubles", {"CALLERS": "range(1)", "TROUBLES": "3"}, BEHIND | {JOINED}
)
ONE_PROCESS = Scenario("two runs, one process, three troubles", {"PROCS": "range(1, 2)", "TROUBLES": "3"}, STUCK)
TWO_RUNS = Scenario("two runs, two processes, one trouble", {"TROUBLES": "1"}, TWICE)
ONE_KIND = Scenario(
    "two full syncs, one process, two troubles",
    {"PROCS": "range(1, 2)", "TROUBLES": "2", "ONE_KIND": "True"},
    STUCK | BEHIND,
)
# Small, for faults that show without much trouble.
CALM = Scenario("two runs, one process, no trouble", {"PROCS": "range(1, 2)", "TROUBLES": "0"}, STUCK | BEHIND | TWICE)
SCENARIOS = (ONE_RUN, ONE_PROCESS, TWO_RUNS, ONE_KIND)


@dataclass
class Checked:
    """`violated`: the first property that does not hold. `trace`: a shortest path to its violation.

    `seconds`: of processor time, without the compiler's. `reached`: the `cover` properties that hold in some state.
    """

    states: int = 0
    seconds: float = 0.0
    violated: str | None = None
    trace: list[Step] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)


def require_programs() -> None:
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise NotInstalledError(
            f"The model checker needs {' and '.join(missing)}: apt-get install -y {' '.join(PROGRAMS)}"
        )


def check(source: str, without: Collection[str], *, threads: int = 2, optimise: str = "-O3") -> Checked:
    """Visit every state of the model `source`, breadth first, up to the first violation.

    `without`: names of properties to leave out. The checker proves no liveness if some `cover` does not hold anywhere.
    """
    require_programs()
    with tempfile.TemporaryDirectory(prefix="proof-") as directory:
        written, code, program = (Path(directory, name) for name in ("model.m", "model.c", "model"))
        written.write_text(murphi.translate(source, without))
        options = ("--deadlock-detection", "off", "--output-format", "machine-readable", "--threads", str(threads))
        subprocess.run(("rumur", *options, "--output", code, written), check=True)
        subprocess.run(("gcc", optimise, "-march=native", "-w", "-o", program, code, "-lpthread"), check=True)
        began = getrusage(RUSAGE_CHILDREN).ru_utime
        done = subprocess.run((program,), check=False, capture_output=True, text=True)
        return _read(done.stdout, getrusage(RUSAGE_CHILDREN).ru_utime - began)


def _read(output: str, seconds: float) -> Checked:
    """Read the checker's XML. An error without a trace is a `cover` that holds nowhere."""
    root = ET.fromstring(output)  # noqa: S314 (the checker's own output)
    summary = root.find("summary")
    if summary is None:
        raise ValueError(f"the checker did not finish: {output[-500:]}")
    checked = Checked(states=int(summary.attrib["states"]), seconds=seconds)
    checked.reached = {each.attrib["message"] for each in root.iter("cover_result") if int(each.attrib["count"])}
    for error in root.iter("error"):
        if error.find("transition") is not None and checked.violated is None:
            checked.violated = _name(error.findtext("message", ""))
            checked.trace = [_step(each) for each in error.iter("transition")][1:]
    return checked


def _name(message: str) -> str:
    """The property's name, from `liveness property "…" violated` or `Assertion failed: model.m:1.2-3: …`."""
    quoted = re.search(r'"(.*)"', message)
    return quoted[1] if quoted else message.rsplit(": ", 1)[-1]


def _step(transition: ET.Element) -> Step:
    name = re.search(r'"(\w+)"', transition.text or "")
    values = {each.attrib["name"]: _value(each.text or "") for each in transition.iter("parameter")}
    return name[1] if name else "", values


def _value(text: str) -> int | bool:
    return text == "true" if text in {"true", "false"} else int(text)
