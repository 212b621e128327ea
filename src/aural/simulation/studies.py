"""What becomes of a pool as it grows, fills, and loses a part: one function a question, each gives one chart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from aural.serving.policy import Policy
from aural.simulation.costs import TERMS, Costs
from aural.simulation.pool import Clock, Pool, Routing, percentile
from aural.simulation.traffic import Files, Record, Speech, Stream

CLIP_S = 15.0
MIX_S = (3.0, 5.0, 8.0, 15.0, 28.0)
LONG_S = 600.0
SLOWEST_FINAL_S = 0.6
SLOWEST_PARTIAL_S = 2.0
ZONES = 3
NEW_POD_S = 120.0
"""From the loss of a pod to a new one that is warm."""
FEWEST_ANSWERS = 20
_STEPS = 7


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over one axis: for each name, points (x, y)."""

    name: str
    title: str
    x: str
    y: str
    curves: dict[str, list[tuple[float, float]]]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What is simulated."""

    costs: Costs
    policy: Policy = field(default_factory=Policy)
    workers: int = 2
    """Per pod."""
    seconds: float = 60.0
    seed: int = 1

    def pool(self, clock: Clock, pods: int, routing: Routing = "two") -> Pool:
        return Pool(
            clock, self.costs, pods=pods, workers=self.workers, policy=self.policy, routing=routing, seed=self.seed
        )

    def full_rate(self, lengths_s: Sequence[float], pods: int = 1) -> float:
        """Requests per second with every worker in full batches of the mean length: what no queue can exceed."""
        mean_s = sum(lengths_s) / len(lengths_s)
        return pods * self.workers * self.costs.rtfx(mean_s, self.policy.max_batch) / mean_s

    def faster(self, times: float) -> World:
        """As if each worker were so many times as fast."""
        costs = self.costs
        terms = {name: getattr(costs, name) / times for name in TERMS}
        return replace(self, costs=replace(costs, **terms))


def replicas(world: World, counts: Sequence[int] = (1, 2, 4, 8, 16)) -> Chart:
    """Requests per second that keep p95 within four times an idle server's, against pods."""
    bar_s = 4 * (world.costs.engine_s([CLIP_S]) + world.costs.door_s)
    routings: dict[str, Callable[[int], Pool]] = {
        "one queue for all workers": lambda n: replace(world, workers=world.workers * n).pool(Clock(), 1),
        "the less loaded of two pods": lambda n: world.pool(Clock(), n),
        "any pod": lambda n: world.pool(Clock(), n, "random"),
    }
    curves = {
        name: [(float(n), _highest(_keeps(world, make, n, bar_s), world.full_rate([CLIP_S], n))) for n in counts]
        for name, make in routings.items()
    }
    title = f"Requests of {CLIP_S:.0f} s with p95 within {bar_s * 1000:.0f} ms"
    return Chart("replicas", title, "pods", "requests/s", curves)


def _keeps(world: World, make: Callable[[int], Pool], pods: int, bar_s: float) -> Callable[[float], bool]:
    def holds(per_s: float) -> bool:
        pool, record = make(pods), Record()
        Files(pool, record, [CLIP_S]).open(per_s)
        pool.clock.run(world.seconds)
        return len(record.at) >= FEWEST_ANSWERS and record.p(0.95, world.seconds / 4) <= bar_s

    return holds


def queueing(world: World, shares: Sequence[float] = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)) -> Chart:
    """p95 of an open loop against the load, as a share of what full batches would bear."""
    alone = replace(world.policy, max_batch=1)
    kinds = {
        "batches as they form": world.policy,
        "batches, after waiting 50 ms for company": replace(world.policy, window_s=0.05),
        "one clip at a time": alone,
    }
    curves = {name: [(share, _p95(world, policy, share)) for share in shares] for name, policy in kinds.items()}
    return Chart("queueing", "Waiting, one pod, a mix of 3 to 28 s", "load", "p95, s", curves, log_y=True)


def _p95(world: World, policy: Policy, share: float) -> float:
    clock, record = Clock(), Record()
    pool = replace(world, policy=policy).pool(clock, 1)
    Files(pool, record, MIX_S).open(world.full_rate(MIX_S) * share)
    clock.run(world.seconds * 4)
    return record.p(0.95, world.seconds)


def head_of_line(world: World, shares: Sequence[float] = (0.0, 0.1, 0.2, 0.4, 0.6)) -> Chart:
    """p95 of 5 s clips beside files of ten minutes, which bring a growing share of the audio; 70 % load in all."""
    orders = {"by due time, as aural does": 20.0, "first come, first served": math.inf}
    curves = {name: [(share, _beside_long(world, share, pace)) for share in shares] for name, pace in orders.items()}
    title = "5 s clips beside files of ten minutes"
    return Chart("head-of-line", title, "share of long files", "p95, s", curves, log_y=True)


def _beside_long(world: World, share: float, pace: float) -> float:
    clock, short = Clock(), Record()
    pool = world.pool(clock, 1)
    audio_per_s = 0.7 * world.full_rate([CLIP_S]) * CLIP_S
    Files(pool, short, [5.0]).open(audio_per_s * (1 - share) / 5.0)
    if share:
        Files(pool, Record(), [LONG_S], pace=pace).open(audio_per_s * share / LONG_S)
    clock.run(world.seconds * 4)
    return short.p(0.95, world.seconds)


def zone_loss(world: World, loads: Sequence[float] = (0.5, 0.6, 0.75), pods: int = 12) -> Chart:
    """p95 over time when one of three zones goes, at several loads; new pods are warm after NEW_POD_S."""
    curves = {f"load {load:.0%} before": _losing_a_zone(world, load, pods) for load in loads}
    return Chart("zone-loss", "One of three zones is lost at 0 s", "seconds", "p95, s", curves, log_y=True)


def _losing_a_zone(world: World, load: float, pods: int) -> list[tuple[float, float]]:
    clock, record = Clock(), Record()
    pool = world.pool(clock, pods)
    Files(pool, record, [CLIP_S], max_wait_s=10.0).open(world.full_rate([CLIP_S], pods) * load)
    lost_at = world.seconds
    clock.at(lost_at, lambda: clock.at(clock.now + NEW_POD_S, _adder(pool, pool.lose(1 / ZONES))))
    end = lost_at + 2 * NEW_POD_S
    clock.run(end)
    width_s = world.seconds / 6
    edges = [lost_at / 2 + width_s * i for i in range(int((end - lost_at / 2) / width_s))]
    return [(start - lost_at, value) for start in edges if (value := _within(record, start, width_s))]


def _adder(pool: Pool, count: int) -> Callable[[], None]:
    return lambda: pool.add(count)


def _within(record: Record, start: float, width_s: float) -> float:
    inside = [took for at, took in zip(record.at, record.latency_s, strict=True) if start <= at < start + width_s]
    return percentile(inside, 0.95) if inside else 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """What so many live streams take."""

    streams: int
    pods: int
    pods_with_zone_lost: int
    """So many that two of three zones bear them all."""
    dollars_per_hour: float


def streams_per_worker(world: World, pods: int = 4, speech: Speech | None = None) -> float:
    """Live streams that one worker bears with finals and partials in time, at p95."""

    def holds(per_worker: float) -> bool:
        clock, finals, partials = Clock(), Record(), Record()
        pool = world.pool(clock, pods)
        for _ in range(round(per_worker * pods * world.workers)):
            Stream(pool, finals, partials, speech or Speech()).start()
        clock.run(world.seconds)
        late_s = finals.p(0.95, world.seconds / 4), partials.p(0.95, world.seconds / 4)
        return len(finals.at) >= FEWEST_ANSWERS and late_s[0] <= SLOWEST_FINAL_S and late_s[1] <= SLOWEST_PARTIAL_S

    return _highest(holds, world.costs.rtfx(CLIP_S, world.policy.max_batch))


def fleets(per_worker: float, workers: int, price: float, streams: Iterable[int]) -> list[Fleet]:
    """Pods for these numbers of streams. Sessions stay on their pods, so pods know nothing of each other and their
    number grows with the streams."""
    found = []
    for count in streams:
        pods = max(1, math.ceil(count / (per_worker * workers)))
        spare = math.ceil(pods * ZONES / (ZONES - 1))
        found.append(Fleet(count, pods, spare, spare * price))
    return found


def growth(found: Sequence[Fleet]) -> Chart:
    enough = [(float(fleet.streams), float(fleet.pods)) for fleet in found]
    spare = [(float(fleet.streams), float(fleet.pods_with_zone_lost)) for fleet in found]
    curves = {"pods": enough, "pods, one zone of three to spare": spare}
    return Chart("streams", "Pods for live streams", "live streams", "pods", curves, log_x=True, log_y=True)


def _highest(holds: Callable[[float], bool], most: float) -> float:
    """The highest value up to `most` for which it still holds, to one per cent of `most`."""
    low, high = 0.0, most
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
