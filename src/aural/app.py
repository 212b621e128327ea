"""The composition root: the only place that knows every part."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvicorn
from starlette.applications import Starlette

from aural import emf
from aural.api.body import BodyLimits
from aural.api.fetch import Fetcher
from aural.api.middleware import Keys
from aural.api.protocol import Protocol
from aural.api.server import create_app
from aural.api.service import Service
from aural.api.sockets import Socket
from aural.assembly import build_fleet, build_understanding
from aural.metrics import Metrics
from aural.serving.companion import Calls
from aural.serving.fleet import Fleet
from aural.serving.live import Live
from aural.serving.placement import this_machine
from aural.settings import Settings

log = logging.getLogger("aural")

BACKLOG = 2048
MAX_MESSAGE_BYTES = 24 * 2**20
"""Of a WebSocket: 15 MiB of audio in base64."""
MOST_DECODERS = 4
SWITCH_S = 0.0005
"""How soon the event loop gets the interpreter back from a thread that decodes. With Python's own 5 ms, and threads
without number, each turn of the loop waited for them all."""


@contextlib.asynccontextmanager
async def running_fleet(settings: Settings) -> AsyncIterator[Fleet]:
    """The models, ready, for use without a server."""
    fleet = await asyncio.to_thread(build_fleet, settings, Metrics())
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.stop()


async def serve(settings: Settings) -> None:
    """Listen at once, answer /ping with 503 until the models are ready, run until SIGTERM or Ctrl-C, then finish what
    is being answered. Raises OSError when the address is taken, LoadFailed when a model cannot be loaded."""
    sys.setswitchinterval(SWITCH_S)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(min(MOST_DECODERS, this_machine().cores)))
    with _listener(settings) as listener:
        await _serve(settings, listener)


def build_service(settings: Settings, fleet: Fleet, metrics: Metrics) -> Service:
    """What the routes work with, whether the models are here or on a cluster."""
    understanding = build_understanding(settings, metrics)
    return Service(
        fleet,
        metrics,
        BodyLimits(settings.max_body_bytes, settings.body_timeout_s),
        max_audio_s=settings.max_audio_s,
        beam_size=settings.beam_size,
        fetcher=Fetcher(settings.fetch_from, settings.max_body_bytes),
        live=Live(fleet, metrics),
        understanding=understanding,
        calls=Calls(understanding),
    )


def start(settings: Settings, service: Service) -> asyncio.Task[None]:
    """Begin to load what the service works with. The task ends when the models are ready; it raises LoadFailed."""
    if settings.insights:
        service.understanding.insights.start()
    return asyncio.create_task(service.fleet.start())


async def stop(service: Service, starting: asyncio.Task[None]) -> None:
    """End everything that `start` began."""
    starting.cancel()
    await service.calls.stop()
    await service.understanding.stop()
    await service.fleet.stop()


def build_app(settings: Settings, service: Service) -> Starlette:
    """The whole HTTP and WebSocket application."""
    return create_app(service, keys=_keys(settings), max_requests=settings.max_requests)


async def _serve(settings: Settings, listener: socket.socket) -> None:
    metrics = Metrics()
    fleet = await asyncio.to_thread(build_fleet, settings, metrics)
    service = build_service(settings, fleet, metrics)
    server = _server(settings, service)
    starting = start(settings, service)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    publishing = asyncio.create_task(emf.publish(metrics.registry, settings.emf)) if settings.emf else None
    try:
        await asyncio.wait([starting, serving], return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and not starting.exception():
            url = f"http://{settings.host}:{listener.getsockname()[1]}"
            log.info("ready", extra={"models": fleet.names, "url": url})
        else:
            server.should_exit = True
        await serving
        if starting.done():
            starting.result()
    finally:
        if publishing is not None:
            publishing.cancel()
        await stop(service, starting)


class _Server(uvicorn.Server):
    """uvicorn with its signal handlers on the loop: the original raises the signal again at the end, which would kill
    this process before it has stopped its workers. Who has a live session is told first."""

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_shutdown = on_shutdown

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_shutdown()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def retire(service: Service, within_s: float) -> None:
    """No more live sessions: they end by themselves, within the time that requests have."""
    service.captions.retire()
    service.live.retire(within_s)


def _listener(settings: Settings) -> socket.socket:
    """Bound before anything is loaded, so that a taken address is said at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)


def _keys(settings: Settings) -> Keys:
    return Keys(settings.api_key, settings.admin_key, is_multi_model=settings.multi_model)


def _server(settings: Settings, service: Service) -> uvicorn.Server:
    config = uvicorn.Config(
        build_app(settings, service),
        http=partial(Protocol, head_s=settings.body_timeout_s),  # type: ignore[arg-type]  # called like the class
        ws=Socket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # costs a stream more than hearing its silence
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.drain_s),
        timeout_keep_alive=75,
        backlog=BACKLOG,
    )
    return _Server(config, partial(retire, service, settings.drain_s))
