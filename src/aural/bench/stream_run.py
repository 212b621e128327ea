"""Live streams side by side at real speed, and the most of them that keep a goal."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aural.bench import about, clips, records, scoring
from aural.bench.clips import Item, Utterance
from aural.bench.records import Asked
from aural.bench.sounds import RATE, Sound
from aural.bench.stream import FRAME_S, Measures, Shown, align, measure, paced
from aural.bench.watch import watching
from aural.errors import AuralError, BenchError
from aural.streaming.events import Done, Drafted, Event, Failed, Grown
from aural.streaming.session import LiveSession, Wish, connect

STREAMS = "streams.jsonl"
PAUSES_S = (0.6, 1.6)
"""Silence between two utterances of a stream, drawn evenly: long enough that an endpoint may end its utterance."""
LEAD_S, TAIL_S = 0.5, 1.5
GRACE_S = 60.0
"""How long after its audio a stream may take to end."""
GROWTH = 2


@dataclass(frozen=True, slots=True)
class StreamGoal:
    """What 95 % of the words and utterances must keep, and how much worse the text may be than that of one stream."""

    emission_s: float = 2.0
    finalization_s: float = 1.5
    share: float = 0.95
    wer_points: float = 1.0


@dataclass(frozen=True, slots=True)
class StreamPlan:
    target: str
    audio: Path
    streams: tuple[int, ...] = (1,)
    seconds: float = 60.0
    """Length of each stream."""
    find_capacity: bool = False
    most: int = 256
    """Streams beyond which the search does not go."""
    goal: StreamGoal = StreamGoal()
    language: str = "en"
    model: str = ""
    api_key: str = ""
    label: str = ""
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream that ran."""

    step: int
    """How many ran together."""
    item: int
    shown: tuple[Shown, ...]
    late_s: float = 0.0
    """How late its latest frame was sent."""
    error: str = ""


@dataclass(frozen=True)
class Together:
    """All streams of one step, measured as one."""

    streams: Sequence[Stream]
    measures: Sequence[Measures]
    wer: scoring.Estimate

    @property
    def count(self) -> int:
        return len(self.streams)

    def all(self, name: str) -> list[float]:
        """The values of a measure over all streams."""
        return [value for one in self.measures for value in getattr(one, name)]

    def total(self, name: str) -> int:
        return int(sum(getattr(one, name) for one in self.measures))

    @property
    def errors(self) -> list[str]:
        return [stream.error for stream in self.streams if stream.error]

    def keeps(self, goal: StreamGoal, single_wer: float) -> str:
        """Why the goal is not kept; empty when it is."""
        if self.errors:
            return f"{len(self.errors)} streams failed: {self.errors[0]}"
        for name, limit in (("emission_s", goal.emission_s), ("finalization_s", goal.finalization_s)):
            values = self.all(name)
            within = sum(value <= limit for value in values) / max(len(values), 1)
            if within < goal.share:
                return f"{within:.1%} of {name.removesuffix('_s')} within {limit:g} s"
        if self.wer.value > single_wer + goal.wer_points:
            return f"WER {self.wer.value:.1f} %, alone {single_wer:.1f} %"
        return ""


@dataclass
class StreamRun:
    """What is known of a run of streams."""

    about: dict[str, Any]
    items: list[Asked] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    capacity: dict[str, Any] = field(default_factory=dict)


def spoken(utterances: Sequence[Utterance], seconds: float, seed: int) -> Iterator[Item]:
    """Streams without end of whole utterances with pauses as people make them, silence before and after."""
    chance = random.Random(seed)
    length = round(seconds * RATE)
    usable = [u for u in utterances if len(u) < length - (LEAD_S + TAIL_S) * RATE]
    if not usable:
        raise BenchError(f"expected recordings shorter than {seconds - LEAD_S - TAIL_S:g} s, found none")
    while True:
        pcm, spans, names = np.zeros(length, np.int16), [], []
        at = round(LEAD_S * RATE)
        for utterance in chance.sample(usable, len(usable)):
            end = at + len(utterance)
            if end <= length - TAIL_S * RATE:
                pcm[at:end] = utterance.pcm
                spans.append((at / RATE, end / RATE, utterance.text))
                names.append(utterance.name)
                at = end + round(chance.uniform(*PAUSES_S) * RATE)
        share = sum(end - start for start, end, _ in spans) / seconds
        yield Item("+".join(names), " ".join(text for _, _, text in spans), (Sound(pcm),), share, tuple(spans))


class Screen:
    """Turns events of a session into what a client shows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._texts: dict[str, tuple[str, str]] = {}
        self.shown: list[Shown] = []

    def note(self, event: Event) -> None:
        at_s = self._clock()
        match event:
            case Grown(item, text):
                committed, _ = self._texts.get(item, ("", ""))
                self._show(at_s, item, committed + text, "")
            case Drafted(item, text):
                committed, _ = self._texts.get(item, ("", ""))
                self._show(at_s, item, committed, text)
            case Done(item, text):
                self.shown.append(Shown(at_s, item, text, kind="final"))
            case Failed(item, message):
                self.shown.append(Shown(at_s, item, "", kind="failed"))
                raise BenchError(message)
            case _:
                pass

    def _show(self, at_s: float, item: str, committed: str, draft: str) -> None:
        self._texts[item] = (committed, draft)
        self.shown.append(Shown(at_s, item, committed, draft))


async def run_stream(plan: StreamPlan, item: Item, number: int, step: int, delay_s: float) -> Stream:
    """One stream from connecting to its last final text. Fails into its record, never out of it."""
    await asyncio.sleep(delay_s)
    began = time.perf_counter()
    screen = Screen(lambda: time.perf_counter() - began)
    late = [0.0]
    error = ""
    try:
        async with (
            asyncio.timeout(item.duration_s + GRACE_S),
            connect(plan.target, Wish(plan.model or None, plan.language), plan.api_key) as session,
        ):
            began = time.perf_counter()  # the closure above reads it anew: connecting is no part of the clock
            sending = asyncio.create_task(_send(session, item, began, late))
            try:
                async for event in session:
                    screen.note(event)
                await sending
            finally:
                sending.cancel()
    except TimeoutError:
        error = f"no end within {GRACE_S:g} s after its audio"
    except (AuralError, OSError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    except (KeyError, TypeError, ValueError) as failure:
        error = f"an event that is none of the protocol's: {failure!r}"
    return Stream(step, number, tuple(screen.shown), max(late), error)


async def _send(session: LiveSession, item: Item, began: float, late: list[float]) -> None:
    async for frame, late_s in paced(item.pcm, began):
        late[0] = max(late[0], late_s)
        await session.send(frame)
    await session.finish()


class StreamRunner:
    """Runs a plan into a folder."""

    def __init__(self, plan: StreamPlan, out: Path, on_step: Callable[[Together, str], None] = lambda *_: None) -> None:
        self._plan = plan
        self._out = out
        self._on_step = on_step
        self._source: Iterator[Item]
        self.kept = StreamRun({})
        """What was measured until now."""

    async def run(self) -> StreamRun:
        plan = self._plan
        if (self._out / records.RUN).exists():
            raise BenchError(f"there is a run in {self._out} already: choose another --out")
        utterances = await asyncio.to_thread(clips.read_utterances, plan.audio, plan.language)
        self._source = spoken(utterances, plan.seconds, plan.seed)
        self._out.mkdir(parents=True, exist_ok=True)
        address = plan.target.replace("ws", "http", 1) if plan.target.startswith("ws") else plan.target
        await about.wait_until_ready(address)
        self.kept = run = StreamRun(
            {
                "label": plan.label or plan.target,
                "plan": {**asdict(plan), "audio": str(plan.audio), "api_key": ""},
                "client": await asyncio.to_thread(about.client),
                "endpoint": await about.endpoint(address),
            }
        )
        await self._measure(run)
        return run

    async def _measure(self, run: StreamRun) -> None:
        if self._plan.find_capacity:
            run.capacity = await self._search(run)
            self._save(run)
        else:
            for count in self._plan.streams:
                await self._step(run, count, 0.0)

    async def _search(self, run: StreamRun) -> dict[str, Any]:
        """Double until the goal is not kept, then halve the distance."""
        alone = await self._step(run, 1, float("inf"))
        single_wer = alone.wer.value
        why = alone.keeps(self._plan.goal, single_wer)
        low, high, count = (0, 1, 1) if why else (1, self._plan.most + 1, 1)
        while high - low > 1:
            count = min(low * GROWTH, high - 1) if high > self._plan.most else (low + high) // 2
            together = await self._step(run, count, single_wer)
            reason = together.keeps(self._plan.goal, single_wer)
            low, high, why = (low, count, reason) if reason else (count, high, why)
            if low >= self._plan.most:
                break
        return {"kept": low, "not_kept": high if high <= self._plan.most else None, "why": why}

    async def _step(self, run: StreamRun, count: int, single_wer: float) -> Together:
        """Start `count` streams evenly over one frame, so that they do not march in step."""
        fresh = [next(self._source) for _ in range(count)]
        first = len(run.items)
        run.items += [item.asked for item in fresh]
        async with watching(time.perf_counter) as watcher:
            streams = await asyncio.gather(
                *(run_stream(self._plan, item, first + i, count, FRAME_S * i / count) for i, item in enumerate(fresh))
            )
        run.streams += streams
        with (self._out / STREAMS).open("a", encoding="utf-8") as file:
            for stream in streams:
                file.write(json.dumps(asdict(stream), ensure_ascii=False) + "\n")
        run.about.setdefault("watch", []).append({"streams": count, **asdict(watcher.seen)})
        self._save(run)
        together = measured(streams, fresh, first, self._plan.language)
        self._on_step(together, together.keeps(self._plan.goal, single_wer))
        return together

    def _save(self, run: StreamRun) -> None:
        document = {"about": run.about, "items": [asdict(item) for item in run.items], "capacity": run.capacity}
        (self._out / records.RUN).write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def measured(streams: Sequence[Stream], items: Sequence[Item], first: int, language: str) -> Together:
    """`items` are those of the streams, the first of them with number `first`."""
    found = []
    scored = {}
    for stream in streams:
        item = items[stream.item - first]
        one = measure(align(item, language), item.text, stream.shown, language)
        found.append(one)
        scored[stream.item] = scoring.Errors(one.errors, one.words)
    return Together(streams, found, scoring.corpus_rate(scored))
