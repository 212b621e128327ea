"""Live sessions on the models of this server.

async with live.open(LiveSettings(...)) as stream:   # raises Overloaded, NotReady, UnknownModel, UnsupportedParameter
    await stream.append(data)                        # waits while too much is unheard
    async for event in stream: ...                   # ends after Ended
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aural.live.events import Event
from aural.live.settings import LiveSettings
from aural.metrics import Metrics
from aural.serving.fleet import Fleet


class Stream:
    """One live session. Orders take effect in the order they were given, between the audio before and after them."""

    id: str
    settings: LiveSettings

    async def append(self, data: bytes | memoryview) -> None:
        """Audio in the format of the settings, cut anywhere, also within a sample. Waits while too much is unheard.
        Raises BadAudio for NaN or infinity."""
        raise NotImplementedError

    def commit(self, reference: str | None = None) -> None:
        """End the open utterance here. With less than 100 ms of audio, `Failed` with the reference comes."""
        raise NotImplementedError

    def clear(self) -> None:
        """Throw away what is not committed yet."""
        raise NotImplementedError

    def configure(self, settings: LiveSettings) -> None:
        """From here on, other settings. Raises UnsupportedParameter."""
        raise NotImplementedError

    async def finish(self) -> None:
        """No more audio: what is open is heard, then `Ended` comes. Does not wait for it."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[Event]:
        raise NotImplementedError


class Live:
    """Opens sessions as long as they can be heard in time. One per server."""

    def __init__(self, fleet: Fleet, metrics: Metrics, *, max_streams: int = 0) -> None:
        """`max_streams` 0 lets measured speed decide."""
        self.fleet = fleet

    @asynccontextmanager
    async def open(self, settings: LiveSettings) -> AsyncIterator[Stream]:
        """A session, ended when the block is left. Raises Overloaded, NotReady, UnknownModel, UnsupportedParameter."""
        raise NotImplementedError
        yield Stream()
