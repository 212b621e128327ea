"""Which waiting jobs form the next batches: a pure function. Doing is the scheduler's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """Finals go before partials, partials before files."""

    FINAL = 0
    PARTIAL = 1
    FILE = 2


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
    """How long the first job of a batch may wait for company."""


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
    """Batches for the free workers, in the order of priority and due time, shared evenly among them. Jobs wait for
    company only while all of them would fit into one batch, and its window is open or callers are about to return; a
    live session's never wait for those."""
    queue = sorted(waiting, key=lambda job: (job.priority, job.due, job.id))
    if not queue or not free_workers:
        return Plan()
    closes = min(job.arrived for job in queue) + policy.window_s
    if queue[0].priority is Priority.FILE and returning.awaited(queue, now):
        closes = max(closes, returning.until)
    if now < closes and len(_head(queue, policy.max_batch, policy)) == len(queue) < policy.max_batch:
        return Plan(wake_at=closes)
    batches: list[tuple[int, ...]] = []
    while queue and len(batches) < free_workers:
        share = -(-len(queue) // (free_workers - len(batches)))
        batch = _head(queue, min(share, policy.max_batch), policy)
        batches.append(tuple(job.id for job in batch))
        queue = queue[len(batch) :]
    return Plan(tuple(batches))


def _head(queue: Sequence[Waiting], most: int, policy: Policy) -> Sequence[Waiting]:
    """The longest prefix of the queue that may be one batch."""
    longest = 0
    for count, job in enumerate(queue[:most]):
        longest = max(longest, job.samples)
        if count and (job.alone or queue[0].alone or longest * (count + 1) > policy.max_batch_samples):
            return queue[:count]
    return queue[:most]
