"""What operators ask: GET /ping, /health, /metrics. None of it touches inference."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from aural.api.service import service_of
from aural.serving.door import Door
from aural.serving.model import Model

LIBRARIES = ("aural", "ctranslate2", "faster-whisper", "onnxruntime", "av")


async def ping(request: Request) -> Response:
    """200 with an empty body once every model is ready, else 503."""
    return Response(status_code=200 if service_of(request).fleet.is_ready else 503)


async def health(request: Request) -> Response:
    fleet = service_of(request).fleet
    body = {
        "status": "ready" if fleet.is_ready else "not ready",
        "models": [_model(one.tenure.transcriber.scheduler) if one.tenure else _unloaded(one) for one in fleet.models],
        "versions": {name: version(name) for name in LIBRARIES},
    }
    return JSONResponse(body, 200 if fleet.is_ready else 503)


async def metrics(request: Request) -> Response:
    return PlainTextResponse(generate_latest(service_of(request).metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


async def index(request: Request) -> Response:
    """Where things are."""
    paths = sorted({route.path for route in request.app.routes})
    return JSONResponse({"name": "aural", "version": version("aural"), "paths": paths})


def _unloaded(model: Model) -> dict[str, Any]:
    return {"name": model.name, "state": model.state, "rtfx": 0.0, "queue_audio_s": 0.0, "replicas": []}


def _model(scheduler: Door) -> dict[str, Any]:
    return {
        "name": scheduler.name,
        "state": scheduler.state.value,
        "rtfx": round(scheduler.rtfx, 1),
        "queue_audio_s": round(scheduler.queue_audio_s, 1),
        "replicas": [
            {
                "state": replica.state.value,
                "device": f"{replica.spec.device}:{replica.spec.device_index}",
                "compute_type": replica.spec.compute_type,
                "threads": replica.spec.threads,
                "pid": replica.pid,
                "busy": replica.busy,
                "restarts": replica.restarts,
                "load_s": round(replica.load_s, 2),
                "warm_up_s": round(replica.warm_up_s, 2),
                "error": replica.error,
            }
            for replica in scheduler.replicas
        ],
    }


routes = [Route("/ping", ping), Route("/health", health), Route("/metrics", metrics)]
