"""The queue of one model: jobs in, batches out to its replicas, results back to whoever waits."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from aural.engines.base import Capabilities, ModelSpec
from aural.errors import AuralError, Draining, EngineFailed, LoadFailed, NotReady, Overloaded, WorkerLost
from aural.metrics import Metrics
from aural.serving.door import Door, Limits
from aural.serving.load import BusyShare
from aural.serving.messages import Heard, Mishap
from aural.serving.policy import NOBODY, Policy, Priority, Returning, Waiting, plan
from aural.serving.supervisor import Replica, State, WorkerGone
from aural.types import SAMPLE_RATE, Clip, Transcript, seconds

log = logging.getLogger("aural.scheduler")

SMOOTHING = 0.1
"""Weight of the newest measurement."""
FILE_PACE = 20.0
"""The clips of a long file fall due one after the other at this many audio seconds per second; whoever arrives in
between goes first, and nobody is passed for ever."""

RETURN_WITHIN = 0.04
"""Share of a batch's time that its worker waits for those whom it answered."""


@dataclass(slots=True)
class Job:
    clip: Clip
    future: asyncio.Future[Transcript]
    waiting: Waiting


class Scheduler(Door):
    """One model: its queue and its replicas."""

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        policy: Policy,
        limits: Limits,
        metrics: Metrics,
        kind: type[Replica] = Replica,
    ) -> None:
        super().__init__(specs[0].name, limits, metrics)
        self.replicas = [kind(spec, policy.max_batch, self._replicas_changed) for spec in specs]
        self.policy = policy
        self._jobs: dict[int, Job] = {}
        self._running: dict[asyncio.Task[None], list[Job]] = {}
        self._ids = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._returning = NOBODY
        self._restarts_noted = 0
        self._busy = BusyShare()
        self._settled = asyncio.Event()

    async def start(self) -> None:
        """Start the replicas and return when one is ready; raises LoadFailed when none can be, Draining when they were
        stopped before."""
        self._show()
        for replica in self.replicas:
            replica.start()
        await self._settled.wait()
        if self._draining:
            raise Draining
        if self.state is State.FAILED:
            raise LoadFailed(self.replicas[0].error or f"{self.name} could not be loaded")

    async def stop(self) -> None:
        """End the workers and refuse what they have not heard."""
        self._draining = True
        await asyncio.gather(*(replica.stop() for replica in self.replicas))
        await asyncio.gather(*self._running, return_exceptions=True)
        self._refuse(Draining())
        self._hide()

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
        """Audio seconds per second, measured at warm-up and with every full batch since, over the ready replicas."""
        return sum(replica.rtfx for replica in self.replicas if replica.state is State.READY)

    @property
    def queue_audio_s(self) -> float:
        return _audio_s(self._jobs.values())

    @property
    def wait_s(self) -> float:
        """For what is being heard, and for all that is due before."""
        if any(replica.is_free for replica in self.replicas):
            return 0.0
        now = time.monotonic()
        due = [job for job in self._jobs.values() if job.waiting.due <= now]
        return _audio_s([*due, *itertools.chain(*self._running.values())]) / max(self.rtfx, 0.01)

    @property
    def busy_share(self) -> float:
        """Share of their time, from 0 to 1, that the ready replicas were hearing of late."""
        return self._busy.at(time.monotonic())

    @property
    def in_flight_audio_s(self) -> float:
        """Audio that waits or is being heard."""
        return _audio_s([*self._jobs.values(), *itertools.chain(*self._running.values())])

    def submit(
        self, clip: Clip, *, priority: Priority = Priority.FILE, ahead_samples: int = 0
    ) -> asyncio.Future[Transcript]:
        if self._draining:
            raise Draining
        now = time.monotonic()
        due = now + ahead_samples / SAMPLE_RATE / FILE_PACE
        waiting = Waiting(next(self._ids), len(clip), now, due, priority)
        job = Job(clip, asyncio.get_running_loop().create_future(), waiting)
        job.future.add_done_callback(lambda _: self._jobs.pop(waiting.id, None))
        self._jobs[waiting.id] = job
        # Jobs that arrive in the same turn of the loop go into one plan.
        asyncio.get_running_loop().call_soon(self._dispatch)
        return job.future

    def _dispatch(self) -> None:
        """Hand batches to the free replicas."""
        free = [replica for replica in self.replicas for _ in range(replica.vacancies)]
        if not free:
            return
        waiting = [job.waiting for job in self._jobs.values() if not job.future.done()]
        now = time.monotonic()
        decision = plan(waiting, len(free), self.policy, now, self._returning)
        for replica, batch in zip(free, decision.batches, strict=False):
            jobs = [self._jobs.pop(id_) for id_ in batch]
            replica.take()
            task = asyncio.create_task(self._run(replica, jobs))
            self._running[task] = jobs
            task.add_done_callback(self._running.pop)
            for job in jobs:
                job.future.add_done_callback(partial(_drop, replica, job.clip))
        self._note_busy()
        if decision.wake_at is not None:
            self._wake_in(decision.wake_at - now)

    def _wake_in(self, delay_s: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._dispatch)

    async def _run(self, replica: Replica, jobs: list[Job]) -> None:
        """One batch on one replica, and its results to those who wait."""
        self._note(jobs)
        began = time.monotonic()
        try:
            heard = await replica.hear([job.clip for job in jobs])
            self._deliver(jobs, heard)
            self._await_return(jobs, began)
        except WorkerGone:
            self._retry(jobs)
        except Overloaded as error:
            _fail(jobs, error)
        except Exception as error:  # noqa: BLE001 - whatever nobody foresaw, those who wait are told
            self._break(jobs, error)
        self._note_busy()
        self._dispatch()

    def _break(self, jobs: list[Job], error: Exception) -> None:
        """A batch went wrong in a way of our own."""
        log.error("batch failed", exc_info=error, extra={"model": self.name})
        _fail(jobs, EngineFailed(f"{self.name}: {type(error).__name__}: {error}"))

    def _deliver(self, jobs: list[Job], heard: Heard) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("batch", extra={"model": self.name, "clips_s": _lengths_s(jobs), "engine_s": heard.engine_s})
        self._metrics.engine_s.labels(self.name).inc(heard.engine_s)
        if jobs[0].waiting.priority is Priority.PARTIAL:
            share_s = heard.engine_s / len(jobs)
            self.partial_s += SMOOTHING * (share_s - self.partial_s) if self.partial_s else share_s
        for job, result in zip(jobs, heard.results, strict=True):
            if isinstance(result, Mishap):
                log.error("engine failed", extra={"model": self.name, "error": result.message})
                _fail([job], EngineFailed(f"{self.name} failed on this audio: {result.message}"))
            elif not job.future.done():
                job.future.set_result(result)
                self._metrics.audio_s.labels(self.name).inc(job.waiting.samples / SAMPLE_RATE)
                self._metrics.redone.labels(self.name).inc(result.redone)

    def _await_return(self, jobs: list[Job], began: float) -> None:
        """Callers of files tend to ask again as soon as they are answered; a live session speaks when it speaks."""
        now = time.monotonic()
        callers = sum(not job.waiting.priority.is_live for job in jobs)
        self._returning = Returning(callers, now, now + RETURN_WITHIN * (now - began))

    def _retry(self, jobs: list[Job]) -> None:
        """Once more, each alone: whichever clip killed the worker shall not do it to its neighbours again."""
        for job in jobs:
            if job.waiting.alone:
                _fail([job], WorkerLost(self.name))
            elif not job.future.done():
                job.waiting = replace(job.waiting, alone=True)
                self._jobs[job.waiting.id] = job

    def _refuse(self, error: AuralError) -> None:
        """Fail everything that waits."""
        _fail(self._jobs.values(), error)
        self._jobs.clear()

    def _replicas_changed(self) -> None:
        restarts = sum(replica.restarts for replica in self.replicas)
        self._metrics.restarts.labels(self.name).inc(restarts - self._restarts_noted)
        self._restarts_noted = restarts
        if self.state in (State.READY, State.FAILED, State.STOPPED):
            self._settled.set()
        if all(replica.error for replica in self.replicas):  # none could be restarted
            self._refuse(NotReady(self.name, self.state.value))
        self._note_busy()
        self._dispatch()

    def _show(self) -> None:
        """Let the gauges read what is here whenever they are asked."""
        gauges = self._metrics
        gauges.queue_depth.labels(self.name).set_function(lambda: len(self._jobs))
        gauges.queue_audio_s.labels(self.name).set_function(lambda: self.queue_audio_s)
        gauges.rtfx.labels(self.name).set_function(lambda: self.rtfx)
        gauges.busy_share.labels(self.name).set_function(lambda: self.busy_share)
        for state in State:
            gauges.replicas.labels(self.name, state.value).set_function(partial(self._count, state))

    def _hide(self) -> None:
        """A model that is not in memory has no gauges."""
        gauges = self._metrics
        for gauge in (gauges.queue_depth, gauges.queue_audio_s, gauges.rtfx, gauges.busy_share):
            gauge.remove(self.name)
        for state in State:
            gauges.replicas.remove(self.name, state.value)

    def _count(self, state: State) -> int:
        return sum(replica.state is state for replica in self.replicas)

    def _note_busy(self) -> None:
        busy, ready = sum(replica.load for replica in self.replicas), self._count(State.READY)
        self._busy.set(busy / ready if ready else 0.0, time.monotonic())

    def _note(self, jobs: list[Job]) -> None:
        now = time.monotonic()
        for job in jobs:
            self._metrics.queue_wait_s.labels(self.name).observe(now - job.waiting.arrived)
        lengths = [job.waiting.samples for job in jobs]
        self._metrics.batch_clips.labels(self.name).observe(len(jobs))
        padded = max(1, max(lengths) * len(lengths))
        self._metrics.batch_padding.labels(self.name).observe(1 - sum(lengths) / padded)


def _lengths_s(jobs: Iterable[Job]) -> list[float]:
    return [seconds(job.waiting.samples) for job in jobs]


def _audio_s(jobs: Iterable[Job]) -> float:
    return sum(job.waiting.samples for job in jobs) / SAMPLE_RATE


def _drop(replica: Replica, clip: Clip, future: asyncio.Future[Transcript]) -> None:
    if future.cancelled():
        replica.drop(clip)


def _fail(jobs: Iterable[Job], error: AuralError) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
