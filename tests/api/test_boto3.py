"""boto3's `sagemaker-runtime`, unmodified, with its address set to the server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.api.conftest import KEY
from tests.api.wire import form, speech, wav
from tests.conftest import Recording, Server, words

Clips = dict[str, Recording]
LOBSTER = "libri-367-130732-0001"


def runtime_of(server: Server) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def runtime(whisper: Server) -> Any:
    return runtime_of(whisper)


def invoke(runtime: Any, body: bytes | dict[str, Any], kind: str = "application/json", **more: str) -> Any:
    """The answer, parsed where it is JSON."""
    data = json.dumps(body) if isinstance(body, dict) else body
    answer = runtime.invoke_endpoint(EndpointName="aural", ContentType=kind, Body=data, **more)
    text = answer["Body"].read().decode()
    return json.loads(text) if answer["ContentType"] == "application/json" else text


def lines(runtime: Any, body: bytes, kind: str, **more: str) -> Iterator[dict[str, Any]]:
    """The NDJSON lines of a response stream, however its parts are split."""
    answer = runtime.invoke_endpoint_with_response_stream(EndpointName="aural", ContentType=kind, Body=body, **more)
    text = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"]).decode()
    yield from map(json.loads, text.splitlines())


def test_jumpstarts_whisper(runtime: Any, clips: Clips) -> None:
    body = {"audio_input": clips[LOBSTER].bytes.hex(), "language": "english", "task": "transcribe"}
    answer = invoke(runtime, body)
    assert list(answer) == ["text"]
    assert "lobster" in words(answer["text"])


def test_voxtral(runtime: Any, clips: Clips) -> None:
    audio = {"data": base64.b64encode(clips[LOBSTER].bytes).decode()}
    answer = invoke(runtime, {"transcription": {"audio": audio, "language": "en", "temperature": 0.0}})
    assert (answer["object"], answer["model"]) == ("transcription", "whisper-tiny.en")
    transcription = answer["transcription"]
    assert "lobster" in words(transcription["text"])
    assert (transcription["language"], transcription["duration"]) == ("en", 4.38)
    assert transcription["processing_time"] > 0


def test_parakeet(runtime: Any, clips: Clips) -> None:
    audio = {"data": base64.b64encode(clips[LOBSTER].bytes).decode()}
    plain = invoke(runtime, {"audio": audio})
    timed = invoke(runtime, {"audio": audio, "timestamps": True})
    assert "timestamps" not in plain
    assert words(" ".join(word["word"] for word in timed["timestamps"]["word"])) == words(timed["text"])
    assert all(segment["start"] < segment["end"] for segment in timed["timestamps"]["segment"])


@pytest.mark.parametrize(
    ("name", "kind"),
    [(LOBSTER, "audio/flac"), ("fleurs-es-003", "audio/ogg"), ("LJ001-0002", "application/octet-stream")],
)
def test_raw_audio(runtime: Any, clips: Clips, name: str, kind: str) -> None:
    answer = invoke(runtime, clips[name].bytes, kind, TargetModel="whisper-base")
    assert len(set(words(answer["text"])) & set(words(clips[name].text))) >= 4
    assert answer["model"] == "whisper-base"
    assert answer["language"] == clips[name].language


def test_raw_wav(fake: Server) -> None:
    answer = invoke(runtime_of(fake), speech("as it is spoken"), "audio/wav")
    assert (answer["text"], answer["model"]) == ("as it is spoken", "fake")


def test_multipart_through_the_route_attribute(runtime: Any, clips: Clips) -> None:
    body, kind = form(clips[LOBSTER].bytes, response_format="srt", model="whisper-tiny.en")
    answer = invoke(runtime, body, kind, CustomAttributes="route=/v1/audio/transcriptions")
    assert answer.startswith("1\n00:00:0")


def test_translation_through_the_route_attribute(runtime: Any, clips: Clips) -> None:
    body, kind = form(clips["fleurs-es-003"].bytes, model="whisper-base")
    answer = invoke(runtime, body, kind, CustomAttributes="route=/v1/audio/translations")
    assert "movement" in words(answer["text"])


@pytest.mark.parametrize("attributes", ["c000b4f9-df62-4c85", "model=fake"])
def test_custom_attributes_come_back(fake: Server, attributes: str) -> None:
    answer = runtime_of(fake).invoke_endpoint(
        EndpointName="any", ContentType="audio/wav", Body=speech("hello"), CustomAttributes=attributes
    )
    assert answer["CustomAttributes"] == attributes
    assert answer["InvokedProductionVariant"] == "AllTraffic"


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{", "application/json", 400, "expected JSON"),
        ({"audio": {"data": "???"}}, "application/json", 400, "base64"),
        ({"audio": {"path": "/etc/passwd"}}, "application/json", 400, "path"),
        ({"audio_input": "abc"}, "application/json", 400, "hex"),
        (b"PK\x03\x04 zipped", "audio/wav", 415, "a zip archive"),
        (b"hello", "text/plain", 415, "text/plain"),
        (wav(np.zeros(61 * 4000), rate=4000), "audio/wav", 413, "at most 60 s"),
        (bytes(2**20 + 1), "audio/wav", 413, "1048576 bytes"),
    ],
)
def test_errors_are_model_errors(
    strict: Server, body: bytes | dict[str, Any], kind: str, status: int, said: str
) -> None:
    runtime = runtime_of(strict)
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        invoke(runtime, body, kind)
    answer = caught.value.response
    assert answer["OriginalStatusCode"] == status
    assert said in json.loads(answer["OriginalMessage"])["error"]["message"]


def test_an_error_before_a_stream_is_a_model_error(strict: Server) -> None:
    runtime = runtime_of(strict)
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        list(lines(runtime, b"no audio", "audio/wav", Accept="application/x-ndjson"))
    assert caught.value.response["OriginalStatusCode"] == 415


def test_segments_stream_as_lines(runtime: Any, long_wav: bytes) -> None:
    asked = {"Accept": "application/x-ndjson", "CustomAttributes": "language=en,timestamps=segment"}
    *segments, done = lines(runtime, long_wav, "audio/wav", **asked)
    assert {line["type"] for line in segments} == {"segment"}
    assert [line["id"] for line in segments] == list(range(len(segments)))
    assert len(segments) >= 4
    starts = [line["start"] for line in segments]
    assert starts == sorted(starts)
    assert done["type"] == "done"
    assert done["text"] == "".join(line["text"] for line in segments).strip()
    assert done["duration"] == pytest.approx(len(long_wav) / 32_000, abs=0.01)


def test_what_does_not_stream_comes_in_one_part(fake: Server) -> None:
    (line,) = lines(runtime_of(fake), speech("whole"), "audio/wav")
    assert line["text"] == "whole"


def test_a_failure_within_a_stream_is_a_line_of_it(fake: Server) -> None:
    audio = speech("all is well", "fail", every_s=28)
    well, failure = lines(runtime_of(fake), audio, "audio/wav", Accept="application/x-ndjson")
    assert (well["type"], well["text"].strip()) == ("segment", "all is well")
    assert (failure["type"], failure["error"]["code"]) == ("error", "engine_failed")


def test_who_has_no_key(guarded: Server) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(runtime_of(guarded), speech("hello"), "audio/wav")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert KEY not in str(caught.value)
