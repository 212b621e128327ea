"""From the command line to real Whisper on this machine, and back."""

from __future__ import annotations

import json
import os
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import Any

import boto3
import pytest
from botocore.config import Config
from click.testing import CliRunner

from aural.cli import main
from aural.client import Asked, Client
from aural.errors import CallFailed
from tests.api.wire import form
from tests.conftest import DATA, Recording, wait_until, words

FILE = """
name = "whisper"
region = "us-east-1"
[[models]]
name = "speech"
image = "cuda"
serve = "whisper-large-v3-turbo"
local = "whisper-tiny.en"
environment = { AURAL_REPLICAS = "1", AURAL_MAX_REQUESTS = "1", AURAL_MAX_BATCH = "1" }
[instance]
type = "ml.g6e.xlarge"
[scaling]
max = 4
[alarms]
[release]
strategy = "canary"
"""
LOBSTER = "libri-367-130732-0001"
LONG_S = 120


@dataclass
class Deployed:
    file: Path
    url: str
    root: Path

    def run(self, *arguments: str) -> str:
        return run(*arguments, str(self.file), "--local")

    def client(self, **options: Any) -> Client:
        return Client("sagemaker:whisper", "us-east-1", self.url, **options)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["deploy", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("local")
    file = folder / "deploy.toml"
    file.write_text(FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURAL_STANDIN", str(folder / "standin"))
        said = run("apply", str(file), "--local")
        assert "whisper is in service at http://127.0.0.1:" in said
        assert "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME_HTTP2=https://localhost:" in said
        assert "skip      alarm whisper-errors" in said
        url = json.loads((folder / "standin" / "standin.json").read_text())["url"]
        yield Deployed(file, url, folder / "standin")
        assert "deleted endpoint whisper" in run("destroy", str(file), "--local", "--yes")
        assert not (folder / "standin" / "standin.json").exists(), "the stand-in ends with its last endpoint"


@pytest.fixture(scope="module")
def runtime(deployed: Deployed) -> Iterator[Any]:
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=deployed.url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def heard(runtime: Any, body: bytes, kind: str, **more: str) -> list[str]:
    answer = runtime.invoke_endpoint(EndpointName="whisper", ContentType=kind, Body=body, **more)
    return words(answer["Body"].read().decode())


def test_every_payload_of_the_article(runtime: Any, clips: dict[str, Recording]) -> None:
    audio = clips[LOBSTER].bytes
    text = b64encode(audio).decode()
    for document in (
        {"audio_input": audio.hex(), "language": "english"},
        {"transcription": {"audio": {"data": text}, "language": "en"}},
        {"audio": {"data": text}, "timestamps": True},
    ):
        assert "lobster" in heard(runtime, json.dumps(document).encode(), "application/json")
    assert "lobster" in heard(runtime, audio, "audio/flac", CustomAttributes="language=en")
    body, kind = form(audio, response_format="srt")
    assert "lobster" in heard(runtime, body, kind, CustomAttributes="route=/v1/audio/transcriptions")


def test_the_client_hears_whole_files_and_streams(deployed: Deployed, clips: dict[str, Recording]) -> None:
    with deployed.client() as client:
        whole = client.transcribe(clips[LOBSTER].bytes, language="en", timestamps=True)
        *segments, done = client.stream(clips[LOBSTER].bytes)
    assert whole["timestamps"]["word"][0]["start"] >= 0
    assert done["type"] == "done"
    assert "lobster" in words(" ".join(segment["text"] for segment in segments))


def test_boto3_as_it_is_streams_segments(runtime: Any, clips: dict[str, Recording]) -> None:
    answer = runtime.invoke_endpoint_with_response_stream(
        EndpointName="whisper",
        ContentType="audio/flac",
        Accept="application/x-ndjson",
        CustomAttributes="language=en,timestamps=segment",
        Body=clips[LOBSTER].bytes,
    )
    parts = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
    *segments, done = map(json.loads, parts.splitlines())
    assert {segment["type"] for segment in segments} == {"segment"}
    assert (answer["ContentType"], done["type"]) == ("application/x-ndjson", "done")
    assert "lobster" in words(done["text"])


def test_the_trial_goes_through_every_route(deployed: Deployed) -> None:
    said = deployed.run("test")
    assert said.count("ok    ") == 8
    assert "bidirectional stream: session.created" in said
    assert "printed book" in said


def test_overload_is_shed_as_424_and_the_client_comes_again(
    deployed: Deployed, runtime: Any, clips: dict[str, Recording]
) -> None:
    """The container answers one request at a time; eight come at once."""
    audio = clips[LOBSTER].bytes
    start = Barrier(8)

    def once(_: int) -> int:
        start.wait()
        try:
            runtime.invoke_endpoint(EndpointName="whisper", Body=audio)["Body"].read()
        except runtime.exceptions.ModelError as error:
            return int(error.response["OriginalStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as threads:
        rounds: list[int] = []

        def some_are_shed() -> bool:
            rounds.extend(threads.map(once, range(8)))
            return 503 in rounds

        wait_until(some_are_shed, LONG_S)
        assert set(rounds) <= {200, 503}
        with deployed.client(attempts=1000, sleep=lambda pause_s: time.sleep(min(pause_s, 0.5))) as client:
            texts = list(threads.map(lambda _: client.transcribe(audio)["text"], range(8)))
    assert all("lobster" in text.lower() for text in texts)


@pytest.mark.slow
def test_aural_bench_measures_it(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    flags = ["--target", "sagemaker:whisper", "--endpoint-url", deployed.url, "--region", "us-east-1"]
    sizes = ["--durations", "mix", "--concurrency", "1", "--requests", "4", "--warm-up", "1"]
    command = ["bench", "run", *flags, *sizes, "--audio", str(DATA), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "run").iterdir())


@pytest.mark.slow
def test_a_killed_container_is_replaced(deployed: Deployed, clips: dict[str, Recording]) -> None:
    before = instances(deployed)
    os.kill(server_of(next(iter(before))), signal.SIGKILL)
    wait_until(lambda: bool(instances(deployed) - before) and answers(deployed, clips[LOBSTER].bytes), LONG_S)


def answers(deployed: Deployed, audio: bytes) -> bool:
    with deployed.client(attempts=1) as client, suppress(CallFailed):
        return "lobster" in client.transcribe(audio)["text"].lower()
    return False


def instances(deployed: Deployed) -> set[Path]:
    return set((deployed.root / "instances").iterdir())


def server_of(folder: Path) -> int:
    """The process whose working directory that is and which was started as the container."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
                if (entry / "cwd").readlink() == folder and b"aural.container" in command:
                    return int(entry.name)
            except OSError:
                continue
    raise AssertionError(f"no container runs in {folder}")


def test_status_logs_and_plan(deployed: Deployed) -> None:
    assert "whisper: InService" in deployed.run("status")
    assert json.loads(deployed.run("status", "--json"))["parts"] == ["AllTraffic: 1 of 1 instances"]
    assert "ready" in deployed.run("logs")
    plan = deployed.run("plan")
    assert "create" not in plan
    assert "served here by whisper-tiny.en" in plan


def test_an_apply_that_fails_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURAL_STANDIN", str(tmp_path / "standin"))
    file = tmp_path / "deploy.toml"
    file.write_text(FILE.replace('image = "cuda"', 'image = "1.dkr.ecr.us-east-1.amazonaws.com/nemo:1"'))
    result = CliRunner().invoke(main, ["deploy", "apply", str(file), "--local"])
    assert result.exit_code == 1
    assert "set models.local" in result.output
    assert (tmp_path / "standin" / "standin.log").exists()
    assert not (tmp_path / "standin" / "standin.json").exists()


def test_a_body_that_is_too_large_is_not_sent(deployed: Deployed) -> None:
    with deployed.client(largest_bytes=10) as client, pytest.raises(Exception, match="asynchronous endpoint"):
        client.send(Asked(bytes(11)))
