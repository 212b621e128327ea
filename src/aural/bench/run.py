"""A run from its plan to its folder: which loads, in which order, kept as they finish, continued where they stopped."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from aural.bench import about, capacity, clips, records
from aural.bench.capacity import Capacity, Goal
from aural.bench.clips import Item, Utterance
from aural.bench.figures import Figures, of_run
from aural.bench.http import Address
from aural.bench.load import Driver, Kitchen, OnAnswer
from aural.bench.notes import Notes
from aural.bench.plan import Plan
from aural.bench.protocols import AUTO, Protocol, Wish, detect, find
from aural.bench.records import Answer, Done, Load, Run, Supply, Watch
from aural.bench.targets import SAGEMAKER, Target
from aural.bench.targets import target_of as make_target
from aural.errors import BenchError

FIRST_SHARE = 0.7
"""Of the throughput of callers that never rest: the first rate that a search tries."""


@dataclass(slots=True)
class Progress:
    """What a run tells while it goes on; every part may be left out."""

    on_start: Callable[[Load], None] = lambda load: None
    on_answer: Callable[[Answer], None] = lambda answer: None
    on_done: Callable[[Figures], None] = lambda figures: None
    on_step: Callable[[capacity.Step], None] = lambda step: None
    on_search: Callable[[Capacity], None] = lambda found: None
    on_supply: Callable[[str, Supply], None] = lambda workload, supply: None


@dataclass
class Runner:
    """Runs a plan into a folder."""

    plan: Plan
    out: Path
    progress: Progress = field(default_factory=Progress)
    resume: bool = False
    _sources: dict[str, Iterator[Item]] = field(default_factory=dict)
    _supply: dict[str, Supply] = field(default_factory=dict)

    async def run(self) -> Run:
        """All that the plan asks for. Interrupted (CancelledError), what was measured until then is kept."""
        kept = self._begin()
        loads, searches = self._left(kept)
        if not loads and not searches:
            return kept
        utterances = await asyncio.to_thread(clips.read_utterances, self.plan.audio, self.plan.language)
        self._sources = self._streams(utterances, len(kept.done))
        self._supply = {workload: _supply(workload, utterances) for workload in self.plan.durations}
        target = self._target()
        try:
            await about.wait_until_ready(self.plan.target)
            protocol = await self._protocol(kept, target, utterances)
            await self._describe(kept, protocol)
            for load in loads:
                await self._cell(kept, target, protocol, load)
            for workload, goal in searches:
                kept.search.append(await self._capacity(kept, target, protocol, workload, goal))
                records.save(self.out, kept)
        finally:
            await target.close()
        for workload, supply in kept.supply.items():
            self.progress.on_supply(workload, supply)
        return kept

    def _left(self, kept: Run) -> tuple[list[Load], list[tuple[str, Goal]]]:
        """Loads that have not run, and searches: the length of the audio and the goal."""
        searched = {found["workload"] for found in kept.search}
        loads = [load for load in self.plan.loads() if load.name not in kept.finished]
        goal = self.plan.goal
        return loads, [(workload, goal) for workload in self.plan.durations if goal and workload not in searched]

    def _begin(self) -> Run:
        """The run that lies in the folder when it is to be continued, else a new one."""
        if (self.out / records.RUN).exists():
            if not self.resume:
                raise BenchError(
                    f"there is a run in {self.out} already: --resume continues it, another --out starts anew"
                )
            kept = records.read(self.out)
            self.plan.refuse_to_continue(kept.about["plan"])
            records.forget_unfinished(self.out, kept)
            return kept
        self.out.mkdir(parents=True, exist_ok=True)
        return Run({})

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

    async def _protocol(self, kept: Run, target: Target, utterances: Sequence[Utterance]) -> Protocol:
        """That of the plan, or of the cells that are there, or the one that is found out."""
        if self.plan.protocol != AUTO:
            return find(self.plan.protocol)
        if kept.done:
            return find(kept.about["protocol"])
        probe = next(clips.distinct(self.plan.durations[0], utterances, self.plan.seed))
        return await detect(target, self._path, probe, Wish(self.plan.model, self.plan.language))

    async def _describe(self, kept: Run, protocol: Protocol) -> None:
        """Write down who measures whom. What is there already stays with the cells that were measured then."""
        client = await asyncio.to_thread(about.client)
        session = {
            "plan": self.plan.described(),
            "client": client,
            "endpoint": await about.endpoint(self.plan.target),
        }
        if not kept.done:
            kept.about = self._run_wide(protocol, client) | session | {"sessions": []}
        sessions = kept.about.setdefault("sessions", [{name: kept.about[name] for name in session}])
        sessions.append(session)
        records.save(self.out, kept)

    def _run_wide(self, protocol: Protocol, client: Mapping[str, Any]) -> dict[str, Any]:
        hardware = self.plan.hardware or self.plan.instance
        if not hardware and about.is_local(self.plan.target):
            hardware = f"{client['processor']}, {client['cores']} cores (shared with the client)"
        return {
            "label": self.plan.label or self.plan.target,
            "target": self.plan.target,
            "protocol": protocol.name,
            "language": self.plan.language,
            "hardware": hardware or "not stated",
            "instance": self.plan.instance,
        }

    async def _cell(
        self, kept: Run, target: Target, protocol: Protocol, load: Load, goal: Goal | None = None
    ) -> list[Answer]:
        """Run one load and keep it, however it ends; not longer than it can still keep `goal`."""
        self.progress.on_start(load)
        items = kept.items.setdefault(load.workload, [])
        first = len(items)
        wish = Wish(self.plan.model, self.plan.language)
        kitchen = Kitchen(self._sources[load.workload], protocol, wish, self._path or "", first)
        items += await kitchen.prepare(load)
        now, session = time.perf_counter(), len(kept.about["sessions"]) - 1
        done = Done(load, now, now, Watch(), interrupted=True, session=session)
        kept.done.append(done)
        records.save(self.out, kept)  # who is killed without a word leaves this, and a line for every answer
        with records.writing(self.out, load.name) as write:
            notes = Notes(load, write, goal)
            kept.answers[load.name] = notes.answers
            driver = Driver(target, protocol, kitchen, self._told(notes), seed=self.plan.seed, enough=notes.enough)
            try:
                done = replace(await driver.run(load), session=session)
            finally:
                if done.interrupted:
                    now = time.perf_counter()
                    done = replace(done, began=min(driver.began, now), ended=now)
                items[first:] = kitchen.served
                repeated = len(items) - len({item.name for item in items})
                supply = replace(self._supply[load.workload], requests=len(items), repeated=repeated)
                kept.supply[load.workload] = supply
                kept.done[-1] = done
                records.save(self.out, kept)
        self.progress.on_done(of_run(kept)[-1])
        return notes.counted

    def _told(self, notes: Notes) -> OnAnswer:
        def tell(answer: Answer) -> None:
            notes.add(answer)
            self.progress.on_answer(answer)

        return tell

    async def _capacity(
        self, kept: Run, target: Target, protocol: Protocol, workload: str, goal: Goal
    ) -> dict[str, Any]:
        """Search the highest rate that keeps the goal, from what the closed loops could do."""
        best = max((f.throughput.value for f in of_run(kept) if f.load.workload == workload), default=0.0)

        async def attempt(rate: float, again: int) -> Sequence[Answer]:
            name = f"{workload}-capacity-{rate:.4g}rps" + (f"-{again + 1}" if again else "")
            load = self.plan.arrivals(name, "capacity", workload, rate, capacity.requests_of(rate, goal))
            answers = await self._cell(kept, target, protocol, load, goal)
            self.progress.on_step(capacity.judge(rate, answers, goal))
            return answers

        found = Capacity(0.0, math.inf, (), "no request of the loads before it was answered")
        if best:
            found = await capacity.search(attempt, goal, best * FIRST_SHARE)
        self.progress.on_search(found)
        return {"workload": workload, "goal": asdict(goal), **found.as_json()}


def _supply(workload: str, utterances: Sequence[Utterance]) -> Supply:
    used = len(clips.fitting(workload, utterances))
    return Supply(used, len(utterances) - used)
