"""Workloads of real speech with known text: utterances joined to a wanted length, and utterances as they are."""

from __future__ import annotations

import json
import random
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
PAUSE = int(0.3 * RATE)
"""Silence between two joined utterances, in samples."""
KINDS = ("read", "conversation", "telephone")
MIX_S = (1.0, 28.0)
LONG = "long"
LEAST_ITEMS = 40
LEAST_FILLED = 0.8
"""Share of a built item that recordings must fill; the rest is silence at its end."""
STRATA = 10
REUSE_TRIES = 2_000

Pcm16 = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """One recording, never cut."""

    name: str
    text: str
    pcm: Pcm16
    """int16, shape (n,), mono, 16 kHz."""

    def __len__(self) -> int:
        return len(self.pcm)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """The audio of one request and what is said in it."""

    name: str
    text: str
    pcm: Pcm16
    speech_share: float
    """Share of the audio that is recording, the rest being pauses and the silence that pads the end."""

    @property
    def duration_s(self) -> float:
        return len(self.pcm) / RATE

    @property
    def wav(self) -> bytes:
        file = BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(self.pcm.tobytes())
        return file.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    name: str
    items: tuple[Item, ...]
    """In the order in which they are asked for, the same for every arm."""

    def order(self, start: int) -> list[int]:
        """Indices of all items from `start` on, going round."""
        count = len(self.items)
        return [(start + i) % count for i in range(count)]


def find_audio(start: Path) -> Path | None:
    """The folder with manifest.jsonl: shared/audio beside the repository or beside a folder above it."""
    for folder in (start, *start.resolve().parents):
        if (folder / "shared" / "audio" / "manifest.jsonl").is_file():
            return folder / "shared" / "audio"
    return None


def read_utterances(audio: Path) -> list[Utterance]:
    """English single recordings with a text that can be trusted, each text once."""
    texts: set[str] = set()
    utterances = []
    for line in (audio / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        text = " ".join(entry["text"].lower().split())
        if _usable(entry) and text not in texts:
            texts.add(text)
            utterances.append(Utterance(Path(entry["file"]).stem, entry["text"], decode(audio / entry["file"])))
    return utterances


def read_long(audio: Path) -> Workload:
    """The longest English recording, as the only item of the workload `long`."""
    entries = map(json.loads, (audio / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    longest = max((e for e in entries if e["language"] == "en" and e["kind"] == "long"), key=lambda e: e["duration_s"])
    item = Item(Path(longest["file"]).stem, longest["text"], decode(audio / longest["file"]), 1.0)
    return Workload(LONG, (item,))


def _usable(entry: dict[str, Any]) -> bool:
    doubtful = any(entry.get(mark) for mark in ("flag", "digits", "derived_from", "same_text_as", "reference_quality"))
    return entry["language"] == "en" and entry["kind"] in KINDS and not doubtful


def decode(path: Path) -> Pcm16:
    """Any audio file as int16, mono, 16 kHz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        chunks = [chunk.to_ndarray()[0] for frame in frames for chunk in resampler.resample(frame)]
    return np.concatenate(chunks).astype(np.int16)


def build(name: str, utterances: Sequence[Utterance], seed: int = 7) -> Workload:
    """The workload called `name`: `mix`, or a length in whole seconds."""
    rng = random.Random(f"{name} {seed}")
    if name == "mix":
        low, high = (int(limit * RATE) for limit in MIX_S)
        items = [Item(u.name, u.text, u.pcm, 1.0) for u in utterances if low <= len(u) <= high]
    else:
        length = int(name) * RATE
        items = [join(group, length) for group in groups(utterances, length, rng)]
    return Workload(name, tuple(stratify(items, rng)))


def groups(utterances: Sequence[Utterance], length: int, rng: random.Random) -> list[list[Utterance]]:
    """Groups that fill `length` samples well. Every utterance goes once; short ones go again, in other company, only
    while there are too few groups."""
    left = sorted((u for u in utterances if len(u) <= length), key=len, reverse=True)
    found = []
    while left:
        group = _fill(left, length)
        left = [u for u in left if u not in group]
        found.append(group)
    full = [group for group in found if _span(group) >= LEAST_FILLED * length]
    seen = {frozenset(u.name for u in group) for group in full}
    pool = [u for u in utterances if len(u) <= length]
    for _ in range(REUSE_TRIES if len(full) < LEAST_ITEMS else 0):
        group = _fill(rng.sample(pool, min(12, len(pool))), length)
        names = frozenset(u.name for u in group)
        if _span(group) >= LEAST_FILLED * length and names not in seen:
            seen.add(names)
            full.append(group)
        if len(full) == LEAST_ITEMS:
            break
    return full


def _fill(candidates: Sequence[Utterance], length: int) -> list[Utterance]:
    """The first candidate, then always the longest that still fits."""
    group: list[Utterance] = []
    for utterance in candidates:
        if _span([*group, utterance]) <= length:
            group.append(utterance)
    return group


def _span(group: Sequence[Utterance]) -> int:
    return sum(len(u) for u in group) + PAUSE * (len(group) - 1)


def join(group: Sequence[Utterance], length: int) -> Item:
    """Utterances with a pause between two, and silence at the end up to `length` samples."""
    pcm = np.zeros(length, np.int16)
    at = 0
    for utterance in group:
        pcm[at : at + len(utterance)] = utterance.pcm
        at += len(utterance) + PAUSE
    share = sum(len(u) for u in group) / length
    return Item("+".join(u.name for u in group), " ".join(u.text for u in group), pcm, share)


def stratify(items: Sequence[Item], rng: random.Random) -> Iterator[Item]:
    """A shuffled order in which any short run has short and long items in their true proportion."""
    by_length = sorted(items, key=lambda item: len(item.pcm))
    strata = [by_length[i * len(items) // STRATA : (i + 1) * len(items) // STRATA] for i in range(STRATA)]
    for stratum in strata:
        rng.shuffle(stratum)
    while any(strata):
        rng.shuffle(strata)
        yield from (stratum.pop() for stratum in strata if stratum)
