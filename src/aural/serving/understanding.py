"""A file or a text understood: utterances to the skills, their findings to the call, the call to rules."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aural.insight.alerts import Alert, Source, alert_json, of_call
from aural.insight.call import of_turns
from aural.insight.llm_answer import Reading
from aural.insight.request import Asked
from aural.insight.schema import insights_json
from aural.insight.settings import InsightSettings
from aural.insight.types import Turn, Utterance
from aural.insight.utterances import of_transcripts
from aural.metrics import Metrics
from aural.serving.insights import Insights
from aural.serving.reading import Reader
from aural.serving.webhook import Hooks
from aural.types import Pcm, Transcript

REQUEST: ContextVar[str | None] = ContextVar("REQUEST", default=None)
"""The id of the HTTP request that is being answered, so that an alert can name it."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """Skills, and what the server was told about them."""

    insights: Insights
    metrics: Metrics
    settings: InsightSettings = field(default_factory=InsightSettings)
    hooks: Hooks | None = None
    reader: Reader | None = None

    async def of_transcripts(
        self, channels: Sequence[Transcript], asked: Asked, sounds: Sequence[Pcm], *, is_private: bool = False
    ) -> dict[str, Any]:
        """Of a file, one transcript and one sound per channel. What is private must not leave, so its sound does not.
        Raises Overloaded and EngineFailed."""
        sound = sounds[0] if len(sounds) == 1 and not is_private else None
        return await self.of_utterances(of_transcripts(channels, asked), asked, len(sounds[0]), sound)

    async def of_utterances(
        self, utterances: Sequence[Utterance], asked: Asked, length: int = 0, sound: Pcm | None = None
    ) -> dict[str, Any]:
        """Of utterances in order of time; raises Overloaded and EngineFailed."""
        search = self.settings.search(asked)
        findings = await self.insights.many(utterances, search.wide)
        found = [Turn(said, one) for said, one in zip(utterances, findings, strict=True)]
        reading = await self._read(found, asked, sound)
        found[: len(reading.turns)] = reading.turns
        source = Source(request=REQUEST.get())
        alerts = [self.act(alert, source) for alert in of_call(self.settings.rules, found, length)]
        turns = [Turn(turn.utterance, search.told(turn.findings)) for turn in found]
        call = await asyncio.to_thread(of_turns, turns, asked, length)
        return await asyncio.to_thread(insights_json, call, asked, alerts, reading)

    async def read_on(self, reading: Reading, turns: Sequence[Turn], asked: Asked, *, final: bool) -> Reading:
        """What a language model makes of a call that goes on, or has ended; never raises. `turns` begin with those of
        the reading."""
        if self.reader is None or not asked.llm or not turns:
            return reading
        return await (self.reader.read_out if final else self.reader.read_on)(reading, turns, asked)

    async def _read(self, turns: Sequence[Turn], asked: Asked, sound: Pcm | None) -> Reading:
        if self.reader is None or not asked.llm or not turns:
            return Reading()
        return await self.reader.read(turns, asked, sound)

    def act(self, alert: Alert, source: Source) -> dict[str, Any]:
        """Count an alert and tell the webhook; returns it as JSON."""
        body = alert_json(alert, source, datetime.now(UTC))
        self.metrics.alerts.labels(alert.rule.name).inc()
        if self.hooks is not None and alert.rule.webhook:
            self.hooks.deliver(body)
        return body

    async def stop(self) -> None:
        await self.insights.stop()
        if self.hooks is not None:
            await self.hooks.stop()
