"""Train the small TDT model of tests/data/nemo-digits, which hears English digits, on synthetic speech.

    apt-get install espeak-ng
    python -m venv digits && digits/bin/pip install torch onnx av platformdirs
    PYTHONPATH=src:. digits/bin/python scripts/train_digits.py tests/data/nemo-digits [--steps 2500]

About 15 minutes on two cores. espeak-ng says digits in many voices; they are put one after another with pauses, noise,
echo and telephone bands, so that the place of each word is known. Hence no transducer loss is needed: the network is
taught, for every frame around the right path, whether to say the next token there or how long to wait for it.
"""

from __future__ import annotations

import argparse
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aural.audio.decode import decode
from aural.engines.parakeet_features import HOP, log_mel
from aural.types import SAMPLE_RATE, Samples
from benchmarks.nemo_models import DURATIONS, KERNEL, LSTM_LAYERS, SUBSAMPLING, Size, Weights, write

SPELLING = {
    **{"zero": ("\u2581ze", "ro"), "one": ("\u2581one",), "two": ("\u2581two",), "three": ("\u2581th", "ree")},
    **{"four": ("\u2581fo", "ur"), "five": ("\u2581fi", "ve"), "six": ("\u2581six",), "seven": ("\u2581se", "ven")},
    **{"eight": ("\u2581eight",), "nine": ("\u2581nine",)},
}
PIECES = [piece for word in SPELLING.values() for piece in word]
BLANK = len(PIECES)
_OTHER_WORDS = (
    "hello goodbye yes no maybe please thanks stop start house garden river mountain window table water people "
    "because another morning evening question answer letter number music country father mother the and of with"
)
OTHER_WORDS = _OTHER_WORDS.split()
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbcwmd", "en-029")
_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 adam alex andy anika belinda benjamin boris david ed edward iven john "
    "linda marco mike paul rob robert steph travis victor zac Annie Denis Gene Jacky Lee Alicia Andrea Hugo Michael"
)
VARIANTS = _VARIANTS.split()
SPEAKERS, LESSONS, BATCH = 120, 4000, 24
MASKED_BANDS = 12
"""Of SpecAugment (Park et al. 2019): so many bands at most are hidden from each clip."""
TAUGHT_AT = {1: (0.45,), 2: (0.3, 0.75)}
"""Where in a word its pieces are said, as shares of its length."""
FRAME_SAMPLES = SUBSAMPLING * HOP
EARLY, LATE = 1, 2
"""Frames before and after the right path that are taught too, so that small errors heal."""
SIZE = Size(bands=80, dim=128, layers=3, units=48, tokens=len(PIECES))


@dataclass(frozen=True)
class Lesson:
    """Log-mel features of audio, and what is said in it: tokens and the encoder frames to say them at."""

    features: Samples
    tokens: list[int]
    frames: list[int]


def speak(word: str, voice: str, speed: int, pitch: int) -> Samples:
    """A word by espeak-ng, without the silence around it."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    heard = decode(subprocess.run(command, capture_output=True, check=True).stdout, limit_s=10).samples
    loud = np.flatnonzero(np.abs(heard) > 0.02 * np.abs(heard).max())
    return heard[loud[0] : loud[-1] + 1]


def speakers(count: int, rng: np.random.Generator) -> list[dict[str, Samples]]:
    """Every word, as each of so many speakers says it."""

    def lexicon(voice: str, speed: int, pitch: int) -> dict[str, Samples]:
        return {word: speak(word, voice, speed, pitch) for word in (*SPELLING, *OTHER_WORDS)}

    chosen = [
        (f"{rng.choice(VOICES)}+{rng.choice(VARIANTS)}", int(rng.integers(110, 210)), int(rng.integers(25, 75)))
        for _ in range(count)
    ]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: lexicon(*one), chosen))


def lesson(lexicon: dict[str, Samples], rng: np.random.Generator) -> Lesson:
    """Some words in a row, mostly digits, in a room."""
    parts: list[Samples] = [np.zeros(rng.integers(0, SAMPLE_RATE), np.float32)]
    tokens: list[int] = []
    times: list[float] = []
    for _ in range(rng.integers(0, 7)):
        digit = rng.random() < 0.85
        word = str(rng.choice(list(SPELLING) if digit else OTHER_WORDS))
        audio = stretched(lexicon[word], rng.uniform(0.85, 1.2)) * rng.uniform(0.5, 1)
        start = sum(map(len, parts))
        if digit:
            pieces = SPELLING[word]
            tokens += [PIECES.index(piece) for piece in pieces]
            times += [start + share * len(audio) for share in TAUGHT_AT[len(pieces)]]
        pause = (
            rng.integers(0, SAMPLE_RATE) if rng.random() < 0.5 else rng.integers(SAMPLE_RATE // 100, SAMPLE_RATE // 5)
        )
        parts += [audio, np.zeros(pause, np.float32)]
    parts.append(np.zeros(rng.integers(SAMPLE_RATE // 5, SAMPLE_RATE), np.float32))
    frames = [int(time // FRAME_SAMPLES) for time in times]
    return Lesson(log_mel(in_a_room(np.concatenate(parts), rng), SIZE.bands), tokens, frames)


def stretched(samples: Samples, by: float) -> Samples:
    places = np.arange(0, len(samples) - 1, 1 / by)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def in_a_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """With echo, perhaps through a telephone, and with noise."""
    size = 1 << (len(samples) - 1).bit_length()  # a length that is fast to transform
    hertz = np.linspace(0, SAMPLE_RATE / 2, size // 2 + 1)
    spectrum = np.fft.rfft(samples, size) * (1 + hertz / 1000) ** rng.uniform(-0.7, 0.7)
    if rng.random() < 0.4:
        tail = rng.normal(0, 0.1, 2400) * np.exp(-np.arange(2400) / rng.uniform(200, 900))
        spectrum *= 1 + np.fft.rfft(tail, size)
    if rng.random() < 0.35:
        spectrum[(hertz > rng.uniform(3200, 4000)) | (hertz < rng.uniform(0, 300))] = 0
    heard = np.fft.irfft(spectrum, size)[: len(samples)]
    noise = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, size)) * (1 + hertz / 500) ** -rng.uniform(0, 1), size)
    level = (np.sqrt(np.mean(heard**2)) + 1e-3) / np.std(noise) * 10 ** rng.uniform(-3, -0.4)
    quiet = rng.random() < 0.3  # many recordings have digital silence in them
    return np.asarray((heard if quiet else heard + noise[: len(samples)] * level) * rng.uniform(0.05, 1), np.float32)


class Network(nn.Module):
    """The networks that benchmarks/nemo_models.py writes."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.subsample = nn.Conv1d(size.bands, size.dim, SUBSAMPLING, SUBSAMPLING)
        self.context = nn.ModuleList(
            nn.Conv1d(size.dim, size.dim, KERNEL, padding=KERNEL // 2) for _ in range(size.layers)
        )
        self.embedding = nn.Embedding(size.tokens + 1, size.units, padding_idx=size.tokens)
        self.lstm = nn.LSTM(size.units, size.units, LSTM_LAYERS, batch_first=True)
        self.encoder = nn.Linear(size.dim, size.units)
        self.prediction = nn.Linear(size.units, size.units)
        self.output = nn.Linear(size.units, size.tokens + 1 + DURATIONS)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (clips, frames, tokens + 1, outputs) of features (clips, bands, frames) and tokens (clips, tokens)."""
        x = self.subsample(functional.pad(features, (0, SUBSAMPLING - 1)))
        valid = torch.arange(x.shape[2]) < ((lengths - 1) // SUBSAMPLING + 1)[:, None]
        x = x * valid[:, None]
        for layer in self.context:
            x = (x + functional.dropout(functional.relu(layer(x)), 0.1, self.training)) * valid[:, None]
        start = torch.full((len(tokens), 1), BLANK)
        predicted, _ = self.lstm(self.embedding(torch.cat([start, tokens], 1)))
        both = self.encoder(x.transpose(1, 2))[:, :, None] + self.prediction(predicted)[:, None]
        return self.output(functional.relu(both))


def targets(one: Lesson, frames: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Token and duration for each (frame, tokens so far); -1 where nothing is taught."""
    said, lasts = np.full(shape, -1), np.full(shape, -1)
    places = [0, *one.frames, frames]
    for count, (before, now) in enumerate(pairwise(places)):
        final = count == len(one.tokens)
        after = frames if final else places[count + 2]
        for t in range(max(0, before - EARLY if count else 0), min(frames, now + LATE + 1)):
            speaks = not final and t >= now
            if speaks and t > now and t >= after:
                break
            said[t, count] = one.tokens[count] if speaks else BLANK
            lasts[t, count] = np.clip((after if speaks else now) - t, 0 if speaks else 1, DURATIONS - 1)
    return said, lasts


def batch(lessons: list[Lesson]) -> tuple[torch.Tensor, ...]:
    features = [one.features for one in lessons]
    lengths = np.array([one.shape[1] for one in features])
    audio = np.zeros((len(lessons), SIZE.bands, lengths.max()), np.float32)
    tokens = np.full((len(lessons), max(len(one.tokens) for one in lessons)), 0)
    shape = (len(lessons), -(-int(lengths.max()) // SUBSAMPLING), tokens.shape[1] + 1)
    said, lasts = np.full(shape, -1), np.full(shape, -1)
    for i, (one, heard) in enumerate(zip(lessons, features, strict=True)):
        audio[i, :, : heard.shape[1]] = heard
        tokens[i, : len(one.tokens)] = one.tokens
        said[i], lasts[i] = targets(one, -(-heard.shape[1] // SUBSAMPLING), shape[1:])
    return tuple(map(torch.from_numpy, (audio, lengths, tokens, said, lasts)))


def train(network: Network, lessons: list[Lesson], steps: int, rng: np.random.Generator) -> None:
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, steps)
    for step in range(steps):
        audio, lengths, tokens, said, lasts = batch([lessons[i] for i in rng.integers(0, len(lessons), BATCH)])
        low = rng.integers(0, SIZE.bands, BATCH)
        for clip, first in zip(audio, low.tolist(), strict=True):
            clip[first : first + int(rng.integers(0, MASKED_BANDS))] = 0
        logits = network(audio, lengths, tokens)
        words = functional.cross_entropy(logits[..., : BLANK + 1].flatten(0, 2), said.flatten(), ignore_index=-1)
        times = functional.cross_entropy(logits[..., BLANK + 1 :].flatten(0, 2), lasts.flatten(), ignore_index=-1)
        optimiser.zero_grad()
        (words + 0.3 * times).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step}: tokens {words.item():.4f}, durations {times.item():.4f}", flush=True)


def exported(network: Network) -> Weights:
    """The weights by the names of benchmarks/nemo_models.py, the LSTM's gates in ONNX's order."""
    weights = {name: value.detach().numpy() for name, value in network.named_parameters()}

    def gates(name: str) -> np.ndarray:
        entry, forget, cell, output = np.split(weights[name], 4)
        return np.concatenate([entry, output, forget, cell])

    named = {f"subsample.{part}": weights[f"subsample.{part}"] for part in ("weight", "bias")}
    for part in ("weight", "bias"):
        named |= {f"context{i}.{part}": weights[f"context.{i}.{part}"] for i in range(SIZE.layers)}
        named |= {f"joint.{name}.{part}": weights[f"{name}.{part}"] for name in ("encoder", "prediction", "output")}
    named["embedding"] = weights["embedding.weight"]
    for i in range(LSTM_LAYERS):
        named |= {f"lstm{i}.input": gates(f"lstm.weight_ih_l{i}"), f"lstm{i}.hidden": gates(f"lstm.weight_hh_l{i}")}
        named[f"lstm{i}.bias"] = gates(f"lstm.bias_ih_l{i}") + gates(f"lstm.bias_hh_l{i}")
    return named


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--speakers", type=int, default=SPEAKERS)
    wanted = parser.parse_args()
    torch.manual_seed(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    network = Network(SIZE)
    pool = speakers(wanted.speakers, rng)
    lessons = [lesson(pool[i % len(pool)], rng) for i in range(LESSONS)]
    train(network, lessons, wanted.steps, rng)
    print(write(wanted.folder, "tdt", exported(network.eval()), PIECES, languages=["en"]))


if __name__ == "__main__":
    main()
