"""The peer: LitServe, batching on, two workers of one thread, raw WAV bodies, the same engine in `predict`."""

import sys
import wave
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated

import litserve  # type: ignore[import-untyped]
import numpy as np
from fastapi import Body

from benchmarks import engine
from benchmarks.engine import Engine, Samples

WORKERS = 2


class Transcriber(litserve.LitAPI):  # type: ignore[misc]
    """Settings are attributes, for LitServe copies the object into its workers."""

    def __init__(self, windows: str, folder: Path, model: str, batch: int, timeout: float) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=timeout)
        self._load = (windows, folder, model)
        self._size = batch
        self._engine: Engine | None = None

    def setup(self, device: str) -> None:
        self._engine = engine.load(*self._load, threads=1)

    # LitServe reads this annotation when it runs, so it is no string: bytes in the body instead of JSON.
    def decode_request(self, request: Annotated[bytes, Body(media_type="audio/wav")]) -> list[Samples]:
        with wave.open(BytesIO(request)) as file:
            return engine.cut(np.frombuffer(file.readframes(file.getnframes()), np.int16))

    def batch(self, inputs: Sequence[list[Samples]]) -> list[list[Samples]]:
        return list(inputs)

    def predict(self, inputs: list[list[Samples]]) -> list[str]:
        assert self._engine is not None
        return list(engine.in_batches(self._engine, inputs, self._size))

    def unbatch(self, output: list[str]) -> list[str]:
        return output

    def encode_response(self, output: str) -> dict[str, str]:
        return {"text": output}


if __name__ == "__main__":
    windows, folder, model, batch, timeout, port = sys.argv[1:]
    api = Transcriber(windows, Path(folder), model, int(batch), float(timeout))
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=WORKERS, timeout=False)
    server.run(host="127.0.0.1", port=int(port), num_api_servers=1, generate_client_file=False, log_level="warning")
