"""A file or a text understood: utterances to the skills, their findings to the call, the call to rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aural.insight.alerts import Alert, Watch, alert_json
from aural.insight.call import of_turns
from aural.insight.request import Asked
from aural.insight.schema import insights_json
from aural.insight.settings import InsightSettings
from aural.insight.types import Turn, Utterance
from aural.insight.utterances import of_transcripts
from aural.metrics import Metrics
from aural.serving.insights import Insights
from aural.types import Transcript


@dataclass(frozen=True, slots=True)
class Understanding:
    """Skills, and what the server was told about them."""

    insights: Insights
    metrics: Metrics
    settings: InsightSettings = field(default_factory=InsightSettings)

    async def of_transcripts(self, channels: Sequence[Transcript], asked: Asked, length: int) -> dict[str, Any]:
        """Of a file, one transcript per channel; `length` in samples. Raises Overloaded and EngineFailed."""
        return await self.of_utterances(of_transcripts(channels, asked), asked, length)

    async def of_utterances(self, utterances: Sequence[Utterance], asked: Asked, length: int = 0) -> dict[str, Any]:
        """Of utterances in order of time; raises Overloaded and EngineFailed."""
        findings = await self.insights.many(utterances, asked)
        turns = [Turn(said, found) for said, found in zip(utterances, findings, strict=True)]
        call = of_turns(turns, asked, length)
        return insights_json(call, asked, [alert_json(alert) for alert in self._alerts(turns, length)])

    def _alerts(self, turns: Sequence[Turn], length: int) -> list[Alert]:
        watch = Watch(self.settings.rules)
        alerts = [alert for turn in turns for alert in watch.turn(turn)]
        alerts += watch.clock(length) if length else []
        for alert in alerts:
            self.metrics.alerts.labels(alert.rule.name).inc()
        return alerts
