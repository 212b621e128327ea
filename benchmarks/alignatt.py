"""When the words of live speech may be committed: LocalAgreement-2 beside AlignAtt, same weights, by simulated clock.

    python -m benchmarks.alignatt [--model whisper-tiny.en] [--clips 80] [--step 0.6] [--margins 0.2,0.4,0.8]

Each recording is heard again and again as it grows, and once more whole when it has ended. LocalAgreement-2 (Macháček
et al. 2023) commits what two hypotheses in a row agree on. AlignAtt (Papi et al. 2023, as in SimulStreaming) makes the
decoder go on from the committed words and commits those whose tokens attend to frames further than a margin from the
end of the audio. `commits` is from the end of a word to when it is committed; `hearing` is processor time per
hypothesis.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
from rich.progress import track

from aural.bench import clips, stream
from aural.bench.clips import Item, Utterance
from aural.bench.stream import Shown
from aural.engines import base, catalog, guard
from aural.engines.base import ModelSpec
from aural.engines.whisper import WhisperEngine, _budget
from aural.engines.whisper_take import Take
from aural.engines.whisper_text import token_starts
from aural.live.stabilizer import Stabilizer, tokens, written
from aural.types import SAMPLE_RATE, Clip, Options, Samples

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 13 * SAMPLE_RATE
"""What the server hears at once."""
HEARING_S = 0.2
"""From asking for a hypothesis to having it, in the simulated clock."""
ENDPOINT_S = 0.5


class Policy(Protocol):
    """One recording, as it grows."""

    def hear(self, samples: Samples, *, is_last: bool) -> str:
        """Everything that is committed after hearing these samples; everything there is, after the last."""
        ...


class LocalAgreement:
    def __init__(self, engine: WhisperEngine) -> None:
        self._engine = engine
        self._stabilizer = Stabilizer()
        self._text = ""

    def hear(self, samples: Samples, *, is_last: bool) -> str:
        [heard] = self._engine.transcribe([Clip(samples, Options(language="en"), is_draft=not is_last)])
        found = tokens(heard)
        growth = self._stabilizer.settle(found) if is_last else self._stabilizer.hear(found, len(samples)).growth
        self._text += written(growth)
        return self._text


class AlignAtt:
    """It goes behind the engine's door: no caller of the server can make its decoder go on from a text."""

    def __init__(self, engine: WhisperEngine, margin_s: float) -> None:
        self._engine = engine
        self._margin = round(margin_s * SAMPLE_RATE)
        self._committed: list[int] = []

    def hear(self, samples: Samples, *, is_last: bool) -> str:
        take = self._engine._take(Clip(samples, Options(language="en")))
        self._engine._encode([take], fitted=True)
        heard = self._go_on(take)
        if is_last:
            self._committed = heard
        elif len(heard) > len(self._committed) and not guard.repeats_itself(take.tokenizer.decode(heard)):
            self._committed = heard[: self._safe(take, heard)]
        return str(take.tokenizer.decode(self._committed))

    def _go_on(self, take: Take) -> list[int]:
        prompt = [*self._engine._prompt(take), *self._committed]
        stack = self._engine._stack([take])
        [result] = self._engine._model.generate(stack, [prompt], beam_size=1, max_length=2 * _budget(take))
        return [token for token in result.sequences_ids[0] if token < take.tokenizer.eot]

    def _safe(self, take: Take, heard: list[int]) -> int:
        """How many of the tokens make whole words that attend to nothing within the margin."""
        starts = token_starts(self._engine._align(take, heard).alignments, len(heard))
        _, groups = take.tokenizer.split_to_word_tokens([*heard, take.tokenizer.eot])
        safe = len(self._committed)
        for end in accumulate(len(group) for group in groups[:-1]):
            if starts[end - 1] > len(take.clip) - self._margin:
                break
            safe = max(safe, end)
        return safe


@dataclass
class Found:
    """What one policy did to all recordings."""

    lags_s: list[float]
    errors: float = 0.0
    words: int = 0
    hearings: int = 0
    cpu_s: float = 0.0

    def add(self, item: Item, policy: Policy, step_s: float) -> None:
        shown = list(self._played(item, policy, step_s))
        measured = stream.measure(stream.align(item), item.text, shown)
        self.lags_s += measured.emission_s
        self.errors += measured.errors
        self.words += measured.words

    def _played(self, item: Item, policy: Policy, step_s: float) -> Iterator[Shown]:
        samples = item.pcm.astype(np.float32) / 32_768
        for end_s in np.arange(step_s, item.duration_s, step_s):
            heard = self._timed(policy, samples[: round(end_s * SAMPLE_RATE)], is_last=False)
            yield Shown(float(end_s) + HEARING_S, item.name, heard)
        heard = self._timed(policy, samples, is_last=True)
        yield Shown(item.duration_s + ENDPOINT_S + HEARING_S, item.name, heard, kind="final")

    def _timed(self, policy: Policy, samples: Samples, *, is_last: bool) -> str:
        begun = time.process_time()
        text = policy.hear(samples, is_last=is_last)
        self.cpu_s += time.process_time() - begun
        self.hearings += 1
        return text

    def row(self, name: str) -> str:
        p50, p95 = np.percentile(self.lags_s, [50, 95])
        wer, cost_ms = 100 * self.errors / self.words, 1000 * self.cpu_s / self.hearings
        return f"| {name} | {p50:.2f} | {p95:.2f} | {wer:.1f} % | {cost_ms:.0f} ms |"


def items(audio: Path, count: int) -> Sequence[Item]:
    fitting: list[Utterance] = [one for one in clips.read_utterances(audio) if 2 * SAMPLE_RATE < len(one) <= LONGEST]
    chosen = fitting[:: max(1, len(fitting) // count)][:count]
    return [Item(one.name, one.text, (one.sound,), 1.0) for one in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--step", type=float, default=0.6, help="seconds of new speech to a hypothesis")
    parser.add_argument("--margins", default="0.2,0.4,0.8", help="of AlignAtt, in seconds")
    parser.add_argument("--audio", type=Path, default=clips.find_audio(ROOT))
    options = parser.parse_args()
    card = catalog.find(options.model)
    engine = base.load(ModelSpec(card.name, card.family, card.fetch(), card.sha256, threads=1, fitted_windows=True))
    assert isinstance(engine, WhisperEngine)
    chosen = items(options.audio, options.clips)
    print("| policy | commits p50 s | commits p95 s | WER | hearing |\n| --- | --- | --- | --- | --- |")
    policies: dict[str, Callable[[], Policy]] = {"LocalAgreement-2": partial(LocalAgreement, engine)}
    policies |= {
        f"AlignAtt, {margin} s": partial(AlignAtt, engine, float(margin)) for margin in options.margins.split(",")
    }
    for name, begin in policies.items():
        found = Found([])
        for item in track(chosen, name):
            found.add(item, begin(), options.step)
        print(found.row(name), flush=True)


if __name__ == "__main__":
    main()
