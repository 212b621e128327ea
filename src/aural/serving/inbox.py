"""What one live session was sent and the ear has not heard yet."""

from __future__ import annotations

from collections import deque

from aural.serving.ear import Order

QUIET_S = 0.15
"""How much of a session in which nobody speaks is heard at once: onsets take as long to show."""
MOST_AT_ONCE_S = 2.0
MOST_ITEMS_AT_ONCE = 64
"""What the ear hears of one session in a tick; whoever sends faster than life does not hold up the others."""
MOST_S = 20.0
MOST_ITEMS = 4000
"""What may wait here before its sender does."""


class Inbox:
    """Audio and orders, in the order in which they came."""

    def __init__(self) -> None:
        self._items: deque[tuple[bytes | Order, float]] = deque()
        self._held_s = 0.0
        self._orders = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        return self._held_s > MOST_S or len(self._items) > MOST_ITEMS

    def is_due(self, *, is_alert: bool) -> bool:
        """Whether it is to be heard now: orders, and speech and its first sounds (`is_alert`) at once, silence a while
        at a time."""
        is_much = self._held_s >= QUIET_S or len(self._items) >= MOST_ITEMS_AT_ONCE
        return bool(self._items) and (is_alert or self._orders > 0 or is_much)

    def put(self, item: bytes | Order, duration_s: float = 0.0) -> None:
        self._items.append((item, duration_s))
        self._held_s += duration_s
        self._orders += not isinstance(item, bytes)

    def take(self) -> list[bytes | Order]:
        """The next of it, as much as is heard at once; audio that was sent in a row is one."""
        taken: list[bytes | Order] = []
        audio: list[bytes] = []
        taken_s = 0.0
        for _ in range(min(MOST_ITEMS_AT_ONCE, len(self._items))):
            if taken_s >= MOST_AT_ONCE_S:
                break
            item, duration_s = self._items.popleft()
            taken_s += duration_s
            if isinstance(item, bytes):
                audio.append(item)
                continue
            self._orders -= 1
            taken += [b"".join(audio), item] if audio else [item]
            audio = []
        self._held_s = self._held_s - taken_s if self._items else 0.0
        return [*taken, b"".join(audio)] if audio else taken

    def clear(self) -> None:
        self._items.clear()
        self._held_s, self._orders = 0.0, 0
