"""POST /v1/listen: Deepgram's API for files. The body is the audio."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aural.api.body import read_body
from aural.api.deepgram import query
from aural.api.deepgram.refusal import PATH, REQUEST_ID, refusal
from aural.api.deepgram.results import metadata
from aural.api.deepgram.words import Message, alternative, extended, spread
from aural.api.errors import note
from aural.api.service import Answer, Ask, RawFormat, service_of, wish_of
from aural.errors import AuralError, BadRequest
from aural.languages import Script
from aural.text import plain
from aural.types import Options, Segment, Timestamps, seconds


async def listen(request: Request) -> Response:
    request_id = str(uuid4())
    try:
        return JSONResponse(await _heard(request, request_id), headers={REQUEST_ID: request_id})
    except AuralError as error:
        note(request, error)
        return refusal(error, request_id)


async def _heard(request: Request, request_id: str) -> Message:
    service = service_of(request)
    asked = request.query_params
    query.check_names(asked, query.FILE)
    options, script = query.options_of(asked)
    extra = query.extra_of(asked)
    service.knock()
    if request.headers.get("content-type", "").startswith("application/json"):
        raise BadRequest("expected the audio itself as the body; addresses are not fetched", param="url")
    body = await read_body(request, service.body)
    model = query.model_of(asked, service.fleet.names)
    options = replace(options, timestamps=await _finest(request, model))
    answer = await service.answer(request, _ask(request, body, model, options, script))
    created = datetime.now(UTC).isoformat()
    digest = hashlib.sha256(body).hexdigest()
    about = metadata(request_id, answer.model, digest, created, answer.duration_s, extra)
    return {"metadata": about, "results": _results(answer, request)}


def _ask(request: Request, body: bytes, model: str | None, options: Options, script: Script) -> Ask:
    wish = wish_of(service_of(request), None, list(query.redacted(request.query_params)))
    return Ask(body, model, options, script, _raw(request), wish)


async def _finest(request: Request, model: str | None) -> Timestamps:
    """Times of words where the model gives them."""
    can = await service_of(request).fleet.capabilities(model)
    return Timestamps.WORD if Timestamps.WORD in can.timestamps else Timestamps.NONE


def _raw(request: Request) -> RawFormat | None:
    """None for a container, which needs no description."""
    form = query.format_of(request.query_params)
    return RawFormat(form.encoding, form.rate, form.channels) if form else None


def _results(answer: Answer, request: Request) -> Message:
    asked = request.query_params
    punctuated = query.is_punctuated(asked)
    language = answer.transcript.language
    segments = answer.transcript.segments

    def spoken(some: tuple[Segment, ...]) -> Message:
        words = [word for one in some for word in one.words or spread(one.text, one.start, one.end)]
        return alternative(extended([], plain(some), words), punctuated=punctuated, language=None)

    channel: Message = {"alternatives": [spoken(segments)]}
    if query.switch(asked, "detect_language") or asked.get("language") == "multi":
        probability = round(answer.transcript.language_probability, 4)
        channel |= {"detected_language": language, "language_confidence": probability}
    utterances = [
        {"start": seconds(one.start), "end": seconds(one.end), "channel": 0, "id": f"{number}", **spoken((one,))}
        for number, one in enumerate(segments)
    ]
    return {"channels": [channel]} | ({"utterances": utterances} if query.switch(asked, "utterances") else {})


routes = [Route(PATH, listen, methods=["POST"])]
