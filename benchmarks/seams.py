"""Where to cut audio that is longer than one pass: in pauses, or in overlapping windows whose words are merged by time?

    python -m benchmarks.seams [--model whisper-tiny.en] [--audio FOLDER] [--minutes 10] [--window-s 28] [--overlap-s 4]
    python -m benchmarks.seams --model digits=tests/data/nemo-digits --audio tests/data/nemo-digits --window-s 5 \
        --overlap-s 2 --minutes 3

One long file is made of whole utterances in random order, `--gap-s` apart, and heard in three ways by the same model:

    pauses   as the server does (aural/audio/cut.py): at the longest pause that voice activity detection finds
    overlap  a window every `window - overlap` seconds; two windows are joined at the word on whose time and text both
             agree, the nearest to the middle of what they share, or at that middle
    blunt    windows end to end, cut wherever they fall: what the other two have to mend

and scored by word error rate against the texts, letters in lower case. `heard` is what was encoded over what came:
overlap pays for its seams.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jiwer
import numpy as np
from numpy.typing import NDArray

from aural.audio.cut import cut
from aural.audio.span import Span
from aural.audio.vad import SileroVad
from aural.bench.clips import Utterance, find_audio, read_utterances
from aural.engines import base, catalog
from aural.types import SAMPLE_RATE, Clip, Options, Pcm, Timestamps, Word, samples

Samples = NDArray[np.float32]
SEED = 7
SAME_TIME_SAMPLES = SAMPLE_RATE // 4
"""Two windows mean the same word when its middles are this close."""
PCM16_SCALE = 32_768


@dataclass(frozen=True)
class Score:
    way: str
    seams: int
    heard: float
    """Audio encoded over audio that came."""
    errors: int
    words: int

    @property
    def row(self) -> str:
        rate = 100 * self.errors / self.words
        return f"| {self.way} | {self.seams} | {self.heard:.2f} | {self.errors} of {self.words} | {rate:.2f} % |"


def long_file(utterances: Sequence[Utterance], length_s: float, gap_s: float) -> tuple[Pcm, str]:
    """Audio of about that length and its text."""
    rng = random.Random(SEED)
    gap = np.zeros(samples(gap_s), np.float32)
    parts: list[Samples] = []
    texts: list[str] = []
    while sum(map(len, parts)) < length_s * SAMPLE_RATE:
        one = rng.choice(utterances)
        parts += [one.pcm.astype(np.float32) / PCM16_SCALE, gap]
        texts.append(one.text)
    return Pcm(np.concatenate(parts)), " ".join(texts)


def hear(engine: base.Engine, pcm: Pcm, spans: Sequence[Span], batch: int) -> list[list[Word]]:
    """The words of each span, in the clock of the file."""
    options = Options(language="en", timestamps=Timestamps.WORD)
    clips = [Clip(pcm.samples[span.start : span.end], options) for span in spans]
    heard = [one for at in range(0, len(clips), batch) for one in engine.transcribe(clips[at : at + batch])]
    return [
        [word.shifted(span.start) for segment in transcript.segments for word in segment.words]
        for span, transcript in zip(spans, heard, strict=True)
    ]


def windows(length: int, window: int, step: int) -> list[Span]:
    """Spans of `window` samples, one every `step`, the last one ending with the audio."""
    starts = range(0, max(1, length - (window - step)), step)
    return [Span(start, min(start + window, length)) for start in starts]


def merge(left: Sequence[Word], right: Sequence[Word], shared: Span) -> list[Word]:
    """The words of two windows that have `shared` in common: those of the left up to the seam, then the right's."""
    middle = (shared.start + shared.end) / 2
    agreed = [
        (abs(_middle(one) - middle), i + 1, j + 1)
        for i, one in enumerate(left)
        if _middle(one) >= shared.start
        for j, other in enumerate(right)
        if plain(one.text) == plain(other.text) and abs(_middle(one) - _middle(other)) <= SAME_TIME_SAMPLES
    ]
    if agreed:
        _, i, j = min(agreed)
        return [*left[:i], *right[j:]]
    return [*(word for word in left if _middle(word) < middle), *(word for word in right if _middle(word) >= middle)]


def _middle(word: Word) -> float:
    return (word.start + word.end) / 2


def plain(text: str) -> str:
    """Letters and digits in lower case. Not Whisper's normaliser: it takes digits in a row for one number."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def word_errors(text: str, heard: str) -> tuple[int, int]:
    """Substitutions, deletions and insertions, and the words of the text."""
    found = jiwer.process_words(plain(text), plain(heard))
    return found.substitutions + found.deletions + found.insertions, len(plain(text).split())


def merged(heard: Sequence[list[Word]], spans: Sequence[Span]) -> list[Word]:
    whole = list(heard[0])
    for (before, now), words in zip(pairwise(spans), heard[1:], strict=True):
        whole = merge(whole, words, Span(now.start, before.end))
    return whole


def compare(engine: base.Engine, pcm: Pcm, text: str, wanted: argparse.Namespace) -> list[Score]:
    window, overlap = samples(wanted.window_s), samples(wanted.overlap_s)
    search_s = min(8.0, wanted.window_s / 2)
    plans: dict[str, Sequence[Span]] = {
        "pauses": cut(pcm, SileroVad().speech_probabilities, longest_s=wanted.window_s, search_s=search_s),
        "overlap": windows(len(pcm), window, window - overlap),
        "blunt": windows(len(pcm), window, window),
    }
    scores = []
    for way, spans in plans.items():
        heard = hear(engine, pcm, spans, wanted.batch)
        words = merged(heard, spans) if way == "overlap" else [word for words in heard for word in words]
        errors, count = word_errors(text, " ".join(word.text for word in words))
        scores.append(Score(way, len(spans) - 1, sum(len(span) for span in spans) / len(pcm), errors, count))
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--audio", type=Path, help="manifest.jsonl, a folder with one, or files with NAME.txt beside")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--gap-s", type=float, default=0.1)
    parser.add_argument("--window-s", type=float, default=28)
    parser.add_argument("--overlap-s", type=float, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    wanted = parser.parse_args()
    audio = wanted.audio or find_audio(Path.cwd())
    if audio is None:
        parser.error("expected --audio, or shared/audio beside the repository")
    card = catalog.find(wanted.model)
    compute_type = "int8" if card.family == "whisper" else "auto"
    fitted = card.name in catalog.FITTED_WINDOWS
    engine = base.load(
        base.ModelSpec(
            *(card.name, card.family, card.fetch(), card.sha256),
            compute_type=compute_type,
            threads=wanted.threads,
            fitted_windows=fitted,
        )
    )
    pcm, text = long_file(read_utterances(audio), wanted.minutes * 60, wanted.gap_s)
    print("| cut | seams | heard | word errors | WER |", "| --- | --- | --- | --- | --- |", sep="\n")
    for score in compare(engine, pcm, text, wanted):
        print(score.row)


if __name__ == "__main__":
    main()
