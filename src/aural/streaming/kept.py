"""The audio of a session that may have to be sent again."""

from __future__ import annotations

from collections import deque


class Kept:
    """Frames by their place, in bytes since the session began; what lies before `start` is gone."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self.start = self.end = 0

    def append(self, frame: bytes) -> None:
        if frame:
            self._frames.append(frame)
            self.end += len(frame)

    def at(self, place: int) -> bytes:
        """The rest of the frame at `place`; nothing at the end."""
        begin = self.end
        for frame in reversed(self._frames):
            begin -= len(frame)
            if begin <= place:
                return frame[place - begin :]
        return b""

    def forget(self, before: int) -> None:
        """Nobody will ask for frames that end before."""
        while self._frames and self.start + len(self._frames[0]) <= before:
            self.start += len(self._frames.popleft())
