"""vLLM as a worker, seen from the front door: started here or running elsewhere, stalling, erring and dying."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from aural.assembly import build_fleet
from aural.errors import SettingsError
from aural.metrics import Metrics
from aural.settings import Settings
from tests.api.wire import Reply, converse, form, request, speech
from tests.conftest import Server, serving, wait_until
from tests.standin.fixtures import Upstream, free_port, installed, upstream
from tests.test_cli import aural

LIMIT_S = 120


@pytest.fixture(scope="module")
def running() -> Iterator[Upstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def beside(running: Upstream) -> Iterator[Server]:
    """A server whose Voxtral runs elsewhere."""
    with serving("--model", "voxtral-mini-3b", "--upstream", running.url, "--max-batch", "4") as server:
        yield server


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has started its Voxtral itself, and a Whisper-like model beside it."""
    with serving(
        "--model", "fake", "--model", "voxtral-mini-3b", **installed(tmp_path_factory.mktemp("bin"))
    ) as server:
        yield server


def ask(server: Server, text: str, **fields: str) -> asyncio.Task[Reply]:
    body, kind = form(speech(text, every_s=1.0), **{"model": "voxtral-mini-3b"} | fields)
    message = request("/v1/audio/transcriptions", body, Content_Type=kind, Connection="close")
    return asyncio.ensure_future(converse(server.url, message))


def answers(server: Server, texts: Sequence[str], **fields: str) -> list[Reply]:
    async def together() -> list[Reply]:
        return await asyncio.gather(*(ask(server, text, **fields) for text in texts))

    return asyncio.run(together())


def pid(server: Server, model: str = "voxtral-mini-3b") -> int | None:
    [found] = [one for one in server.health()["models"] if one["name"] == model]
    return found["replicas"][0]["pid"]


def is_ready(server: Server) -> bool:
    return server.health()["status"] == "ready"


# What is heard


def test_transcripts(beside: Server, running: Upstream) -> None:
    [reply] = answers(beside, ["hello"], language="de", temperature="0.5")
    assert (reply.status, reply.json["text"]) == (200, "hello")
    asked = running.asked[-1]
    assert (asked["model"], asked["language"], asked["temperature"]) == ("voxtral", "de", "0.5")
    assert asked["response_format"] == "json"
    [reply] = answers(beside, ["the house and it is here"], response_format="verbose_json")
    assert reply.json["language"] == "english"
    assert reply.json["segments"][0]["text"].strip() == "the house and it is here"
    assert "language" not in running.asked[-1]


def test_what_it_cannot_do_is_refused(beside: Server) -> None:
    for fields in (
        {"language": "fi"},
        {"prompt": "before"},
        {"hotwords": "name"},
        {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
    ):
        [reply] = answers(beside, ["hello"], **fields)
        assert (reply.status, reply.error["code"]) == (400, "unsupported_parameter"), fields


def test_clips_are_handed_over_one_by_one_up_to_the_limit(beside: Server, running: Upstream) -> None:
    texts = [f"sleep500 {number}" for number in range(12)]
    assert [reply.json["text"] for reply in answers(beside, texts)] == texts
    assert 1 < running.most_running <= 4


def test_a_short_clip_does_not_wait_for_a_long_one(beside: Server) -> None:
    async def both() -> None:
        long = ask(beside, "sleep600000 long")
        await asyncio.to_thread(wait_until, lambda: beside.health()["models"][0]["replicas"][0]["busy"], LIMIT_S)
        short = await ask(beside, "short")
        assert short.json["text"] == "short"
        assert not long.done()
        long.cancel()  # nobody waits for it any more, so its place is free
        await asyncio.to_thread(wait_until, lambda: not beside.health()["models"][0]["replicas"][0]["busy"], LIMIT_S)

    asyncio.run(both())


def test_what_it_says_of_itself(beside: Server) -> None:
    [model] = beside.health()["models"]
    assert model["replicas"][0]["device"] == "remote:0"
    [card] = json.loads(beside.get("/v1/models")[1])["data"]
    assert card["capabilities"]["understanding"]
    assert card["capabilities"]["languages"] == ["en", "ar", "de", "es", "fr", "hi", "it", "nl", "pt"]


# What goes wrong


@pytest.mark.parametrize(
    ("order", "status", "code", "part"),
    [
        ("refuse", 500, "engine_failed", "maximum context length"),
        ("fail", 500, "engine_failed", "EngineCore encountered an issue"),
        ("busy", 503, "overloaded", "overloaded"),
    ],
)
def test_errors(beside: Server, order: str, status: int, code: str, part: str) -> None:
    [reply] = answers(beside, [order])
    assert (reply.status, reply.error["code"]) == (status, code)
    assert part in reply.error["message"]
    [reply] = answers(beside, ["still here"])
    assert reply.json["text"] == "still here"


@pytest.mark.slow
def test_flat_errors_of_older_versions() -> None:
    with (
        upstream("--style", "0.10") as old,
        serving("--model", f"voxtral-mini-3b={old.url}/v1/") as server,
    ):
        [reply] = answers(server, ["refuse"])
        assert "vLLM answered 400: This model's maximum context length" in reply.error["message"]


@pytest.mark.slow
def test_an_upstream_that_goes_and_comes_back() -> None:
    port = free_port()
    with upstream(port=port) as first, serving("--model", "fake", "--model", f"voxtral-mini-3b={first.url}") as server:
        first.process.kill()
        first.process.wait()
        wait_until(lambda: not is_ready(server), LIMIT_S)
        [reply] = answers(server, ["hello"], model="fake")
        assert reply.json["text"] == "hello"
        [reply] = answers(server, ["hello"])
        assert (reply.status, reply.error["code"]) == (503, "not_ready")
        with upstream(port=port):
            wait_until(lambda: is_ready(server), LIMIT_S)
            [reply] = answers(server, ["back"])
            assert reply.json["text"] == "back"


def test_a_vllm_of_our_own_killed_under_load(own: Server) -> None:
    texts = [f"sleep200 {number}" for number in range(20)]
    before, other = pid(own), pid(own, "fake")
    assert before

    async def kill_meanwhile() -> list[Reply]:
        asked = [ask(own, text, model=("voxtral-mini-3b", "fake")[i % 2]) for i, text in enumerate(texts)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        os.kill(before, signal.SIGKILL)
        return await asyncio.gather(*asked)

    replies = asyncio.run(kill_meanwhile())
    assert [reply.json["text"] for reply in replies] == texts
    wait_until(lambda: is_ready(own), LIMIT_S)
    assert pid(own) != before
    assert pid(own, "fake") == other


def test_a_poison_clip_is_tried_twice_and_told(own: Server) -> None:
    [reply] = answers(own, ["die"])
    assert (reply.status, reply.error["code"]) == (503, "worker_lost")
    wait_until(lambda: is_ready(own), LIMIT_S)
    [reply] = answers(own, ["crash"])
    assert (reply.status, reply.error["code"]) == (503, "worker_lost")
    wait_until(lambda: is_ready(own), LIMIT_S)
    [reply] = answers(own, ["still here"])
    assert reply.json["text"] == "still here"


@pytest.mark.parametrize("number", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_it_ends_with_the_server(tmp_path: Path, number: int) -> None:
    with serving("--model", "voxtral-mini-3b", **installed(tmp_path)) as server:
        child = psutil.Process(pid(server))
        guardian = child.parent()
        server.process.send_signal(number)
        server.process.wait(LIMIT_S)
        assert not psutil.wait_procs([child, guardian], LIMIT_S)[1]


def test_what_cannot_start(tmp_path: Path) -> None:
    """No vLLM, and one that is too old for an argument."""
    done = aural("serve", "--port", "0", "--model", "voxtral-mini-3b")
    assert (done.returncode, done.stderr.splitlines()[-1][:32]) == (1, "Error: expected vLLM for Voxtral")
    (tmp_path / "aural.toml").write_text('[[models]]\nmodel = "voxtral-mini-3b"\nvllm = { quantization = "fp8" }\n')
    done = aural("serve", "--port", "0", "--config", tmp_path / "aural.toml", **installed(tmp_path))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "Error: voxtral-mini-3b: vLLM refuses its arguments; its own log says which",
    )


ELSEWHERE = {"model": "voxtral-mini-3b", "upstream": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (
            {"models": ["fake"], "upstream": "http://127.0.0.1:9"},
            "has a use for --upstream http://127.0.0.1:9, got fake",
        ),
        ({"models": ["fake", "whisper-base"], "memory_share": 0.5}, "--memory-share 0.5, got fake, whisper-base"),
        ({"models": [ELSEWHERE], "replicas": 2}, "--replicas 2, got voxtral-mini-3b"),
        ({"models": ["voxtral-mini-3b"], "threads": 2}, "--threads 2"),
        ({"models": [ELSEWHERE | {"vllm": {"max_num_seqs": 4}}]}, "runs elsewhere; got vllm"),
        ({"models": [ELSEWHERE | {"vllm": {"max_modle_len": 4}}]}, "runs elsewhere; got vllm"),
        ({"models": [ELSEWHERE | {"memory_share": 0.5}]}, "runs elsewhere; got memory_share"),
        ({"models": [ELSEWHERE | {"replicas": 2}]}, "runs elsewhere; got replicas"),
        ({"models": [ELSEWHERE | {"device": "cuda:1"}]}, "runs elsewhere; got device"),
        ({"models": [ELSEWHERE | {"model": "v=http://127.0.0.1:1"}]}, "runs elsewhere; got upstream"),
        ({"models": [{"model": "voxtral-mini-3b", "compute_type": "int8"}]}, "a vLLM; got compute_type"),
        ({"models": [{"model": "voxtral-mini-3b", "vllm": {"max_modle_len": 4}}]}, "'max_modle_len'"),
        (
            {"models": [{"model": "voxtral-mini-3b", "memory_share": 0.5, "vllm": {"gpu_memory_utilization": 0.4}}]},
            "gpu_memory_utilization, got both",
        ),
        ({"models": [{"model": "whisper-base", "memory_share": 0.5}]}, "needs no vLLM; got memory_share"),
        ({"models": [{"model": "whisper-base", "vllm": {"dtype": "half"}}]}, "needs no vLLM; got vllm"),
        ({"models": [{"model": "parakeet-ctc-0.6b", "fitted_windows": "on"}]}, "got fitted_windows"),
    ],
)
def test_settings_without_a_meaning_are_refused(said: dict[str, Any], part: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(part)):
        build_fleet(Settings.of(said), Metrics())


def test_flags_are_for_whoever_has_a_use_for_them() -> None:
    models = ["whisper-base", "voxtral-mini-3b", ELSEWHERE | {"name": "far"}]
    said = {"models": models, "memory_share": 0.5, "threads": 2, "replicas": 2}
    fleet = build_fleet(Settings.of(said), Metrics())
    assert fleet.names == ["whisper-base", "voxtral-mini-3b", "far"]


def test_what_is_known_of_a_voxtral_is_known_before_it_is_loaded() -> None:
    fleet = build_fleet(Settings.of({"models": ["whisper-base", "voxtral-mini-4b-realtime"]}), Metrics())
    base, realtime = fleet.models
    assert base.capabilities is None
    assert realtime.capabilities is not None
    assert not realtime.capabilities.understanding
