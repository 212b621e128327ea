"""The models of this server, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from aural.errors import UnknownModel
from aural.serving.supervisor import State
from aural.serving.transcriber import Transcriber

DEFAULT_ALIAS = "whisper-1"
"""The name that OpenAI's clients are written with: the first model."""


class Fleet:
    """Starts, finds and stops the models. The first one is the default."""

    def __init__(self, transcribers: Sequence[Transcriber]) -> None:
        self._by_name = {transcriber.scheduler.name: transcriber for transcriber in transcribers}

    def __iter__(self) -> Iterator[Transcriber]:
        return iter(self._by_name.values())

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    @property
    def is_ready(self) -> bool:
        return all(transcriber.scheduler.state is State.READY for transcriber in self)

    def get(self, name: str | None) -> Transcriber:
        """A model by name, the default for none; raises UnknownModel."""
        name = self.names[0] if name in (None, "", DEFAULT_ALIAS) else name
        assert name is not None
        if name not in self._by_name:
            raise UnknownModel(name, self.names)
        return self._by_name[name]

    async def start(self) -> None:
        """Returns when every model is ready; raises LoadFailed."""
        await asyncio.gather(*(transcriber.scheduler.start() for transcriber in self))

    async def stop(self) -> None:
        await asyncio.gather(*(transcriber.scheduler.stop() for transcriber in self))
