"""The way of a file, with an engine that says what the test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.audio.decode import decode
from aural.engines.base import Capabilities
from aural.errors import EngineFailed, UnsupportedParameter
from aural.metrics import Metrics
from aural.serving.transcriber import Transcriber, _within
from aural.types import SAMPLE_RATE, Clip, Options, Pcm, Reason, Segment, Suppressed, Timestamps, Transcript, Word
from tests.serving.loop import in_loop, until

Engine = Callable[[Clip], Transcript | Exception]
CAPABILITIES = Capabilities(languages=("en", "zh"), longest_clip=30 * SAMPLE_RATE, detects_language=True)
ROOM = np.random.default_rng(1).normal(0, 0.01, 300 * SAMPLE_RATE).astype(np.float32)
"""Noise in which nobody speaks, but which is not silent."""


class Scheduler:
    """Answers each clip when it is told to, or at once."""

    name = "stub"

    def __init__(self, engine: Engine, capabilities: Capabilities = CAPABILITIES) -> None:
        self.capabilities = capabilities
        self.engine = engine
        self.clips: list[Clip] = []
        self.futures: list[asyncio.Future[Transcript]] = []
        self.held = 0
        self.answers = True

    @contextmanager
    def admitted(self, samples: int) -> Iterator[None]:
        self.held += samples
        try:
            yield
        finally:
            self.held -= samples

    def submit(self, clip: Clip, *, ahead_samples: int) -> asyncio.Future[Transcript]:
        assert ahead_samples == clip.start
        self.clips.append(clip)
        self.futures.append(asyncio.get_running_loop().create_future())
        if self.answers:
            self.answer(len(self.clips) - 1)
        return self.futures[-1]

    def answer(self, number: int) -> None:
        made = self.engine(self.clips[number])
        if isinstance(made, Exception):
            self.futures[number].set_exception(made)
        else:
            self.futures[number].set_result(made)


def transcriber(engine: Engine, capabilities: Capabilities = CAPABILITIES) -> tuple[Transcriber, Scheduler]:
    scheduler = Scheduler(engine, capabilities)
    return Transcriber(scheduler, Metrics()), scheduler  # type: ignore[arg-type]


def says(text: str, language: str = "en", probability: float = 1.0, **evidence: float) -> Engine:
    return lambda clip: Transcript((Segment(text, 0, len(clip), **evidence),), (), language, probability)


def room(duration_s: float) -> Pcm:
    return Pcm(ROOM[: round(duration_s * SAMPLE_RATE)])


@in_loop
async def test_short_audio_is_one_clip():
    whole, scheduler = transcriber(says(" hi"))
    options = Options(language="en")
    heard = await whole.transcribe(room(30), options)
    [clip] = scheduler.clips
    assert (len(clip), clip.start, clip.options) == (30 * SAMPLE_RATE, 0, options)
    assert heard.segments == (Segment(" hi", 0, 30 * SAMPLE_RATE),)


@in_loop
async def test_no_audio_is_suppressed_audio():
    whole, scheduler = transcriber(says(" hi"))
    heard = await whole.transcribe(Pcm(np.empty(0, np.float32)), Options())
    assert heard.suppressed == (Suppressed(0, 0, Reason.NO_SPEECH),)
    assert not scheduler.clips


@in_loop
async def test_long_audio_is_cut_and_joined_in_its_own_clock():
    whole, scheduler = transcriber(says(" part"))
    heard = await whole.transcribe(room(100), Options(language="en"))
    assert len(scheduler.clips) == 4
    ends = [clip.start + len(clip) for clip in scheduler.clips]
    assert [0, *ends] == [*(clip.start for clip in scheduler.clips), 100 * SAMPLE_RATE]
    assert [(segment.start, segment.end) for segment in heard.segments] == list(
        zip([clip.start for clip in scheduler.clips], ends, strict=True)
    )
    assert scheduler.held == 0


@in_loop
async def test_clips_come_in_order_whoever_is_heard_first():
    whole, scheduler = transcriber(lambda clip: Transcript((Segment(f" {clip.start}", 0, len(clip)),)))
    scheduler.answers = False
    async with aclosing(whole.stream(room(100), Options(language="en"))) as parts:
        first = asyncio.create_task(anext(parts))
        await until(lambda: len(scheduler.clips) == 4)
        assert scheduler.held == 100 * SAMPLE_RATE
        for number in (3, 1, 2):
            scheduler.answer(number)
        await asyncio.sleep(0)
        assert not first.done()
        scheduler.answer(0)
        starts = [part.segments[0].start for part in [await first, *[part async for part in parts]]]
    assert starts == [clip.start for clip in scheduler.clips]


@in_loop
async def test_silence_is_not_even_asked_about():
    pcm = Pcm(np.concatenate([room(30).samples, np.zeros(90 * SAMPLE_RATE, np.float32), room(30).samples]))
    whole, scheduler = transcriber(says(" noise"))
    heard = await whole.transcribe(pcm, Options(language="en"))
    asked = sum(len(clip) for clip in scheduler.clips)
    silent = sum(gap.end - gap.start for gap in heard.suppressed)
    assert asked + silent == len(pcm)
    assert silent >= 28 * SAMPLE_RATE
    assert all(gap.reason is Reason.NO_SPEECH for gap in heard.suppressed)
    assert all(
        segment.end <= gap.start or segment.start >= gap.end for segment in heard.segments for gap in heard.suppressed
    )


@in_loop
async def test_the_language_is_detected_once():
    whole, scheduler = transcriber(says("你好", "zh", 0.9))
    heard = await whole.transcribe(room(100), Options())
    assert [clip.options.language for clip in scheduler.clips] == [None, "zh", "zh", "zh"]
    assert (heard.language, heard.language_probability) == ("zh", 0.9)
    assert "".join(segment.text for segment in heard.segments) == "你好你好你好你好"


@in_loop
async def test_the_language_is_asked_for_until_it_is_sure():
    def engine(clip: Clip) -> Transcript:
        return says(" hm", "en", 0.3 if clip.start == 0 else 0.8)(clip)  # type: ignore[return-value]

    whole, scheduler = transcriber(engine)
    await whole.transcribe(room(100), Options())
    assert [clip.options.language for clip in scheduler.clips] == [None, None, "en", "en"]


@in_loop
async def test_an_engine_that_only_guesses_the_language_is_asked_for_it_once():
    whole, scheduler = transcriber(says(" hm", "en", 0.3), replace(CAPABILITIES, guesses_language=True))
    async with aclosing(whole.stream(room(100), Options())) as parts:
        await anext(parts)
        scheduler.answers = False
        second = asyncio.create_task(anext(parts))
        await until(lambda: len(scheduler.clips) == 4)
        second.cancel()
        await asyncio.wait([second])
    assert {clip.options.language for clip in scheduler.clips} == {None}


@in_loop
async def test_a_clip_without_text_does_not_settle_the_language():
    def engine(clip: Clip) -> Transcript:
        music = Transcript((), (Suppressed(0, len(clip), Reason.NO_SPEECH),), "cy", 0.9)
        return music if clip.start == 0 else says("好", "zh", 0.9)(clip)  # type: ignore[return-value]

    whole, scheduler = transcriber(engine)
    heard = await whole.transcribe(room(100), Options())
    assert [clip.options.language for clip in scheduler.clips] == [None, None, "zh", "zh"]
    assert heard.language == "zh"


@in_loop
async def test_an_engine_of_one_language_hears_all_clips_together():
    whole, scheduler = transcriber(says(" hi"), Capabilities(("en",), 30 * SAMPLE_RATE))
    scheduler.answers = False
    async with aclosing(whole.stream(room(100), Options())) as parts:
        first = asyncio.create_task(anext(parts))
        await until(lambda: len(scheduler.clips) == 4)
        first.cancel()
        await asyncio.wait([first])
    assert all(future.cancelled() for future in scheduler.futures)


@in_loop
async def test_closing_takes_what_waits_out_of_the_queue():
    whole, scheduler = transcriber(says(" hi"))
    scheduler.answers = False
    async with aclosing(whole.stream(room(100), Options(language="en"))) as parts:
        first = asyncio.create_task(anext(parts))
        await until(lambda: len(scheduler.clips) == 4)
        scheduler.answer(0)
        await first
    assert [future.cancelled() for future in scheduler.futures] == [False, True, True, True]
    assert scheduler.held == 0


@in_loop
async def test_a_clip_that_fails_ends_the_file():
    whole, scheduler = transcriber(lambda clip: EngineFailed("no") if clip.start else says(" hi")(clip))
    with pytest.raises(EngineFailed, match="no"):
        await whole.transcribe(room(100), Options(language="en"))
    assert all(future.done() for future in scheduler.futures)
    assert scheduler.held == 0


@in_loop
async def test_what_the_model_cannot_do_is_refused_before_anything_else():
    whole, scheduler = transcriber(says(" hi"))
    with pytest.raises(UnsupportedParameter, match="language='fr'"):
        await whole.transcribe(room(1), Options(language="fr"))
    assert scheduler.held == 0


DOUBTFUL = {"avg_logprob": -0.9}


@in_loop
async def test_doubtful_text_needs_a_voice(clips):
    voice = await asyncio.to_thread(decode, clips["libri-367-130732-0001"].bytes, limit_s=60)
    whole, _ = transcriber(says(" thank you", **DOUBTFUL))
    assert (await whole.transcribe(voice, Options())).segments
    heard = await whole.transcribe(room(5), Options())
    assert heard.segments == ()
    assert heard.suppressed == (Suppressed(0, 5 * SAMPLE_RATE, Reason.NO_SPEECH, "thank you"),)
    certain, _ = transcriber(says(" thank you", avg_logprob=-0.1))
    assert (await certain.transcribe(room(5), Options())).segments


@in_loop
async def test_doubtful_text_is_dropped_where_nobody_speaks_and_kept_where_somebody_does(clips):
    voice = (await asyncio.to_thread(decode, clips["libri-367-130732-0001"].bytes, limit_s=60)).samples
    pcm = Pcm(np.concatenate([voice, room(10).samples]))
    said = Segment(" what he said" * 5, 0, len(voice), **DOUBTFUL)
    unsaid = Segment(" unsaid", len(voice), len(voice) + 5 * SAMPLE_RATE, **DOUBTFUL)
    rest = Suppressed(unsaid.end, len(pcm), Reason.REPETITION)
    whole, _ = transcriber(lambda clip: Transcript((said, unsaid), (rest,)))
    heard = await whole.transcribe(pcm, Options(timestamps=Timestamps.NONE))
    assert heard.segments == (said,)
    assert heard.suppressed == (Suppressed(unsaid.start, unsaid.end, Reason.NO_SPEECH, "unsaid"), rest)


@in_loop
async def test_suppressed_stretches_are_counted_by_reason():
    whole, _ = transcriber(lambda clip: Transcript((), (Suppressed(0, len(clip), Reason.REPETITION),)))
    await whole.transcribe(room(1), Options())
    labels = {"model": "stub", "reason": "repetition"}
    assert whole._metrics.registry.get_sample_value("aural_suppressed_segments_total", labels) == 1


@in_loop
async def test_chinese_comes_in_the_characters_asked_for():
    whole, _ = transcriber(says("漢字汉字", "zh"))
    for script, expected in (("t2s", "汉字汉字"), ("s2t", "漢字漢字")):
        heard = await whole.transcribe(room(1), Options(), script)
        assert heard.segments[0].text == expected


times = st.integers(-1000, 5000)
words = st.builds(Word, st.just(" w"), times, times, st.just(1.0))
segments = st.builds(Segment, st.just(" s"), times, times, words=st.lists(words, max_size=3).map(tuple))


@given(st.lists(segments, max_size=5), st.integers(0, 4000))
def test_times_lie_within_the_clip_and_never_run_backwards(heard, length):
    result = _within(Transcript(tuple(heard)), length)
    clock = [0]
    for segment in result.segments:
        clock += [segment.start, *(time for word in segment.words for time in (word.start, word.end)), segment.end]
    assert clock == sorted(clock)
    assert clock[-1] <= length


def test_good_times_are_left_alone():
    good = Transcript((Segment(" a", 0, 5, words=(Word(" a", 1, 4, 1.0),)), Segment(" b", 5, 9)))
    assert _within(good, 9) == good
