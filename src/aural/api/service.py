"""What every route shares: the models, the limits, and the way from a caller's bytes to a transcript."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from starlette.requests import HTTPConnection, Request

from aural.api.body import BodyLimits
from aural.api.fetch import Fetcher
from aural.audio.decode import decode, decode_channels
from aural.audio.encoding import Encoding
from aural.audio.raw import decode_raw, decode_raw_channels
from aural.errors import AuralError, BadRequest, NotReady
from aural.insight.redaction import redact
from aural.insight.request import Wish
from aural.insight.schema import SCHEMA
from aural.insight.settings import InsightSettings
from aural.languages import Script, parse_language
from aural.metrics import Metrics
from aural.serving.captions import Captions
from aural.serving.companion import Calls
from aural.serving.fleet import Fleet
from aural.serving.live import Live
from aural.serving.transcriber import Transcriber
from aural.serving.understanding import Understanding
from aural.text import join, spaced
from aural.types import Options, Pcm, Task, Timestamps, Transcript


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Headerless samples, as declared by the caller."""

    encoding: Encoding
    rate: int
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to transcribe, whatever protocol it came by."""

    audio: bytes
    model: str | None = None
    options: Options = field(default_factory=Options)
    script: Script = "t2s"
    raw: RawFormat | None = None
    wish: Wish = field(default_factory=Wish)
    apart: bool = False
    """Whether left and right are heard each for itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    transcript: Transcript
    duration_s: float
    model: str
    processing_s: float
    timestamps: bool
    """Whether the caller asked for times."""
    insights: dict[str, Any] | None = None
    channels: tuple[int, ...] = ()
    """Of each segment, where channels were heard apart."""


Result = TypeVar("Result")

MOST_CHANNELS = 2
"""Agent and customer, left and right."""
LARGE_BYTES = 4 * 2**20
"""Bodies above this are decoded by a thread of their own, so that no clip waits for somebody's two-hour file."""


@dataclass(frozen=True, slots=True)
class Service:
    fleet: Fleet
    metrics: Metrics
    body: BodyLimits
    max_audio_s: float
    beam_size: int
    live: Live
    fetcher: Fetcher
    understanding: Understanding
    calls: Calls
    captions: Captions = field(default_factory=Captions)
    large: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "large"))
    updates: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, 1, "updates"))
    """Reads what live clients ask: they wait for no file that is decoded, and nobody's captions wait for them."""

    def knock(self) -> None:
        """Raises when no model takes anything now, whichever the body will name."""
        refusals: list[AuralError] = []
        for model in self.fleet.models:
            try:
                if not self.fleet.waits(model):
                    self.fleet.get(model.name).scheduler.admit()
                return
            except AuralError as error:
                refusals.append(error)
        raise refusals[0] if refusals else NotReady("the server", "without models")

    @asynccontextmanager
    async def use(self, ask: Ask) -> AsyncIterator[Transcriber]:
        """The model, held while it is used. What it cannot take on or honour is refused before anything is decoded."""
        async with self.fleet.use(ask.model, ask.options) as transcriber:
            transcriber.scheduler.admit()
            transcriber.scheduler.capabilities.check(ask.options, transcriber.scheduler.name)
            yield transcriber

    async def answer(self, request: Request, ask: Ask) -> Answer:
        """The whole transcript. A caller who hangs up frees the place of the request."""
        began = time.perf_counter()
        async with self.use(ask) as transcriber:
            pcms = await self.decode_channels(ask)
            options = timed(ask.options, ask.wish, transcriber)
            hearing = [transcriber.transcribe(pcm, options, ask.script) for pcm in pcms]
            heard = await unless_gone(request, asyncio.gather(*hearing))
            name = transcriber.scheduler.name
        heard = await asyncio.gather(*(without_private(one, ask.wish) for one in heard))
        insights = await unless_gone(request, self.understand(heard, ask, pcms))
        transcript, channels = together(heard)
        return Answer(
            transcript,
            duration_s=pcms[0].duration_s,
            model=name,
            processing_s=time.perf_counter() - began,
            timestamps=ask.options.timestamps is not Timestamps.NONE,
            insights=insights,
            channels=channels if ask.apart else (),
        )

    async def understand(
        self, channels: Sequence[Transcript], ask: Ask, sounds: Sequence[Pcm]
    ) -> dict[str, Any] | None:
        """As `understood`."""
        return await understood(self.understanding, channels, ask.wish, ask.options.task, sounds)

    async def stream(self, request: Request, ask: Ask) -> tuple[Pcm, AsyncGenerator[Transcript]]:
        """The audio, and the transcripts of its consecutive clips. The first is there already, so that what can be
        refused is refused before the response begins."""
        async with AsyncExitStack() as stack:
            transcriber = await stack.enter_async_context(self.use(ask))
            pcm = await self.decode(ask)
            options = timed(ask.options, ask.wish, transcriber)
            parts = _leased(stack.pop_all(), transcriber.stream(pcm, options, ask.script))
        parts = _redacted(parts, ask.wish.redact) if ask.wish.redact else parts
        first = await unless_gone(request, anext(parts))
        return pcm, _with_first(first, parts)

    async def decode(self, ask: Ask) -> Pcm:
        """The audio, its channels mixed."""
        [pcm] = await self.decode_channels(replace(ask, apart=False))
        return pcm

    async def decode_channels(self, ask: Ask) -> tuple[Pcm, ...]:
        """The audio, of one length for each channel that is to be heard apart."""
        began = time.perf_counter()
        pool = self.large if len(ask.audio) > LARGE_BYTES else None  # the loop's own
        pcms = await asyncio.get_running_loop().run_in_executor(pool, self._decoded, ask)
        self.metrics.decode_s.observe(time.perf_counter() - began)
        return pcms

    def _decoded(self, ask: Ask) -> tuple[Pcm, ...]:
        return self._apart(ask) if ask.apart else (self._mixed(ask),)

    def _apart(self, ask: Ask) -> tuple[Pcm, ...]:
        if ask.raw is None:
            return decode_channels(ask.audio, limit_s=self.max_audio_s, most=MOST_CHANNELS)
        form = (ask.raw.encoding, ask.raw.rate, ask.raw.channels)
        return decode_raw_channels(ask.audio, *form, limit_s=self.max_audio_s, most=MOST_CHANNELS)

    def _mixed(self, ask: Ask) -> Pcm:
        if ask.raw is None:
            return decode(ask.audio, limit_s=self.max_audio_s)
        return decode_raw(ask.audio, ask.raw.encoding, ask.raw.rate, ask.raw.channels, limit_s=self.max_audio_s)


def service_of(request: HTTPConnection) -> Service:
    service: Service = request.app.state.service
    return service


def is_apart(value: object, *, streamed: bool) -> bool:
    """Whether channels are to be heard apart: `channels` of a request, mixed or separate; raises BadRequest."""
    if value not in ("mixed", "separate"):
        raise BadRequest(f"expected channels mixed or separate, got {str(value)[:40]!r}", param="channels")
    if value == "separate" and streamed:
        raise BadRequest("expected channels mixed where the answer comes as a stream, got 'separate'", param="channels")
    return value == "separate"


def language_options(tag: str | None) -> tuple[str | None, Script]:
    """Code and script of a language tag; raises BadRequest."""
    if not tag or tag.lower() == "auto":
        return None, "t2s"
    language = parse_language(tag)
    return language.code, language.script


def wish_of(service: Service, insights: object, redact: object) -> Wish:
    """What a request says about insights and redaction; raises BadRequest."""
    return wish_over(service.understanding.settings, insights, redact)


def wish_over(settings: InsightSettings, insights: object, redact: object) -> Wish:
    """The same over what the file of insights says; raises BadRequest, also where insights are not installed."""
    wish = settings.wish(insights, redact)
    if wish.insights is not None and find_spec("ahocorasick") is None:
        raise BadRequest("insights are not installed here; pip install 'aural[insight]' brings them", param="insights")
    return wish


def timed(options: Options, wish: Wish, transcriber: Transcriber) -> Options:
    """The caller's options, with times of words where insights need them and the model has them."""
    if wish.insights is None:
        return options
    finest = max(transcriber.scheduler.capabilities.timestamps, key=list(Timestamps).index)
    return replace(options, timestamps=finest)


async def without_private(transcript: Transcript, wish: Wish) -> Transcript:
    """The transcript without what must not leave."""
    return await asyncio.to_thread(redact, transcript, wish.redact) if wish.redact else transcript


async def understood(
    understanding: Understanding, channels: Sequence[Transcript], wish: Wish, task: Task, sounds: Sequence[Pcm]
) -> dict[str, Any] | None:
    """The insights of a file as JSON, or None where none are asked for. Where they cannot be had, that is said in their
    place: the text is not lost over it."""
    if wish.insights is None:
        return None
    if task == "translate":  # the language is what was spoken, the text is English
        channels = [replace(one, language="en") for one in channels]
    try:
        is_private = bool(wish.redact)
        return await understanding.of_transcripts(channels, wish.insights, sounds, is_private=is_private)
    except AuralError as error:
        return {"schema": SCHEMA, "skipped": {"code": error.code, "message": str(error)}}


def together(heard: Sequence[Transcript]) -> tuple[Transcript, tuple[int, ...]]:
    """One transcript of several channels in order of time, and the channel of each segment."""
    if len(heard) == 1:
        return heard[0], (0,) * len(heard[0].segments)
    pairs = [(segment, channel) for channel, one in enumerate(heard) for segment in spaced(one).segments]
    pairs.sort(key=lambda pair: (pair[0].start, pair[1]))
    loudest = max(heard, key=lambda one: len(one.segments))
    segments = tuple(segment for segment, _ in pairs)
    together = replace(loudest, segments=segments, suppressed=join(heard).suppressed)
    return together, tuple(channel for _, channel in pairs)


async def _redacted(parts: AsyncGenerator[Transcript], categories: tuple[str, ...]) -> AsyncGenerator[Transcript]:
    """The parts without what is private; a number at the edge of one may go on in the next, so it goes too."""
    async with aclosing(parts):
        async for part in parts:
            yield redact(part, categories, edges=True)


async def _leased(lease: AsyncExitStack, parts: AsyncGenerator[Transcript]) -> AsyncGenerator[Transcript]:
    """The parts, and the lease of their model for as long as they come."""
    async with lease, aclosing(parts):
        async for part in parts:
            yield part


async def _with_first(first: Transcript, rest: AsyncGenerator[Transcript]) -> AsyncGenerator[Transcript]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part


async def unless_gone(request: Request, work: Awaitable[Result]) -> Result:
    """The result of the work, which is cancelled when the caller hangs up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        for one in (gone, task):
            one.cancel()
        await asyncio.gather(gone, task, return_exceptions=True)


class ClientGone(Exception):
    """The caller hung up before the answer."""


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
