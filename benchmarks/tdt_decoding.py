"""How much faster aural decodes NeMo's models than onnx-asr does, from the same files, in one run, on the same cores.

    python -m benchmarks.tdt_decoding [--size parakeet] [--kind tdt] [--batches 1,8,32] [--end-to-end] [--write]

Bars: at least 5 times as fast at batch 32, never slower at 1. Both get the same encoder output (with --end-to-end the
same audio), utterances of 2 to 15 s, and must give the same tokens and times, or the run stops. They take turns, each
round both, and the best round of each counts: what disturbs a machine only ever makes it slower. The weights are random
(nemo_models.py); --size says how large the decoder is. --write puts the table into docs/parakeet.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_asr
import onnxruntime
from numpy.typing import NDArray

from aural.engines import parakeet
from aural.engines.base import ModelSpec
from aural.types import SAMPLE_RATE
from benchmarks.nemo_models import SIZES, write_random

PAGE = Path(__file__).parents[1] / "docs" / "parakeet.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- decoding: begin -->\n", "<!-- decoding: end -->\n"
SHORTEST_S, LONGEST_S = 2, 15
FASTER_AT, BAR_FASTER = 32, 5.0
NEVER_SLOWER_AT, BAR_NEVER_SLOWER = 1, 1.0
MORE_ROUNDS_BELOW = 8
"""Smaller batches take so many times as many rounds, for they are soon over."""
Heard = list[tuple[list[int], list[int]]]
"""Tokens and frames of each utterance."""


@dataclass(frozen=True)
class Result:
    size: str
    kind: str
    batch: int
    audio_s: float
    tokens: int
    ours_s: float
    theirs_s: float

    @property
    def ratio(self) -> float:
        return self.theirs_s / self.ours_s

    @property
    def verdict(self) -> str:
        """Empty where no bar is set."""
        bar = {FASTER_AT: BAR_FASTER, NEVER_SLOWER_AT: BAR_NEVER_SLOWER}.get(self.batch)
        return "" if bar is None else f"{'cleared' if self.ratio >= bar else 'MISSED'}: {bar:g}"

    @property
    def row(self) -> str:
        cells = (
            *(self.size, self.kind, str(self.batch), f"{self.audio_s:.0f} s", str(self.tokens)),
            *(f"{1000 * self.theirs_s:.1f} ms", f"{1000 * self.ours_s:.1f} ms", f"{self.ratio:.1f}", self.verdict),
        )
        return f"| {' | '.join(cells)} |"


class Arms:
    """Both decoders over the same files."""

    def __init__(self, folder: Path, kind: str, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        providers = ["CPUExecutionProvider"]
        self.theirs = onnx_asr.load_model(f"nemo-conformer-{kind}", folder, sess_options=options, providers=providers)
        self.ours = parakeet.load(ModelSpec("nemo", "parakeet", folder, compute_type="auto", threads=threads))

    def end_to_end(self, audios: Sequence[NDArray[np.float32]]) -> tuple[Callable[[], Heard], Callable[[], Heard]]:
        """Audio to tokens, by each."""
        timed = self.theirs.with_timestamps()
        names = {piece: token for token, piece in enumerate(self.ours._vocabulary.pieces)}

        def theirs() -> Heard:
            results = timed.recognize(list(audios))
            frame_s = 0.01 * self.theirs.asr._subsampling_factor
            return [
                (
                    [names[piece] for piece in one.tokens],
                    np.rint(np.array(one.timestamps) / frame_s).astype(int).tolist(),
                )
                for one in results
            ]

        return lambda: _plain(self.ours._hear(audios)), theirs

    def decoding(self, audios: Sequence[NDArray[np.float32]]) -> tuple[Callable[[], Heard], Callable[[], Heard]]:
        """What the encoder made of the audio to tokens, by each; log-probabilities are asked of both."""
        batch, lengths = parakeet.stack([parakeet.log_mel(one, self.ours._bands) for one in audios])
        encoded, counts = self.ours._model.encode(batch, lengths)
        encoded = np.ascontiguousarray(encoded)

        def theirs() -> Heard:
            results = self.theirs.asr._decoding(encoded, counts, need_logprobs="yes")
            return [([int(token) for token in tokens], [int(time) for time in times]) for tokens, times, _ in results]

        return lambda: _plain(self.ours._model.decode(encoded, counts)), theirs


def _plain(heard: Sequence[Any]) -> Heard:
    return [(one.tokens.tolist(), one.starts.tolist()) for one in heard]


def sounds(count: int) -> list[NDArray[np.float32]]:
    """Noise of several lengths and levels: to random weights as good as speech."""
    rng = np.random.default_rng(count)
    lengths = rng.integers(SHORTEST_S * SAMPLE_RATE, LONGEST_S * SAMPLE_RATE, count)
    return [swells(rng.normal(0, 0.1, length)).astype(np.float32) for length in lengths]


def swells(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise that comes and goes like syllables."""
    louder: NDArray[np.float64] = noise * np.abs(np.sin(np.arange(len(noise)) * (4 * np.pi / SAMPLE_RATE)))
    return louder


def compare(arms: Arms, wanted: argparse.Namespace, batch: int) -> Result:
    """Raises ValueError when the two do not hear the same."""
    audios = sounds(batch)
    ours, theirs = (arms.end_to_end if wanted.end_to_end else arms.decoding)(audios)
    heard = ours()
    if heard != theirs():
        raise ValueError(f"expected the same tokens and times of both at batch {batch}")
    rounds = wanted.rounds * max(1, MORE_ROUNDS_BELOW // batch)
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
    best = [min(column) for column in zip(*times, strict=True)]
    audio_s = sum(map(len, audios)) / SAMPLE_RATE
    return Result(wanted.size, wanted.kind, batch, audio_s, sum(len(tokens) for tokens, _ in heard), *best)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(results: Sequence[Result], what: str, threads: int) -> str:
    head = ("size", "kind", "batch", "audio", "tokens", "onnx-asr", "aural", "times faster", f"bar, {what}")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *(one.row for one in results)]
    return "\n".join([*lines, "", f"{threads} thread(s) each, best of the rounds, `benchmarks/tdt_decoding.py`.", ""])


def write(page: Path, text: str) -> None:
    """Put a table between the marks of the page."""
    before, _, rest = page.read_text().partition(TABLE_BEGINS)
    _, _, after = rest.partition(TABLE_ENDS)
    page.write_text(before + TABLE_BEGINS + text + TABLE_ENDS + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="parakeet")
    parser.add_argument("--kind", choices=["ctc", "rnnt", "tdt"], default="tdt")
    parser.add_argument("--batches", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--end-to-end", action="store_true", help="audio to tokens, not encoder output to tokens")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arms = Arms(write_random(Path(folder), wanted.kind, SIZES[wanted.size]), wanted.kind, wanted.threads)
        results = [compare(arms, wanted, int(batch)) for batch in wanted.batches.split(",")]
    text = table(results, "end to end" if wanted.end_to_end else "decoding alone", wanted.threads)
    print(text)
    if wanted.write:
        write(PAGE, text)


if __name__ == "__main__":
    main()
