"""The one place where errors become responses, in OpenAI's shape."""

from __future__ import annotations

import logging
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from aural.errors import AuralError

log = logging.getLogger("aural.api")


def body_of(error: AuralError) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": str(error), "type": error.type, "param": error.param, "code": error.code}}


def response_to(error: AuralError) -> Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return JSONResponse(body_of(error), error.status, headers)


async def on_aural_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AuralError)
    return response_to(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    return JSONResponse(body, error.status_code, error.headers)


async def on_bug(request: Request, error: Exception) -> Response:
    """Anything else is ours; the message stays in the log."""
    log.exception("unhandled error", exc_info=error)
    return response_to(AuralError("internal error; the server's log has it under this request's id"))
