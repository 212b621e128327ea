"""The ASGI application: routes, errors and middleware."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from aural.api import (
    bidirectional,
    captions,
    chat,
    deepgram,
    errors,
    insights,
    models,
    openai,
    page,
    realtime,
    runtime,
    sagemaker,
    status,
)
from aural.api.middleware import CLIENT_CLOSED, Guard, Keys, Linger, Observe
from aural.api.service import ClientGone, Service
from aural.errors import AuralError

LAG_EVERY_S = 0.5
PARTS = (openai, chat, insights, models, sagemaker, runtime, realtime, bidirectional, deepgram, captions, status, page)
"""Each has its `routes`."""


def create_app(service: Service, *, keys: Keys | None = None, max_requests: int = 512) -> Starlette:
    """The application over models that somebody else starts and stops."""

    keys = keys or Keys()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(_watch_lag(service))
        yield
        watch.cancel()

    app = Starlette(
        routes=[route for part in PARTS for route in part.routes],
        lifespan=lifespan,
        middleware=[
            Middleware(Linger),
            Middleware(Observe, metrics=service.metrics),
            Middleware(Guard, metrics=service.metrics, keys=keys, max_requests=max_requests),
        ],
        exception_handlers={
            AuralError: errors.on_aural_error,
            HTTPException: errors.on_http_error,
            ClientGone: _on_client_gone,
            ClientDisconnect: _on_client_gone,
        },
    )
    app.router.redirect_slashes = False  # to an address made of the caller's Host header
    app.state.service = service
    app.state.keys = keys
    return app


async def _on_client_gone(request: Request, error: Exception) -> Response:
    """Nobody reads it; the log and the metrics do."""
    return Response(status_code=CLIENT_CLOSED)


async def _watch_lag(service: Service) -> None:
    """How late the event loop runs: the first sign of work that does not belong on it."""
    while True:
        due = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        service.metrics.loop_lag_s.observe(max(0.0, time.perf_counter() - due))
