"""Which waiting jobs form the next batches: a pure function. Doing is the scheduler's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """Finals go before partials, partials before files. Among files the due time decides, so nobody is passed for
    ever."""

    FINAL = 0
    """Of a live session: somebody has stopped speaking and waits."""
    PARTIAL = 1
    """Of a live session: somebody is speaking."""
    FILE = 2

    @property
    def is_live(self) -> bool:
        return self <= Priority.PARTIAL


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the policy knows of a job."""

    id: int
    samples: int
    arrived: float
    due: float
    """Order within a priority: the arrival, later for the later clips of a long file, so that short requests pass
    (start-time fair queueing, Goyal et al. 1996)."""
    priority: Priority = Priority.FILE
    alone: bool = False
    """It was in a batch whose worker died, so it must not take others with it."""


@dataclass(frozen=True, slots=True)
class Policy:
    max_batch: int = 8
    max_batch_samples: int = 8 * 30 * 16_000
    """Padded: the longest clip times the number of clips."""
    window_s: float = 0.0
    """How long the first job of a batch may wait for company. Live jobs never do."""

    def most(self, priority: Priority) -> int:
        """Jobs of a priority in a batch. Half of what fits for finals and a quarter for partials: the next final waits
        for a whole batch to end."""
        share = {Priority.FINAL: 2, Priority.PARTIAL: 4, Priority.FILE: 1}[priority]
        return max(1, self.max_batch // share)


@dataclass(frozen=True, slots=True)
class Returning:
    """Callers who were just answered. Those who ask again at once are worth a moment's wait: without it a worker starts
    with whoever is there and leaves half of its batch empty."""

    callers: int = 0
    since: float = 0.0
    until: float = 0.0
    """When the wait is over, whoever has come."""

    def awaited(self, queue: Sequence[Waiting], now: float) -> bool:
        return now < self.until and sum(job.arrived >= self.since for job in queue) < self.callers


NOBODY = Returning()


@dataclass(frozen=True, slots=True)
class Plan:
    batches: tuple[tuple[int, ...], ...] = ()
    """Job ids, one batch per free worker at most."""
    wake_at: float | None = None
    """When to ask again if nothing happens before."""


def plan(
    waiting: Sequence[Waiting], free_workers: int, policy: Policy, now: float, returning: Returning = NOBODY
) -> Plan:
    """Batches for the free workers, in the order of priority and due time, shared evenly among them. Finals, partials
    and files never share a batch, so that none waits for the slower kind. Files wait for company only while all
    of them would fit into one batch, and its window is open or callers are about to return."""
    queue = sorted(waiting, key=lambda job: (job.priority, job.due, job.id))
    if not queue or not free_workers:
        return Plan()
    closes = min(job.arrived for job in queue) + policy.window_s
    is_live = queue[0].priority.is_live
    if not is_live and returning.awaited(queue, now):
        closes = max(closes, returning.until)
    if now < closes and not is_live and _all_fit(queue, policy):
        return Plan(wake_at=closes)
    batches: list[tuple[int, ...]] = []
    while queue and len(batches) < free_workers:
        alike = [job for job in queue if job.priority is queue[0].priority]
        share = -(-len(alike) // (free_workers - len(batches)))
        batch = _head(alike, min(share, policy.most(queue[0].priority)), policy)
        batches.append(tuple(job.id for job in batch))
        taken = set(batches[-1])
        queue = [job for job in queue if job.id not in taken]
    return Plan(tuple(batches))


def _all_fit(queue: Sequence[Waiting], policy: Policy) -> bool:
    return len(_head(queue, policy.max_batch, policy)) == len(queue) < policy.max_batch


def _head(queue: Sequence[Waiting], most: int, policy: Policy) -> Sequence[Waiting]:
    """The longest prefix of the queue that may be one batch."""
    longest = 0
    for count, job in enumerate(queue[:most]):
        longest = max(longest, job.samples)
        if count and (job.alone or queue[0].alone or longest * (count + 1) > policy.max_batch_samples):
            return queue[:count]
    return queue[:most]
