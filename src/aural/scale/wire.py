"""What an ingress and a model's replica say to each other, whatever carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aural.engines.base import Capabilities
from aural.errors import AuralError
from aural.serving.policy import Priority
from aural.types import Clip, Transcript

Outcome = Transcript | AuralError
"""Errors come back as values: they are answers, no reason to ask another replica."""


@dataclass(frozen=True, slots=True)
class Description:
    """A replica on itself."""

    capabilities: Capabilities
    rtfx: float


@dataclass(frozen=True, slots=True)
class Census:
    """How many there are."""

    replicas: int
    """Of the model."""
    ingresses: int


class ReplicaLost(Exception):
    """The replica that was asked is gone, and with it the answer."""


class Remote(Protocol):
    """A model on a cluster. Cancelling a call takes the clip out of the replica's queue."""

    async def hear(self, clip: Clip, priority: Priority, ahead_samples: int) -> Outcome:
        """Raises ReplicaLost; Overloaded when too many clips wait for a replica."""

    async def describe(self) -> Description:
        """One replica's; waits until there is one. Raises ReplicaLost, LoadFailed."""

    async def census(self) -> Census: ...
