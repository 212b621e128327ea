"""Long work in steps, so that its owner can do something else between them: a generator that yields after each step and
returns what was made."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Generic, TypeVar

Made = TypeVar("Made")
Work = Generator[None, None, Made]


def whole(work: Work[Made]) -> Made:
    """Do it all at once."""
    job = Job(work)
    job.go_on()
    return job.made


class Job(Generic[Made]):
    """Work that is done bit by bit."""

    def __init__(self, work: Work[Made]) -> None:
        self.is_done = False
        self._work = work

    @property
    def made(self) -> Made:
        """What came of it, once it is done."""
        assert self.is_done
        return self._made

    def go_on(self, until: float | None = None) -> None:
        """Do the next steps, one at least, until they are done or the monotonic clock shows `until`."""
        while not self.is_done:
            try:
                next(self._work)
            except StopIteration as end:
                self._made: Made = end.value
                self.is_done = True
            if until is not None and time.monotonic() >= until:
                return
