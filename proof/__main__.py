"""`python -m proof`: check the protocol's model, find the planted faults, replay the model's paths on the real code."""

import argparse
import re
import signal
import sys
from collections.abc import Callable
from time import monotonic

from rich.console import Console
from rich.table import Table

from proof import model, murphi
from proof.check import MODEL, RARE, SCENARIOS, NotInstalledError, check
from proof.faults import FAULTS

EXAMPLES = """
  %(prog)s                 the model, then every fault: exit 1 if a property fails or a fault is not found
  %(prog)s check           every state of the model, in four scenarios
  %(prog)s faults fence    the faults whose name has "fence"
  %(prog)s traces --runs 2000 --seed 7
                           random paths on the real code, in an embedded Postgres; compares after each step
  %(prog)s mutants --help  bugs planted in a copy of the code, and the test that shows each
  %(prog)s chaos --help    random faults on real workers and servers
  %(prog)s rules           which functions each rule models
  %(prog)s murphi          the model in the language of the checker
"""
console = Console()


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # like Ctrl-C: stop what was started
    if sys.argv[1:2] == ["chaos"]:
        from proof import chaos

        return chaos.main(sys.argv[2:])
    if sys.argv[1:2] == ["mutants"]:
        from proof import mutants

        return mutants.main(sys.argv[2:])
    options = _parser().parse_args()
    commands: dict[str, Callable[[argparse.Namespace], bool]] = {
        "check": _check,
        "faults": _faults,
        "traces": _traces,
        "rules": _rules,
        "murphi": _murphi,
        "all": lambda given: _check(given) and _faults(given),
    }
    try:
        return 0 if commands[options.command](options) else 1
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proof",
        description=__doc__,
        epilog=f"examples:{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", default="all", choices=_COMMANDS)
    parser.add_argument("words", nargs="*", help="faults: only those whose name contains one of these words")
    parser.add_argument("--threads", type=int, default=2, help="of the checker (default: 2)")
    parser.add_argument("--runs", type=int, default=200, help="traces: how many random paths (default: 200)")
    parser.add_argument("--steps", type=int, default=60, help="traces: the longest path (default: 60)")
    parser.add_argument("--seed", type=int, help="traces: of the first path; the others follow (default: random)")
    return parser


_COMMANDS = ("all", "check", "faults", "traces", "rules", "murphi")


def _check(options: argparse.Namespace) -> bool:
    table = Table("scenario", "states", "CPU s", "result", title="the model")
    source, reached, holds = MODEL.read_text(), set[str](), True
    states = 0
    for scenario in SCENARIOS:
        with console.status(f"{scenario.name} ..."):
            checked = check(scenario.apply(source), scenario.unreached, threads=options.threads)
        holds &= checked.violated is None
        reached |= checked.reached
        states += checked.states
        result = f"VIOLATED: {checked.violated}" if checked.violated else "all properties hold"
        table.add_row(scenario.name, f"{checked.states:,}", f"{checked.seconds:.1f}", result)
        for name, values in checked.trace:
            console.print("   ", name, *(f"{key}={value}" for key, value in values.items()))
    unreached = RARE - reached
    table.add_row("together", f"{states:,}", "", f"{len(reached)} rare situations reached")
    console.print(table)
    for name in sorted(unreached):
        console.print(f"NOT REACHED: {name}")
    return holds and not unreached


def _faults(options: argparse.Namespace) -> bool:
    table = Table("planted fault", "found by", "steps", "states", "seconds", title="faults planted in the model")
    source, found = MODEL.read_text(), True
    chosen = [each for each in FAULTS if not options.words or any(word in each.name for word in options.words)]
    for fault in chosen:
        began = monotonic()
        with console.status(f"{fault.name} ..."):
            planted = fault.plant(fault.scenario.apply(source))
            checked = check(planted, RARE, threads=options.threads, optimise="-O1")
        found &= fault.is_found_by(checked.violated)
        by = checked.violated or "NOT FOUND"
        if checked.violated and not fault.is_found_by(checked.violated):
            by = f"{by} INSTEAD OF {fault.found_by}"
        row = (f"{len(checked.trace)}", f"{checked.states:,}", f"{monotonic() - began:.1f}")
        table.add_row(fault.name, by, *row)
    console.print(table)
    return found and bool(chosen)


def _traces(options: argparse.Namespace) -> bool:
    from proof.traces import replay_many

    return replay_many(options.runs, options.steps, options.seed, console)


def _rules(_: argparse.Namespace) -> bool:
    print_rules()
    return True


def print_rules() -> None:
    print("| rule | models |\n|---|---|")
    for rule in model.RULES:
        print(f"| {rule.name.replace('_', ' ')} | {_as_code(rule.models)} |")


def _as_code(models: str) -> str:
    """Mark `path function, function`; leave prose as it is."""
    return re.sub(r"[\w/]+\.(?:py \w+(?:, \w+)*|[a-z_]+)", lambda found: f"`{found[0]}`", models)


def _murphi(_: argparse.Namespace) -> bool:
    print(murphi.translate(MODEL.read_text()), end="")
    return True


if __name__ == "__main__":
    sys.exit(main())
