"""Calls read by a language model, window after window: a summary that goes on from the last one, and judgements of each
utterance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from aural.engines.voxtral import as_wav
from aural.insight.llm import (
    LETTERS_PER_TOKEN,
    MOST_JUDGED,
    VOXTRAL_LANGUAGES,
    Form,
    Window,
    fits,
    messages,
    schema,
    tokens,
    weight,
    windows,
)
from aural.insight.llm_answer import Reading, parse
from aural.insight.request import Asked
from aural.insight.settings import Llm
from aural.insight.types import Skill, Turn
from aural.metrics import Metrics
from aural.serving.chat import Chat, Failure, Question
from aural.types import Pcm, Samples

CONTEXT_TOKENS = 32_768
"""Voxtral's: sound, words and answer share them."""
PROMPT_TOKENS = 2_000
"""What the instructions take at most."""
SOUND_TOKENS_PER_S = 12.5
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
        form = replace(form, transcript=form.summary)
        if sound is None or form.is_empty or not self._hears(whole, form, sound):
            return await self.read_on(Reading(), turns, asked)
        deadline = self._chat.deadline(self._tokens(whole, form))
        reading = await self._step(Reading(), whole, form, deadline, sound.samples)
        if reading.failure:
            return await self.read_on(Reading(), turns, asked, deadline)
        return replace(reading, failure=_lacking(form, asked))

    async def read_on(
        self, reading: Reading, turns: Sequence[Turn], asked: Asked, deadline: float | None = None
    ) -> Reading:
        """A call that has become longer; `turns` begin with those of the reading."""
        form = self._form(turns, asked)
        if form.is_empty:
            return replace(reading, failure=_lacking(form, asked))
        for part in windows(turns[len(reading.turns) :], form):
            so_far = reading.summary.summary if reading.summary else ""
            reading = await self._step(reading, Window(part, so_far=so_far), form, deadline)
            if reading.failure:
                return reading
        return replace(reading, failure=_lacking(form, asked))

    async def read_out(self, reading: Reading, turns: Sequence[Turn], asked: Asked) -> Reading:
        """A call that has ended. Where it fits into one question it is summarised as a whole once more: that is better
        than a summary of pieces."""
        window, form = Window(tuple(turns[len(reading.turns) :]), known=reading.turns), self._form(turns, asked)
        is_whole = form.summary and fits(window) and 0 < len(window.new) <= MOST_JUDGED
        if not is_whole or not reading.turns:
            return await self.read_on(reading, turns, asked)
        return await self._step(reading, window, form)

    def _form(self, turns: Sequence[Turn], asked: Asked) -> Form:
        return Form.of(asked, turns, judges=self._llm.utterances)

    def _tokens(self, window: Window, form: Form) -> int:
        return tokens(window, form, self._llm.max_tokens)

    def _hears(self, whole: Window, form: Form, sound: Pcm) -> bool:
        """Whether the model understands this recording, all of it in one question."""
        if not self._llm.audio or whole.language not in VOXTRAL_LANGUAGES:
            return False
        heard = round(sound.duration_s * SOUND_TOKENS_PER_S)
        told = sum(map(weight, whole.new)) // LETTERS_PER_TOKEN if form.skills else 0
        return PROMPT_TOKENS + heard + told + self._tokens(whole, form) <= CONTEXT_TOKENS

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

        question = Question(written, schema(form), self._tokens(window, form))
        answer = await self._chat.ask(question, partial(parse, form=form, window=window), deadline)
        if isinstance(answer, Failure):
            return replace(reading, failure=answer.code)
        return reading.on(window, answer, self._llm.model or "default")


def _lacking(form: Form, asked: Asked) -> str:
    """Why there is no summary though it was asked for."""
    return TOO_LITTLE if Skill.SUMMARY in asked.skills and not form.summary else ""
