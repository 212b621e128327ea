"""SageMaker's data plane: InvokeEndpoint, …WithResponseStream, InvokeEndpointAsync, with AWS's limits and errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from aural import eventstream
from aural.deploy.standin.control import Control, Served
from aural.deploy.standin.fleet import Fleet
from aural.deploy.standin.store import Store
from aural.deploy.standin.wire import Headers, Reply, exchange

ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
COMPONENT = "x-amzn-sagemaker-inference-component"
FORWARDED = ("content-type", "accept", ATTRIBUTES, "x-amzn-sagemaker-target-model", "x-amzn-sagemaker-session-id")
"""Headers that reach the container: those of InvokeEndpoint. All others are stripped."""
ASYNC_ID = re.compile(r"[\x21-\x7e]{1,64}")


@dataclass(frozen=True, slots=True)
class Limits:
    """SageMaker's, as documented; the body's is 25 MB in its pages and 6 MiB in its older service model."""

    body_bytes: int = 25 * 1024 * 1024
    answer_s: float = 60.0
    stream_s: float = 480.0
    duplex_s: float = 1800.0
    async_body_bytes: int = 128_000
    async_input_bytes: int = 1 << 30
    async_s: float = 900.0
    async_ttl_s: float = 21_600.0
    async_waiting: int = 1000


class RuntimeFault(Exception):
    """An error as sagemaker-runtime answers it."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.more = status, code, more

    def response(self) -> Response:
        body = {"Message": str(self), "message": str(self), **self.more}
        return JSONResponse(body, self.status, {"x-amzn-ErrorType": self.code})


@dataclass(slots=True)
class Runtime:
    control: Control
    store: Store
    limits: Limits = Limits()
    waiting: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def invoke(self, request: Request) -> Response:
        """InvokeEndpoint."""
        try:
            served = self._served(request)
            body = await self._body(request, self.limits.body_bytes)
            status, headers, answer = await self._ask(served, _headers(request), body, self.limits.answer_s)
            _check(status, answer)
        except RuntimeFault as fault:
            return fault.response()
        named = {"x-Amzn-Invoked-Production-Variant": "AllTraffic"}
        if ATTRIBUTES in headers:
            named[ATTRIBUTES] = headers[ATTRIBUTES]
        return Response(answer, media_type=headers.get("content-type", "application/octet-stream"), headers=named)

    async def invoke_with_response_stream(self, request: Request) -> Response:
        """InvokeEndpointWithResponseStream."""
        stack = AsyncExitStack()
        try:
            served = self._served(request)
            body = await self._body(request, self.limits.body_bytes)
            reply = await self._open(stack, served, _headers(request), body)
            if reply.status != 200:
                _check(reply.status, await reply.read())
        except RuntimeFault as fault:
            await stack.aclose()
            return fault.response()
        headers = {
            "x-Amzn-Invoked-Production-Variant": "AllTraffic",
            "X-Amzn-SageMaker-Content-Type": reply.headers.get("content-type", ""),
        }
        parts = self._parts(stack, reply)
        return StreamingResponse(parts, headers=headers, media_type=eventstream.MEDIA_TYPE)

    async def invoke_async(self, request: Request) -> Response:
        """InvokeEndpointAsync: by S3, or with the body itself."""
        try:
            served = self._served(request, asynchronous=True)
            output, failures = self._destinations(served)
            answer_s = _seconds(request, "InvocationTimeoutSeconds", 1, 3600) or self.limits.async_s
            ttl_s = _seconds(request, "RequestTTLSeconds", 60, 21_600) or self.limits.async_ttl_s
            body = await self._body(request, self.limits.async_body_bytes)
            data = await asyncio.to_thread(self._input, request, body)
            if self.waiting >= self.limits.async_waiting:
                raise RuntimeFault(503, "ServiceUnavailable", "the queue is full")
        except RuntimeFault as fault:
            return fault.response()
        name = request.headers.get("x-amzn-sagemaker-inference-id", "")
        name = name if ASYNC_ID.fullmatch(name) else str(uuid4())
        places = (f"{output.rstrip('/')}/{name}.out", f"{failures.rstrip('/')}/{name}-error.out")
        self.waiting += 1
        answering = partial(self._in_turn, served, _headers(request), data, answer_s, ttl_s)
        task = asyncio.create_task(self._later(answering, places))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        headers = {"X-Amzn-SageMaker-OutputLocation": places[0], "X-Amzn-SageMaker-FailureLocation": places[1]}
        return JSONResponse({"InferenceId": name}, 202, headers)

    async def _later(self, answering: Callable[[], Awaitable[bytes]], places: tuple[str, str]) -> None:
        try:
            answer, place = await answering(), places[0]
        except RuntimeFault as fault:
            answer, place = json.dumps({"Message": str(fault), **fault.more}).encode(), places[1]
        finally:
            self.waiting -= 1
        path = self.store.path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_write, path, answer)

    async def _in_turn(self, served: Served, headers: Headers, data: bytes, answer_s: float, ttl_s: float) -> bytes:
        """The container's answer once one of its places is free. Raises RuntimeFault."""
        slot = self._slot(served)
        try:
            await asyncio.wait_for(slot.acquire(), ttl_s)
        except TimeoutError as error:
            raise _model_error(500, f"the call expired: no place was free within {ttl_s:g} s") from error
        try:
            status, _, answer = await self._ask(served, headers, data, answer_s)
        finally:
            slot.release()
        _check(status, answer)
        return answer

    def _slot(self, served: Served) -> asyncio.Semaphore:
        """MaxConcurrentInvocationsPerInstance."""
        client = self._async_config(served).get("ClientConfig", {})
        most = client.get("MaxConcurrentInvocationsPerInstance", 1) * max(1, served.wanted)
        return self._slots.setdefault(served.name, asyncio.Semaphore(most))

    def _served(self, request: Request, *, asynchronous: bool = False) -> Served:
        name = request.path_params["name"]
        endpoint = self.control.endpoints.get(name)
        if endpoint is None:
            raise RuntimeFault(400, "ValidationError", f"Endpoint {name} of account not found.")
        if bool(self._async_config(endpoint)) != asynchronous:
            wanted = "InvokeEndpointAsync" if not asynchronous else "InvokeEndpoint"
            raise RuntimeFault(400, "ValidationError", f"Endpoint {name} takes {wanted} only.")
        served = self._component(request, endpoint) if endpoint.fleet is None else endpoint
        if served.fleet is None or not served.fleet.containers:
            raise RuntimeFault(400, "ValidationError", f"{served.name} has no capacity; it is {served.status}.")
        return served

    def _component(self, request: Request, endpoint: Served) -> Served:
        name = request.headers.get(COMPONENT, "")
        component = self.control.components.get(name)
        if component is None or component.asked["EndpointName"] != endpoint.name:
            message = f"Inference Component Name header is required for {endpoint.name}; got {name or 'none'}."
            raise RuntimeFault(400, "ValidationError", message)
        return component

    def _async_config(self, endpoint: Served) -> dict[str, Any]:
        config = self.control.configs.get(endpoint.asked.get("EndpointConfigName", ""), {})
        wish: dict[str, Any] = config.get("AsyncInferenceConfig", {})
        return wish

    def _destinations(self, served: Served) -> tuple[str, str]:
        output = self._async_config(served)["OutputConfig"]
        return output["S3OutputPath"], output.get("S3FailurePath", output["S3OutputPath"])

    async def _body(self, request: Request, most: int) -> bytes:
        parts, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise RuntimeFault(413, "ValidationError", f"expected a body of at most {most} bytes, got more")
            parts.append(chunk)
        return b"".join(parts)

    def _input(self, request: Request, body: bytes) -> bytes:
        location = request.headers.get("x-amzn-sagemaker-inputlocation", "")
        if bool(location) == bool(body):
            raise RuntimeFault(400, "ValidationError", "expected either InputLocation or Body, got both or neither")
        if body:
            return body
        try:
            path = self.store.path(location)
            size = path.stat().st_size
        except (OSError, ValueError) as error:
            raise RuntimeFault(400, "ValidationError", f"InputLocation: nothing at {location!r}") from error
        if size > self.limits.async_input_bytes:
            most = self.limits.async_input_bytes
            raise RuntimeFault(400, "ValidationError", f"expected an input of at most {most} bytes, got {size}")
        return path.read_bytes()

    async def _ask(
        self, served: Served, headers: Headers, body: bytes, limit_s: float
    ) -> tuple[int, dict[str, str], bytes]:
        try:
            async with asyncio.timeout(limit_s), AsyncExitStack() as stack:
                reply = await self._open(stack, served, headers, body)
                return reply.status, reply.headers, await reply.read()
        except TimeoutError as error:
            raise _model_error(500, f"the container did not answer within {limit_s:g} s") from error
        except OSError as error:
            raise _model_error(500, f"the container broke off: {error}") from error

    async def _open(self, stack: AsyncExitStack, served: Served, headers: Headers, body: bytes) -> Reply:
        fleet = served.fleet
        assert isinstance(fleet, Fleet)
        try:
            container = stack.enter_context(fleet.least_busy())
            return await stack.enter_async_context(exchange(container.port, "POST", "/invocations", headers, body))
        except LookupError as error:
            raise RuntimeFault(503, "ServiceUnavailable", str(error)) from error
        except OSError as error:
            raise _model_error(500, f"the container broke off: {error}") from error

    async def _parts(self, stack: AsyncExitStack, reply: Reply) -> AsyncIterator[bytes]:
        async with stack:
            try:
                async with asyncio.timeout(self.limits.stream_s):
                    async for chunk in reply.chunks:
                        yield eventstream.payload_part(chunk)
            except TimeoutError:
                yield stream_error("ModelInvocationTimeExceeded", f"no end within {self.limits.stream_s:g} s")
            except OSError as error:
                yield stream_error("StreamBroken", str(error))


def _seconds(request: Request, name: str, least: int, most: int) -> int | None:
    """None when it is not given. Raises RuntimeFault."""
    given = request.headers.get(f"x-amzn-sagemaker-{name.lower()}")
    if given is None:
        return None
    if not given.isdecimal() or not least <= int(given) <= most:
        raise RuntimeFault(400, "ValidationError", f"{name}: expected {least} to {most}, got {given}")
    return int(given)


def _headers(request: Request) -> list[tuple[str, str]]:
    """Accept and Content-Type come under names of AWS's own where a stream or an asynchronous answer is asked for."""
    given = request.headers
    renamed = {
        "accept": given.get("x-amzn-sagemaker-accept"),
        "content-type": given.get("x-amzn-sagemaker-content-type"),
    }
    picked = {name: renamed.get(name) or given.get(name) for name in FORWARDED}
    return [(name, value) for name, value in picked.items() if value]


def _check(status: int, body: bytes) -> None:
    """Whatever the container refuses reaches the caller as ModelError."""
    if not 200 <= status < 300:
        raise _model_error(status, body.decode(errors="replace"))


def _model_error(status: int, message: str) -> RuntimeFault:
    kind = "client" if status < 500 else "server"
    text = f"Received {kind} error ({status}) from primary with message {message!r}"
    more = {"OriginalStatusCode": status, "OriginalMessage": message, "LogStreamArn": ""}
    return RuntimeFault(424, "ModelError", text, **more)


def stream_error(code: str, message: str) -> bytes:
    """AWS knows two codes: ModelInvocationTimeExceeded and StreamBroken."""
    body = json.dumps({"Message": message, "ErrorCode": code}).encode()
    return eventstream.exception("ModelStreamError", body)


def _write(path: Any, data: bytes) -> None:
    """All at once: whoever polls for the file must not find half of it."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.rename(path)
