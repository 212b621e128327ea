"""POST /v1/insights: understanding for a text that one has already. GET /v1/insights/schema: what the answer is made
of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aural.api.body import json_object, read_body
from aural.api.service import Service, language_options, service_of, unless_gone, wish_of
from aural.errors import BadRequest
from aural.insight.redaction import redacted
from aural.insight.request import Asked, Wish
from aural.insight.schema import schema_file
from aural.insight.types import Role, Utterance
from aural.insight.utterances import sentences
from aural.insight.words import language_of
from aural.types import samples

KEYS = frozenset({"text", "utterances", "language", "insights", "redact", "duration"})
UTTERANCE_KEYS = frozenset({"text", "id", "start", "end", "channel", "role", "language"})
MOST_UTTERANCES = 2_000
LONGEST_UTTERANCE = 5_000
"""Characters."""
LONGEST_TEXT = 200_000
"""Characters of a text as a whole, which is taken by its sentences."""
LONGEST_S = 7 * 24 * 3600.0
MOST_CHANNELS = 64


async def insights(request: Request) -> Response:
    """The insights of a text or of a list of utterances."""
    service = service_of(request)
    body = await read_body(request, service.body)
    utterances, asked, length = await asyncio.to_thread(_parse, body, service)
    found = await unless_gone(request, service.understanding.of_utterances(utterances, asked, length))
    return Response(await asyncio.to_thread(orjson.dumps, found), media_type="application/json")


async def schema(request: Request) -> Response:
    """The JSON Schema of all insights."""
    return Response(schema_file(), media_type="application/schema+json")


def _parse(body: bytes, service: Service) -> tuple[list[Utterance], Asked, int]:
    """The utterances in order of time, what to look for, and the length of the audio in samples; raises BadRequest."""
    table = _table(body)
    wish = wish_of(service, table.get("insights", True), table.get("redact"))
    if wish.insights is None:
        raise BadRequest("expected insights as names or an object, got none", param="insights")
    utterances = _of_text(table, wish) if "text" in table else _of_list(table, wish, wish.insights)
    return utterances, wish.insights, samples(_seconds(table, "duration", 0.0))


def _table(body: bytes) -> dict[str, Any]:
    table = json_object(body)
    unknown = sorted(table.keys() - KEYS)
    if unknown:
        raise BadRequest(f"expected keys of {', '.join(sorted(KEYS))}; got {unknown[0]!r}", param=unknown[0])
    if ("text" in table) == ("utterances" in table):
        raise BadRequest("expected one of text and utterances", param="text")
    return table


def _of_text(table: Mapping[str, Any], wish: Wish) -> list[Utterance]:
    """A sentence each, without times. What is private is looked for in the whole: it may go on in the next line."""
    text = _text(table["text"], LONGEST_TEXT, "text")
    language = _language(table.get("language"), text)
    parts = sentences(redacted(text, wish.redact) if wish.redact else text)
    if len(parts) > MOST_UTTERANCES:
        raise BadRequest(f"expected text of at most {MOST_UTTERANCES} sentences, got {len(parts)}", param="text")
    return [Utterance(f"u{number}", part, language=language) for number, part in enumerate(parts)]


def _of_list(table: Mapping[str, Any], wish: Wish, asked: Asked) -> list[Utterance]:
    entries = table["utterances"]
    if not isinstance(entries, list) or len(entries) > MOST_UTTERANCES:
        raise BadRequest(f"expected utterances as a list of at most {MOST_UTTERANCES}", param="utterances")
    said = [_utterance(number, entry, table.get("language"), asked) for number, entry in enumerate(entries)]
    if wish.redact:
        several = len(said) > 1
        said = [replace(one, text=redacted(one.text, wish.redact, edges=several).strip()) for one in said]
    return sorted(said, key=lambda one: one.start)


def _utterance(number: int, entry: object, language: object, asked: Asked) -> Utterance:
    if isinstance(entry, str):
        entry = {"text": entry}
    if not isinstance(entry, dict) or not {"text"} <= entry.keys() <= UTTERANCE_KEYS:
        keys = ", ".join(sorted(UTTERANCE_KEYS))
        raise BadRequest(f"expected utterance {number} as a text or an object with {keys}", param="utterances")
    text = _text(entry["text"], LONGEST_UTTERANCE, f"text in utterance {number}")
    start = _seconds(entry, "start", 0.0)
    end = _seconds(entry, "end", start)
    if end < start:
        raise BadRequest(f"expected end of utterance {number} after its start {start:g}, got {end:g}", param="end")
    channel = _channel(entry.get("channel"))
    return Utterance(
        id=_id(entry.get("id", f"u{number}")),
        text=text.strip(),
        start=samples(start),
        end=samples(end),
        language=_language(entry.get("language", language), text),
        role=_role(entry.get("role")) or asked.role(channel),
        channel=channel or 0,
    )


def _text(value: object, longest: int, what: str) -> str:
    if not isinstance(value, str) or len(value) > longest:
        got = f"{len(value)} characters" if isinstance(value, str) else type(value).__name__
        raise BadRequest(f"expected {what} as a string of at most {longest} characters, got {got}", param="text")
    return value


def _id(value: object) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"expected id as a string, got {type(value).__name__}", param="id")
    return value[:64]


def _channel(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MOST_CHANNELS:
        raise BadRequest(f"expected channel from 0 to {MOST_CHANNELS - 1}, got {str(value)[:40]!r}", param="channel")
    return value


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


routes = [
    Route("/v1/insights", insights, methods=["POST"]),
    Route("/v1/insights/schema", schema, methods=["GET"]),
]
"""Answered whichever models are loaded: they need none of those that hear."""
