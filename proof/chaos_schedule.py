"""A random schedule of faults, from a seed."""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

LEASE_SECONDS = 8
SECONDS = 20.0
"""From the first fault to the last one."""
FEWEST, MOST = 26, 34
CALLS = 5
"""Syncs that callers trigger meanwhile, besides one per account at the start."""

WORKERS = ("worker 1", "worker 2")
LINKS = tuple(f"{worker} - {server}" for worker in WORKERS for server in ("broker", "database", "spotify"))
LINKS += ("beat - broker",)
Options = dict[str, Any]

# Replies as they break: rules of the simulator. Each applies to up to `times` requests of any list or look-up.
BROKEN: tuple[Options, ...] = (
    {"kind": "reset"},
    {"kind": "cut"},
    {"kind": "garbage"},
    {"kind": "null"},
    {"kind": "empty"},
    {"kind": "hang", "seconds": 3},
    {"status": 500},
    {"status": 502, "body": "html"},
    {"status": 503, "body": "empty", "retry_after": 1},
    {"status": 500, "body": "error_null"},
    {"status": 401},
    {"path": "/api/token", "status": 503},
    {"path": "/api/token", "kind": "reset"},
)
TOO_MANY: tuple[Options, ...] = (
    {"retry_after": 1},
    {"retry_after": 3, "body": "text"},
    {"retry_after": 2, "retry_date": True},
    {"retry_after": 12},
    {"retry_after": "soon"},
    {},
    {"retry_after": 90, "body": "quota", "family": "library"},
    {"retry_after": 600, "body": "quota", "family": "artists"},
    {"retry_after": 600, "body": "quota", "family": "albums"},
    {"body": "quota", "family": "playlists"},
    {"retry_after": 2, "path": "/api/token"},
)
# What can't be told from the truth and is read once only, such as a missing genre, would stay: it is not among these.
LIES: tuple[Options, ...] = (
    {"kind": "empty_list", "path": "/v1/me"},
    {"kind": "phantom_total"},
    {"kind": "ignored_offset"},
    {"kind": "ignored_limit"},
    {"kind": "repeated_page"},
    {"kind": "wrong_offset"},
    {"kind": "beyond_end"},
    {"kind": "reordered_keys"},
    {"kind": "unknown_fields"},
)


@dataclass(frozen=True)
class Fault:
    """What happens `at` this many seconds, to whom, and for how long."""

    at: float
    kind: str
    target: str = ""
    seconds: float = 0.0
    options: Options = field(default_factory=dict)

    def __str__(self) -> str:
        more = ", ".join(f"{name}={value}" for name, value in self.options.items())
        lasts = f"for {self.seconds:.1f} s" if self.seconds else ""
        return "  ".join(each for each in (f"{self.at:5.2f} s  {self.kind}", self.target, lasts, more) if each)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Call:
    """A caller of another service triggers a sync and wants a follow-up."""

    at: float
    account: int
    sync_type: str


@dataclass(frozen=True)
class Schedule:
    seed: int
    accounts: int
    tracks: int
    latency_ms: int
    calls: tuple[Call, ...]
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Kind:
    weight: float
    targets: Sequence[str] = ("",)
    seconds: tuple[float, float] = (0, 0)
    options: Callable[[random.Random], Options] = lambda _: {}


def _rule(choices: Sequence[Options], most: int) -> Callable[[random.Random], Options]:
    return lambda chance: {**chance.choice(choices), "times": chance.randint(1, most)}


KINDS = {
    "kill child": Kind(4, WORKERS),
    "kill worker": Kind(2, WORKERS, (0.1, 3)),
    "kill beat": Kind(1, seconds=(0.1, 4)),
    "kill broker": Kind(1, seconds=(0.1, 3)),
    "kill broker, lose its data": Kind(0.7, seconds=(0.1, 3)),
    "kill database": Kind(1, seconds=(0.1, 3)),
    "FLUSHALL": Kind(1),
    "full broker": Kind(0.7, seconds=(0.5, 3)),
    "freeze worker": Kind(0.6, WORKERS, (LEASE_SECONDS + 1, LEASE_SECONDS + 4)),
    "freeze child": Kind(0.6, WORKERS, (LEASE_SECONDS + 1, LEASE_SECONDS + 4)),
    "cut connections": Kind(3, LINKS, (0.2, 3)),
    "stall connections": Kind(2, LINKS, (0.5, 6)),
    "delay packets": Kind(2, LINKS, (1, 5), lambda chance: {"ms": chance.choice((20, 100, 400))}),
    "half-close connections": Kind(2, LINKS),
    "deliver twice": Kind(4),
    "slow reply": Kind(2, options=lambda chance: {"seconds": chance.choice((1, 2, 4)), "times": chance.randint(1, 4)}),
    "broken reply": Kind(4, options=_rule(BROKEN, 4)),
    "429": Kind(3, options=_rule(TOO_MANY, 3)),
    "lie": Kind(3, options=_rule(LIES, 3)),
    "rotate tokens": Kind(0.7),
    "expire tokens": Kind(1),
    "edit": Kind(4, options=lambda chance: {"edits": chance.choice((1, 2, 5, 20)), "seed": chance.randrange(10**6)}),
    "cancel": Kind(1),
    "resume": Kind(1.5),
    "clock of Spotify jumps": Kind(0.7, options=lambda chance: {"seconds": chance.choice((70, 4_000, 90_000))}),
}


def make(seed: int) -> Schedule:
    chance = random.Random(seed)
    accounts = chance.choice((2, 2, 3))
    tracks = round(300 * 5 ** chance.random())
    calls = [Call(0.0, each, "full") for each in range(accounts)]
    for _ in range(CALLS):
        kind = chance.choice(("full", "incremental", "incremental"))
        calls.append(Call(chance.uniform(1, SECONDS), chance.randrange(accounts), kind))
    faults = [_draw(chance) for _ in range(chance.randint(FEWEST, MOST))]
    return Schedule(
        seed=seed,
        accounts=accounts,
        tracks=tracks,
        latency_ms=chance.choice((20, 50, 90)),
        calls=tuple(sorted(calls, key=lambda each: each.at)),
        faults=tuple(sorted(faults, key=lambda each: each.at)),
    )


def _draw(chance: random.Random) -> Fault:
    (name,) = chance.choices(list(KINDS), [each.weight for each in KINDS.values()])
    kind = KINDS[name]
    seconds = round(chance.uniform(*kind.seconds), 2)
    at = round(chance.uniform(0.3, SECONDS), 2)
    return Fault(at, name, chance.choice(kind.targets), seconds, kind.options(chance))


def shrink(faults: Sequence[Fault], fails: Callable[[tuple[Fault, ...]], bool | None]) -> tuple[Fault, ...]:
    """Remove faults while the rest still fails (delta debugging). `fails` returns None when time is up."""
    kept, parts = tuple(faults), 2
    while len(kept) > 1:
        bounds = [round(number * len(kept) / parts) for number in range(parts + 1)]
        for start, end in pairwise(bounds):
            rest = kept[:start] + kept[end:]
            failed = fails(rest)
            if failed is None:
                return kept
            if failed:
                kept, parts = rest, max(2, parts - 1)
                break
        else:
            if parts >= len(kept):
                return kept
            parts = min(len(kept), 2 * parts)
    return kept
