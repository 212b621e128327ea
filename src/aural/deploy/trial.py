"""One clip through every route of a deployment that stands."""

from __future__ import annotations

import asyncio
import io
import json
import time
import wave
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from uuid import uuid4

from aural.client import Asked, Client
from aural.deploy.cloud import Cloud, Missing
from aural.deploy.endpoint import component_name
from aural.deploy.operate import status
from aural.deploy.spec import Deployment, Model
from aural.duplex import connect
from aural.errors import AuralError, DeployError, SettingsError

SAMPLE_RATE = 16_000
SAMPLE_BYTES = 2
LONGEST_SAID = 120
ASYNC_LIMIT_S, ASYNC_POLL_S = 900.0, 0.5
GREETING_S = 60.0
NAME, REGION = "server", "us-east-1"
"""Of a server that has neither; AWS's client wants them."""


@dataclass(frozen=True, slots=True)
class Result:
    route: str
    ok: bool
    said: str
    skipped: bool = False


def run(cloud: Cloud, deployment: Deployment, clip: bytes) -> list[Result]:
    """Each route's result. Raises DeployError."""
    standing = status(cloud, deployment)
    results = [Result("endpoint", standing.status == "InService", standing.status)]
    if deployment.asynchronous:
        return [*results, _try("asynchronous", lambda: _later(cloud, deployment, clip))]
    for model in deployment.models or (Model(name="existing", image="cpu"),):
        component = component_name(deployment, model) if deployment.uses_components else ""
        with Client(deployment.name, deployment.region, cloud.url, component) as client:
            results += _routes(client, model, clip, jumpstart=bool(model.jumpstart) and not cloud.is_local)
    if deployment.uses_components:
        return results
    return [*results, _both_ways(f"sagemaker:{deployment.name}", region=deployment.region, url=cloud.url)]


def at(url: str, clip: bytes) -> list[Result]:
    """The same of a server that is no deployment."""
    with Client(NAME, REGION, url) as client:
        return [*_routes(client, Model(name=NAME, image="cpu"), clip, jumpstart=False), _both_ways(url)]


def _both_ways(endpoint: str, **where: str) -> Result:
    """A live session: that it opens and greets."""
    try:
        return Result("bidirectional stream", True, asyncio.run(_greeting(endpoint, where))[:LONGEST_SAID])
    except SettingsError as error:
        return Result("bidirectional stream", True, f"not tried: {error}", skipped=True)
    except (AuralError, TimeoutError) as error:
        return Result("bidirectional stream", False, str(error) or f"no greeting within {GREETING_S:.0f} s")


async def _greeting(endpoint: str, where: Mapping[str, str]) -> str:
    async with asyncio.timeout(GREETING_S), connect(endpoint, **where) as stream:
        message = await stream.receive()
    return str(json.loads(message or "{}").get("type", "closed"))


def _routes(client: Client, model: Model, clip: bytes, *, jumpstart: bool) -> list[Result]:
    """JumpStart's own container knows two of them."""
    text = b64encode(clip).decode()
    forms: dict[str, Callable[[], str]] = {
        "raw audio": lambda: _text(client.send(Asked(clip, "audio/wav"))),
        "JSON, Whisper's": lambda: _json(client, {"audio_input": clip.hex()}),
    }
    if not jumpstart:
        forms |= {
            "JSON, Voxtral's": lambda: _json(client, {"transcription": {"audio": {"data": text}}}),
            "JSON, Parakeet's": lambda: _json(client, {"audio": {"data": text}}),
            "response stream": lambda: str(list(client.stream(clip, content_type="audio/wav"))[-1]["text"]),
        }
    return [_try(f"{model.name}: {name}", form) for name, form in forms.items()]


def _later(cloud: Cloud, deployment: Deployment, clip: bytes) -> str:
    """By S3 there and back: the input lies beside the output."""
    assert deployment.asynchronous is not None
    name = f"trial-{uuid4().hex}"
    bucket, _, prefix = deployment.asynchronous.output.removeprefix("s3://").partition("/")
    key = f"{prefix.rstrip('/')}/{name}.wav".lstrip("/")
    cloud.ask("s3", "put_object", Bucket=bucket, Key=key, Body=clip)
    request = {"EndpointName": deployment.name, "InputLocation": f"s3://{bucket}/{key}", "ContentType": "audio/wav"}
    called = cloud.ask("sagemaker-runtime", "invoke_endpoint_async", InferenceId=name, **request)
    deadline = time.monotonic() + ASYNC_LIMIT_S
    while time.monotonic() < deadline:
        for place in ("OutputLocation", "FailureLocation"):
            answer = _fetched(cloud, called.get(place, ""))
            if answer is not None:
                return _text(answer)
        time.sleep(ASYNC_POLL_S)
    raise DeployError(f"no answer at {called['OutputLocation']} within {ASYNC_LIMIT_S:.0f} s")


def _fetched(cloud: Cloud, address: str) -> bytes | None:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    if not key:
        return None
    try:
        body: bytes = cloud.ask("s3", "get_object", Bucket=bucket, Key=key)["Body"].read()
    except Missing:
        return None
    return body


def _try(route: str, form: Callable[[], str]) -> Result:
    try:
        said = form()
    except AuralError as error:
        return Result(route, False, str(error))
    except (ValueError, KeyError, IndexError) as error:
        return Result(route, False, f"expected a transcript in JSON, got something else: {error!r}")
    return Result(route, True, said[:LONGEST_SAID])


def _json(client: Client, document: dict[str, object]) -> str:
    return _text(client.send(Asked(json.dumps(document).encode(), "application/json")))


def _text(answer: bytes) -> str:
    """JumpStart answers with a list of one; Voxtral's shape has it one level down."""
    document = json.loads(answer)
    text = document["transcription"]["text"] if "transcription" in document else document["text"]
    return text[0] if isinstance(text, list) else str(text)


def rehearsal() -> bytes:
    """The speech that models warm up on, as WAV."""
    samples = files("aural").joinpath("serving/rehearsal.s16le").read_bytes()
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(SAMPLE_BYTES)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(samples)
    return file.getvalue()
