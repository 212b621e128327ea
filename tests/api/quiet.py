"""Sounds in which nobody speaks, made here: silence, noise, and what callers hear while they wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from aural.types import SAMPLE_RATE, Samples

TEN_MINUTES = 600 * SAMPLE_RATE
NOTES = {name: 440.0 * 2 ** ((number - 9) / 12) for number, name in enumerate("CcDdEFfGgAaB")}
"""Of the middle octave, in Hz; small letters are sharp."""
PROGRESSION = ("CEG", "ACE", "FAC", "GBD", "EGB", "ACE", "DFA", "GBD")
BEAT_S = 0.4

Sound = NDArray[np.float64]


def silence() -> Samples:
    """Half of it digital, half with the last bit flickering."""
    flicker = np.random.default_rng(1).integers(-1, 2, TEN_MINUTES // 2) / 32_768
    return np.concatenate([np.zeros(TEN_MINUTES // 2), flicker]).astype(np.float32)


def noise() -> Samples:
    """White, pink and brown noise and the hum of the mains, each from faint to loud."""
    levels_db = (-65, -50, -40, -30, -20, -12)
    kinds: tuple[Callable[[int], Sound], ...] = (_white, _pink, _brown, _hum)
    length = TEN_MINUTES // (len(kinds) * len(levels_db))
    return _joined(_at(kind(length), level_db) for kind in kinds for level_db in levels_db)


def hold_music() -> Samples:
    """Ringing, chords, broken chords and a tune over them, on instruments of several colours, and solos on some that
    are like voices; faint, then loud."""
    minute = _cut([_ringing(440, 480, 2.0, 4.0, 12.0), *(_verse(*colour) for colour in COLOURS)], 60)
    other = _cut([_ringing(425, 425, 1.0, 4.0, 10.0), *(_solo(*voice) for voice in VOICES)], 60)
    levels_db = (-40, -30, -24, -18, -12)
    return _joined(_at(part, level_db) for level_db in levels_db for part in (minute, other))


COLOURS = (((1.0, 0.5, 0.3, 0.2, 0.1), 1.5), ((1.0, 0.0, 0.33, 0.0, 0.2), 0.0), ((1.0, 0.1), 4.0))
"""Harmonics, and how fast a note dies away, in 1/s: strings that are plucked, a clarinet, a bell."""


VOICES = (((500, 100), (1600, 200)), ((800, 80), (1150, 90), (2900, 120)), ((300, 150), (500, 200), (1200, 300)))
"""Where instruments resound and how broadly, in Hz: a muted trumpet, a choir, a cello."""


def _verse(harmonics: tuple[float, ...], decay: float) -> Sound:
    bars = [_bar(chord, number, harmonics, decay) for number, chord in enumerate(PROGRESSION)]
    return np.concatenate(bars)


def _bar(chord: str, number: int, harmonics: tuple[float, ...], decay: float) -> Sound:
    """Four beats: the chord held, broken in eighths, and every other bar a tune an octave above it."""
    held = sum(_note(NOTES[name] / 2, 4 * BEAT_S, harmonics, 0.4) for name in chord)
    eighths = [_note(NOTES[chord[step % 3]], BEAT_S / 2, harmonics, decay) for step in range(8)]
    tune = [_note(2 * NOTES[chord[(number + beat) % 3]], BEAT_S, harmonics, decay) for beat in range(4)]
    parts = [0.3 * held, 0.5 * np.concatenate(eighths), 0.4 * np.concatenate(tune) * (number % 2)]
    return sum(part[: min(map(len, parts))] for part in parts)


def _note(hz: float, length_s: float, harmonics: tuple[float, ...], decay: float) -> Sound:
    """With a soft beginning and end, and a little vibrato."""
    t = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * hz * t + 0.3 * np.sin(2 * np.pi * 5 * t)
    wave = sum(share * np.sin((number + 1) * phase) for number, share in enumerate(harmonics))
    return wave * np.exp(-decay * t) * np.minimum(1, np.minimum(t, t[::-1]) / 0.02)


def _solo(*formants: tuple[float, float]) -> Sound:
    """Twenty seconds of low notes as a voice might sing them."""
    chance = np.random.default_rng(5)
    notes: list[Sound] = []
    while sum(map(len, notes)) < 20 * SAMPLE_RATE:
        hz = NOTES[chance.choice(list("CDEFGA"))] / chance.choice([2, 4])
        notes.append(_bowed(hz, BEAT_S * chance.choice([0.5, 1, 2]), formants))
    return np.concatenate(notes)


def _bowed(hz: float, length_s: float, formants: tuple[tuple[float, float], ...]) -> Sound:
    """A note rich in harmonics, with vibrato, that goes through its formants from the last to the first and back."""
    t = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * hz * t + 0.005 * hz * np.sin(2 * np.pi * 5.5 * t)
    string = sum(np.sin(number * phase) / number for number in range(1, int(6000 / hz)))
    back = np.abs(np.linspace(-1, 1, len(t)))
    place = np.linspace(0, 1, len(formants))
    parts = [
        _resounding(string, *formant) * (1 - np.abs(back - at)) for formant, at in zip(formants, place, strict=True)
    ]
    return sum(parts) * np.minimum(1, np.minimum(t / 0.05, t[::-1] / 0.08))


def _resounding(sound: Sound, middle_hz: float, width_hz: float) -> Sound:
    spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / (1 + ((hz - middle_hz) / width_hz) ** 2), len(sound))


def _ringing(low_hz: float, high_hz: float, on_s: float, off_s: float, length_s: float) -> Sound:
    t = np.arange(round(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    return (np.sin(2 * np.pi * low_hz * t) + np.sin(2 * np.pi * high_hz * t)) * (t % (on_s + off_s) < on_s)


def _white(length: int) -> Sound:
    return np.random.default_rng(2).normal(size=length)


def _pink(length: int) -> Sound:
    return _coloured(length, 0.5)


def _brown(length: int) -> Sound:
    return _coloured(length, 1.0)


def _coloured(length: int, slope: float) -> Sound:
    """White noise whose spectrum falls with frequency to this power, from 20 Hz on."""
    spectrum = np.fft.rfft(_white(length))
    hz = np.maximum(np.fft.rfftfreq(length, 1 / SAMPLE_RATE), 20)
    return np.fft.irfft(spectrum / hz**slope, length)


def _hum(length: int) -> Sound:
    t = np.arange(length) / SAMPLE_RATE
    return sum(np.sin(2 * np.pi * 50 * number * t) / number for number in (1, 2, 3, 5, 7)) + 0.02 * _white(length)


def _at(sound: Sound, level_db: float) -> Sound:
    """At a root mean square of so much of full scale, its peaks held to it."""
    return np.clip(sound * 10 ** (level_db / 20) / np.sqrt(np.mean(sound**2)), -1, 1)


def _cut(parts: list[Sound], length_s: float) -> Sound:
    return np.resize(np.concatenate(parts), round(length_s * SAMPLE_RATE))


def _joined(parts: Iterable[Sound]) -> Samples:
    return np.concatenate(list(parts)).astype(np.float32)
