"""Live streams side by side at real speed, and the most of them that keep a goal."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aural.bench import about, clips, records, stream_records
from aural.bench.clips import Item, Utterance
from aural.bench.scoring import Errors
from aural.bench.sounds import RATE, Sound
from aural.bench.stream import FRAME_S, Shown, paced
from aural.bench.stream_records import Played, Step, Stream, StreamGoal, StreamRun, Together, measured
from aural.bench.watch import watching
from aural.errors import AuralError, BenchError
from aural.streaming.events import Done, Drafted, Event, Failed, Grown, Lost
from aural.streaming.session import LiveSession, Wish, connect

PAUSES_S = (0.6, 1.6)
"""Silence between two utterances of a stream, drawn evenly: long enough that an endpoint may end its utterance."""
LEAD_S, TAIL_S = 0.5, 1.5
GRACE_S = 60.0
"""How long after its audio a stream may take to end."""
GROWTH = 2
ALONE = 3
"""Streams that a search plays one after the other, by whose texts it judges the same streams in company."""
TRIALS = 2
NOBODY: Mapping[int, Errors] = {}


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
    goal: StreamGoal = field(default_factory=StreamGoal)
    language: str = "en"
    model: str = ""
    api_key: str = ""
    label: str = ""
    instance: str = ""
    """The SageMaker instance type of the endpoint, for advice."""
    seed: int = 7


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
            case Lost(message):
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
        self._items: list[Item] = []
        """Every step plays the first so many of them: what differs between steps is not the speech."""
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
        self.kept = StreamRun(
            {
                "label": plan.label or plan.target,
                "instance": plan.instance,
                "plan": {**asdict(plan), "audio": str(plan.audio), "api_key": ""},
                "client": await asyncio.to_thread(about.client),
                "endpoint": await about.endpoint(address),
            }
        )
        await self._measure()
        return self.kept

    async def _measure(self) -> None:
        if self._plan.find_capacity:
            self.kept.capacity = await self._search()
            stream_records.save(self._out, self.kept)
        else:
            for count in self._plan.streams:
                await self._step(count, count)

    async def _search(self) -> dict[str, Any]:
        """Double until the goal is not kept, then halve the distance."""
        most = self._plan.most
        alone = await self._step(1, ALONE)
        if self._missed(alone):
            alone = await self._step(1, ALONE)
        why = self._missed(alone)
        low, high = (0, 1) if why else (1, most + 1)
        while high - low > 1:
            count = min(low * GROWTH, high - 1) if high > most else (low + high) // 2
            reason = await self._try(count, alone.scored)
            low, high, why = (low, count, reason) if reason else (count, high, why)
        return {"kept": low, "not_kept": high if high <= most else None, "why": why}

    async def _try(self, count: int, alone: Mapping[int, Errors]) -> str:
        """Why so many miss the goal; who misses it once has a second trial, for it may have been chance."""
        reason = ""
        for _ in range(TRIALS):
            reason = self._missed(await self._step(count, count, alone), alone)
            if not reason:
                break
        return reason

    def _missed(self, together: Together, alone: Mapping[int, Errors] = NOBODY) -> str:
        return together.missed(self._plan.goal, alone)

    async def _step(self, count: int, streams: int, alone: Mapping[int, Errors] = NOBODY) -> Together:
        """Play the first so many `streams`, `count` of them at once."""
        run = self.kept
        while len(self._items) < streams:
            self._items.append(next(self._source))
            run.items.append(Played.of(self._items[-1], self._plan.language))
        began = time.perf_counter()
        async with watching(time.perf_counter) as watcher:
            ended = [
                stream for first in range(0, streams, count) for stream in await self._play(range(first, first + count))
            ]
        step = Step(count, watcher.seen, time.perf_counter() - began)
        run.steps.append(step)
        run.streams += ended
        stream_records.append(self._out, ended)
        stream_records.save(self._out, run)
        together = measured(step, ended, run.items, self._plan.language)
        self._on_step(together, self._missed(together, alone))
        return together

    async def _play(self, numbers: Sequence[int]) -> list[Stream]:
        """Started evenly over one frame, so that they do not march in step."""
        step, apart = len(self.kept.steps), FRAME_S / len(numbers)
        return await asyncio.gather(
            *(run_stream(self._plan, self._items[n], n, step, apart * i) for i, n in enumerate(numbers))
        )
