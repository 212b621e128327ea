"""One address for boto3's clients of SageMaker, its runtime, Auto Scaling, Logs and S3, by `endpoint_url`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from aural.deploy.standin.bidirectional import front
from aural.deploy.standin.container import COMMAND
from aural.deploy.standin.control import INSTANCES, Control, Refused
from aural.deploy.standin.relay import relay
from aural.deploy.standin.runtime import Limits, Runtime
from aural.deploy.standin.scaling import Scaling
from aural.deploy.standin.store import Store

JSON_11 = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class StandIn:
    root: Path
    control: Control
    runtime: Runtime
    scaling: Scaling
    store: Store

    async def call(self, request: Request) -> Response:
        """A JSON call: the header X-Amz-Target says whose."""
        service, _, operation = request.headers.get("x-amz-target", "").partition(".")
        asked = json.loads(await request.body() or b"{}")
        try:
            return JSONResponse(self._answer(service, operation, asked), media_type=JSON_11)
        except Refused as error:
            body = {"__type": error.code, "message": str(error)}
            return JSONResponse(body, error.status, {"x-amzn-ErrorType": error.code}, JSON_11)

    def _answer(self, service: str, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        if service == "SageMaker":
            return self.control.answer(operation, asked)
        if service == "AnyScaleFrontendService":
            answer = self.scaling.answer(operation, asked)
            if answer is not None and "__type" in answer:
                raise Refused(answer["message"], answer["__type"])
            if answer is not None:
                return answer
        if service == "Logs_20140328":
            return self._logs(operation, asked)
        raise Refused(f"{service}.{operation} is not known to the stand-in", "UnknownOperationException")

    def _logs(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The containers' own output: a group per endpoint, a stream per instance."""
        name = asked["logGroupName"].rpartition("/")[2]
        logs = {path.parent.name: path for path in self.root.glob(f"{INSTANCES}/{name}-*/log")}
        if not logs:
            raise Refused(f"The log group {name} does not exist.", "ResourceNotFoundException")
        if operation == "DescribeLogStreams":
            newest = sorted(logs, key=lambda stream: logs[stream].stat().st_mtime, reverse=True)
            return {"logStreams": [{"logStreamName": stream} for stream in newest[: asked.get("limit", 50)]]}
        lines = logs[asked["logStreamName"]].read_text(errors="replace").splitlines()[-asked.get("limit", 10_000) :]
        at = int(logs[asked["logStreamName"]].stat().st_mtime * 1000)
        return {"events": [{"timestamp": at, "message": line} for line in lines]}


def create_app(root: Path, *, limits: Limits | None = None, command: tuple[str, ...] = COMMAND) -> Starlette:
    """The stand-in, with its files under `root`."""
    rmtree(root / INSTANCES, ignore_errors=True)  # of one before, whose endpoints went with it
    store = Store(root / "s3")
    control = Control(root, store, command)
    runtime = Runtime(control, store, limits or Limits())
    standin = StandIn(root, control, runtime, Scaling(), store)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with front(runtime, root) as app.state.front:
            yield
        await runtime.close()
        await control.close()

    async def ping(request: Request) -> Response:
        both_ways = {"url": app.state.front.url, "authority": str(app.state.front.authority)}
        return JSONResponse({"endpoints": sorted(control.endpoints), "bidirectional": both_ways})

    async def bidirectional(socket: WebSocket) -> None:
        await relay(control, socket, runtime.limits.duplex_s)

    app = Starlette(
        routes=[
            Route("/", standin.call, methods=["POST"]),
            Route("/ping", ping),
            Route("/endpoints/{name}/invocations", runtime.invoke, methods=["POST"]),
            Route(
                "/endpoints/{name}/invocations-response-stream", runtime.invoke_with_response_stream, methods=["POST"]
            ),
            Route("/endpoints/{name}/async-invocations", runtime.invoke_async, methods=["POST"]),
            WebSocketRoute("/endpoints/{name}/invocations-bidirectional-stream", bidirectional),
            Route("/{path:path}", store.answer, methods=["GET", "PUT", "HEAD", "DELETE"]),
        ],
        lifespan=lifespan,
    )
    app.state.standin = standin
    return app
