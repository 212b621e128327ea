"""Who asks: callers in a closed loop, requests that come by themselves, people who speak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aural.serving.policy import Priority
from aural.serving.scheduler import FILE_PACE
from aural.simulation.pool import Job, Pod, Pool, lengths_of, percentile, spaced

RETRY_S = 0.1
"""A caller whose pod died, or who was refused, asks again after so long."""
LIVE_LIMIT_S = 15.0
"""An utterance is cut at this length at the latest."""


@dataclass(slots=True)
class Record:
    """What one kind of caller saw."""

    at: list[float] = field(default_factory=list)
    """When each answer came."""
    latency_s: list[float] = field(default_factory=list)
    audio_s: float = 0.0
    lost: int = 0
    """Answers that a dying pod took with it; they were asked for again."""
    refused: int = 0

    def note(self, now: float, latency_s: float, audio_s: float) -> None:
        self.at.append(now)
        self.latency_s.append(latency_s)
        self.audio_s += audio_s

    def since(self, time: float) -> list[float]:
        """Latencies of the answers from this moment on."""
        return [latency for at, latency in zip(self.at, self.latency_s, strict=True) if at >= time]

    def p(self, share: float, since: float = 0.0) -> float:
        return percentile(self.since(since), share)


@dataclass(frozen=True, slots=True)
class Files:
    """Requests with whole files."""

    pool: Pool
    record: Record
    lengths_s: Sequence[float]
    """Drawn from evenly."""
    max_wait_s: float = float("inf")
    """A pod whose audio in flight would take longer refuses, as the server does."""
    pace: float = FILE_PACE
    """How fast the clips of a long file fall due; infinite lets them all be due at once, first come, first served."""

    def send(self, after: Callable[[], None] = lambda: None) -> None:
        """One request, asked again until it is answered."""
        self._send(self.pool.random.choice(self.lengths_s), self.pool.clock.now, after)

    def closed(self, callers: int) -> None:
        """So many callers, each asking as soon as it is answered."""
        for _ in range(callers):
            self.pool.clock.at(self.pool.clock.now, self._again)

    def open(self, per_s: float) -> None:
        """A Poisson process, for ever."""
        self.pool.clock.at(self.pool.clock.now + self.pool.random.expovariate(per_s), lambda: self._arrive(per_s))

    def _again(self) -> None:
        self.send(self._again)

    def _arrive(self, per_s: float) -> None:
        self.send()
        self.open(per_s)

    def _send(self, audio_s: float, began: float, after: Callable[[], None]) -> None:
        clock, pod = self.pool.clock, self.pool.pick()
        if pod is None or self._is_full(pod):
            self.record.refused += 1
            clock.at(clock.now + RETRY_S, lambda: self._send(audio_s, began, after))
            return
        left = 0

        def done(heard: bool) -> None:
            nonlocal left
            if left < 0:  # another clip of this request was lost: it was asked for again
                return None
            if not heard:
                left = -1
                self.record.lost += 1
                return clock.at(clock.now + RETRY_S, lambda: self._send(audio_s, began, after))
            left -= 1
            if not left:
                clock.at(clock.now + pod.costs.door_s, lambda: self._answered(audio_s, began, after))
            return None

        jobs = spaced((Job(clip_s, done) for clip_s in lengths_of(audio_s)), self.pace)
        left = len(jobs)
        for job in jobs:
            pod.take(job)

    def _is_full(self, pod: Pod) -> bool:
        if self.max_wait_s == float("inf"):
            return False
        return pod.load_s / (pod.workers * pod.costs.rtfx(15.0, pod.policy.max_batch)) > self.max_wait_s

    def _answered(self, audio_s: float, began: float, after: Callable[[], None]) -> None:
        self.record.note(self.pool.clock.now, self.pool.clock.now - began, audio_s)
        after()


@dataclass(frozen=True, slots=True)
class Speech:
    """How people talk, and how a session asks."""

    utterance_s: float = 4.0
    """Mean; exponential, cut at LIVE_LIMIT_S."""
    pause_s: float = 2.7
    """Mean between utterances: people in a conversation speak some 60 % of the time."""
    partial_every_s: float = 0.7
    partial_tail_s: float = 6.0
    """A partial hears no more than this: what is committed is trimmed off."""


@dataclass(slots=True)
class Stream:
    """One live session. It stays on its pod, and resumes on another when that dies."""

    pool: Pool
    finals: Record
    partials: Record
    speech: Speech = field(default_factory=Speech)
    _pod: Pod | None = None
    _spoken_since: float | None = None
    _partial_in_flight: bool = False

    def start(self) -> None:
        """Speak for ever, from a random moment on."""
        clock = self.pool.clock
        self._pod = self.pool.pick()
        pause_s = self.speech.utterance_s + self.speech.pause_s
        clock.at(clock.now + self.pool.random.uniform(0, pause_s), self._speak)

    def _speak(self) -> None:
        clock, speech = self.pool.clock, self.speech
        length_s = min(LIVE_LIMIT_S, 0.4 + self.pool.random.expovariate(1 / (speech.utterance_s - 0.4)))
        since = self._spoken_since = clock.now
        clock.at(clock.now + length_s, lambda: self._stop(length_s))
        clock.at(clock.now + speech.partial_every_s, lambda: self._partial(since))

    def _stop(self, length_s: float) -> None:
        clock = self.pool.clock
        self._spoken_since = None
        self._ask(length_s, Priority.FINAL, clock.now, self.finals)
        clock.at(clock.now + self.pool.random.expovariate(1 / self.speech.pause_s), self._speak)

    def _partial(self, since: float) -> None:
        clock = self.pool.clock
        if self._spoken_since != since:
            return
        if not self._partial_in_flight:
            self._partial_in_flight = True
            self._ask(min(clock.now - since, self.speech.partial_tail_s), Priority.PARTIAL, clock.now, self.partials)
        clock.at(clock.now + self.speech.partial_every_s, lambda: self._partial(since))

    def _ask(self, clip_s: float, priority: Priority, began: float, record: Record) -> None:
        clock = self.pool.clock
        if self._pod is None or not self._pod.alive:
            self._pod = self.pool.pick()
        if self._pod is None:
            record.refused += 1
            clock.at(clock.now + RETRY_S, lambda: self._ask(clip_s, priority, began, record))
            return

        def done(heard: bool) -> None:
            if heard:
                record.note(clock.now, clock.now - began, clip_s)
            elif priority is Priority.FINAL:  # the client holds its audio until the final came, and sends it again
                record.lost += 1
                return clock.at(clock.now + RETRY_S, lambda: self._ask(clip_s, priority, began, record))
            if priority is Priority.PARTIAL:
                self._partial_in_flight = False
            return None

        self._pod.take(Job(clip_s, done, priority))
