"""A language model behind a chat endpoint: asked, asked once more, given up in time. What it costs is counted."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aural.engines.voxtral import as_wav
from aural.insight.llm import (
    VOXTRAL_LANGUAGES,
    InvalidAnswer,
    Summary,
    enough,
    parse,
    question,
    question_of_sound,
    schema,
)
from aural.insight.settings import Llm
from aural.insight.types import Turn
from aural.metrics import Metrics
from aural.serving.outbound import Reply, Unreachable, dumps, post
from aural.types import SAMPLE_RATE, Samples

log = logging.getLogger("aural.chat")

ATTEMPTS = 2
MOST_AT_ONCE = 4
"""Questions in flight; a further one is given up rather than waited for when its time is over."""
LONGEST_SOUND_S = 40 * 60
"""Voxtral understands recordings up to this (model card)."""
QUOTA, CONFIGURATION = 429, frozenset({400, 401, 403, 404, 422})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no summary; the codes are those of Amazon Connect Contact Lens, and TIMEOUT."""

    code: str
    message: str


class Chat:
    """Asks one endpoint."""

    def __init__(self, llm: Llm, metrics: Metrics) -> None:
        self._llm = llm
        self._metrics = metrics
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    @property
    def hears(self) -> bool:
        return self._llm.audio

    async def summary(self, turns: Sequence[Turn], so_far: str = "") -> Summary | Failure:
        """Of a transcript. Never raises, and never takes longer than the limit."""
        if not enough(turns):
            return Failure("INSUFFICIENT_CONVERSATION_CONTENT", "too little was said")
        return await self._asked(question(turns, so_far), schema())

    async def of_sound(self, samples: Samples, language: str) -> Summary | Failure:
        """Of a recording, transcript and summary in one pass, where the model hears; then as `summary`."""
        if not self._llm.audio or language not in VOXTRAL_LANGUAGES or len(samples) > LONGEST_SOUND_S * SAMPLE_RATE:
            return Failure("INVALID_ANALYSIS_CONFIGURATION", f"the model does not hear {language}, or not so long")
        body = await asyncio.to_thread(as_wav, samples)
        return await self._asked(question_of_sound(body, language), schema(sound=True))

    async def _asked(self, messages: list[dict[str, Any]], form: dict[str, Any]) -> Summary | Failure:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._llm.timeout_s), self._places:
                outcome = await self._tried(messages, form)
        except TimeoutError:
            outcome = Failure("TIMEOUT", f"no answer within {self._llm.timeout_s:g} s")
        self._metrics.llm_s.observe(time.perf_counter() - began)
        self._metrics.llm.labels(outcome.code if isinstance(outcome, Failure) else "COMPLETED").inc()
        if isinstance(outcome, Failure):
            log.warning("no summary", extra={"code": outcome.code, "error": outcome.message})
        return outcome

    async def _tried(self, messages: list[dict[str, Any]], form: dict[str, Any]) -> Summary | Failure:
        failure = Failure("INTERNAL_ERROR", "not asked")
        for _ in range(ATTEMPTS):
            try:
                reply = await self._post(messages, form)
                if reply.status == 200:
                    return parse(self._text(reply))
                failure = _refused(reply)
                if reply.status in CONFIGURATION:
                    break
            except InvalidAnswer as error:
                failure = Failure("INTERNAL_ERROR", str(error))
            except Unreachable as error:
                failure = Failure("INTERNAL_ERROR", str(error))
        return failure

    async def _post(self, messages: list[dict[str, Any]], form: dict[str, Any]) -> Reply:
        body = {
            **({"model": self._llm.model} if self._llm.model else {}),
            "messages": messages,
            "response_format": form,
            "temperature": 0,
            "max_tokens": self._llm.max_tokens,
        }
        headers = {"Authorization": f"Bearer {self._llm.key}"} if self._llm.key else {}
        url = f"{self._llm.url.rstrip('/')}/chat/completions"
        return await post(url, dumps(body), headers, self._llm.timeout_s)

    def _text(self, reply: Reply) -> str:
        """The answer's text; its tokens are counted."""
        try:
            body = json.loads(reply.body)
            text = body["choices"][0]["message"]["content"]
            usage = body.get("usage") or {}
            used = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidAnswer(f"expected a chat completion, got {reply.body[:60]!r}") from error
        for kind, tokens, price in zip(
            ("prompt", "completion"), used, (self._llm.input_price, self._llm.output_price), strict=True
        ):
            self._metrics.llm_tokens.labels(kind).inc(max(tokens, 0))
            self._metrics.llm_cost.inc(max(tokens, 0) * price / 1e6)
        return str(text)


def _refused(reply: Reply) -> Failure:
    if reply.status == QUOTA:
        return Failure("QUOTA_EXCEEDED", "status 429")
    code = "INVALID_ANALYSIS_CONFIGURATION" if reply.status in CONFIGURATION else "INTERNAL_ERROR"
    return Failure(code, f"status {reply.status}")
