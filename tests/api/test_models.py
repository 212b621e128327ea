"""Models loaded and unloaded over HTTP while the server runs."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from aural.api import models
from aural.engines.base import ModelSpec
from tests.api.wire import Reply, converse, exchange, form, request, speech
from tests.conftest import Server, serving, wait_until

ADMIN = "boss"


@pytest.fixture(scope="module")
def managed() -> Iterator[Server]:
    with serving("--model", "fake", "--replicas", "1", "--admin-key", ADMIN, "--memory-gb", "4") as server:
        yield server


@pytest.fixture(scope="module")
def behind_sagemaker() -> Iterator[Server]:
    with serving("--replicas", "1", "--memory-gb", "0.5", SAGEMAKER_MULTI_MODEL="true") as server:
        yield server


def ask(server: Server, method: str, path: str, table: object = None, key: str = ADMIN) -> tuple[int, Any]:
    body = b"" if table is None else json.dumps(table).encode()
    reply = exchange(server.url, request(path, body, method, Authorization=f"Bearer {key}"))
    return reply.status, reply.json if reply.body else None


def heard(server: Server, model: str) -> tuple[int, str]:
    body, kind = form(speech("hello"), model=model)
    reply = exchange(server.url, request("/v1/audio/transcriptions", body, Content_Type=kind))
    return reply.status, reply.json.get("text") or reply.error["code"]


def test_what_a_model_says_of_itself(managed: Server) -> None:
    [model] = [one for one in json.loads(managed.get("/v1/models")[1])["data"] if one["id"] == "fake"]
    assert (model["state"], model["device"], model["replicas"]) == ("ready", "cpu", 1)
    assert model["memory_mb"] > 10
    can = model["capabilities"]
    assert can["languages"] == ["en"]
    assert (can["longest_audio_s"], can["longest_clip_s"]) == (4 * 3600, 30)
    no = ("words", "prompt", "hotwords", "translate", "understanding")
    assert {name: can[name] for name in (*no, "streaming")} == {**dict.fromkeys(no, False), "streaming": True}
    assert json.loads(managed.get("/v1/models/fake")[1]) == model


def test_a_model_on_several_cards_names_them_all() -> None:
    wide = ModelSpec("a", "voxtral", None, device="cuda", device_index=2, cards=(2, 3))
    alone = ModelSpec("b", "whisper", None, device="cuda", device_index=1)
    assert [models._devices(spec) for spec in (wide, alone)] == [["cuda:2", "cuda:3"], ["cuda:1"]]


def test_loaded_used_and_unloaded(managed: Server) -> None:
    assert heard(managed, "second") == (404, "model_not_found")
    status, model = ask(managed, "POST", "/v1/models/second", {"model": "fake", "replicas": 2})
    assert (status, model["id"], model["state"], model["replicas"]) == (201, "second", "ready", 2)
    assert heard(managed, "second") == (200, "hello")
    workers = [psutil.Process(one["pid"]) for one in managed.health()["models"][1]["replicas"]]
    status, error = ask(managed, "POST", "/v1/models/second")
    assert (status, error["error"]["code"]) == (409, "already_loaded")
    assert ask(managed, "DELETE", "/v1/models/second")[0] == 200
    assert not any(worker.is_running() for worker in workers)
    assert ask(managed, "DELETE", "/v1/models/second")[0] == 404
    assert heard(managed, "second") == (404, "model_not_found")
    assert heard(managed, "auto") == (200, "hello")
    lines = managed.get("/metrics")[1].decode().splitlines()
    told = {line.partition("{")[0] for line in lines if 'model="second"' in line}
    assert "aural_audio_seconds_total" in told
    assert not told & {"aural_queue_clips", "aural_queue_audio_seconds", "aural_rtfx", "aural_busy_share"}
    assert "aural_replicas" not in told


def test_one_model_is_asked_in_every_form(managed: Server) -> None:
    audio, chat = speech("hello"), json.dumps({"messages": [{"role": "user", "content": "hello"}]}).encode()
    body, kind = form(audio, model="whisper-1")
    route = {"X_Amzn_SageMaker_Custom_Attributes": "route=/v1/audio/transcriptions"}
    document = json.dumps({"audio": base64.b64encode(audio).decode()}).encode()
    forms = [(audio, "audio/wav", {}), (document, "application/json", {}), (body, kind, {}), (body, kind, route)]

    def asked(query: str, body: bytes, kind: str, headers: dict[str, str], path: str = "/models/guest/invoke") -> Reply:
        return exchange(managed.url, request(path + query, body, Content_Type=kind, **headers))

    assert ask(managed, "POST", "/v1/models/guest", {"model": "fake"})[0] == 201
    for number, (body, kind, headers) in enumerate(forms, 1):
        file = headers | {"X_Amzn_SageMaker_Target_Model": "guest.tar.gz"}
        assert asked("?model=guest", body, kind, file).json["text"] == "hello"
        assert managed.metric(r'aural_audio_seconds_total\{model="guest"\}') == pytest.approx(0.1 * number)
        reply = asked("?model=fake", body, kind, file)
        assert (reply.status, reply.error["param"]) == (400, "model")
        assert "'guest'" in reply.error["message"]
        assert "'fake'" in reply.error["message"]
    other, kind = form(audio, model="fake")
    assert asked("", other, kind, {}).status == 400
    assert asked("", chat, "application/json", {}).error["message"].startswith("guest cannot honour messages")
    assert asked("?language=fr", *form(audio), {}).status == 400
    header = {"X_Amzn_SageMaker_Target_Model": "nobody"}
    assert asked("", *form(audio), header, "/invocations").status == 404
    assert ask(managed, "DELETE", "/v1/models/guest")[0] == 200


def test_let_go_when_idle_and_loaded_again_on_demand(managed: Server) -> None:
    def state() -> tuple[str, str]:
        health = next(one["state"] for one in managed.health()["models"] if one["name"] == "sleepy")
        return health, json.loads(managed.get("/v1/models/sleepy")[1])["state"]

    assert ask(managed, "POST", "/v1/models/sleepy", {"model": "fake", "idle_s": 0.1})[0] == 201
    wait_until(lambda: state() == ("unloaded", "unloaded"), 120)
    assert managed.get("/ping")[0] == 200
    assert json.loads(managed.get("/v1/models/sleepy")[1])["capabilities"]["languages"] == ["en"]
    assert heard(managed, "sleepy") == (200, "hello")
    assert ask(managed, "DELETE", "/v1/models/sleepy")[0] == 200


def test_who_asks_while_it_is_loaded_again_waits_too() -> None:
    """Whatever they come by, and however many: none of them is told that it is not ready."""
    with serving("--model", "fake", "--replicas", "1", "--idle-s", "0.1") as server:
        wait_until(lambda: server.health()["models"][0]["state"] == "unloaded", 120)
        body, kind = form(speech("hello"))
        asked = [request("/v1/audio/transcriptions", body, Content_Type=kind)] * 3
        asked += [request("/invocations", speech("hello"), Content_Type="audio/wav")] * 3
        asked += [request("/v1/listen", speech("hello"), Content_Type="audio/wav")] * 3

        async def together() -> list[Reply]:
            return await asyncio.gather(*(converse(server.url, message) for message in asked))

        replies = asyncio.run(together())
        assert [reply.status for reply in replies] == [200] * len(asked)
        assert all(b"hello" in reply.body for reply in replies)


@pytest.mark.parametrize(
    ("name", "table", "status", "part"),
    [
        ("x", {"model": "whisper-nine"}, 400, "whisper-nine"),
        ("x", {"model": "fake", "replica": 2}, 400, "'replica'"),
        ("x", {"model": "fake", "replicas": "many"}, 400, "replicas as int"),
        ("x", [], 400, "a JSON object"),
        ("x", {"model": "fake", "device": "cuda"}, 400, "found none"),
        ("x", {"model": "voxtral-mini-3b", "vllm": {"max_num_seqs": "many"}}, 400, "got 'many'"),
        ("fake", {}, 409, "loaded already"),
    ],
)
def test_what_cannot_be_loaded(managed: Server, name: str, table: object, status: int, part: str) -> None:
    got, error = ask(managed, "POST", f"/v1/models/{name}", table)
    assert (got, part in error["error"]["message"]) == (status, True), error
    assert [one["id"] for one in json.loads(managed.get("/v1/models")[1])["data"]] == ["fake"]
    assert managed.get("/ping")[0] == 200


def test_models_are_managed_with_the_admin_key(managed: Server, fake: Server) -> None:
    for method, path in (("POST", "/v1/models/x"), ("DELETE", "/v1/models/fake"), ("GET", "/models")):
        assert ask(managed, method, path, key="wrong")[0] == 401
        assert ask(fake, method, path)[0] == 403


def test_sagemakers_multi_model_routes(behind_sagemaker: Server, tmp_path: Path) -> None:
    server = behind_sagemaker
    assert ask(server, "GET", "/models") == (200, {"models": []})
    folder = tmp_path / "model"
    folder.mkdir()
    order = {"model_name": "one", "url": "fake"}
    assert ask(server, "POST", "/models", order)[0] == 200
    assert ask(server, "POST", "/models", order)[0] == 409
    assert ask(server, "GET", "/models/one") == (200, {"modelName": "one", "modelUrl": "none needed"})
    assert ask(server, "GET", "/models/two")[0] == 404
    assert ask(server, "POST", "/models", {"model_name": "two"})[0] == 400
    (folder / "model.bin").write_bytes(b"\0" * (150 << 20))
    assert ask(server, "POST", "/models", {"model_name": "two", "url": str(folder)})[0] == 507
    reply = exchange(server.url, request("/models/one/invoke", speech("hello"), Content_Type="audio/wav"))
    assert (reply.status, reply.json["text"]) == (200, "hello")
    reply = exchange(server.url, request("/models/two/invoke", speech("hello"), Content_Type="audio/wav"))
    assert reply.status == 404
    assert ask(server, "DELETE", "/models/one")[0] == 200
    assert ask(server, "DELETE", "/models/one")[0] == 404
    assert ask(server, "GET", "/models") == (200, {"models": []})


@pytest.mark.slow
def test_fifty_loads_and_unloads_under_traffic(managed: Server) -> None:
    """Every request is answered with its own text, or told that there is no such model; nothing is left behind."""
    front = psutil.Process(managed.process.pid)
    told = {200: 0, 404: 0}

    async def caller(number: int, over: asyncio.Event) -> None:
        for turn in range(10**6):
            if over.is_set():
                return
            text = f"{number} {turn}"
            body, kind = form(speech(text), model=("fake", "guest")[turn % 2])
            message = request("/v1/audio/transcriptions", body, Content_Type=kind, Connection="close")
            reply = await converse(managed.url, message)
            told[reply.status] += 1
            assert reply.status == 404 or reply.json["text"] == text

    async def manage(over: asyncio.Event) -> list[int]:
        held = []
        for _ in range(50):
            assert (await asyncio.to_thread(ask, managed, "POST", "/v1/models/guest", {"model": "fake"}))[0] == 201
            assert (await asyncio.to_thread(ask, managed, "DELETE", "/v1/models/guest"))[0] == 200
            held.append(front.memory_info().rss)
        over.set()
        return held

    async def together() -> list[int]:
        over = asyncio.Event()
        held, *_ = await asyncio.gather(manage(over), *(caller(number, over) for number in range(4)))
        return held

    before = front.num_fds(), len(front.children(recursive=True))
    held = asyncio.run(together())
    wait_until(lambda: front.num_fds() <= before[0] + 4, 120)
    assert len(front.children(recursive=True)) == before[1]
    assert held[-1] - held[9] < 16 * 2**20
    assert told[200] > 100
