"""A call read by a language model, window after window: a summary that goes on from the last one, and what each utterance
is judged to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aural.engines.voxtral import as_wav
from aural.insight.llm import VOXTRAL_LANGUAGES, Form, Window, fits, messages, schema, tokens, windows
from aural.insight.llm_answer import Reading, parse
from aural.insight.request import Asked
from aural.insight.settings import Llm
from aural.insight.types import Skill, Turn
from aural.metrics import Metrics
from aural.serving.chat import Chat, Failure, Question
from aural.types import SAMPLE_RATE, Pcm, Samples

LONGEST_SOUND = 20 * 60 * SAMPLE_RATE
"""Voxtral understands up to 40 minutes, but sound (12.5 tokens a second), transcript and answer share 32,768 tokens."""
TOO_LITTLE = "INSUFFICIENT_CONVERSATION_CONTENT"


class Reader:
    """Has calls read by one model. Never raises: a failure stands in the reading, beside what was read before it."""

    def __init__(self, llm: Llm, metrics: Metrics) -> None:
        self._llm = llm
        self._chat = Chat(llm, metrics)

    async def read(self, turns: Sequence[Turn], asked: Asked, sound: Pcm | None = None) -> Reading:
        """A call that is over; where the model hears, from its sound, and from its text if that fails. Both ways
        together take no longer than the first one may."""
        form, whole = self._form(turns, asked), Window(tuple(turns))
        if sound is None or form.is_empty or not self._hears(whole, sound):
            return await self.read_on(Reading(), turns, asked)
        form_of_sound = replace(form, transcript=form.summary)
        deadline = self._chat.deadline(tokens(whole, form_of_sound, self._llm.max_tokens))
        reading = await self._step(Reading(), whole, form_of_sound, deadline, sound.samples)
        return await self.read_on(Reading(), turns, asked, deadline) if reading.failure else reading

    async def read_on(
        self, reading: Reading, turns: Sequence[Turn], asked: Asked, deadline: float | None = None
    ) -> Reading:
        """A call that has become longer; `turns` begin with those of the reading."""
        form = self._form(turns, asked)
        lacking = TOO_LITTLE if Skill.SUMMARY in asked.skills and not form.summary else ""
        if form.is_empty:
            return replace(reading, failure=lacking)
        for part in windows(turns[len(reading.turns) :], form):
            so_far = reading.summary.summary if reading.summary else ""
            reading = await self._step(reading, Window(part, so_far=so_far), form, deadline)
            if reading.failure:
                return reading
        return replace(reading, failure=lacking)

    async def read_out(self, reading: Reading, turns: Sequence[Turn], asked: Asked) -> Reading:
        """A call that has ended. Where it fits into one question it is summarised as a whole once more, as no summary of
        pieces is as good."""
        window, form = Window(tuple(turns[len(reading.turns) :]), known=reading.turns), self._form(turns, asked)
        if not reading.turns or not window.new or not form.summary or not fits(window):
            return await self.read_on(reading, turns, asked)
        return await self._step(reading, window, form)

    def _form(self, turns: Sequence[Turn], asked: Asked) -> Form:
        return Form.of(asked, turns, judges=self._llm.utterances)

    def _hears(self, whole: Window, sound: Pcm) -> bool:
        return (
            self._llm.audio
            and whole.language in VOXTRAL_LANGUAGES
            and len(sound) <= LONGEST_SOUND
            and fits(whole)
        )

    async def _step(
        self,
        reading: Reading,
        window: Window,
        form: Form,
        deadline: float | None = None,
        sound: Samples | None = None,
    ) -> Reading:
        """What one question adds."""

        def written() -> list[dict[str, Any]]:
            wav = as_wav(sound) if sound is not None else b""
            return messages(window, form, wav=wav, is_system=not self._llm.audio)

        question = Question(written, schema(form), tokens(window, form, self._llm.max_tokens))
        answer = await self._chat.ask(question, partial(parse, form=form, window=window), deadline)
        if isinstance(answer, Failure):
            return replace(reading, failure=answer.code)
        return reading.on(window, answer, self._llm.model or "default")
