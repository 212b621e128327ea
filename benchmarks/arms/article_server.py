"""The rival: the article's inference container, written as well as its design allows.

A threaded Flask app, one model in one process, one lock around it. Audio comes as base64 in JSON and is decoded on the
request's own thread, outside the lock, so that a request waits for the model only. faster-whisper hears it greedily in
30 s windows and without timestamps. Audio of more than 30 s gets its sequential transcription with timestamps: without
them it steps from window to window in the middle of words and leaves out a fifth of what is said.
"""

from __future__ import annotations

import sys
import threading
import time
from base64 import b64decode
from io import BytesIO
from typing import Any

from faster_whisper import WhisperModel, decode_audio
from flask import Flask, Response, jsonify, request

WINDOW = 30 * 16_000
SEARCH: dict[str, dict[str, Any]] = {"greedy": {"beam_size": 1, "temperature": 0.0}, "defaults": {}}
"""What every arm does, and what faster-whisper does when it is not told."""


class Counted:
    """CPU seconds that request threads spend on everything but the model."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.decoding_cpu_s = 0.0
        self.requests = 0

    def add(self, cpu_s: float) -> None:
        with self._lock:
            self.decoding_cpu_s += cpu_s
            self.requests += 1


def create_app(folder: str, threads: int, search: dict[str, Any]) -> Flask:
    app = Flask(__name__)
    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=threads)
    one_at_a_time = threading.Lock()
    counted = Counted()

    @app.get("/ping")
    def ping() -> Response:
        return Response("")

    @app.get("/counted")
    def count() -> Response:
        return jsonify(decoding_cpu_s=counted.decoding_cpu_s, requests=counted.requests)

    @app.post("/invocations")
    def invocations() -> Response:
        began = time.thread_time()
        audio = decode_audio(BytesIO(b64decode(request.get_json()["audio"]["data"])))
        counted.add(time.thread_time() - began)
        with one_at_a_time:
            segments, _ = model.transcribe(audio, language="en", without_timestamps=len(audio) <= WINDOW, **search)
            text = "".join(segment.text for segment in segments).strip()
        return jsonify(text=text)

    return app


if __name__ == "__main__":
    folder, threads, port, search = sys.argv[1:]
    create_app(folder, int(threads), SEARCH[search]).run(host="127.0.0.1", port=int(port), threaded=True)
