"""A stand-in for `vllm serve` with a Voxtral: its routes, fields, answers and errors as vLLM 0.32 has them (with
`--style 0.10` the flat errors of 0.10), over the ears of the fake engine.

`python -m tests.standin.vllm serve MODEL --port N …`. What is spoken may be orders: `sleep<MS>`, `stall`, `fail` (500,
engine alive), `crash` (500, engine dead), `die` (the process is gone), `busy` (503), `refuse` (400). Files of
orders named `load` and `hear` in the folder $STANDIN_ORDERS are obeyed too, a word each time.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import sys
import wave
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aural.engines.fake import hear

LANGUAGES = frozenset(("en", "es", "fr", "pt", "hi", "de", "nl", "it", "ar"))
FLAGS = (
    *("tokenizer-mode", "config-format", "load-format", "dtype", "max-model-len", "gpu-memory-utilization"),
    *(
        "tensor-parallel-size",
        "pipeline-parallel-size",
        "max-num-seqs",
        "limit-mm-per-prompt",
        "max-num-batched-tokens",
    ),
    *("download-dir", "block-size", "cpu-offload-gb", "kv-cache-dtype"),
)
SWITCHES = (
    "trust-remote-code",
    "enforce-eager",
    "enable-chunked-prefill",
    "enable-prefix-caching",
)


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None) -> None:
        super().__init__(message)
        self.body = {"message": message, "type": kind, "param": param, "code": status}
        self.status = status


class Server:
    """One model, and what it was asked."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.name = given.served_model_name or given.model
        self.root = given.model
        self.style = given.style
        self.is_dead = False
        self.running = self.most_running = 0
        self.asked: list[dict[str, Any]] = []

    def routes(self) -> list[Route]:
        return [
            Route("/health", self.health),
            Route("/v1/models", self.models),
            Route("/v1/audio/transcriptions", self.transcriptions, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/asked", self.show_asked),
        ]

    async def health(self, request: Request) -> Response:
        return Response(status_code=503 if self.is_dead else 200)

    async def models(self, request: Request) -> Response:
        card = {"id": self.name, "root": self.root, "object": "model", "owned_by": "vllm"}
        return JSONResponse({"object": "list", "data": [card]})

    async def show_asked(self, request: Request) -> Response:
        return JSONResponse({"most_running": self.most_running, "asked": self.asked})

    async def transcriptions(self, request: Request) -> Response:
        form = await request.form()
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Refusal(422, "Expected 'file' to be a file-like object, not 'str'.")
        fields = {name: value for name, value in form.items() if name != "file"}
        self.asked.append({"path": request.url.path, **fields})
        self._check(fields)
        text = await self._hear(_samples(await file.read()))
        if fields.get("stream") == "true":
            chunks = [{"object": "transcription.chunk", "choices": [{"delta": {"content": text}}]}]
            return StreamingResponse(_events(chunks), media_type="text/event-stream")
        if fields.get("response_format") == "text":
            return JSONResponse(text)
        return JSONResponse({"text": text, "usage": {"type": "duration", "seconds": 1}})

    def _check(self, fields: dict[str, Any]) -> None:
        model, form = fields.get("model"), fields.get("response_format", "json")
        if model and model != self.name:
            raise Refusal(404, self._unknown(model), "NotFoundError", "model")
        if form not in ("json", "text"):
            raise Refusal(400, f"Currently do not support {form} for {self.name}")
        if (language := fields.get("language")) and language not in LANGUAGES:
            raise Refusal(400, f"Unsupported language: {language!r}. Must be one of {sorted(LANGUAGES)}.")
        if not 0 <= float(fields.get("temperature", 0)) <= 2:
            raise Refusal(400, "temperature must be in [0, 2]")

    def _unknown(self, model: Any) -> str:
        return f"The model `{model}` does not exist. Valid aliases: {self.name}."

    async def chat(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        self.asked.append({"path": request.url.path, **body})
        if body.get("model") not in (None, self.name):
            raise Refusal(404, self._unknown(body["model"]), "NotFoundError", "model")
        parts = [part for message in body["messages"] for part in _parts(message["content"])]
        heard = [
            await self._hear(_samples(b64decode(part["input_audio"]["data"]))) for part in parts if _is_audio(part)
        ]
        asked = [part["text"] for part in parts if part["type"] == "text"]
        words = f"heard {' and '.join(heard) or 'nothing'}, asked {' and '.join(asked) or 'nothing'}".split(" ")
        kept = words[: body.get("max_tokens") or body.get("max_completion_tokens") or len(words)]
        whole = {"id": "chatcmpl-1", "created": 1, "model": self.name}
        usage = {"prompt_tokens": 7, "total_tokens": 7 + len(kept), "completion_tokens": len(kept)}
        if not body.get("stream"):
            message = {"role": "assistant", "content": " ".join(kept), "tool_calls": []}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return JSONResponse({**whole, "object": "chat.completion", "choices": choices, "usage": usage})
        return StreamingResponse(self._chunks(whole, kept, body, usage), media_type="text/event-stream")

    async def _chunks(
        self, whole: dict[str, Any], words: list[str], body: dict[str, Any], usage: dict[str, int]
    ) -> AsyncIterator[bytes]:
        chunk = {**whole, "object": "chat.completion.chunk"}
        for i, word in enumerate(words):
            delta = {"content": word if not i else f" {word}"}
            yield _event({**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            if "break" in word:
                os.kill(os.getpid(), signal.SIGKILL)
            if "mishap" in word:
                yield _event({"error": {"message": "EngineCore died", "type": "InternalServerError", "code": 500}})
                return
        yield _event({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield _event({**chunk, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    async def _hear(self, samples: np.ndarray) -> str:
        if self.is_dead:
            raise Refusal(500, "EngineCore encountered an issue.", "InternalServerError")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            text = hear(samples)
            for word in [*next_order("hear"), *text.split()]:
                await self._obey(word)
            return text
        finally:
            self.running -= 1

    async def _obey(self, word: str) -> None:
        if word.startswith("sleep") and word[5:].isdigit():
            await asyncio.sleep(int(word[5:]) / 1000)
        elif word == "stall":
            await asyncio.Event().wait()
        elif word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif word in ("fail", "crash"):
            self.is_dead = word == "crash"
            raise Refusal(500, "EngineCore encountered an issue.", "InternalServerError")
        elif word == "busy":
            raise Refusal(503, "The server is overloaded.", "ServiceUnavailable")
        elif word == "refuse":
            raise Refusal(400, "This model's maximum context length is 64 tokens.")


def next_order(name: str) -> list[str]:
    """The first word of a file of orders, struck out."""
    folder = os.environ.get("STANDIN_ORDERS")
    path = Path(folder, name) if folder else None
    words = path.read_text().split() if path and path.is_file() else []
    if path and words:
        path.write_text(" ".join(words[1:]))
    return words[:1]


def _samples(data: bytes) -> np.ndarray:
    try:
        with wave.open(io.BytesIO(data)) as reader:
            return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.float32) / 32767
    except (wave.Error, EOFError) as error:
        raise Refusal(400, "Invalid or unsupported audio file.") from error


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _is_audio(part: dict[str, Any]) -> bool:
    return part["type"] == "input_audio"


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


async def _events(bodies: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for body in bodies:
        yield _event(body)
    yield b"data: [DONE]\n\n"


def parsed(arguments: list[str]) -> argparse.Namespace:
    """As strict as vLLM: an unknown flag ends the process with status 2."""
    parser = argparse.ArgumentParser(prog="vllm", allow_abbrev=False)
    parser.add_argument("verb", choices=["serve"])
    parser.add_argument("model")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--served-model-name")
    parser.add_argument("--style", default="0.32", choices=["0.10", "0.32"])
    for flag in FLAGS:
        parser.add_argument(f"--{flag}")
    for switch in SWITCHES:
        parser.add_argument(f"--{switch}", action=argparse.BooleanOptionalAction)
    parser.add_argument("--disable-log-stats", action="store_true")
    return parser.parse_args(arguments)


def main() -> None:
    given = parsed(sys.argv[1:])
    server = Server(given)
    for word in next_order("load"):
        asyncio.run(server._obey(word))

    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        flat = {"object": "error", **error.body}
        return JSONResponse(flat if server.style == "0.10" else {"error": error.body}, error.status)

    app = Starlette(routes=server.routes(), exception_handlers={Refusal: refuse})
    uvicorn.run(app, host=given.host or "127.0.0.1", port=given.port, log_level="error")


if __name__ == "__main__":
    main()
