"""A live session's place in its call: where its clock lies in the call's, and when somebody speaks in it. No clock and
no socket: `now` is an argument, in seconds of the monotonic clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aural.insight.alerts import Alert, Watch
from aural.insight.types import Role
from aural.live.events import Cleared, Closed, Event, SpeechStarted
from aural.types import SAMPLE_RATE, samples

LATE = 3 * SAMPLE_RATE
"""Speech is told of sooner. What is older was sent late: the session's clock had stood still for want of audio."""


@dataclass(slots=True)
class Timeline:
    """The clock of a call. It begins with the first audio of its first session and goes on without any."""

    zero: float | None = None
    """When it began."""

    def at(self, now: float) -> int:
        """Samples; 0 before it has begun."""
        return 0 if self.zero is None else samples(now - self.zero)


class Leg:
    """One session. It is in one call at most, and may join another."""

    def __init__(self, name: str, starts_at: int = 0) -> None:
        """`starts_at` is where the session's clock begins: not at 0 for one that goes on from another."""
        self._name = name
        self._starts_at = starts_at
        self._zero: float | None = None
        self._role: Role | None = None
        self._timeline = Timeline()
        self._watch = Watch(())

    @property
    def shift(self) -> int:
        """What must be added to a time of the session to have one of the call; samples."""
        if self._zero is None or self._timeline.zero is None:
            return 0
        return samples(self._zero - self._timeline.zero)

    def join(self, timeline: Timeline, watch: Watch) -> None:
        self._timeline, self._watch = timeline, watch

    def leave(self, now: float) -> None:
        """Whoever spoke has gone, in the middle of a word perhaps."""
        self._watch.hushes(self._name, self._timeline.at(now))
        self.join(Timeline(), Watch(()))

    def plays(self, role: Role | None, now: float) -> None:
        """Who speaks here, from now on."""
        self._role = role
        if self._zero is not None:
            self._arrive(now)

    def hears(self, now: float) -> None:
        """Audio has come."""
        if self._zero is None:
            self._zero = now - self._starts_at / SAMPLE_RATE
            self._arrive(now)

    def place(self, at: int) -> int:
        """A time of the session as one of the call, which knows none before its beginning."""
        return max(0, at + self.shift)

    def tick(self, now: float) -> list[Alert]:
        """What the silence up to now sets off."""
        return [] if self._timeline.zero is None else self._watch.clock(self._timeline.at(now))

    def note(self, event: Event, now: float) -> Sequence[Alert]:
        """What an event tells of speech and silence, and what that sets off."""
        self.hears(now)
        match event:
            case SpeechStarted(_, at):
                self._catch_up(at, now)
                return self._watch.speaks(self._name, self._role, self.place(at))
            case Closed(_, _, end) | Cleared(_, _, end):
                self._watch.hushes(self._name, self.place(end))
        return []

    def _arrive(self, now: float) -> None:
        assert self._zero is not None
        if self._timeline.zero is None:
            self._timeline.zero = self._zero
        self._watch.comes(self._role, self._timeline.at(now))

    def _catch_up(self, at: int, now: float) -> None:
        late = self._timeline.at(now) - self.place(at)
        if late > LATE and self._zero is not None:
            self._zero += late / SAMPLE_RATE
