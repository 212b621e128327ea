"""When another connection is tried for, and when it is given up: decided here, waited for elsewhere."""

from __future__ import annotations

import random

RECONNECT_S = 120.0
"""How long a lost connection is sought, and the next server of one that goes away: it may have a model to load."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
STEADY_S = 30.0
"""A connection that lived so long was none of the failures in a row."""


class Patience:
    """Failures in a row share their time and their growing pauses, which differ between callers. `now` is any clock in
    seconds."""

    def __init__(self) -> None:
        self._deadline: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def rest(self) -> None:
        """The row has ended: something was heard, or the connection lived."""
        self._deadline, self._pause_s = None, FIRST_PAUSE_S

    def pause_s(self, now: float, at_least_s: float = 0.0) -> float | None:
        """Until the next try; None when it was tried for long enough."""
        if self._deadline is None:
            self._deadline = now + RECONNECT_S
        pause_s = max(at_least_s, self._pause_s * random.uniform(0.5, 1.0))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause_s if now + pause_s <= self._deadline else None
