"""A run from its plan to its folder: which loads, in which order, kept as they finish, continued where they stopped."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aural.bench import about, capacity, clips, records
from aural.bench.capacity import Capacity, Goal
from aural.bench.clips import Item, Utterance
from aural.bench.figures import Figures, of_run
from aural.bench.http import Address
from aural.bench.load import Driver, Kitchen
from aural.bench.protocols import AUTO, Protocol, Wish, detect, find
from aural.bench.records import Answer, Done, Kind, Load, Run, Watch
from aural.bench.targets import SAGEMAKER, Target
from aural.bench.targets import target_of as make_target
from aural.errors import BenchError

MOST_WARM_UP = 5
STEP_S = 20.0
LEAST_STEP_REQUESTS = 40
MOST_STEP_REQUESTS = 2_000
OPEN_CONNECTIONS = 16
FIRST_SHARE = 0.7
"""Of the throughput of callers that never rest: the first rate that a search tries."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `aural bench run` was asked for."""

    target: str
    audio: Path
    protocol: str = AUTO
    durations: tuple[str, ...] = ("15", "30", "60")
    """Lengths of audio in seconds, or `mix`."""
    concurrency: tuple[int, ...] = (1, 5, 10, 20)
    requests: int = 100
    rates: tuple[float, ...] = ()
    """Requests a second of open loops."""
    goal: Goal | None = None
    """Search the capacity that keeps it."""
    warm_up: int = MOST_WARM_UP
    """Requests before each cell, at most one per caller."""
    limit_s: float | None = None
    """The longest that a cell of a closed loop may take before it makes no more requests."""
    language: str = "en"
    model: str = ""
    label: str = ""
    """What the run is called in reports; the target when empty."""
    instance: str = ""
    """The SageMaker instance type of the endpoint, for its price."""
    hardware: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float = 120.0
    region: str | None = None
    endpoint_url: str | None = None
    seed: int = 7

    def loads(self) -> list[Load]:
        """Every cell, in order: single requests, then callers, then arrivals, per length of audio."""
        return [load for workload in self.durations for load in self._of(workload)]

    def _of(self, workload: str) -> Iterator[Load]:
        for callers in sorted({1, *self.concurrency}):  # one caller that never rests is one request after the other
            kind: Kind
            kind, name = ("single", "single") if callers == 1 else ("closed", f"x{callers}")
            warm_up = min(callers, self.warm_up)
            yield Load(
                f"{workload}-{name}",
                kind,
                workload,
                callers,
                0.0,
                self.requests,
                warm_up,
                self.limit_s,
            )
        for rate in self.rates:
            yield Load(f"{workload}-{rate:g}rps", "open", workload, OPEN_CONNECTIONS, rate, self.requests)

    def described(self) -> dict[str, Any]:
        """The plan as run.json keeps it, without what is secret."""
        kept = asdict(replace(self, headers=()))
        return {**kept, "audio": str(self.audio)}


@dataclass(slots=True)
class Progress:
    """What a run tells while it goes on; every part may be left out."""

    on_start: Callable[[Load], None] = lambda load: None
    on_answer: Callable[[Answer], None] = lambda answer: None
    on_done: Callable[[Figures], None] = lambda figures: None
    on_step: Callable[[capacity.Step], None] = lambda step: None


@dataclass
class Runner:
    """Runs a plan into a folder."""

    plan: Plan
    out: Path
    progress: Progress = field(default_factory=Progress)
    resume: bool = False
    _sources: dict[str, Iterator[Item]] = field(default_factory=dict)

    async def run(self) -> Run:
        """All that the plan asks for. Interrupted (CancelledError), what was measured until then is kept."""
        utterances = await asyncio.to_thread(clips.read_utterances, self.plan.audio, self.plan.language)
        kept = self._begin()
        self._sources = self._streams(utterances, len(kept.done))
        target = self._target()
        try:
            protocol = await self._protocol(target, utterances)
            await self._describe(kept, protocol)
            for load in self.plan.loads():
                if load.name not in kept.finished:
                    await self._cell(kept, target, protocol, load)
            for workload in self.plan.durations:
                if self.plan.goal and workload not in {found["workload"] for found in kept.search}:
                    kept.search.append(await self._capacity(kept, target, protocol, workload, self.plan.goal))
                    records.save(self.out, kept)
        finally:
            await target.close()
        return kept

    def _begin(self) -> Run:
        """The run that lies in the folder when it is to be continued, else a new one."""
        if (self.out / records.RUN).exists():
            if not self.resume:
                raise BenchError(
                    f"there is a run in {self.out} already: --resume continues it, another --out starts anew"
                )
            kept = records.read(self.out)
            self._refuse_another_plan(kept)
            records.forget_unfinished(self.out, kept)
            return kept
        self.out.mkdir(parents=True, exist_ok=True)
        return Run({})

    def _refuse_another_plan(self, kept: Run) -> None:
        before, now = kept.about["plan"], self.plan.described()
        for name in ("target", "language", "model", "requests", "warm_up"):
            if before.get(name) != now[name]:
                raise BenchError(f"the run in {self.out} had {name} {before.get(name)!r}, this one has {now[name]!r}")

    def _streams(self, utterances: Sequence[Utterance], times: int) -> dict[str, Iterator[Item]]:
        """Items without end per workload; a run that is continued does not ask for the same ones again."""
        seed = self.plan.seed + times
        return {workload: clips.distinct(workload, utterances, seed) for workload in self.plan.durations}

    def _target(self) -> Target:
        plan = self.plan
        return make_target(
            plan.target,
            headers=dict(plan.headers),
            timeout_s=plan.timeout_s,
            region=plan.region,
            endpoint_url=plan.endpoint_url,
        )

    @property
    def _path(self) -> str | None:
        return None if self.plan.target.startswith(SAGEMAKER) else Address.of(self.plan.target).path

    async def _protocol(self, target: Target, utterances: Sequence[Utterance]) -> Protocol:
        if self.plan.protocol != AUTO:
            return find(self.plan.protocol)
        await about.wait_until_ready(self.plan.target)
        probe = next(clips.distinct(self.plan.durations[0], utterances, self.plan.seed))
        return await detect(target, self._path, probe, Wish(self.plan.model, self.plan.language))

    async def _describe(self, kept: Run, protocol: Protocol) -> None:
        local = about.is_local(self.plan.target)
        client = await asyncio.to_thread(about.client)
        hardware = self.plan.hardware or self.plan.instance
        if not hardware and local:
            hardware = f"{client['processor']}, {client['cores']} cores (shared with the client)"
        kept.about = {
            "label": self.plan.label or self.plan.target,
            "target": self.plan.target,
            "protocol": protocol.name,
            "language": self.plan.language,
            "hardware": hardware or "not stated",
            "instance": self.plan.instance,
            "plan": self.plan.described(),
            "client": client,
            "endpoint": await about.endpoint(self.plan.target),
        }
        records.save(self.out, kept)

    async def _cell(self, kept: Run, target: Target, protocol: Protocol, load: Load) -> list[Answer]:
        """Run one load and keep it, however it ends."""
        self.progress.on_start(load)
        items = kept.items.setdefault(load.workload, [])
        wish = Wish(self.plan.model, self.plan.language)
        kitchen = Kitchen(self._sources[load.workload], protocol, wish, self._path or "", len(items))
        answers: list[Answer] = []

        def note(answer: Answer) -> None:
            answers.append(answer)
            self.progress.on_answer(answer)

        driver = Driver(target, protocol, kitchen, note, seed=self.plan.seed)
        done = Done(load, math.inf, math.inf, Watch(), interrupted=True)
        try:
            await kitchen.prepare(load)
            done = await driver.run(load)
        finally:
            if done.interrupted:
                done = Done(
                    load, min(driver.began, time.perf_counter()), time.perf_counter(), Watch(), interrupted=True
                )
            items += kitchen.served
            kept.answers[load.name] = answers
            kept.done.append(done)
            records.append(self.out, load.name, answers)
            records.save(self.out, kept)
        self.progress.on_done(of_run(kept)[-1])
        return [a for a in answers if a.start >= done.began]

    async def _capacity(
        self, kept: Run, target: Target, protocol: Protocol, workload: str, goal: Goal
    ) -> dict[str, Any]:
        """Search the highest rate that keeps the goal, from what the closed loops could do."""
        best = max((f.throughput.value for f in of_run(kept) if f.load.workload == workload), default=1.0)

        async def attempt(rate: float) -> Sequence[Answer]:
            requests = round(min(max(rate * STEP_S, LEAST_STEP_REQUESTS), MOST_STEP_REQUESTS))
            name = f"{workload}-capacity-{rate:.4g}rps"
            load = Load(name, "capacity", workload, OPEN_CONNECTIONS, rate, requests)
            answers = await self._cell(kept, target, protocol, load)
            self.progress.on_step(capacity.judge(rate, answers, goal))
            return answers

        found: Capacity = await capacity.search(attempt, goal, max(best * FIRST_SHARE, capacity.LEAST_RATE))
        return {"workload": workload, "goal": asdict(goal), **found.as_json()}
