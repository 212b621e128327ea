"""The queue of one model: jobs in, batches out to its replicas, results back to whoever waits."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from aural.engines.base import Capabilities, ModelSpec
from aural.errors import AuralError, Draining, EngineFailed, LoadFailed, NotReady, Overloaded, WorkerLost
from aural.metrics import Metrics
from aural.serving.messages import Heard, Mishap
from aural.serving.policy import Policy, Priority, Waiting, plan
from aural.serving.supervisor import Replica, State, WorkerGone
from aural.types import SAMPLE_RATE, Clip, Transcript

log = logging.getLogger("aural.scheduler")

FILE_PACE = 20.0
"""The clips of a long file fall due one after the other at this many audio seconds per second; whoever arrives in
between goes first, and nobody is passed for ever."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model takes on before it refuses."""

    max_wait_s: float
    """A clip that would wait longer is refused."""
    max_queue_audio_s: float
    """Audio that may wait in memory, whoever sent it."""


@dataclass(slots=True)
class Job:
    clip: Clip
    future: asyncio.Future[Transcript]
    waiting: Waiting
    attempts: int = field(default=0)


class Scheduler:
    """One model: its queue and its replicas."""

    def __init__(self, specs: Sequence[ModelSpec], policy: Policy, limits: Limits, metrics: Metrics) -> None:
        self.name = specs[0].name
        self.replicas = [Replica(spec, policy.max_batch, self._replicas_changed) for spec in specs]
        self.policy = policy
        self.limits = limits
        self._metrics = metrics
        self._jobs: dict[int, Job] = {}
        self._ids = itertools.count()
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False
        self._restarts_noted = 0
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Start the replicas and return when one is ready; raises LoadFailed when none can be."""
        for replica in self.replicas:
            replica.start()
        await self._settled.wait()
        if self.state is State.FAILED:
            raise LoadFailed(self.replicas[0].error or f"{self.name} could not be loaded")

    async def stop(self) -> None:
        """Refuse what still waits and end the workers."""
        self._draining = True
        for job in self._jobs.values():
            _fail(job, Draining())
        self._jobs.clear()
        await asyncio.gather(*(replica.stop() for replica in self.replicas))
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def state(self) -> State:
        """Ready when one replica is."""
        states = [replica.state for replica in self.replicas]
        order = (State.READY, State.STARTING, State.RESTARTING, State.FAILED, State.STOPPED)
        return next(state for state in order if state in states)

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do; raises NotReady before a worker has said so."""
        known = (replica.capabilities for replica in self.replicas)
        found = next((capabilities for capabilities in known if capabilities), None)
        if found is None:
            raise NotReady(self.name, self.state.value)
        return found

    @property
    def rtfx(self) -> float:
        """Audio seconds per second, measured at warm-up and with every batch since, over the ready replicas."""
        return sum(replica.rtfx for replica in self.replicas if replica.state is State.READY)

    @property
    def queue_audio_s(self) -> float:
        return sum(job.waiting.samples for job in self._jobs.values()) / SAMPLE_RATE

    def admit(self, audio_s: float = 0.0) -> None:
        """Raises NotReady, Draining or Overloaded when this much more audio could not be served in time."""
        if self._draining:
            raise Draining
        if self.state is not State.READY and not self._jobs:
            raise NotReady(self.name, self.state.value)
        now = time.monotonic()
        ahead_s = sum(job.waiting.samples for job in self._jobs.values() if job.waiting.due <= now) / SAMPLE_RATE
        wait_s = ahead_s / max(self.rtfx, 1.0)
        if wait_s > self.limits.max_wait_s:
            raise Overloaded(
                f"{self.name} would answer after {wait_s:.0f} s, more than the {self.limits.max_wait_s:.0f} s allowed",
                retry_after_s=max(1.0, wait_s - self.limits.max_wait_s / 2),
            )
        queued_s = self.queue_audio_s
        if queued_s and queued_s + audio_s > self.limits.max_queue_audio_s:
            raise Overloaded(
                f"{self.name} has {queued_s:.0f} s of audio waiting and takes {self.limits.max_queue_audio_s:.0f} s",
                retry_after_s=max(1.0, queued_s / max(self.rtfx, 1.0) / 2),
            )

    def submit(
        self, clip: Clip, *, priority: Priority = Priority.FILE, ahead_samples: int = 0
    ) -> asyncio.Future[Transcript]:
        """Queue a clip. `ahead_samples` is how much of the same request lies before it. Cancelling the future takes
        the clip out of the queue."""
        if self._draining:
            raise Draining
        now = time.monotonic()
        due = now + ahead_samples / SAMPLE_RATE / FILE_PACE
        waiting = Waiting(next(self._ids), len(clip), now, due, priority)
        job = Job(clip, asyncio.get_running_loop().create_future(), waiting)
        job.future.add_done_callback(lambda _: self._forget(waiting.id))
        self._jobs[waiting.id] = job
        # Jobs that arrive in the same turn of the loop go into one plan.
        asyncio.get_running_loop().call_soon(self._dispatch)
        return job.future

    def _dispatch(self) -> None:
        """Hand batches to the free replicas."""
        free = [replica for replica in self.replicas if replica.is_free]
        if not free or not self._jobs:
            return self._note_queue()
        now = time.monotonic()
        decision = plan([job.waiting for job in self._jobs.values()], len(free), self.policy, now)
        for replica, batch in zip(free, decision.batches, strict=False):
            jobs = [self._jobs.pop(id_) for id_ in batch]
            replica.busy = True
            task = asyncio.create_task(self._run(replica, jobs))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if decision.wake_at is not None:
            self._wake_at(decision.wake_at - now)
        return self._note_queue()

    def _wake_at(self, delay_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(delay_s, 0.0), self._dispatch)

    async def _run(self, replica: Replica, jobs: list[Job]) -> None:
        """One batch on one replica, and its results to those who wait."""
        self._note_batch(jobs)
        try:
            heard = await replica.hear([job.clip for job in jobs])
        except WorkerGone:
            self._retry(jobs)
        else:
            self._deliver(jobs, heard)
            self._metrics.rtfx.labels(self.name).set(self.rtfx)
        self._dispatch()

    def _deliver(self, jobs: list[Job], heard: Heard) -> None:
        self._metrics.engine_s.labels(self.name).inc(heard.engine_s)
        for job, result in zip(jobs, heard.results, strict=True):
            if isinstance(result, Mishap):
                log.error("engine failed", extra={"model": self.name, "error": result.message})
                _fail(job, EngineFailed(f"{self.name} failed on this audio: {result.message}"))
            elif not job.future.done():
                job.future.set_result(result)
                self._metrics.audio_s.labels(self.name).inc(job.waiting.samples / SAMPLE_RATE)
                self._metrics.redone.labels(self.name).inc(result.redone)

    def _retry(self, jobs: list[Job]) -> None:
        """Once more, each alone: whichever clip killed the worker shall not do it to its neighbours again."""
        for job in jobs:
            if job.future.done():
                continue
            if job.attempts:
                _fail(job, WorkerLost(self.name))
                continue
            job.attempts += 1
            old = job.waiting
            job.waiting = Waiting(old.id, old.samples, old.arrived, old.due, old.priority, alone=True)
            self._jobs[old.id] = job

    def _forget(self, id_: int) -> None:
        self._jobs.pop(id_, None)
        self._note_queue()

    def _replicas_changed(self) -> None:
        states = [replica.state for replica in self.replicas]
        for state in State:
            self._metrics.replicas.labels(self.name, state.value).set(states.count(state))
        restarts = sum(replica.restarts for replica in self.replicas)
        self._metrics.restarts.labels(self.name).inc(restarts - self._restarts_noted)
        self._restarts_noted = restarts
        if State.READY in states or all(state is State.FAILED for state in states):
            self._settled.set()
        self._dispatch()

    def _note_queue(self) -> None:
        self._metrics.queue_depth.labels(self.name).set(len(self._jobs))
        self._metrics.queue_audio_s.labels(self.name).set(self.queue_audio_s)

    def _note_batch(self, jobs: list[Job]) -> None:
        now = time.monotonic()
        for job in jobs:
            self._metrics.queue_wait_s.labels(self.name).observe(now - job.waiting.arrived)
        lengths = [job.waiting.samples for job in jobs]
        self._metrics.batch_clips.labels(self.name).observe(len(jobs))
        padded = max(1, max(lengths) * len(lengths))
        self._metrics.batch_padding.labels(self.name).observe(1 - sum(lengths) / padded)


def _fail(job: Job, error: AuralError) -> None:
    if not job.future.done():
        job.future.set_exception(error)
