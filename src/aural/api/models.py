"""The models: what each can do, and loading and unloading them while the server runs.

GET /v1/models is OpenAI's. POST and DELETE /v1/models/{name} want the admin key. /models… are the routes by which a
SageMaker multi-model endpoint manages a container; they are open to it (`--multi-model`), else they want the key too.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from aural.api.body import json_object, read_body
from aural.api.sagemaker import invocations
from aural.api.service import Service, service_of
from aural.engines.base import Capabilities, ModelSpec
from aural.errors import BadRequest, SettingsError
from aural.serving.model import Model
from aural.types import Timestamps, seconds

PAGE = 100
"""Models on a page of SageMaker's list."""


async def show_all(request: Request) -> Response:
    service = service_of(request)
    return JSONResponse({"object": "list", "data": [_model(service, one) for one in service.fleet.models]})


async def show(request: Request) -> Response:
    service = service_of(request)
    return JSONResponse(_model(service, service.fleet.model(request.path_params["name"])))


async def load(request: Request) -> Response:
    """Returns when the model is ready. The body, if there is one, is its table of settings."""
    request.app.state.keys.check_admin(request.headers)
    service, name = service_of(request), request.path_params["name"]
    loaded = await _load(service, name, await _table(request))
    return JSONResponse(_model(service, loaded), 201)


async def unload(request: Request) -> Response:
    """Returns when what it was asked is answered and its memory has returned."""
    request.app.state.keys.check_admin(request.headers)
    name = request.path_params["name"]
    await service_of(request).fleet.unload(name)
    return JSONResponse({"id": name, "object": "model", "deleted": True})


async def sagemaker_load(request: Request) -> Response:
    """`{"model_name", "url"}`: a folder that SageMaker has put there. It says itself which model goes to make room."""
    _check_sagemaker(request)
    table = await _table(request)
    name, url = table.get("model_name"), table.get("url")
    if not isinstance(name, str) or not isinstance(url, str) or not name or {"=", ":"} & {*name, *url}:
        raise BadRequest(f"expected 'model_name' and 'url', a folder; got {table}")
    loaded = await _load(service_of(request), name, {"model": url}, evict=False)
    return JSONResponse(_sagemaker_model(loaded))


async def sagemaker_list(request: Request) -> Response:
    """Pages by name: `next_page_token` is the last one that was told."""
    _check_sagemaker(request)
    after = request.query_params.get("next_page_token", "")
    models = sorted(service_of(request).fleet.models, key=lambda one: one.name)
    rest = [one for one in models if one.name > after]
    body: dict[str, Any] = {"models": [_sagemaker_model(one) for one in rest[:PAGE]]}
    return JSONResponse(body | ({"nextPageToken": rest[PAGE - 1].name} if len(rest) > PAGE else {}))


async def sagemaker_show(request: Request) -> Response:
    _check_sagemaker(request)
    return JSONResponse(_sagemaker_model(service_of(request).fleet.model(request.path_params["name"])))


async def sagemaker_unload(request: Request) -> Response:
    _check_sagemaker(request)
    await service_of(request).fleet.unload(request.path_params["name"])
    return Response()


async def sagemaker_invoke(request: Request) -> Response:
    """/invocations of one model."""
    return await invocations(request, model=service_of(request).fleet.model(request.path_params["name"]).name)


def _check_sagemaker(request: Request) -> None:
    keys = request.app.state.keys
    if not keys.is_multi_model:
        keys.check_admin(request.headers)


async def _load(service: Service, name: str, table: dict[str, Any], *, evict: bool = True) -> Model:
    try:
        return await service.fleet.load(name, table, evict=evict)
    except SettingsError as error:
        raise BadRequest(str(error)) from error


async def _table(request: Request) -> dict[str, Any]:
    body = await read_body(request, service_of(request).body)
    return json_object(body) if body else {}


def _model(service: Service, model: Model) -> dict[str, Any]:
    """OpenAI's model object, with what the model can do and how it is."""
    model.measure()
    replicas = model.tenure.transcriber.scheduler.replicas if model.tenure else []
    devices = {device for one in replicas for device in _devices(one.spec)}
    return {
        "id": model.name,
        "object": "model",
        "created": 0,
        "owned_by": "aural",
        "state": model.state,
        "device": ", ".join(sorted(devices)) or None,
        "replicas": len(replicas),
        "memory_mb": model.memory_bytes >> 20,
        "capabilities": model.capabilities and _capabilities(service, model.capabilities),
    }


def _devices(spec: ModelSpec) -> list[str]:
    if spec.device == "cpu":
        return ["cpu"]
    return [f"{spec.device}:{index}" for index in spec.cards or (spec.device_index,)]


def _capabilities(service: Service, can: Capabilities) -> dict[str, Any]:
    return {
        "languages": can.languages,
        "detects_language": can.detects_language,
        "tasks": can.tasks,
        "timestamps": [one.value for one in can.timestamps],
        "words": Timestamps.WORD in can.timestamps,
        "prompt": can.prompt,
        "hotwords": can.hotwords,
        "temperature": can.temperature,
        "beam_search": can.beam_search,
        "translate": "translate" in can.tasks,
        "streaming": True,  # live sessions hear with any model
        "understanding": can.understanding,
        "longest_audio_s": service.max_audio_s,
        "longest_clip_s": seconds(can.longest_clip),
    }


def _sagemaker_model(model: Model) -> dict[str, Any]:
    return {"modelName": model.name, "modelUrl": model.source}


routes = [
    Route("/v1/models", show_all),
    Route("/v1/models/{name:path}", show),
    Route("/v1/models/{name:path}", load, methods=["POST"]),
    Route("/v1/models/{name:path}", unload, methods=["DELETE"]),
    Route("/models", sagemaker_list),
    Route("/models", sagemaker_load, methods=["POST"]),
    Route("/models/{name}/invoke", sagemaker_invoke, methods=["POST"]),
    Route("/models/{name}", sagemaker_show),
    Route("/models/{name}", sagemaker_unload, methods=["DELETE"]),
]
