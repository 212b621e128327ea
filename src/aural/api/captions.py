"""GET /v1/captions/{session}.vtt: the finished captions of a live session as WebVTT, while it goes on.

Players and audiences read it; the id of the session is the key to it. The file as it stands now is the default, as
players that fetch again and again want it; `?follow=true` keeps the response open and adds each cue as it is finished,
until the session ends, on whichever connection of its caller.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from aural.api import formats
from aural.api.service import service_of
from aural.serving.captions import Captions, Track

MEDIA_TYPE = "text/vtt"
HEADERS = {"Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"}


async def captions(request: Request) -> Response:
    kept = service_of(request).captions
    track = kept.get(request.path_params["session"])
    if track is None:
        raise HTTPException(404, "expected the id of a live session, or of one that ended a while ago")
    if request.query_params.get("follow") == "true":
        kept.admit()
        return StreamingResponse(_growing(kept, track), headers=HEADERS, media_type=MEDIA_TYPE)
    return Response(formats.as_vtt(track.cues), headers=HEADERS, media_type=MEDIA_TYPE)


async def _growing(kept: Captions, track: Track) -> AsyncIterator[str]:
    yield formats.as_vtt(())
    async for cue in kept.follow(track):
        yield "\n" + formats.vtt_cue(cue)


routes = [Route("/v1/captions/{session}.vtt", captions)]
