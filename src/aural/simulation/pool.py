"""Replicas and their queues in simulated time. Which jobs form a batch is asked of `aural.serving.policy.plan`, as the
server does; only the engines and the clock are made up."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from aural.serving.policy import NOBODY, Policy, Priority, Returning, Waiting, plan
from aural.serving.scheduler import RETURN_WITHIN
from aural.simulation.costs import Costs
from aural.types import SAMPLE_RATE

Routing = Literal["two", "random", "least"]
"""To which pod a request goes: the less loaded of two (Mitzenmacher 2001; so does Ray Serve), any, the least loaded."""


class Clock:
    """What happens next, in order of time; equal times in order of asking."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ids = itertools.count()

    def at(self, time: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(time, self.now), next(self._ids), do))

    def run(self, until: float) -> None:
        """Let everything happen that is due before."""
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = until


@dataclass(slots=True)
class Job:
    """A clip that waits or is being heard. `done` is called with whether it was heard."""

    clip_s: float
    done: Callable[[bool], None]
    priority: Priority = Priority.FILE
    ahead_s: float = 0.0
    """How much later than it arrived it falls due."""


@dataclass(slots=True)
class Pod:
    """One scheduler and its workers."""

    clock: Clock
    costs: Costs
    policy: Policy
    workers: int
    random: random.Random
    alive: bool = True
    load_s: float = 0.0
    """Audio seconds in flight."""
    busy_s: float = 0.0
    """Worker seconds spent hearing."""
    _free: int = field(init=False)
    _returning: Returning = NOBODY
    _jobs: dict[int, tuple[Job, Waiting]] = field(default_factory=dict)
    _running: dict[int, list[Job]] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._free = self.workers

    def take(self, job: Job) -> None:
        now = self.clock.now
        waiting = Waiting(next(self._ids), round(job.clip_s * SAMPLE_RATE), now, now + job.ahead_s, job.priority)
        self._jobs[waiting.id] = (job, waiting)
        self.load_s += job.clip_s
        self.clock.at(now, self._dispatch)

    def die(self) -> None:
        """Everything here is lost; those who wait learn it."""
        self.alive = False
        lost = [job for job, _ in self._jobs.values()] + list(itertools.chain(*self._running.values()))
        self._jobs.clear()
        self._running.clear()
        for job in lost:
            job.done(False)

    def _dispatch(self) -> None:
        if not (self._free and self._jobs and self.alive):
            return
        waiting = [waiting for _, waiting in self._jobs.values()]
        decision = plan(waiting, self._free, self.policy, self.clock.now, self._returning)
        for ids in decision.batches:
            self._start([self._jobs.pop(id_)[0] for id_ in ids])
        if decision.wake_at is not None:
            self.clock.at(decision.wake_at, self._dispatch)

    def _start(self, batch: list[Job]) -> None:
        took_s = self.costs.engine_s([job.clip_s for job in batch])
        took_s *= max(0.2, self.random.gauss(1.0, self.costs.spread / math.sqrt(len(batch))))
        self._free -= 1
        self.busy_s += took_s
        number = next(self._ids)
        self._running[number] = batch
        self.clock.at(self.clock.now + took_s, lambda: self._end(number, took_s))

    def _end(self, number: int, took_s: float) -> None:
        batch = self._running.pop(number, None)
        if batch is None:  # the pod died meanwhile
            return
        self._free += 1
        now, files = self.clock.now, sum(job.priority is Priority.FILE for job in batch)
        self._returning = Returning(files, now, now + RETURN_WITHIN * took_s)
        for job in batch:
            self.load_s -= job.clip_s
            job.done(True)
        self._dispatch()


class Pool:
    """Pods, and the way to them."""

    def __init__(
        self,
        clock: Clock,
        costs: Costs,
        *,
        pods: int,
        workers: int = 1,
        policy: Policy | None = None,
        routing: Routing = "two",
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.random = random.Random(seed)
        self._routing = routing
        self._new: Callable[[], Pod] = lambda: Pod(clock, costs, policy or Policy(), workers, self.random)
        self.pods = [self._new() for _ in range(pods)]

    @property
    def alive(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.alive]

    def pick(self) -> Pod | None:
        """The pod that a newcomer is sent to; None when there is none."""
        alive = self.alive
        if not alive:
            return None
        if self._routing == "least":
            return min(alive, key=lambda pod: pod.load_s)
        some = [self.random.choice(alive) for _ in range(2 if self._routing == "two" else 1)]
        return min(some, key=lambda pod: pod.load_s)

    def add(self, count: int) -> None:
        self.pods += [self._new() for _ in range(count)]

    def lose(self, share: float) -> int:
        """This share of the pods dies at once; returns how many."""
        alive = self.alive
        lost = alive[: round(len(alive) * share)]
        for pod in lost:
            pod.die()
        return len(lost)


def lengths_of(audio_s: float, longest_s: float = 30.0) -> list[float]:
    """The clips that a file is cut into."""
    whole, rest = divmod(audio_s, longest_s)
    return [longest_s] * int(whole) + ([rest] if rest > 0 else [])


def spaced(jobs: Iterable[Job], pace: float) -> list[Job]:
    """The clips of one file, each due as much later as the audio before it takes at this many times its speed."""
    found: list[Job] = []
    ahead_s = 0.0
    for job in jobs:
        found.append(replace(job, ahead_s=ahead_s / pace))
        ahead_s += job.clip_s
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
