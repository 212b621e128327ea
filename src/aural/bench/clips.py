"""Workloads of real speech with known text: utterances joined to a wanted length, and utterances as they are."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, cycle
from pathlib import Path
from typing import Any

import av
import numpy as np

from aural.bench import sounds
from aural.bench.records import Asked
from aural.bench.sounds import RATE, TRIPLE, Pcm16, Sound, silence
from aural.errors import BenchError

PAUSE = int(0.3 * RATE)
"""Silence between two joined utterances, in samples, and up to two more: all begin at a multiple of three, and so have
but one encoding in base64."""
SOUNDS = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".webm", ".aiff", ".aif"}
KINDS = ("read", "conversation", "telephone")
MIX_S = (1.0, 28.0)
LONG = "long"
LEAST_ITEMS = 40
LEAST_FILLED = 0.8
"""Share of a built item that recordings must fill; the rest is silence at its end."""
STRATA = 10
REUSE_TRIES = 2_000
FRESH_TRIES = 200
LARGEST_DRAW = 24
NOTHING: Pcm16 = np.zeros(0, np.int16)


@dataclass(frozen=True, eq=False)
class Utterance:
    """One recording, never cut."""

    name: str
    text: str
    pcm: Pcm16
    """int16, shape (n,), mono, 16 kHz."""

    def __len__(self) -> int:
        return len(self.pcm)

    @cached_property
    def sound(self) -> Sound:
        return Sound(self.pcm)


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """The audio of one request and what is said in it."""

    name: str
    text: str
    sounds: tuple[Sound, ...]
    speech_share: float
    """Share of the audio that is recording, the rest being pauses and the silence that pads the end."""
    spans: tuple[tuple[float, float, str], ...] = ()
    """Start and end in seconds, and text, of each utterance."""

    @property
    def asked(self) -> Asked:
        return Asked(self.name, self.text, self.duration_s, self.speech_share, self.spans)

    def __len__(self) -> int:
        """In samples."""
        return sum(map(len, self.sounds))

    @property
    def duration_s(self) -> float:
        return len(self) / RATE

    @property
    def pcm(self) -> Pcm16:
        """int16, shape (n,), mono, 16 kHz; put together when it is asked for."""
        return np.concatenate([NOTHING, *(sound.pcm for sound in self.sounds)])

    @property
    def wav(self) -> bytes:
        return b"".join(sounds.wav(self.sounds))


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


def read_utterances(audio: Path, language: str = "en") -> list[Utterance]:
    """Single recordings of a language with a text that can be trusted, each text once. `audio` is a manifest.jsonl
    (one object a line: file, text, language) or a folder with one, or a folder of audio files with NAME.txt beside."""
    manifest = audio / "manifest.jsonl" if audio.is_dir() else audio
    entries = _manifest(manifest) if manifest.is_file() else _beside(audio, language)
    texts: set[str] = set()
    utterances = []
    for entry in entries:
        text = " ".join(entry["text"].lower().split())
        if _usable(entry, language) and text and text not in texts:
            texts.add(text)
            path = manifest.parent / entry["file"]
            utterances.append(Utterance(path.stem, entry["text"], decode(path)))
    if not utterances:
        raise BenchError(f"expected recordings in {language!r} with known text in {audio}, found none")
    return utterances


def _manifest(path: Path) -> list[dict[str, Any]]:
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [
            {"language": "en", "kind": KINDS[0], **entry, "file": entry["file"], "text": entry["text"]}
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"expected lines of JSON with `file` and `text` in {path}: {error!r}") from error


def _beside(folder: Path, language: str) -> list[dict[str, Any]]:
    """Audio files that have their text in a file of the same name."""
    if not folder.is_dir():
        raise BenchError(f"expected a folder of recordings or a manifest.jsonl, got {folder}")
    return [
        {"file": path.name, "text": text.read_text(encoding="utf-8"), "language": language, "kind": KINDS[0]}
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SOUNDS and (text := path.with_suffix(".txt")).is_file()
    ]


def read_long(audio: Path) -> Workload:
    """The longest English recording, as the only item of the workload `long`."""
    return Workload(LONG, (max(read_all_long(audio), key=lambda item: item.duration_s),))


def read_all_long(audio: Path) -> list[Item]:
    """The long English recordings of the manifest in a folder."""
    return [
        Item(Path(entry["file"]).stem, entry["text"], (Sound(decode(audio / entry["file"])),), 1.0)
        for entry in _manifest(audio / "manifest.jsonl")
        if entry["language"] == "en" and entry["kind"] == LONG
    ]


def _usable(entry: dict[str, Any], language: str) -> bool:
    doubtful = any(entry.get(mark) for mark in ("flag", "digits", "derived_from", "same_text_as", "reference_quality"))
    return entry["language"] == language and entry["kind"] in KINDS and not doubtful


def decode(path: Path) -> Pcm16:
    """Any audio file as int16, mono, 16 kHz."""
    try:
        return _decode(path)
    except (av.FFmpegError, OSError, IndexError, ValueError) as error:
        raise BenchError(f"expected audio in {path}: {error}") from error


def _decode(path: Path) -> Pcm16:
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        frames = [*container.decode(audio=0), None]
        chunks = [chunk.to_ndarray()[0] for frame in frames for chunk in resampler.resample(frame)]
    return np.concatenate(chunks).astype(np.int16)


def build(name: str, utterances: Sequence[Utterance], seed: int = 7) -> Workload:
    """The workload called `name`: `mix`, or a length in whole seconds."""
    rng = random.Random(f"{name} {seed}")
    if name == "mix":
        items = [Item(u.name, u.text, (u.sound,), 1.0) for u in fitting(name, utterances)]
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


def fitting(workload: str, utterances: Sequence[Utterance]) -> list[Utterance]:
    """Those that a workload can take: of the lengths of the mix, or not longer than an item."""
    low, high = (int(limit * RATE) for limit in MIX_S) if workload == "mix" else (0, round(float(workload) * RATE))
    return [u for u in utterances if low <= len(u) <= high]


def distinct(workload: str, utterances: Sequence[Utterance], seed: int) -> Iterator[Item]:
    """Items without end, no two of the same utterances in the same order as long as the recordings allow it. `workload`
    is a length in seconds or `mix`, which is single utterances as they are and then begins again."""
    rng = random.Random(f"{workload} {seed}")
    if workload == "mix":
        items = build("mix", utterances, seed).items
        if not items:
            raise BenchError(f"expected recordings of {MIX_S[0]:g} to {MIX_S[1]:g} s, found none")
        yield from cycle(items)
    length = round(float(workload) * RATE)
    pool = fitting(workload, utterances)
    chances = list(accumulate(map(len, pool)))  # each second of speech is as likely as any other
    seen: set[tuple[str, ...]] = set()
    while True:
        group = _fresh(pool, chances, length, rng, seen)
        seen.add(tuple(u.name for u in group))
        yield join(group, length)


def _fresh(
    pool: Sequence[Utterance], chances: Sequence[int], length: int, rng: random.Random, seen: set[tuple[str, ...]]
) -> list[Utterance]:
    """A group that fills `length` and was not seen; a seen one when there seem to be no others."""
    again: list[Utterance] = []
    for _ in range(FRESH_TRIES if pool else 0):
        (first,) = rng.choices(pool, cum_weights=chances)
        others = (u for u in rng.sample(pool, min(LARGEST_DRAW, len(pool))) if u is not first)
        group = _fill([first, *sorted(others, key=len, reverse=True)], length)  # as few seams as may be
        if _span(group) >= LEAST_FILLED * length:
            again = group
            if tuple(u.name for u in group) not in seen:
                return group
    if not again:
        raise BenchError(
            f"expected recordings that fill {length / RATE:g} s to {LEAST_FILLED:.0%}, tried {FRESH_TRIES} groups of "
            f"{len(pool)} that are short enough"
        )
    return again


def _fill(candidates: Sequence[Utterance], length: int) -> list[Utterance]:
    """The first candidate, then always the longest that still fits."""
    group: list[Utterance] = []
    at = 0
    for utterance in candidates:
        end = at + len(utterance)
        if end <= length:
            group.append(utterance)
            at = _after(end)
    return group


def _after(end: int) -> int:
    """Where the next utterance begins."""
    return end + PAUSE + -(end + PAUSE) % TRIPLE


def _span(group: Sequence[Utterance]) -> int:
    end = 0
    for utterance in group:
        end = (_after(end) if end else 0) + len(utterance)
    return end


def join(group: Sequence[Utterance], length: int) -> Item:
    """Utterances with a pause between two, and silence at the end up to `length` samples."""
    parts: list[Sound] = []
    spans = []
    end = 0
    for utterance in group:
        at = _after(end) if parts else 0
        parts += [*silence(at - end), utterance.sound]
        end = at + len(utterance)
        spans.append((at / RATE, end / RATE, utterance.text))
    parts += silence(length - end)
    share = sum(map(len, group)) / length
    return Item("+".join(u.name for u in group), " ".join(u.text for u in group), tuple(parts), share, tuple(spans))


def stratify(items: Sequence[Item], rng: random.Random) -> Iterator[Item]:
    """A shuffled order in which any short run has short and long items in their true proportion."""
    by_length = sorted(items, key=len)
    strata = [by_length[i * len(items) // STRATA : (i + 1) * len(items) // STRATA] for i in range(STRATA)]
    for stratum in strata:
        rng.shuffle(stratum)
    while any(strata):
        rng.shuffle(strata)
        yield from (stratum.pop() for stratum in strata if stratum)
