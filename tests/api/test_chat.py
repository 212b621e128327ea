"""Questions about audio: OpenAI's SDK, AWS's payloads, streams, what breaks off, and what is never fetched."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.api.test_hangup import calling
from tests.api.wire import exchange, request, speech
from tests.conftest import Server, serving, wait_until
from tests.standin.fixtures import Upstream, free_port, upstream

QUESTION = {"type": "text", "text": "what is said"}


@pytest.fixture(scope="module")
def running() -> Iterator[Upstream]:
    with upstream() as one:
        yield one


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    """A host with a recording, and with a redirect to another one."""

    class Files(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            audio = speech("from afar")
            self.send_response(200 if self.path == "/clip.wav" else 302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(audio)))
            self.end_headers()
            self.wfile.write(audio)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def voxtral(running: Upstream, files: str) -> Iterator[Server]:
    """A model that transcribes and one that understands."""
    models = ("--model", "fake", "--model", f"voxtral-mini-3b={running.url}")
    with serving(*models, "--fetch-from", files, "--fetch-from", "example.org") as server:
        yield server


@pytest.fixture
def client(voxtral: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{voxtral.url}/v1", api_key="none", max_retries=0) as one:
        yield one


def said(text: str) -> dict[str, Any]:
    data = base64.b64encode(speech(text)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def user(*parts: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


def post(server: Server, path: str, body: object) -> tuple[int, Any]:
    reply = exchange(server.url, request(path, json.dumps(body).encode(), Content_Type="application/json"))
    return reply.status, reply.json


def test_openais_sdk(client: openai.OpenAI, running: Upstream) -> None:
    answer = client.chat.completions.create(
        model="voxtral-mini-3b",
        messages=user(said("hello"), said("world"), QUESTION),
        max_tokens=50,
        temperature=0.2,
        user="somebody",
        metadata={"call": "7"},
    )
    assert answer.choices[0].message.content == "heard hello and world, asked what is said"
    assert (answer.model, answer.usage and answer.usage.completion_tokens) == ("voxtral-mini-3b", 8)
    asked = running.asked[-1]
    assert (asked["model"], asked["max_tokens"], asked["temperature"]) == ("voxtral", 50, 0.2)
    assert not {"user", "metadata"} & asked.keys()


def test_streamed(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="voxtral-mini-3b",
        messages=user(said("hello"), QUESTION),
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(word for word in words if word) == "heard hello, asked what is said"
    assert {chunk.model for chunk in chunks} == {"voxtral-mini-3b"}
    assert chunks[-1].usage


def test_who_names_no_model_gets_one_that_understands(voxtral: Server) -> None:
    status, answer = post(voxtral, "/v1/chat/completions", {"messages": user(said("hello"), QUESTION)})
    assert (status, answer["model"]) == (200, "voxtral-mini-3b")
    status, answer = post(voxtral, "/v1/chat/completions", {"model": "fake", "messages": user(QUESTION)})
    assert (status, answer["error"]["code"]) == (400, "unsupported_parameter")


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        ({"messages": user({"type": "audio", "data": "AUDIO"}, QUESTION), "max_tokens": 9, "top_p": 0.95}, "hello"),
        ({"messages": user({"type": "audio", "data": "data:audio/wav;base64,AUDIO"}, QUESTION)}, "hello"),
        ({"messages": user({"type": "audio", "path": "FILES/clip.wav"}, QUESTION)}, "from afar"),
        ({"messages": user({"type": "audio_url", "audio_url": {"url": "FILES/clip.wav"}}, QUESTION)}, "from afar"),
        ({"inputs": {"messages": user({"type": "audio", "data": "AUDIO"}, QUESTION)}}, "hello"),
        ({"inputs": "what is said"}, "nothing"),
        ({"messages": [{"role": "user", "content": "what is said"}]}, "nothing"),
    ],
)
def test_invocations_of_awss_voxtral_sample(voxtral: Server, files: str, body: object, heard: str) -> None:
    audio = base64.b64encode(speech("hello")).decode()
    filled = json.loads(json.dumps(body).replace("AUDIO", audio).replace("FILES", files))
    status, answer = post(voxtral, "/invocations", filled)
    assert status == 200, answer
    assert answer["choices"][0]["message"]["content"] == f"heard {heard}, asked what is said"
    assert answer["object"] == "chat.completion"
    assert answer["usage"]["total_tokens"] > answer["usage"]["prompt_tokens"]


def test_transcription_of_a_url(voxtral: Server, files: str) -> None:
    for audio in (f"{files}/clip.wav", {"path": f"{files}/clip.wav"}):
        body = {"transcription": {"audio": audio, "language": "en"}, "model": "voxtral-mini-3b"}
        status, answer = post(voxtral, "/invocations", body)
        assert (status, answer["transcription"]["text"]) == (200, "from afar")


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "file:///etc/passwd", "../a.wav", "http://127.0.0.1:9/a.wav", "https://evil.example/a.wav"),
        *("http://example.org/a.wav", "https://example.org@evil.example/a", "https://example.org:444/a"),
        "ftp://example.org/a",
    ],
)
def test_nothing_else_is_fetched_or_read(voxtral: Server, path: str) -> None:
    for body in (
        {"messages": user({"type": "audio", "path": path}, QUESTION)},
        {"transcription": {"audio": {"path": path}}},
    ):
        status, answer = post(voxtral, "/invocations", body)
        assert status == 400
        assert "allowed host" in answer["error"]["message"]


def test_redirects_are_not_followed(voxtral: Server, files: str) -> None:
    status, answer = post(voxtral, "/invocations", {"transcription": {"audio": {"path": f"{files}/moved"}}})
    assert (status, answer["error"]["code"]) == (415, "invalid_audio")


@pytest.mark.parametrize(
    ("change", "status", "part"),
    [
        ({"messages": []}, 400, "a list"),
        ({"messages": "hello"}, 400, "a list"),
        ({"messages": ["hello"]}, 400, "a role"),
        ({"messages": [{"role": "boss", "content": "hi"}]}, 400, "a role"),
        ({"messages": [{"role": "user", "content": 5}]}, 400, "text or a list"),
        ({"messages": user({"type": "image_url", "image_url": {"url": "x"}})}, 400, "'image_url'"),
        ({"messages": user({"type": "input_audio", "input_audio": {"data": "!"}})}, 400, "base64"),
        ({"messages": user({"type": "input_audio", "input_audio": {"data": "AAAA"}})}, 415, "audio"),
        ({"audio": {"voice": "x"}}, 400, "'audio'"),
        ({"model": "nobody"}, 404, "nobody"),
        ({"messages": user(said("refuse"))}, 400, "maximum context length"),
        ({"messages": user(said("fail"))}, 500, "EngineCore"),
        ({"messages": user(said("busy"))}, 503, "overloaded"),
    ],
)
def test_what_is_refused(voxtral: Server, change: dict[str, Any], status: int, part: str) -> None:
    body = {"model": "voxtral-mini-3b", "messages": user(said("hello"), QUESTION)} | change
    got, answer = post(voxtral, "/v1/chat/completions", body)
    assert (got, part in answer["error"]["message"]) == (status, True), answer


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_frees_the_place(voxtral: Server, running: Upstream, stream: bool) -> None:
    before = voxtral.metric("aural_requests_total{route=.[^}]*,status=.499.}")
    [_, model] = voxtral.health()["models"]
    body = {"model": model["name"], "messages": user(said("stall")), "stream": stream}
    with calling(voxtral, request("/v1/chat/completions", json.dumps(body).encode())):
        wait_until(lambda: voxtral.health()["models"][1]["replicas"][0]["busy"], 60)
    wait_until(lambda: not voxtral.health()["models"][1]["replicas"][0]["busy"], 60)
    wait_until(lambda: voxtral.metric("aural_requests_total{route=.[^}]*,status=.499.}") == before + 1, 60)


def test_an_answer_that_breaks_off_says_so() -> None:
    port = free_port()
    models = ("--model", "fake", "--model", f"voxtral-mini-3b=http://127.0.0.1:{port}")
    with upstream(port=port), serving(*models) as server:
        body = {"messages": user(said("hello"), {"type": "text", "text": "now break"}), "stream": True}
        message = request("/v1/chat/completions", json.dumps(body).encode(), Connection="close")
        reply = exchange(server.url, message)
        events = [line.removeprefix("data: ") for line in reply.body.decode().splitlines() if "data: " in line]
        assert (reply.status, json.loads(events[-1])["error"]["code"]) == (200, "worker_lost")
        wait_until(lambda: server.health()["models"][1]["state"] != "ready", 60)
        nothing = {"type": "input_audio", "input_audio": {"data": "AAAA"}}  # which is not looked at
        status, answer = post(server, "/v1/chat/completions", {"model": "voxtral-mini-3b", "messages": user(nothing)})
        assert (status, answer["error"]["code"]) == (503, "not_ready")
        with upstream(port=port):
            wait_until(lambda: server.health()["models"][1]["state"] == "ready", 60)
            status, answer = post(server, "/v1/chat/completions", {"messages": user(said("die"))})
            assert (status, answer["error"]["code"]) == (503, "worker_lost")


def test_a_server_that_redacts_gives_no_number_away(running: Upstream, tmp_path: Path) -> None:
    (tmp_path / "insights.toml").write_text("redact = true\n")
    given = ("--model", f"voxtral-mini-3b={running.url}", "--insights", str(tmp_path / "insights.toml"))
    body = {
        "messages": user(said("my card is four one one one one one one one one one one one one one one one"), QUESTION)
    }
    with serving(*given) as server:
        for path in ("/v1/chat/completions", "/invocations"):
            status, answer = post(server, path, body)
            told = answer["choices"][0]["message"]["content"]
            assert (status, told) == (200, "heard my card is [CARD_NUMBER], asked what is said")
        for key in ("stream", "logprobs"):
            status, answer = post(server, "/v1/chat/completions", {**body, key: True})
            assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "unsupported_parameter", key)
