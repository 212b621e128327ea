"""What the rest of the server knows of a model: what it can do, whether it takes more, and where clips are handed in.

A `Scheduler` is the door to workers on this machine; `aural.scale.remote` holds the one to replicas on a cluster.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aural.engines.base import Capabilities
from aural.errors import Draining, NotReady, Overloaded
from aural.metrics import Metrics
from aural.serving.policy import Priority
from aural.serving.supervisor import Replica, State
from aural.types import SAMPLE_RATE, Clip, Transcript


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model takes on before it refuses."""

    max_wait_s: float
    """A clip that would wait longer is refused."""
    max_queue_audio_s: float
    """Audio of all requests that may be in memory at once, waiting or being heard."""
    max_streams: int = 0
    """Live sessions at once; 0 is as many as its measured speed can hear in time."""


class Door(ABC):
    """One model, wherever its replicas are. Refuses here what could not be served in time."""

    replicas: Sequence[Replica] = ()
    """Those on this machine."""
    partial_s = 0.0
    """Engine seconds that a partial took lately, its share of the batch; 0 when nobody knows."""

    def __init__(self, name: str, limits: Limits, metrics: Metrics) -> None:
        self.name = name
        self.limits = limits
        self._metrics = metrics
        self._held_samples = 0
        self._draining = False

    @abstractmethod
    async def start(self) -> None:
        """Returns when the model hears; raises LoadFailed when it cannot, Draining when it was stopped before."""

    @abstractmethod
    async def stop(self) -> None:
        """Refuse what waits, and everything from now on."""

    @abstractmethod
    def submit(
        self, clip: Clip, *, priority: Priority = Priority.FILE, ahead_samples: int = 0
    ) -> asyncio.Future[Transcript]:
        """Queue a clip. `ahead_samples` is how much of the same request lies before it. Cancelling the future takes
        the clip out of the queue. Raises Draining."""

    @property
    @abstractmethod
    def state(self) -> State:
        """Ready when one replica is."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the model can do; raises NotReady before a replica has said so."""

    @property
    @abstractmethod
    def rtfx(self) -> float:
        """Audio seconds per second, over the ready replicas."""

    @property
    @abstractmethod
    def queue_audio_s(self) -> float:
        """Audio that waits."""

    @property
    @abstractmethod
    def wait_s(self) -> float:
        """How long a clip that came now would wait."""

    @property
    def memory_bytes(self) -> int:
        """What its processes on this machine hold; 0 when nobody knows."""
        return sum(replica.memory_bytes for replica in self.replicas)

    def shares(self, other: Door) -> bool:
        """Whether both hear on the same processors or cards, so that work for one slows the other."""
        return other is self or not _devices(self).isdisjoint(_devices(other))

    def admit(self, audio_s: float = 0.0) -> None:
        """Raises NotReady, Draining or Overloaded when this much more audio could not be served in time."""
        if self._draining:
            raise Draining
        if self.state is not State.READY:
            raise NotReady(self.name, self.state.value)
        wait_s, most_s = self.wait_s, self.limits.max_wait_s
        if wait_s > most_s:
            message = f"{self.name} would answer after {wait_s:.0f} s, more than the {most_s:.0f} s allowed"
            raise Overloaded(message, retry_after_s=max(1.0, wait_s - most_s / 2))
        held_s, most_s = self._held_samples / SAMPLE_RATE, self.limits.max_queue_audio_s
        if held_s and held_s + audio_s > most_s:
            message = f"{self.name} has {held_s:.0f} s of audio to hear and takes {most_s:.0f} s"
            raise Overloaded(message, retry_after_s=max(1.0, held_s / self.rtfx / 2))

    @contextmanager
    def admitted(self, samples: int) -> Iterator[None]:
        """Hold a place for a request with this much audio while it is served; raises what `admit` raises."""
        self.admit(samples / SAMPLE_RATE)
        self._held_samples += samples
        try:
            yield
        finally:
            self._held_samples -= samples


def _devices(door: Door) -> set[tuple[str, int]]:
    """Those of this machine."""
    specs = [replica.spec for replica in door.replicas if replica.spec.device != "remote"]
    return {(spec.device, index) for spec in specs for index in spec.cards or (spec.device_index,)}
