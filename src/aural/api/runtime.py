"""The address under which AWS's `sagemaker-runtime` clients look for an endpoint, so that boto3 with
`endpoint_url=http://HOST:PORT` works against this server as it does against AWS: errors of the container come as
ModelError (424), streams as application/vnd.amazon.eventstream.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aural import eventstream
from aural.api.errors import body_of, note
from aural.api.sagemaker import ATTRIBUTES, invocations
from aural.errors import AuralError


async def invoke(request: Request) -> Response:
    """InvokeEndpoint."""
    return await _invoke(request)


async def invoke_with_response_stream(request: Request) -> Response:
    """InvokeEndpointWithResponseStream."""
    response = await _invoke(request)
    if response.status_code != 200:
        return response
    headers = {"x-amzn-sagemaker-content-type": response.headers.get("content-type", "")}
    body = response.body_iterator if isinstance(response, StreamingResponse) else _once(bytes(response.body))
    return StreamingResponse(_payload_parts(body), headers=headers, media_type=eventstream.MEDIA_TYPE)


async def _invoke(request: Request) -> Response:
    try:
        response = await invocations(request)
    except AuralError as error:
        note(request, error)
        return _model_error(error)
    response.headers["x-amzn-invoked-production-variant"] = "AllTraffic"
    if ATTRIBUTES in request.headers:
        response.headers[ATTRIBUTES] = request.headers[ATTRIBUTES]
    return response


def _model_error(error: AuralError) -> Response:
    message = orjson.dumps(body_of(error)).decode()
    body = {
        "Message": f"Received client error ({error.status}) from primary with message {message!r}",
        "OriginalStatusCode": error.status,
        "OriginalMessage": message,
        "LogStreamArn": "",
    }
    return JSONResponse(body, 424, {"x-amzn-ErrorType": "ModelError"})


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _payload_parts(chunks: AsyncIterable[str | bytes | memoryview]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield eventstream.payload_part(chunk.encode() if isinstance(chunk, str) else bytes(chunk))


routes = [
    Route("/endpoints/{name}/invocations", invoke, methods=["POST"]),
    Route("/endpoints/{name}/invocations-response-stream", invoke_with_response_stream, methods=["POST"]),
]
