"""Requests that no friend would send, in a hundred kinds, each with the statuses that are right for it.

`attacks(seed)` takes the kinds in turn, without end, each time with other random values. The server under attack is to
take 1 MiB, 60 s of audio and 2 s to send a request, and its first model is the fake engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from random import Random

from tests.api.hostile import audio, documents, forms, http, slow
from tests.api.hostile.audio import bomb, sound, video
from tests.api.hostile.base import BOMBS, CODECS, KINDS, Attack

__all__ = ["KINDS", "Attack", "attacks", "audio", "documents", "forms", "http", "slow"]


def attacks(seed: int) -> Iterator[Attack]:
    random = Random(seed)
    for make, containers in ((sound, CODECS), (bomb, BOMBS)):
        for container in containers:
            make(container)  # now, because an attack under way does not wait
    video()
    for name, (make, allowed, behaviour) in cycle(list(KINDS.items())):
        yield Attack(name, make(random), allowed, behaviour)
