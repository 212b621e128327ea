"""The one place where errors become responses, in OpenAI's shape."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from aural.api.service import service_of
from aural.errors import AuralError, BadRequest, Overloaded

LONGEST_MESSAGE = 1000
"""Characters: a message quotes what came, and that may have been long."""


def body_of(error: AuralError) -> dict[str, Any]:
    """OpenAI's error object."""
    return _body(str(error), error.type, error.param, error.code)


def response_to(error: AuralError) -> Response:
    headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
    return JSONResponse(body_of(error), error.status, headers)


def note(request: Request, error: AuralError) -> None:
    """Count a refusal."""
    if isinstance(error, BadRequest | Overloaded):
        service_of(request).metrics.refused.labels(error.code).inc()


async def on_aural_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AuralError)
    note(request, error)
    return response_to(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.scope['path']}: {error.detail}"
    return JSONResponse(_body(message, BadRequest.type, None, None), error.status_code, error.headers)


def _body(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": short(message), "type": kind, "param": param and short(param), "code": code}}


def short(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " …"
