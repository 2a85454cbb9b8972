"""Random faults on real processes and servers until the tables must equal the truth."""

import argparse
import json
import random
import shlex
import sys
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from proof import chaos_checks, chaos_schedule
from proof.chaos_faults import AWAY, Hands
from proof.chaos_schedule import Fault, Schedule
from proof.chaos_stage import Site, Stage, site, stage
from spotisync.core.states import OVER
from spotisync.sync import cooldowns, runs
from tests.support.driver import Account
from tests.support.truth import assert_tables_equal_truth
from tests.support.waiting import wait_until

DESCRIPTION = """
Each run deploys workers, beat, PostgreSQL, Valkey, a simulated Spotify and a service whose tasks follow the syncs that
it triggers, all in a temporary directory. For about 20 seconds, 26 to 34 faults strike them: kill -9 of any process or
server, a broker that loses its data or is full, frozen processes, connections that are cut, stalled, delayed or
half-closed, messages delivered twice, slow, broken and false replies, 429s of all kinds, tokens that rotate or expire,
edits, cancels, resumes, a clock that jumps. Then the faults end, and after one more sync of each account:

  - the tables equal the truth;
  - each batch was committed once and in order, none after the end of its run, and all calls and batches are counted;
  - no request of a blocked family was sent later than a second after its cooldown was stored;
  - each caller was answered once, and its follow-up ran under its one task id if the sync was a success;
  - at most one batch of calls was wasted per fault.

The exit code is 1 if any of this is false. The schedule of that seed is printed, and again with as few faults as fail.
"""
EXAMPLES = """
examples:
  %(prog)s --runs 100             100 random seeds
  %(prog)s --seed 7               the schedule of this seed; processes interleave differently each time
  %(prog)s --seed 7 --runs 3      seeds 7, 8 and 9
  %(prog)s --seed 7 --keep 3,8    of its faults, only the fourth and the ninth
  %(prog)s --seed 7 --show        print the schedule and exit
"""
UNFINISHED = "SELECT id, status, last_error FROM sync_history WHERE id <= %(newest)s AND NOT status = ANY(%(over)s)"
NUDGE_AFTER = 5
END_WITHIN = 120
console = Console(highlight=False, soft_wrap=True)


@dataclass
class Result:
    seed: int
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    problems: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    logs: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "passed": not self.problems,
            "problems": self.problems,
            "faults": dict(self.faults),
            "faults_without_effect": self.skipped,
            "seconds": round(self.seconds, 1),
            "figures": dict(self.figures),
        }


# ---- one run --------------------------------------------------------------------------------------------------------


def run(place: Site, schedule: Schedule, logs: Path | None = None) -> Result:
    """`logs`: where to keep the logs of a run that fails."""
    result, began = Result(schedule.seed), time.monotonic()
    with stage(place, schedule) as played:
        try:
            _run(played, result)
        except Exception as error:  # noqa: BLE001 (whatever it is, this run has failed)
            result.problems.append(str(error) or repr(error))
            if not isinstance(error, AssertionError):
                result.problems.append(traceback.format_exc())
        if result.problems and logs:
            _keep(played, logs / f"seed-{schedule.seed}")
    result.seconds = time.monotonic() - began
    return result


def _keep(played: Stage, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    played.log_stacks()
    for file in played.directory.glob("*.log"):
        (directory / file.name).write_bytes(file.read_bytes())
    for table in ("sync_history", "run_events", "waiters", "chaos_blocks"):
        with suppress(*AWAY):
            rows = played.sql(f"SELECT row_to_json(t) AS row FROM {table} t")
            (directory / f"{table}.jsonl").write_text("".join(f"{json.dumps(each.row)}\n" for each in rows))
    (directory / "requests.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in played.requests()))
    (directory / "calls").write_text(played.calls_file.read_text())


def _run(played: Stage, result: Result) -> None:
    played.simulator.control.reset_log()
    hands = Hands(played)
    hands.play()
    result.faults = Counter(each.kind for each in hands.happened)
    result.skipped = len(hands.skipped)
    calm(played, hands)
    requests = played.requests()
    for name in played.simulator.world.accounts:
        result.problems += _final_sync(played, Account(name), result.figures)
    _wait_for_answers(played)
    for problems in (
        chaos_checks.check_history(played),
        chaos_checks.check_waiters(played),
        chaos_checks.check_follow_ups(played, hands.losses, result.figures),
        chaos_checks.check_cooldowns(played, requests, hands.happened, result.figures),
        chaos_checks.check_waste(played, played.requests(), hands.happened, result.figures),
    ):
        result.problems += problems


def calm(played: Stage, hands: Hands) -> None:
    """End all faults. Then a person clears the cooldowns and logs accounts in again that have lost their tokens."""
    hands.make_room()
    played.site.restart()
    played.network.restore()
    played.simulator.control.clear_faults()
    played.simulator.settings.change({"latency_ms": 0})
    played.restart_dead()
    played.wait_ready()
    played.spotify_jumps(60)  # what was edited a minute ago is in every snapshot
    cooldowns.clear(played.context, None)
    _log_in_again(played)
    newest = played.sql("SELECT COALESCE(max(id), 0) AS id FROM sync_history")[0].id
    began = time.monotonic()

    def ended() -> bool:
        if time.monotonic() > began + NUDGE_AFTER:
            _pass_time(played)
        return not played.sql(UNFINISHED, newest=newest, over=[*OVER])

    try:
        wait_until(ended, "the end of all runs", END_WITHIN)
    except AssertionError as error:
        stuck = played.sql("SELECT * FROM sync_history WHERE NOT status = ANY(%(over)s)", over=[*OVER])
        raise AssertionError(f"{error}: {stuck}") from None


def _log_in_again(played: Stage) -> None:
    for each in played.sql("SELECT spotify_user_id AS name FROM accounts WHERE status <> 'active'"):
        played.log_in(each.name)


def _pass_time(played: Stage) -> None:
    """Let the hours pass until what was deferred is read again, and the minute of an answer whose process died."""
    played.sql("UPDATE account_playlists SET deferred_until = now() WHERE deferred_until > now()")
    played.sql("UPDATE listings SET deferred_until = now() WHERE deferred_until > now()")
    played.sql(
        """UPDATE waiters SET wake_at = now() WHERE answered_at IS NULL
        AND wake_at > now() AND wake_at < now() + CAST(%(left)s AS interval)""",
        left=f"{60 - NUDGE_AFTER} s",
    )


def _final_sync(played: Stage, account: Account, figures: dict[str, float]) -> list[str]:
    """One sync of the calm library: an incremental one after a success, else a full one."""
    _log_in_again(played)
    complete = played.sql(
        """SELECT 1 FROM sync_history h JOIN accounts a ON a.id = h.account_id WHERE a.spotify_user_id = %(name)s
        AND sync_type = 'full' AND h.status = 'success'""",
        name=account.name,
    )
    chance = random.Random(f"{played.schedule.seed} {account.name}")
    sync_type: runs.SyncType = "incremental" if complete and chance.random() < 0.5 else "full"
    figures[f"final {sync_type} syncs"] += 1
    newest = played.sql("SELECT COALESCE(max(id), 0) AS id FROM sync_history")[0].id
    while True:  # a run that began before the calm is joined
        triggered = runs.trigger(played.context, account.name, sync_type, "cli").run
        wait_until(partial(_is_over, played, triggered.id), f"the end of run {triggered.id}", END_WITHIN)
        if triggered.id > newest:
            break
    (row,) = played.sql("SELECT status, last_error FROM sync_history WHERE id = %(id)s", id=triggered.id)
    if row.status != "success":
        return [f"the final {sync_type} sync of {account.name} has {row.status}: {row.last_error}"]
    try:
        assert_tables_equal_truth(played.context, account, played.simulator.world.truth(account.name))
    except AssertionError as error:
        return [f"after the final {sync_type} sync {triggered.id} of {account.name}: {error}"]
    return []


def _is_over(played: Stage, sync_id: int) -> bool:
    _pass_time(played)
    return bool(
        played.sql("SELECT 1 FROM sync_history WHERE id = %(id)s AND status = ANY(%(over)s)", id=sync_id, over=[*OVER])
    )


def _wait_for_answers(played: Stage) -> None:
    """Wait until all callers are answered, and all follow-ups have run or can't run any more."""

    def answered() -> bool:
        _pass_time(played)
        return not played.sql("SELECT 1 FROM waiters WHERE answered_at IS NULL")

    with suppress(AssertionError):  # the check says which
        wait_until(answered, "answers", 90)
    successful = {
        each.task_id
        for each in played.sql("SELECT task_id FROM waiters WHERE ended = 'success' AND answered_at IS NOT NULL")
    }
    expected = [each.tag for each in played.callers if each.task_id in successful]
    with suppress(AssertionError):
        wait_until(lambda: all(played.follow_ups(tag) for tag in expected), "follow-ups", 5)


# ---- many runs ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    seeds = (
        range(options.seed, options.seed + options.runs) if options.seed is not None else _random_seeds(options.runs)
    )
    if options.show:
        for seed in seeds:
            _print(_schedule(seed, options.keep))
        return 0
    results = list(_run_all(list(seeds), options))
    _print_table(results)
    if options.json:
        document = json.dumps(_report(results), indent=2)
        if options.json == Path("-"):
            print(document)
        else:
            options.json.write_text(document)
    return 1 if any(each.problems for each in results) or not results else 0


def _random_seeds(runs: int) -> list[int]:
    return random.SystemRandom().sample(range(10**6), runs)


def _run_all(seeds: list[int], options: argparse.Namespace) -> Iterator[Result]:
    deadline = time.monotonic() + options.minutes * 60 if options.minutes else float("inf")
    with site() as place:
        for number, seed in zip(count(1), seeds):
            if time.monotonic() > deadline:
                return
            schedule = _schedule(seed, options.keep)
            result = run(place, schedule, options.logs)
            verdict = f"FAILED: {result.problems[0][:2000]}" if result.problems else "passed"
            faults = f"{result.faults.total()} faults, {result.seconds:.0f} s"
            console.print(f"{number}/{len(seeds)}  seed {seed}  {faults}  {verdict}", markup=False)
            if result.problems:
                _explain(place, schedule, result, options)
            yield result


def _explain(place: Site, schedule: Schedule, result: Result, options: argparse.Namespace) -> None:
    for problem in result.problems[1:]:
        console.print("   ", problem, markup=False)
    _print(schedule)
    if not options.shrink:
        return
    until = time.monotonic() + options.shrink

    def fails(faults: tuple[Fault, ...]) -> bool | None:
        if time.monotonic() > until:
            return None
        tried = run(place, replace(schedule, faults=faults))
        console.print(
            f"    with {len(faults)} faults: {tried.problems[0][:200] if tried.problems else 'passed'}", markup=False
        )
        return bool(tried.problems)

    smallest = chaos_schedule.shrink(schedule.faults, fails)
    if len(smallest) < len(schedule.faults):
        complete = chaos_schedule.make(schedule.seed).faults
        kept = ",".join(str(number) for number, each in enumerate(complete) if each in smallest)
        console.print(f"fails with {len(smallest)} faults: python -m proof chaos --seed {schedule.seed} --keep {kept}")
        _print(replace(schedule, faults=smallest))


def _schedule(seed: int, keep: list[int] | None) -> Schedule:
    schedule = chaos_schedule.make(seed)
    if keep is None:
        return schedule
    return replace(schedule, faults=tuple(schedule.faults[number] for number in keep if number < len(schedule.faults)))


def _print(schedule: Schedule) -> None:
    library = f"{schedule.accounts} accounts of {schedule.tracks} tracks"
    console.print(f"seed {schedule.seed}: {library}, {schedule.latency_ms} ms a call")
    for call in schedule.calls:
        console.print(f"       {call.at:5.2f} s  {call.sync_type} sync of account {call.account}", markup=False)
    for number, fault in enumerate(schedule.faults):
        console.print(f"  [{number:2}] {fault}", markup=False)


def _report(results: Sequence[Result]) -> dict[str, Any]:
    faults = sum((each.faults for each in results), Counter[str]())
    figures: dict[str, float] = defaultdict(float)
    for each in results:
        for name, value in each.figures.items():
            figures[name] += value
    return {
        "command": shlex.join([Path(sys.executable).name, "-m", "proof", *sys.argv[1:]]),
        "runs": len(results),
        "passed": sum(not each.problems for each in results),
        "faults": faults.total(),
        "faults_by_kind": dict(faults.most_common()),
        "faults_without_effect": sum(each.skipped for each in results),
        "seconds": round(sum(each.seconds for each in results), 1),
        "figures": dict(figures),
        "results": [each.as_dict() for each in results],
    }


def _print_table(results: Sequence[Result]) -> None:
    report = _report(results)
    table = Table("fault", "times", title=f"{report['passed']} of {report['runs']} runs passed")
    for kind, times in report["faults_by_kind"].items():
        table.add_row(kind, f"{times:,}")
    table.add_row("together", f"{report['faults']:,}")
    console.print(table)
    for name, value in sorted(report["figures"].items()):
        console.print(f"{name}: {value:,.0f}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proof chaos",
        description=__doc__ + DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Callable[..., Any] = parser.add_argument
    add("--runs", type=int, default=1, metavar="N", help="how many schedules; default 1")
    add("--seed", type=int, help="of the first schedule; the others follow; default: random seeds")
    add("--minutes", type=float, metavar="M", help="start no further run after this time")
    add("--keep", type=_numbers, metavar="N,N", help="only these faults of the schedule, by their number")
    add(
        "--shrink",
        type=float,
        default=600,
        metavar="SECONDS",
        help="look for fewer faults that fail, for at most this long; default 600, 0: don't",
    )
    add("--logs", type=Path, metavar="DIRECTORY", help="keep the logs and the history of runs that fail")
    add("--json", type=Path, metavar="FILE", help="write a report; -: to standard output")
    add("--show", action="store_true", help="print the schedules and exit")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]
