"""POST /v1/insights: understanding for a text that one has already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aural.api.body import read_body
from aural.api.service import language_options, service_of, wish_of
from aural.errors import BadRequest
from aural.insight.redaction import redacted
from aural.insight.request import Wish
from aural.insight.types import Role, Utterance
from aural.insight.words import language_of
from aural.types import samples

KEYS = frozenset({"text", "utterances", "language", "insights", "redact", "duration"})
UTTERANCE_KEYS = frozenset({"text", "id", "start", "end", "channel", "role", "language"})
MOST_UTTERANCES = 2_000
LONGEST_TEXT = 5_000
"""Characters of an utterance."""
LONGEST_S = 7 * 24 * 3600.0


async def insights(request: Request) -> Response:
    """The insights of a text or of a list of utterances."""
    service = service_of(request)
    table = _object(await read_body(request, service.body))
    wish = wish_of(service, table.get("insights", True), table.get("redact"))
    if wish.insights is None:
        raise BadRequest("expected insights as names or an object, got none", param="insights")
    utterances = _utterances(table, wish)
    length = samples(_seconds(table, "duration", 0.0))
    return JSONResponse(await service.understanding.of_utterances(utterances, wish.insights, length))


def _object(body: bytes) -> dict[str, Any]:
    try:
        table = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"expected JSON, got something else: {error}") from error
    if not isinstance(table, dict):
        raise BadRequest(f"expected a JSON object, got {type(table).__name__}")
    unknown = sorted(table.keys() - KEYS)
    if unknown:
        raise BadRequest(f"expected keys of {', '.join(sorted(KEYS))}; got {unknown[0]!r}", param=unknown[0])
    if ("text" in table) == ("utterances" in table):
        raise BadRequest("expected one of text and utterances", param="text")
    return table


def _utterances(table: Mapping[str, Any], wish: Wish) -> list[Utterance]:
    entries = [{"text": table["text"]}] if "text" in table else table["utterances"]
    if not isinstance(entries, list) or len(entries) > MOST_UTTERANCES:
        raise BadRequest(f"expected utterances as a list of at most {MOST_UTTERANCES}", param="utterances")
    several = len(entries) > 1
    return [_utterance(number, entry, table.get("language"), wish, several) for number, entry in enumerate(entries)]


def _utterance(number: int, entry: object, language: object, wish: Wish, several: bool) -> Utterance:
    assert wish.insights is not None
    if isinstance(entry, str):
        entry = {"text": entry}
    if not isinstance(entry, dict) or not {"text"} <= entry.keys() <= UTTERANCE_KEYS:
        keys = ", ".join(sorted(UTTERANCE_KEYS))
        raise BadRequest(f"expected utterance {number} as a text or an object with {keys}", param="utterances")
    text = entry["text"]
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise BadRequest(f"expected text of at most {LONGEST_TEXT} characters in utterance {number}", param="text")
    text = redacted(text, wish.redact, edges=several) if wish.redact else text
    start = _seconds(entry, "start", 0.0)
    channel = entry.get("channel", 0)
    if not isinstance(channel, int) or not 0 <= channel < 64:
        raise BadRequest(f"expected channel from 0 to 63, got {channel!r}", param="channel")
    return Utterance(
        id=str(entry.get("id", f"u{number}"))[:64],
        text=text.strip(),
        start=samples(start),
        end=samples(max(_seconds(entry, "end", start), start)),
        language=_language(entry.get("language", language), text),
        role=_role(entry.get("role")) or wish.insights.role(channel),
        channel=channel,
    )


def _language(tag: object, text: str) -> str:
    if tag is not None and not isinstance(tag, str):
        raise BadRequest(f"expected language as a string, got {type(tag).__name__}", param="language")
    return language_options(tag)[0] or language_of(text)


def _role(value: object) -> Role | None:
    if value is None:
        return None
    name = str(value).upper()
    if name not in set(Role):
        raise BadRequest(f"expected role of {', '.join(Role)}; got {str(value)[:40]!r}", param="role")
    return Role(name)


def _seconds(table: Mapping[str, Any], key: str, default: float) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S:
        raise BadRequest(f"expected {key} in seconds, got {str(value)[:40]!r}", param=key)
    return float(value)


routes = [Route("/v1/insights", insights, methods=["POST"])]
"""Answered whichever models are loaded: it needs none of those that hear."""
