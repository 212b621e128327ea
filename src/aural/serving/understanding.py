"""A file or a text understood: utterances to the skills, their findings to the call, the call to rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aural.insight.alerts import Alert, Watch, alert_json
from aural.insight.call import of_turns
from aural.insight.llm import Summary
from aural.insight.request import Asked
from aural.insight.schema import failure_json, insights_json, summary_json
from aural.insight.settings import InsightSettings
from aural.insight.types import Skill, Turn, Utterance
from aural.insight.utterances import of_transcripts
from aural.metrics import Metrics
from aural.serving.chat import Chat, Failure
from aural.serving.insights import Insights
from aural.serving.webhook import Hooks
from aural.types import Pcm, Transcript


@dataclass(frozen=True, slots=True)
class Understanding:
    """Skills, and what the server was told about them."""

    insights: Insights
    metrics: Metrics
    settings: InsightSettings = field(default_factory=InsightSettings)
    hooks: Hooks | None = None
    chat: Chat | None = None

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
        findings = await self.insights.many(utterances, asked)
        turns = [Turn(said, found) for said, found in zip(utterances, findings, strict=True)]
        call = of_turns(turns, asked, length)
        alerts = self._alerts(turns, length)
        for alert in alerts:
            self.act(alert)
        body = insights_json(call, asked, [alert_json(alert) for alert in alerts])
        body["call"] |= await self.summary(turns, asked, sound=sound)
        return body

    async def summary(
        self, turns: Sequence[Turn], asked: Asked, so_far: str = "", *, sound: Pcm | None = None
    ) -> dict[str, Any]:
        """What the language model says of a call, as the keys that it replaces; nothing where it is not asked. Never
        raises: a failure is told in its place, and what was extracted stays."""
        if self.chat is None or not asked.llm or Skill.SUMMARY not in asked.skills or not turns:
            return {}
        outcome: Summary | Failure = Failure("INTERNAL_ERROR", "no sound")
        if sound is not None and self.chat.hears:
            outcome = await self.chat.of_sound(sound.samples, turns[-1].utterance.language)
        if isinstance(outcome, Failure):
            outcome = await self.chat.summary(turns, so_far)
        return summary_json(outcome) if isinstance(outcome, Summary) else failure_json(outcome.code)

    def act(self, alert: Alert, call: str | None = None) -> None:
        """Count an alert, and tell the webhook."""
        self.metrics.alerts.labels(alert.rule.name).inc()
        if self.hooks is not None and alert.rule.webhook:
            self.hooks.deliver(alert_json(alert) | {"call": call})

    async def stop(self) -> None:
        await self.insights.stop()
        if self.hooks is not None:
            await self.hooks.stop()

    def _alerts(self, turns: Sequence[Turn], length: int) -> list[Alert]:
        watch = Watch(self.settings.rules)
        alerts = [alert for turn in turns for alert in watch.turn(turn)]
        return alerts + (watch.clock(length) if length else [])
