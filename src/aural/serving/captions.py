"""The finished captions of live sessions, kept during a session and for a while after, for those who only read."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import TypeVar

from aural.live.events import Ended, Final
from aural.types import Segment

Item = TypeVar("Item")

MOST_SESSIONS = 1_000
KEPT_S = 900.0
"""How long the captions of a session that has ended can still be read."""
MOST_CUES = 20_000


@dataclass(slots=True)
class Track:
    """The cues of one session."""

    cues: list[Segment] = field(default_factory=list)
    ended_at: float | None = None
    """On the monotonic clock."""
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, event: object) -> None:
        match event:
            case Final(_, start, end, _, text) if text.strip() and len(self.cues) < MOST_CUES:
                self.cues.append(Segment(text.strip(), start, end))
                self._tell()
            case Ended():
                self.end()

    def end(self) -> None:
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            self._tell()

    async def follow(self) -> AsyncIterator[Segment]:
        """The cues from the first on, until the session ends."""
        told = 0
        while True:
            grown = self._grown
            for cue in self.cues[told:]:
                yield cue
                told += 1
            if self.ended_at is not None and told == len(self.cues):
                return
            await grown.wait()

    def _tell(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


class Captions:
    """The tracks of the sessions of this server, and of those that ended a while ago."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[str, Track] = OrderedDict()

    async def noting(self, session: str, events: AsyncIterable[Item]) -> AsyncGenerator[Item]:
        """The events as they come, and what else comes between them, with the finals written down."""
        self._forget()
        track = self._tracks.setdefault(session, Track())
        try:
            async for event in events:
                track.note(event)
                yield event
        finally:
            track.end()

    def get(self, session: str) -> Track | None:
        self._forget()
        return self._tracks.get(session)

    def _forget(self) -> None:
        """What is old, and the oldest of too many."""
        before = time.monotonic() - KEPT_S
        old = [name for name, track in self._tracks.items() if track.ended_at is not None and track.ended_at < before]
        for name in old:
            del self._tracks[name]
        while len(self._tracks) >= MOST_SESSIONS:
            self._tracks.popitem(last=False)[1].end()
