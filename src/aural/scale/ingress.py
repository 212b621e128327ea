"""The ingress: the whole HTTP and WebSocket application, over models that are elsewhere on the cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ServeInstanceDetails
from starlette.applications import Starlette

from aural import assembly, logs
from aural.app import MOST_DECODERS, build_app, build_service, retire, start, stop
from aural.engines.catalog import find
from aural.errors import LoadFailed, Overloaded, SettingsError
from aural.metrics import Metrics
from aural.scale.door import RemoteDoor
from aural.scale.export import Export
from aural.scale.wire import Census, Description, Outcome, ReplicaLost
from aural.serving.door import Limits
from aural.serving.fleet import Fleet
from aural.serving.model import Model, Prepared
from aural.serving.policy import Priority
from aural.serving.transcriber import Transcriber
from aural.settings import ModelSettings, Settings
from aural.types import Clip

log = logging.getLogger("aural.scale")

NAME = "ingress"
LOOK_EVERY_S = 2.0
"""How often an ingress asks whether it is to end."""

Handle = DeploymentHandle[Any]


class Ingress:
    """Answers as soon as it is up, with 503 until the models are ready. Its live sessions are its own."""

    async def __init__(self, settings: Settings, handles: Mapping[str, Handle]) -> None:  # type: ignore[misc]
        logs.configure(settings.log_level, settings.log_format)
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_DECODERS))
        metrics = Metrics()
        models = [_model(settings, asked, handles, metrics) for asked in settings.models]
        fleet = Fleet(models, build=_refuse, patience_s=settings.defaults.max_wait_s)
        self._settings = settings
        self._service = build_service(settings, fleet, metrics)
        self._starting = start(settings, self._service)
        self._export = Export(metrics.registry)
        self._ending = asyncio.create_task(self._watch_for_end(), name="watch for the end")

    def __serve_build_asgi_app__(self) -> Starlette:
        return build_app(self._settings, self._service)

    async def __del__(self) -> None:
        """Awaited by Ray after the last request was answered."""
        if hasattr(self, "_export"):
            self._ending.cancel()
            self._export.stop()
            await stop(self._service, self._starting)

    async def _watch_for_end(self) -> None:
        """Ray ends a replica after its last request, and tells it nothing before; a live session is a request. So it
        is asked, and the sessions end by themselves."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if await _is_stopping():
                retire(self._service, self._settings.drain_s)
                return


class RayRemote:
    """A model's deployment, reached through its handle."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def hear(self, clip: Clip, priority: Priority, ahead_samples: int) -> Outcome:
        outcome: Outcome = await self._call("hear", clip, priority, ahead_samples)
        return outcome

    async def describe(self) -> Description:
        description: Description = await self._call("describe")
        return description

    async def census(self) -> Census:
        own = serve.get_replica_context().app_name
        try:
            application = (await asyncio.to_thread(serve.status)).applications[own]
        except (RayError, RayServeException, KeyError) as error:
            raise ReplicaLost(str(error)) from error
        counts = {name: _running(one.replica_states) for name, one in application.deployments.items()}
        return Census(counts.get(self._handle.deployment_name, 0), max(1, counts.get(NAME, 1)))

    async def _call(self, method: str, *arguments: object) -> Any:
        try:
            return await self._handle.options(method_name=method).remote(*arguments)
        except BackPressureError as error:
            raise Overloaded(
                f"{self._handle.deployment_name} has too much to do: {error}", retry_after_s=2.0
            ) from error
        except DeploymentUnavailableError as error:
            raise LoadFailed(error.message) from error
        except (RayTaskError, TaskCancelledError):
            raise  # a fault in our own code, or nobody waits any more
        except (RayError, RayServeException) as error:
            raise ReplicaLost(type(error).__name__) from error


async def _is_stopping() -> bool:
    """Whether Ray has begun to end this replica; False, too, where that cannot be known."""
    own = serve.get_replica_context()
    try:
        application = (await asyncio.to_thread(_details)).applications[own.app_name]
        replicas = application.deployments[own.deployment].replicas
    except (RayError, RayServeException, KeyError, ImportError) as error:
        log.debug("no details of the cluster", extra={"error": str(error)})
        return False
    return any(one.replica_id == own.replica_tag and one.state == "STOPPING" for one in replicas)


def _details() -> ServeInstanceDetails:
    """Of all applications; raises RayError and RayServeException, and ImportError where a Ray has it elsewhere: what is
    public, `serve.status()`, does not tell replicas apart."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    assert client is not None
    return ServeInstanceDetails(**client.get_serve_details())


def _running(states: Mapping[Any, int]) -> int:
    return sum(count for state, count in states.items() if state == "RUNNING")


def _model(settings: Settings, asked: ModelSettings, handles: Mapping[str, Handle], metrics: Metrics) -> Model:
    """A model of the cluster; one without a deployment runs elsewhere already, and is asked from here."""
    name = find(asked.model).name
    if name not in handles:
        return assembly.model(asked, metrics)
    limits = Limits(asked.max_wait_s, asked.max_queue_audio_s, asked.max_streams)

    def prepare() -> Prepared:
        return Prepared(Transcriber(RemoteDoor(name, RayRemote(handles[name]), limits, metrics), metrics))

    return Model(name, prepare, source="ray")


def _refuse(table: Mapping[str, Any]) -> Model:
    raise SettingsError("expected the models of a cluster in its configuration file")
