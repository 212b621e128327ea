"""A language model behind a chat endpoint: asked, asked once more, given up in time. What it costs is counted."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aural.insight.llm_answer import InvalidAnswer
from aural.insight.settings import Llm
from aural.metrics import Metrics
from aural.serving.outbound import Reply, TooSlow, Unreachable, dumps, post

log = logging.getLogger("aural.chat")

ATTEMPTS = 2
PAUSE_S = 0.5
"""Before the second one, after a refusal that does not say how long it is to be."""
WARMTH = 0.4
"""Temperature of the second one, after an answer that was broken: the same question would break it again."""
MOST_AT_ONCE = 4
"""Questions in flight; a further one is given up rather than waited for when its time is over."""
BUSY = frozenset({408, 429})
"""Refusals of the 4xx that may pass; the others are about the question itself."""
QUOTA = 429
MOST_TOKENS = 10**9
"""Of one question: more is no number of tokens."""

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Question:
    messages: Callable[[], list[dict[str, Any]]]
    """Written in a thread: a recording in it is large."""
    form: dict[str, Any]
    """`response_format`."""
    tokens: int
    """How many the answer may have."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer; the codes are those of Amazon Connect Contact Lens, and TIMEOUT."""

    code: str
    message: str


class _Missed(Exception):
    """An attempt without an answer."""

    def __init__(self, failure: Failure, pause_s: float | None = None, warmth: float = 0.0) -> None:
        """`pause_s` is how long to wait before the next; None where that would be in vain."""
        super().__init__(failure.message)
        self.failure = failure
        self.pause_s = pause_s
        self.warmth = warmth


class Chat:
    """Asks one endpoint."""

    def __init__(self, llm: Llm, metrics: Metrics) -> None:
        self.llm = llm
        self._metrics = metrics
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    def deadline(self, tokens: int) -> float:
        """When an answer of so many tokens, asked for now, is given up, in the time of the event loop. The limit of the
        settings is for `max_tokens`; a longer answer has as much longer."""
        return asyncio.get_running_loop().time() + self.llm.timeout_s * max(tokens / self.llm.max_tokens, 1.0)

    async def ask(
        self, question: Question, read: Callable[[str], Read], deadline: float | None = None
    ) -> Read | Failure:
        """What `read` makes of the answer's text; it may raise InvalidAnswer. Never raises, and never takes longer than
        its own limit and `deadline`."""
        began = time.perf_counter()
        limit = self.deadline(question.tokens)
        limit = limit if deadline is None else min(limit, deadline)
        outcome: Read | Failure
        try:
            async with asyncio.timeout_at(limit), self._places:
                outcome = await self._tried(question, read, limit)
        except TimeoutError:
            outcome = Failure("TIMEOUT", f"no answer in {time.perf_counter() - began:.1f} s")
        self._metrics.llm_s.observe(time.perf_counter() - began)
        self._metrics.llm.labels(outcome.code if isinstance(outcome, Failure) else "COMPLETED").inc()
        if isinstance(outcome, Failure):
            log.warning("no answer of the language model", extra={"code": outcome.code, "error": outcome.message})
        return outcome

    async def _tried(self, question: Question, read: Callable[[str], Read], limit: float) -> Read | Failure:
        failure = Failure("TIMEOUT", "no time was left to ask")
        pause_s, warmth = 0.0, 0.0
        now = asyncio.get_running_loop().time
        for _ in range(ATTEMPTS):
            if now() + pause_s >= limit:
                break
            await asyncio.sleep(pause_s)
            try:
                return await self._answered(question, read, warmth, limit - now())
            except _Missed as missed:
                failure = missed.failure
                if missed.pause_s is None:
                    break
                pause_s, warmth = missed.pause_s, missed.warmth
        return failure

    async def _answered(self, question: Question, read: Callable[[str], Read], warmth: float, timeout_s: float) -> Read:
        """One attempt; raises _Missed."""
        body = await asyncio.to_thread(self._body, question, warmth)
        try:
            reply = await post(f"{self.llm.url.rstrip('/')}/chat/completions", body, self._headers(), timeout_s)
        except TooSlow as error:
            raise _Missed(Failure("TIMEOUT", str(error))) from error
        except Unreachable as error:
            raise _Missed(Failure("INTERNAL_ERROR", str(error)), PAUSE_S) from error
        if reply.status != 200:
            raise _refused(reply)
        try:
            return read(self._text(reply))
        except InvalidAnswer as error:
            raise _Missed(Failure("INTERNAL_ERROR", str(error)), 0.0, WARMTH) from error

    def _body(self, question: Question, warmth: float) -> bytes:
        named = {"model": self.llm.model} if self.llm.model else {}
        return dumps(
            named
            | {
                "messages": question.messages(),
                "response_format": question.form,
                "temperature": warmth,
                "max_tokens": question.tokens,
            }
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.llm.key}"} if self.llm.key else {}

    def _text(self, reply: Reply) -> str:
        """The answer's text; its tokens are counted, whatever the answer is worth. Raises InvalidAnswer, and _Missed
        where asking again would bring the same."""
        try:
            body = json.loads(reply.body)
            choice = body["choices"][0]
            message, usage = choice["message"], body.get("usage")
            text, reason = message.get("content"), choice.get("finish_reason")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidAnswer("expected a chat completion, got something else") from error
        self._count(usage if isinstance(usage, dict) else {})
        if reason == "length":
            raise _Missed(Failure("INTERNAL_ERROR", "the answer was cut off for its length"))
        if message.get("refusal"):
            raise _Missed(Failure("INTERNAL_ERROR", "the model refused to answer"))
        if not isinstance(text, str):
            raise InvalidAnswer(f"expected a text, got {type(text).__name__}")
        return text

    def _count(self, usage: dict[str, Any]) -> None:
        prices = {"prompt": self.llm.input_price, "completion": self.llm.output_price}
        for kind, price in prices.items():
            value = usage.get(f"{kind}_tokens")
            used = value if isinstance(value, int) and 0 <= value <= MOST_TOKENS else 0
            self._metrics.llm_tokens.labels(kind).inc(used)
            self._metrics.llm_cost.inc(used * price / 1e6)


def _refused(reply: Reply) -> _Missed:
    if reply.status < 500 and reply.status not in BUSY:
        return _Missed(Failure("INVALID_ANALYSIS_CONFIGURATION", f"status {reply.status}"))
    code = "QUOTA_EXCEEDED" if reply.status == QUOTA else "INTERNAL_ERROR"
    pause_s = PAUSE_S if reply.retry_after_s is None else reply.retry_after_s
    return _Missed(Failure(code, f"status {reply.status}"), pause_s)
