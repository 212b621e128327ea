"""One clip through every route of a deployment that stands."""

from __future__ import annotations

import asyncio
import io
import json
import time
import wave
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from urllib.request import urlopen
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


RAW, WHISPERS = "raw audio", "JSON, Whisper's"
JUMPSTARTS = (RAW, WHISPERS)
"""JumpStart's own container knows these, and no WebSocket."""


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
    models = deployment.models or (Model(name="existing", image="theirs"),)
    theirs = [model for model in models if not _speaks_ours(cloud, model)]
    answers = [answer for model in models for answer in _tried(cloud, deployment, model, clip)]
    if not deployment.uses_components and not any(model.jumpstart for model in theirs):
        answers.append(_both_ways(f"sagemaker:{deployment.name}", region=deployment.region, url=cloud.url))
    return [*results, *(_lenient(answers) if theirs else answers)]


def at(url: str, clip: bytes) -> list[Result]:
    """The same of a server that is no deployment."""
    with Client(NAME, REGION, url) as client:
        answers = [_try(f"{NAME}: {route}", form) for route, form in _forms(client, clip).items()]
    return [_try("ping", lambda: _ping(url)), *answers, _both_ways(url)]


def _ping(url: str) -> str:
    try:
        with urlopen(f"{url}/ping", timeout=GREETING_S) as answer:
            return str(answer.status)
    except OSError as error:
        raise DeployError(f"{url}/ping: {error}") from error


def _speaks_ours(cloud: Cloud, model: Model) -> bool:
    """Here our server stands in JumpStart's place."""
    return model.is_ours or (bool(model.jumpstart) and cloud.is_local)


def _lenient(answers: list[Result]) -> list[Result]:
    """A container of others need not know every route: one that answers will do."""
    if not any(one.ok for one in answers):
        return answers
    return [one if one.ok else replace(one, ok=True, skipped=True) for one in answers]


def _tried(cloud: Cloud, deployment: Deployment, model: Model, clip: bytes) -> list[Result]:
    component = component_name(deployment, model) if deployment.uses_components else ""
    with Client(deployment.name, deployment.region, cloud.url, component) as client:
        forms = _forms(client, clip)
        if model.jumpstart and not cloud.is_local:
            forms = {route: forms[route] for route in JUMPSTARTS}
        return [_try(f"{model.name}: {route}", form) for route, form in forms.items()]


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


def _forms(client: Client, clip: bytes) -> dict[str, Callable[[], str]]:
    text = b64encode(clip).decode()
    return {
        RAW: lambda: _text(client.send(Asked(clip, "audio/wav"))),
        WHISPERS: lambda: _json(client, {"audio_input": clip.hex()}),
        "JSON, Voxtral's": lambda: _json(client, {"transcription": {"audio": {"data": text}}}),
        "JSON, Parakeet's": lambda: _json(client, {"audio": {"data": text}}),
        "form, OpenAI's": lambda: _text(client.send(_form(clip))),
        "response stream": lambda: str(list(client.stream(clip, content_type="audio/wav"))[-1]["text"]),
    }


def _form(clip: bytes) -> Asked:
    boundary = uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="clip.wav"\r\n\r\n'
    body = head.encode() + clip + f"\r\n--{boundary}--\r\n".encode()
    return Asked(body, f"multipart/form-data; boundary={boundary}", attributes="route=/v1/audio/transcriptions")


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
    except (ValueError, TypeError, KeyError, IndexError) as error:
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
