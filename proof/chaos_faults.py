"""How each kind of fault is applied, and how it ends."""

import heapq
import itertools
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import psycopg
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from proof.chaos_checks import Happened
from proof.chaos_links import Link
from proof.chaos_schedule import Call, Fault
from proof.chaos_stage import Stage
from spotisync import errors
from spotisync.core.states import OVER
from spotisync.sync import cooldowns, runs

PATIENCE = 4.0
"""Seconds for which a fault that needs a message or a run waits for one."""
CLEAR_AFTER = 5.0
"""Seconds after which a person clears the cooldown of a 429."""
# What an action may meet while a server is down.
AWAY = (errors.SpotisyncError, psycopg.Error, RedisError, KombuError, CeleryError, OSError)
DONE, NOTHING_TO_DO = True, False
WAITING = ("deliver twice",)
Action = Callable[[], Any]


def name_method(kind: str) -> str:
    """The method of `Hands` that applies faults of this kind."""
    words = kind.lower().replace(",", "").replace("-", "_").replace(" ", "_")
    return "_too_many" if kind == "429" else f"_{words}"


@dataclass
class Hands:
    """Applies faults at their times, in the main thread: processes end with the thread that started them."""

    stage: Stage
    happened: list[Happened] = field(default_factory=list)
    skipped: list[Fault] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """When the broker lost its data."""
    rules: dict[int, tuple[Fault, float]] = field(default_factory=dict)
    _people: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))
    _asked: list[tuple[Fault, float, "Future[bool]"]] = field(default_factory=list)
    _due: list[tuple[float, int, Action]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)

    def play(self) -> None:
        """Make all calls and apply all faults, each at its time."""
        began = time.monotonic()
        for call in self.stage.schedule.calls:
            self._later(began + call.at, partial(self._call, call))
        for fault in self.stage.schedule.faults:
            self._later(began + fault.at, partial(self._apply, fault))
        while self._due:
            at, _, action = heapq.heappop(self._due)
            time.sleep(max(0.0, at - time.monotonic()))
            action()
        self._count_hits()

    def _later(self, at: float, action: Action) -> None:
        heapq.heappush(self._due, (at, next(self._order), action))

    def _after(self, seconds: float, action: Action) -> None:
        self._later(time.monotonic() + seconds, action)

    def _call(self, call: Call) -> None:
        with suppress(*AWAY):
            self.stage.call(call)

    def _apply(self, fault: Fault, until: float = 0.0) -> None:
        apply = getattr(self, name_method(fault.kind))
        began = time.time()
        try:
            done = apply(fault)
        except AWAY:
            done = NOTHING_TO_DO
        if done is None:
            return  # counted at the end
        if done:
            self.happened.append(Happened(fault.kind, began, time.time() + fault.seconds))
        elif fault.kind in WAITING and (not until or time.monotonic() < until):
            self._after(0.1, partial(self._apply, fault, until or time.monotonic() + PATIENCE))
        else:
            self.skipped.append(fault)

    # ---- processes --------------------------------------------------------------------------------------------------

    def _kill_child(self, fault: Fault) -> bool:
        children = self.stage.pids(fault.target)[1:]
        self.stage.signal(children[:1], signal.SIGKILL)
        return bool(children)

    def _kill_worker(self, fault: Fault) -> bool:
        return self._kill(fault, fault.target)

    def _kill_beat(self, fault: Fault) -> bool:
        return self._kill(fault, "beat")

    def _kill(self, fault: Fault, name: str) -> bool:
        program = self.stage.programs[name]
        if program.process.poll() is not None:
            return NOTHING_TO_DO
        program.kill()
        self._after(fault.seconds, partial(self._start, name))
        return DONE

    def _start(self, name: str) -> None:
        if self.stage.programs[name].process.poll() is not None:
            self.stage.start(name)

    def _freeze_worker(self, fault: Fault) -> bool:
        return self._freeze(fault, self.stage.pids(fault.target))

    def _freeze_child(self, fault: Fault) -> bool:
        return self._freeze(fault, self.stage.pids(fault.target)[1:2])

    def _freeze(self, fault: Fault, pids: list[int]) -> bool:
        self.stage.signal(pids, signal.SIGSTOP)
        self._after(fault.seconds, partial(self.stage.signal, pids, signal.SIGCONT))
        return bool(pids)

    # ---- servers ----------------------------------------------------------------------------------------------------

    def _kill_broker(self, fault: Fault) -> bool:
        valkey = self.stage.site.valkey
        if not valkey.running:
            return NOTHING_TO_DO
        valkey.kill()
        self._after(fault.seconds, lambda: valkey.start().wait_ready())
        return DONE

    def _kill_broker_lose_its_data(self, fault: Fault) -> bool:
        done = self._kill_broker(fault)
        if done:
            self.stage.site.lose_broker_data()
            self.losses.append(time.time())
        return done

    def _kill_database(self, fault: Fault) -> bool:
        postgres = self.stage.site.postgres
        if not postgres.running:
            return NOTHING_TO_DO
        os.kill(postgres.last_pid or 0, signal.SIGKILL)
        self._after(fault.seconds, lambda: postgres.start().wait_ready())
        return DONE

    def _flushall(self, _: Fault) -> bool:
        self.stage.site.flush()
        self.losses.append(time.time())
        return DONE

    def _full_broker(self, fault: Fault) -> bool:
        with self.stage.site.redis() as client:
            client.config_set("maxmemory", 1)
        self._after(fault.seconds, self.make_room)
        return DONE

    def make_room(self) -> None:
        with suppress(*AWAY), self.stage.site.redis() as client:
            client.config_set("maxmemory", 0)

    # ---- connections ------------------------------------------------------------------------------------------------

    def _cut_connections(self, fault: Fault) -> bool:
        return self._disturb(fault, Link.cut)

    def _stall_connections(self, fault: Fault) -> bool:
        return self._disturb(fault, Link.stall)

    def _delay_packets(self, fault: Fault) -> bool:
        return self._disturb(fault, lambda link: link.slow_down(fault.options["ms"] / 1000))

    def _half_close_connections(self, fault: Fault) -> bool:
        self.stage.network.do(fault.target, Link.half_close)
        return DONE

    def _disturb(self, fault: Fault, how: Callable[[Link], Any]) -> bool:
        self.stage.network.do(fault.target, how)
        self._after(fault.seconds, lambda: self.stage.network.do(fault.target, Link.restore))
        return DONE

    def _deliver_twice(self, _: Fault) -> bool:
        """Put a copy of a batch's message into its queue, of one that is being executed if possible."""
        with self.stage.site.redis() as client:
            for raw in client.hvals("unacked"):
                message, _, queue = json.loads(raw)
                if message["headers"]["task"] in ("spotisync.batch", "spotisync.finish"):
                    client.lpush(queue, json.dumps(message))
                    return DONE
        return NOTHING_TO_DO

    # ---- Spotify ----------------------------------------------------------------------------------------------------

    def _slow_reply(self, fault: Fault) -> None:
        self._rule(fault, kind="delay", **fault.options)

    def _broken_reply(self, fault: Fault) -> None:
        self._rule(fault, **fault.options)

    def _too_many(self, fault: Fault) -> None:
        self._rule(fault, status=429, **fault.options)
        self._after(CLEAR_AFTER, self._clear_cooldowns)

    def _lie(self, fault: Fault) -> None:
        self._rule(fault, **fault.options)

    def _rule(self, fault: Fault, **rule: Any) -> None:
        id_ = self.stage.simulator.control.add_fault(**{"path": "/v1/", **rule})
        self.rules[id_] = fault, time.time()
        if rule.get("path") == "/api/token":
            self._expire_tokens(fault)

    def _rotate_tokens(self, _: Fault) -> bool:
        """From now on each refresh revokes the refresh token that it used."""
        self.stage.simulator.settings.change({"refresh_reply": "rotate"})
        return self._expire_tokens(_)

    def _expire_tokens(self, _: Fault) -> bool:
        for token in tuple(self.stage.simulator.app.logins._access.values()):
            token.until = 0
        return DONE

    def _edit(self, fault: Fault) -> bool:
        world, chance = self.stage.simulator.world, random.Random(fault.options["seed"])
        for _ in range(fault.options["edits"]):
            world.random_edit(chance, account=chance.choice(list(world.accounts)))
        return DONE

    def _clock_of_spotify_jumps(self, fault: Fault) -> bool:
        self.stage.spotify_jumps(fault.options["seconds"])
        return DONE

    # ---- people -----------------------------------------------------------------------------------------------------

    def _clear_cooldowns(self) -> None:
        """As a person does with `spotisync limits clear`; otherwise a long one would leave nothing to strike."""
        self._people.submit(cooldowns.clear, self.stage.context, None)

    def _cancel(self, fault: Fault) -> None:
        self._ask_person(fault, runs.cancel, "NOT status = ANY(%(over)s)")

    def _resume(self, fault: Fault) -> None:
        self._ask_person(fault, runs.resume, "status IN ('failed', 'cancelled')")

    def _ask_person(self, fault: Fault, action: Callable[..., Any], which: str) -> None:
        """In another thread: a frozen worker may hold the lock of the run, and this thread lets it continue."""
        self._asked.append((fault, time.time(), self._people.submit(self._act, action, which)))

    def _act(self, action: Callable[..., Any], which: str) -> bool:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with suppress(*AWAY):
                for run in self.stage.sql(
                    f"SELECT id FROM sync_history WHERE {which} ORDER BY id DESC LIMIT 1", over=[*OVER]
                ):
                    action(self.stage.context, run.id)
                    return DONE
            time.sleep(0.1)
        return NOTHING_TO_DO

    def _count_hits(self) -> None:
        """Of what doesn't end at once: rules of the simulator, and people."""
        struck = {each["id"]: each["struck"] for each in self.stage.simulator.control.faults()}
        for id_, (fault, since) in self.rules.items():
            self._note(fault, since, struck.get(id_, 0))
        for fault, since, asked in self._asked:
            self._note(fault, since, int(asked.result(120)))
        self._people.shutdown()

    def _note(self, fault: Fault, since: float, hits: int) -> None:
        if hits:
            self.happened.append(Happened(fault.kind, since, time.time(), hits))
        else:
            self.skipped.append(fault)
