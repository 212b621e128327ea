"""The finished captions of live sessions, kept during a session and for a while after, for those who only read."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import TypeVar

from aural.errors import Overloaded
from aural.live.events import Final, Notice
from aural.types import Segment

Item = TypeVar("Item")

MOST_SESSIONS = 1_000
"""That have ended: those that go on are as many as can be heard."""
KEPT_S = 900.0
"""How long the captions of a session that has ended can still be read."""
MOVE_S = 60.0
"""How long a session that was sent away may take to go on."""
MOST_CUES = 20_000
MOST_FOLLOWERS = 1_000
RETRY_AFTER_S = 10.0


@dataclass(slots=True)
class Track:
    """The cues of one session, also where it went on from another one's end."""

    cues: list[Segment] = field(default_factory=list)
    ended_at: float | None = None
    """On the monotonic clock."""
    token: str | None = None
    """What the session was sent away with: whoever has it goes on with the track."""
    _grown: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self.ended_at = self.token = None
        if self._ending:
            self._ending.cancel()

    def note(self, event: object) -> None:
        match event:
            case Final() if event.text.strip() and len(self.cues) < MOST_CUES:
                self.cues += _cues(event)
                self._tell()
            case Notice("going_away", resume=str(token)):
                self.token = token

    def end(self, wait_s: float = 0.0) -> None:
        """The session is over, unless it goes on within this time."""
        if wait_s and self.token:
            self._ending = asyncio.get_running_loop().call_later(wait_s, self.end)
        elif self.ended_at is None:
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
        self._followers = 0
        self._is_retiring = False

    async def noting(self, session: str, events: AsyncIterable[Item]) -> AsyncGenerator[Item]:
        """The events as they come, and what else comes between them, with the finals written down."""
        self._forget()
        track = self._tracks.setdefault(session, Track())
        track.begin()
        try:
            async for event in events:
                track.note(event)
                yield event
        finally:
            track.end(0.0 if self._is_retiring else MOVE_S)

    def get(self, session: str) -> Track | None:
        self._forget()
        return self._tracks.get(session)

    def may_go_on(self, session: str, token: str) -> bool:
        """Whether a session with this token may write under this name: it left with it, or nobody here has the name.
        Those who read know the name, but not the token."""
        track = self._tracks.get(session)
        return track is None or track.token == token

    async def follow(self, track: Track) -> AsyncIterator[Segment]:
        """As the track's own, counted."""
        self._followers += 1
        try:
            async for cue in track.follow():
                yield cue
        finally:
            self._followers -= 1

    def admit(self) -> None:
        """Raises Overloaded when one more cannot follow."""
        if self._followers >= MOST_FOLLOWERS:
            raise Overloaded(f"{self._followers} readers follow captions already", RETRY_AFTER_S)

    def retire(self) -> None:
        """The server stops: sessions that leave do not come back to it, so their readers are sent away with them."""
        self._is_retiring = True

    def _forget(self) -> None:
        """What is old, and the oldest of too many that have ended."""
        before = time.monotonic() - KEPT_S
        ended = [(name, track.ended_at) for name, track in self._tracks.items() if track.ended_at is not None]
        for place, (name, ended_at) in enumerate(sorted(ended, key=lambda one: one[1])):
            if ended_at < before or len(ended) - place > MOST_SESSIONS:
                del self._tracks[name]


def _cues(final: Final) -> list[Segment]:
    """Piece by piece, as far as the pieces say what was told; else the utterance as a whole."""
    pieces = [Segment(one.text.strip(), one.start, one.end) for one in final.transcript.segments if one.text.strip()]
    if _letters("".join(piece.text for piece in pieces)) == _letters(final.text):
        return pieces
    return [Segment(final.text.strip(), final.start, final.end)]


def _letters(text: str) -> str:
    return "".join(text.split())
