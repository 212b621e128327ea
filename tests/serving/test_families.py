"""Whisper, a Parakeet and a Voxtral in one server: callers mix them, and what is killed takes nothing else along."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.nemo_models import write_random
from tests.api.wire import Reply, converse, form, request, speech
from tests.conftest import Recording, Server, serving, wait_until, word_errors, words
from tests.standin.fixtures import installed

LIMIT_S = 90
CALLERS = 20


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory, parakeet: Path) -> Iterator[Server]:
    models = ("whisper-tiny.en", f"parakeet={parakeet}", "voxtral-mini-3b")
    flags = [flag for model in models for flag in ("--model", model)]
    with serving(*flags, "--replicas", "1", **installed(tmp_path_factory.mktemp("bin"))) as server:
        yield server


@pytest.fixture(scope="module")
def parakeet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small TDT model whose text is nobody's, but always the same."""
    return write_random(tmp_path_factory.mktemp("nemo") / "tdt", "tdt")


def ask(server: Server, model: str, audio: bytes) -> asyncio.Task[Reply]:
    body, kind = form(audio, model=model)
    message = request("/v1/audio/transcriptions", body, Content_Type=kind, Connection="close")
    return asyncio.ensure_future(converse(server.url, message))


def pids(server: Server) -> dict[str, int]:
    return {model["name"]: model["replicas"][0]["pid"] for model in server.health()["models"]}


@pytest.mark.slow
def test_twenty_callers_mix_them_and_one_after_the_other_is_killed(
    families: Server, clips: dict[str, Recording]
) -> None:
    clip = clips["libri-367-130732-0001"]
    models = list(pids(families))
    asked = [
        (model, speech(f"sleep50 {number}") if "voxtral" in model else clip.bytes)
        for number, model in zip(range(CALLERS), models * CALLERS, strict=False)
    ]

    async def together(victim: int | None = None) -> list[Reply]:
        tasks = [ask(families, model, audio) for model, audio in asked]
        if victim:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            os.kill(victim, signal.SIGKILL)
        return await asyncio.gather(*tasks)

    before = [reply.json["text"] for reply in asyncio.run(together())]
    assert "lobster" in words(before[models.index("whisper-tiny.en")])
    assert before[models.index("voxtral-mini-3b")].startswith("sleep50")
    for name in models:
        alive = pids(families)
        replies = asyncio.run(together(alive[name]))
        answered = []
        for (model, _), reply, text in zip(asked, replies, before, strict=True):
            if model == name and reply.status == 503:
                assert reply.error["code"] in ("worker_lost", "not_ready")
            else:
                assert reply.status == 200, (name, model, reply)
                assert model != "voxtral-mini-3b" or reply.json["text"] == text
                answered.append((text, reply.json["text"]))
        assert word_errors(*zip(*answered, strict=True)) <= 0.02, name
        wait_until(lambda: families.health()["status"] == "ready", LIMIT_S)
        after = pids(families)
        assert {model for model in models if after[model] != alive[model]} == {name}
