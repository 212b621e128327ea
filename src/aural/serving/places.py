"""The places of an engine that batches by itself: a clip takes one that is free, a chat waits for its turn.

Whoever waits for a turn gets the next place that is released, so a backlog of clips passes no chat.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Places:
    """Counts those that are taken."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken = 0
        self._turns: deque[asyncio.Future[None]] = deque()

    @property
    def free(self) -> int:
        return max(0, self.count - self.taken)

    @property
    def waiting(self) -> int:
        return len(self._turns)

    def take(self) -> None:
        """One that is free."""
        self.taken += 1

    def release(self) -> None:
        """Hand one on to whoever waits longest, or free it."""
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():  # else whoever waited has just given up
                turn.set_result(None)
                return
        self.taken -= 1

    async def turn(self) -> None:
        """Take one as soon as there is one."""
        if self.free:
            return self.take()
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.release()
            elif turn in self._turns:
                self._turns.remove(turn)
            raise
