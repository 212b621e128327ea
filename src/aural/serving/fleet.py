"""The models of this server, by name: loaded and let go, chosen, and held within a budget of memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from aural.engines.base import Capabilities
from aural.errors import (
    AlreadyLoaded,
    Draining,
    ModelInUse,
    NoRoom,
    NotReady,
    UnknownModel,
    UnsupportedParameter,
)
from aural.serving.model import UNLOADED, Model
from aural.serving.supervisor import State
from aural.serving.transcriber import Transcriber
from aural.types import Options

log = logging.getLogger("aural.fleet")

OPENAI_NAMES = frozenset(
    {
        "whisper-1",
        "gpt-transcribe",
        "gpt-live-transcribe",
        "gpt-realtime-whisper",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
    }
)
"""OpenAI's own models of transcription, with which its clients are written: the first model here. Those that tell
speakers apart are none of them."""
AUTO = "auto"
"""The name that leaves the choice to the server."""
PATIENCE_S = 60.0
SWEEP_S = 1.0
"""How often idle models are looked for."""

Build = Callable[[Mapping[str, Any]], Model]
"""Makes a model of a table of settings; raises SettingsError."""


class Fleet:
    """Starts, finds, loads and stops the models. The first one is the default."""

    def __init__(
        self,
        models: Sequence[Model],
        *,
        build: Build | None = None,
        budget_bytes: int = 0,
        patience_s: float = PATIENCE_S,
        sweep_s: float = SWEEP_S,
    ) -> None:
        """`budget_bytes` of 0 is no budget. `patience_s` is how long a request waits for its model to be loaded, and
        an unloading for those who use the model."""
        self._models = {model.name: model for model in models}
        self._leaving: list[Model] = []
        """Unloaded, with processes that have not ended yet."""
        self._build = build
        self._budget_bytes = budget_bytes
        self._patience_s = patience_s
        self._sweep_s = sweep_s
        self._room = asyncio.Lock()
        self._weights = ThreadPoolExecutor(4, "weights")
        self._sweeper: asyncio.Task[None] | None = None
        self._is_starting = self._is_started = self._draining = False

    def __iter__(self) -> Iterator[Transcriber]:
        """Those that are loaded, or being loaded."""
        return (model.tenure.transcriber for model in self.models if model.tenure)

    @property
    def models(self) -> list[Model]:
        return list(self._models.values())

    @property
    def names(self) -> list[str]:
        return list(self._models)

    @property
    def is_ready(self) -> bool:
        """Whether every model answers, be it after loading."""
        return self._is_started and all(self._is_well(model) for model in self.models)

    def _is_well(self, model: Model) -> bool:
        if model.loading:
            return not self._is_starting
        return model.state in (State.READY, UNLOADED)

    def model(self, name: str | None) -> Model:
        """A model by name, the default for none; raises UnknownModel."""
        if name and name in self._models:
            return self._models[name]
        if self._models and (not name or name == AUTO or name in OPENAI_NAMES):
            return self.models[0]
        raise UnknownModel(name or "", self.names)

    def waits(self, model: Model) -> bool:
        """Whether a request for it waits for it to be loaded; while the server starts, none does."""
        return not model.is_open and not self._is_starting

    def get(self, name: str | None) -> Transcriber:
        """A model that is in memory; raises UnknownModel, NotReady. It may be let go at any time: see `use`."""
        model = self.model(name)
        if model.tenure is None:
            raise NotReady(model.name, model.state)
        return model.tenure.transcriber

    @asynccontextmanager
    async def use(
        self, name: str | None, options: Options | None = None, *, understanding: bool = False
    ) -> AsyncIterator[Transcriber]:
        """A model, loaded if it is not, and held while it is used. `auto` takes the one that fits the options. Raises
        UnknownModel, UnsupportedParameter, NotReady, NoRoom, LoadFailed."""
        while True:
            wanted = self._chosen(options or Options(), understanding) if name == AUTO else self.model(name)
            if not self.waits(wanted):
                break
            await self._awake(wanted)
        if wanted.tenure is None:
            raise NotReady(wanted.name, wanted.state)
        with wanted.tenure.lease() as transcriber:
            yield transcriber

    async def capabilities(self, name: str | None) -> Capabilities:
        """What a model can do, loaded if it is not. Raises what `use` raises."""
        async with self.use(name) as transcriber:
            return transcriber.scheduler.capabilities

    async def _awake(self, model: Model) -> None:
        """Returns when the model is loaded, or may be by asking again."""
        if self._draining:
            raise Draining
        try:
            async with asyncio.timeout(self._patience_s):
                if model.tenure and not model.loading:
                    await model.tenure.open.wait()
                else:
                    await asyncio.shield(self._load(model))
        except TimeoutError:
            raise NotReady(model.name, model.state) from None
        except asyncio.CancelledError:
            if self._draining:
                raise Draining from None
            raise

    def _chosen(self, options: Options, understanding: bool) -> Model:
        """The narrowest model that honours the options, of those that are well: a specialist of the language that was
        named; without one, whoever tells most languages apart. Where none of them is known to, one that was never
        loaded: then more will be known."""
        fit: list[tuple[tuple[bool, int], Model]] = []
        refusals: list[UnsupportedParameter] = []
        for model in self.models:
            can = model.capabilities
            if can is None:
                continue
            try:
                can.check(options, model.name)
                if understanding and not can.understanding:
                    raise UnsupportedParameter("messages", "audio", model.name, "it transcribes, and answers nothing")
            except UnsupportedParameter as refusal:
                refusals.append(refusal)
            else:
                fit.append(((not self._is_well(model), _breadth(can, options)), model))
        if fit:
            return min(fit, key=lambda one: one[0])[1]
        for model in self.models:
            if model.capabilities is None:
                return model
        raise refusals[0] if refusals else UnknownModel(AUTO, self.names)

    async def load(self, name: str, table: Mapping[str, Any], *, evict: bool = True) -> Model:
        """Add a model, or load one that was let go, and return when it is ready. Without `evict` no other model is let
        go for it. Raises SettingsError, AlreadyLoaded, NoRoom, LoadFailed."""
        if self._draining:
            raise Draining
        before = self._models.get(name)
        if before and (before.tenure or before.loading):
            raise AlreadyLoaded(name)
        model = before
        if model is None or table:
            model = self._built(name, table)
        self._models[name] = model
        try:
            await asyncio.shield(self._load(model, evict=evict))
        except Exception:
            if self._models.get(name) is model:
                if before:
                    self._models[name] = before
                else:
                    del self._models[name]
            raise
        return model

    def _built(self, name: str, table: Mapping[str, Any]) -> Model:
        """A new model, which begins when the processes of one with its name have ended."""
        assert self._build is not None
        model = self._build({"model": name, **table, "name": name})
        for one in (*self.models, *self._leaving):
            if one.name == name:
                model.ending = one.ending
        return model

    async def unload(self, name: str) -> None:
        """Take a model out of service: what it was asked is answered, then its processes end. Raises UnknownModel, and
        ModelInUse when that takes longer than a request waits; then it stays."""
        model = self._models.get(name)
        while model and (model.loading or model.tenure):
            tenure = model.tenure
            if model.loading:
                await asyncio.gather(asyncio.shield(model.loading), return_exceptions=True)
            elif tenure and not await tenure.is_freed(self._patience_s):
                raise ModelInUse(name, self._patience_s)
            elif model.tenure is tenure:  # else it was let go meanwhile, and perhaps asked for again
                break
        if model is None or self._models.get(name) is not model:
            raise UnknownModel(name, self.names)
        self._leaving.append(self._models.pop(name))
        await self._let_go(model, "unloaded")
        self._leaving.remove(model)

    def _load(self, model: Model, *, evict: bool = True) -> asyncio.Task[None]:
        """The task that loads it, one at a time."""
        if model.loading is None:
            model.loading = asyncio.create_task(self._loaded(model, evict), name=f"load {model.name}")
            model.loading.add_done_callback(lambda task: _done(model, task))
        return model.loading

    async def _loaded(self, model: Model, evict: bool) -> None:
        await model.ended()
        prepared = await asyncio.get_running_loop().run_in_executor(self._weights, model.prepare)
        await self._make_room(model, prepared.need_bytes, evict)
        await model.begin(prepared)
        try:
            await self._make_room(model, model.memory_bytes, evict)  # now it is known
        except NoRoom:
            await model.end()
            raise
        log.info("model loaded", extra={"model": model.name, "memory_mb": model.memory_bytes >> 20})

    async def _make_room(self, model: Model, need_bytes: int, evict: bool) -> None:
        """Let models go, the one unused longest first, until this one fits; raises NoRoom."""
        if not self._budget_bytes:
            return
        async with self._room:
            while True:
                others = [one for one in (*self.models, *self._leaving) if one is not model]
                left_bytes = self._budget_bytes - sum(one.memory_bytes for one in others)
                if need_bytes <= left_bytes:
                    model.reserved_bytes = need_bytes
                    return
                if leaving := [one for one in others if one.leaving_bytes]:
                    await asyncio.gather(*(one.ended() for one in leaving))
                elif need_bytes > self._budget_bytes or not evict or not await self._evict(others):
                    raise NoRoom(model.name, need_bytes, left_bytes)

    async def _evict(self, models: Sequence[Model]) -> bool:
        """Let one of the models go that take memory: one that nobody uses, else one whose users leave in time."""
        loaded = [model for model in models if model.tenure and not model.loading and model.memory_bytes]
        for model in sorted(loaded, key=_staleness):
            if model.tenure and await model.tenure.is_freed(self._patience_s / len(loaded)):
                await self._let_go(model, "to make room")
                return True
        return False

    async def _let_go(self, model: Model, why: str) -> None:
        log.info("model let go", extra={"model": model.name, "why": why})
        await model.end()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_s)
            for model in self.models:
                if self._budget_bytes:
                    model.measure()
                if model.is_idle:
                    await self._let_go(model, "idle")

    async def start(self) -> None:
        """Returns when every model is ready that there is room for; raises LoadFailed."""
        if self._draining:
            raise Draining
        self._is_starting = True
        try:
            for last in (False, True):
                await asyncio.gather(*(self._start(model) for model in self.models if model.starts_last is last))
        finally:
            self._is_starting = False
        self._is_started = True
        self._sweeper = asyncio.create_task(self._sweep(), name="idle models")

    async def _start(self, model: Model) -> None:
        try:
            await asyncio.shield(self._load(model, evict=False))
        except NoRoom as error:
            log.warning("no room yet", extra={"model": model.name, "error": str(error)})

    async def stop(self) -> None:
        self._draining = True
        tasks = [task for task in (self._sweeper, *(model.loading for model in self.models)) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(model.end() for model in (*self.models, *self._leaving)))
        self._weights.shutdown(wait=False, cancel_futures=True)


def _done(model: Model, task: asyncio.Task[None]) -> None:
    model.loading, model.reserved_bytes = None, 0
    if not task.cancelled():
        task.exception()  # who asked for it has seen it


def _staleness(model: Model) -> tuple[bool, float]:
    assert model.tenure is not None
    return bool(model.tenure.users), model.tenure.used_at


def _breadth(can: Capabilities, options: Options) -> int:
    return len(can.languages) if options.language else -len(can.languages)
