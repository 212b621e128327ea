"""From a scenario and what was measured to a model, an instance, their number and the bill, with the reasons.

Speed comes from runs of one's own where there are any, else from published figures, scaled to other GPUs by their
tensor throughput; every step that was not measured is said. Counts leave room: who is always full makes callers wait.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aural.bench.prices import HOURS_A_MONTH, Price, Prices
from aural.errors import BenchError

if TYPE_CHECKING:
    from aural.bench.figures import Figures

Use = Literal["interactive", "captions", "analysis"]
FULL = 0.7
"""Share of the measured capacity that is planned for."""
LIVE_COST = 4.0
"""Live captions hear each second several times, for drafts; so much more than a file is assumed where no run of streams
says what it is."""
GOAL_AUDIO_S = 15.0
"""Length of the request that the goal is for."""
LATENCIES_S: dict[Use, float] = {"interactive": 1.0, "captions": 2.0, "analysis": 60.0}
PEAK = 3.0
"""The busiest hour over the mean one, when only hours a month are known."""
GROWTH = 4
"""Instances that scaling may add, as a multiple of those that are planned."""
MEMORY_SHARE = 0.8
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Scenario:
    use: Use
    language: str = "en"
    streams: float = 0.0
    """People who speak at once."""
    hours: float = 0.0
    """Hours of audio a month; either this or `streams`."""
    latency_s: float = 0.0
    """Goal for one request of 15 s; 0 takes that of the use."""
    understanding: bool = False
    """Summaries and questions about the audio, not only its text."""

    @property
    def goal_s(self) -> float:
        return self.latency_s or LATENCIES_S[self.use]

    @property
    def demand(self) -> float:
        """Audio seconds per second that must be heard in the busiest hour."""
        return self.streams or self.hours / HOURS_A_MONTH * (1.0 if self.use == "analysis" else PEAK)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the speed of a model on an instance."""

    model: str
    instance: str
    rtfx: float
    """Audio seconds per second of the whole instance."""
    latency_s: float
    """One request alone, in the mean; of live streams, what 95 % of the words kept."""
    audio_s: float
    wer_percent: float
    kind: str
    """measured, published or calculated."""
    unmeasured: tuple[str, ...] = ()
    loaded_s: float | None = None
    """One request at the load that is planned for, in the mean, where that was measured."""
    streams: int = 0
    """Live streams at once that were kept in time, where that was measured."""

    def carries(self, use: Use) -> float:
        """Audio seconds per second of that use."""
        return self.rtfx / LIVE_COST if use == "captions" and not self.streams else self.rtfx

    @property
    def slowest_s(self) -> float:
        return max(self.latency_s, self.loaded_s or 0.0)


@dataclass(frozen=True, slots=True)
class Choice:
    evidence: Evidence
    count: int
    usd_per_month: float
    target: int
    """Requests at once per instance, for scaling."""
    usd_per_audio_hour: float


@dataclass(frozen=True, slots=True)
class Advice:
    scenario: Scenario
    best: Choice
    others: tuple[Choice, ...]
    reasons: tuple[str, ...]
    unmeasured: tuple[str, ...]


@cache
def profiles() -> dict[str, Any]:
    text = (files("aural.bench") / "data" / "profiles.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def advise(scenario: Scenario, prices: Prices, own: Sequence[Evidence] = ()) -> Advice:
    """The cheapest choice that does it. Raises BenchError when nothing known does, with the reason per model."""
    if not scenario.demand:
        raise BenchError("expected how much there is to hear: streams at once, or hours a month")
    if scenario.streams and scenario.hours:
        raise BenchError(
            f"expected streams at once or hours a month, got both: {scenario.streams:g} and {scenario.hours:g}"
        )
    own = _of_use(own, scenario.use)
    refused: dict[str, str] = {}
    fitting = [e for e in [*own, *published(prices, own)] if not _refuse(e, scenario, refused)]
    choices = sorted((_choice(e, scenario, prices.of(e.instance)) for e in fitting), key=_order)
    if not choices:
        reasons = "; ".join(f"{model}: {why}" for model, why in refused.items())
        raise BenchError(f"nothing that is known does this. {reasons}")
    best = choices[0]
    rest = {c.evidence.model: c for c in reversed(choices) if c.evidence.model != best.evidence.model}
    left_out = [f"{model} is left out: {why}" for model, why in refused.items() if model not in rest]
    why = (*_reasons(scenario, best, prices), *(line for line in left_out if best.evidence.model not in line))
    return Advice(scenario, best, tuple(sorted(rest.values(), key=_order)), why, _unmeasured(scenario, best))


def _of_use(own: Sequence[Evidence], use: Use) -> list[Evidence]:
    """What live streams were measured to do goes before what files say of them."""
    live = {(e.model, e.instance) for e in own if e.streams}
    if live and use != "captions":
        raise BenchError(f"expected runs of `aural bench run` for {use}, got one of live streams")
    return [e for e in own if e.streams or (e.model, e.instance) not in live]


def _order(choice: Choice) -> tuple[float, float, float]:
    """Cheapest first, then the better text, then the quicker."""
    return choice.usd_per_month, choice.evidence.wer_percent, choice.evidence.latency_s


def published(prices: Prices, own: Sequence[Evidence] = ()) -> Iterator[Evidence]:
    """What the article's servers did, on every instance of the table; own measurements go before."""
    known = {(e.model, e.instance) for e in own}
    for profile in profiles()["models"]:
        for price in prices.by_instance.values():
            ratio = profiles()["gpu_ratio"].get(price.gpu, 0.0)
            memory = MEMORY_SHARE * profiles()["gpu_memory_gib"].get(price.gpu, 0)
            if ratio and profile["gpu_memory_gib"] <= memory and (profile["model"], price.instance) not in known:
                yield _scaled(profile, price, ratio)


def _scaled(profile: dict[str, Any], price: Price, ratio: float) -> Evidence:
    """One GPU's published speed times the GPUs of an instance, a replica on each."""
    told = profile["evidence"]
    gaps = [
        "speed is that of the article's serial server: batching should make it better, and was not measured on a GPU"
    ]
    if price.gpu != told["gpu"]:
        gaps.append(f"speed on {price.gpu} is calculated as {ratio:g} of {told['gpu']} (tensor throughput)")
    if price.gpus > told["gpus_used"]:
        gaps.append(f"{price.gpus} GPUs are taken to do {price.gpus} times what one does, a replica on each")
    return Evidence(
        profile["model"],
        price.instance,
        told["requests_per_s"] * told["audio_s"] * ratio * price.gpus / told["gpus_used"],
        told["latency_s"] / ratio,
        told["audio_s"],
        profile["wer_percent"],
        "published" if price.instance == told["instance"] else "calculated",
        tuple(gaps),
    )


def _refuse(evidence: Evidence, scenario: Scenario, refused: dict[str, str]) -> bool:
    """Note why a model does not do; the reason of the last instance stands."""
    profile = next((p for p in profiles()["models"] if p["model"] == evidence.model), None)
    why = ""
    if profile and not {"*", scenario.language} & set(profile["languages"]):
        why = f"it does not know {scenario.language!r}"
    elif scenario.understanding and not (profile and profile["understanding"]):
        why = "it writes down what is said and answers no questions about it"
    elif evidence.slowest_s > scenario.goal_s:
        why = f"{_latency(evidence)} on {evidence.instance}, the goal is {scenario.goal_s:g} s"
    if why:
        refused[evidence.model] = why
    return bool(why)


def _latency(e: Evidence) -> str:
    if e.streams:
        return f"95 % of the words stand within {e.latency_s:.2g} s in {e.streams} streams at once"
    loaded = "" if e.loaded_s is None else f", {e.loaded_s:.2g} s at the planned load"
    return f"one request of {e.audio_s:g} s takes {e.latency_s:.2g} s alone{loaded}"


def _choice(evidence: Evidence, scenario: Scenario, price: Price) -> Choice:
    count = max(1, math.ceil(scenario.demand / (FULL * evidence.carries(scenario.use))))
    bill = count * price.usd_per_hour * HOURS_A_MONTH
    hours = scenario.hours or scenario.streams * HOURS_A_MONTH
    return Choice(evidence, count, bill, max(1, math.floor(_at_once(evidence))), bill / hours)


def _at_once(e: Evidence) -> float:
    """Requests, or streams, that an instance has at once at the planned load."""
    if e.streams:
        return FULL * e.streams
    a_second = e.rtfx / e.audio_s
    return max(a_second * e.latency_s, 1.0) / FULL if e.loaded_s is None else FULL * a_second * e.loaded_s


def _reasons(scenario: Scenario, best: Choice, prices: Prices) -> tuple[str, ...]:
    e = best.evidence
    load = f"{scenario.streams:g} people at once" if scenario.streams else f"{scenario.hours:g} hours of audio a month"
    price = prices.of(e.instance)
    return (
        f"{load} for {scenario.use} make {scenario.demand:.3g} audio seconds per second in the busiest hour",
        f"{e.model} on {e.instance} hears {e.carries(scenario.use):.3g} ({e.kind}); {FULL:.0%} of that is planned "
        f"for, which takes {best.count}",
        f"{_latency(e)}, the goal is {scenario.goal_s:g} s",
        f"word error rate {e.wer_percent:g} %; ${price.usd_per_hour:g} an hour each ({prices.region}, {prices.date})",
    )


def _unmeasured(scenario: Scenario, best: Choice) -> tuple[str, ...]:
    found = list(best.evidence.unmeasured)
    if best.evidence.loaded_s is None and not best.evidence.streams:
        found.append("latency is that of a lone request: at the planned load it was not measured")
    if scenario.use == "captions" and not best.evidence.streams:
        found.append(f"live captions are taken to cost {LIVE_COST:g} times a file: `aural bench stream` measures it")
    if not scenario.streams and scenario.use != "analysis":
        found.append(f"the busiest hour is taken to be {PEAK:g} times the mean one")
    if scenario.language != "en":
        found.append("error rates are for English")
    return tuple(found)


def own_evidence(folder: Path) -> Evidence:
    """What a run with --instance says: one of requests at the length of audio nearest to 15 s, one of live streams at
    the most of them that kept their goal. Raises BenchError when it says nothing."""
    from aural.bench import stream_records

    return _of_streams(folder) if stream_records.is_one(folder) else _of_requests(folder)


def _of_requests(folder: Path) -> Evidence:
    from aural.bench import records
    from aural.bench.report.measured import Measured

    run = Measured.of(records.read(folder))
    lone = [f for f in run.kind("single") if f.completed and run.best(f.load.workload)]
    if not lone:
        raise BenchError(f"expected single requests that were answered in {folder}, found none")
    single = min(lone, key=lambda f: abs(_mean_s(f) - GOAL_AUDIO_S))
    pace = run.best(single.load.workload)
    assert pace is not None
    busy = [f for f in run.kind("single", "closed") if f.load.workload == single.load.workload and f.completed]
    busy = [f for f in busy if f.rtfx >= FULL * pace.rtfx] or [pace.figures]
    loaded = min(busy, key=lambda f: f.load.callers)
    return Evidence(
        _model(run.about, folder),
        run.instance,
        pace.rtfx,
        single.latency.mean.value,
        round(_mean_s(single), 1),
        round(pace.figures.wer.value, 1),
        "measured",
        tuple(f"a doubt about its speed: {doubt}" for doubt in pace.doubts),
        loaded.latency.mean.value,
    )


def _mean_s(f: Figures) -> float:
    return f.audio_s / len(f.cell.answers)


def _of_streams(folder: Path) -> Evidence:
    import numpy as np

    from aural.bench import stream_records, stream_report

    run = stream_records.read(folder)
    kept = [step for step in run.together() if not step.missed(run.goal, {})]
    most = run.capacity["kept"] if run.capacity else max((step.count for step in kept), default=0)
    if not most:
        raise BenchError(f"expected live streams that kept their goal in {folder}, found none")
    best = [step for step in kept if step.count == most][-1]
    return Evidence(
        _model(run.about, folder),
        str(run.about["instance"]),
        float(most),
        float(np.percentile(best.all("emission_s"), 100 * run.goal.share)),
        float(run.about["plan"]["seconds"]),
        round(best.wer.value, 1),
        "measured",
        tuple(f"a doubt about its streams: {doubt}" for doubt in stream_report.doubts(best)),
        streams=most,
    )


def _model(about: dict[str, Any], folder: Path) -> str:
    """Raises BenchError when there is no instance whose price would count."""
    if not about.get("instance"):
        raise BenchError(f"expected a run with --instance in {folder}, for its price")
    told = about.get("endpoint", {}).get("models", [])
    return str(about["plan"]["model"] or (told[0]["name"] if told else about["label"]))


def deploy_file(advice: Advice) -> str:
    """What `aural deploy` takes; the address of the weights is to be filled in."""
    best = advice.best
    name = best.evidence.model.replace(".", "-")
    image = next((p["image"] for p in profiles()["models"] if p["model"] == best.evidence.model), "cuda")
    comments = "".join(f"# {line}\n" for line in [*advice.reasons, *(f"Not measured: {g}" for g in advice.unmeasured)])
    return f"""{comments}name = "{name}"
region = "{REGION}"

[[models]]
name = "{name}"
image = "{image}"
serve = "{best.evidence.model}"
data = "s3://my-models/{best.evidence.model}/"

[instance]
type = "{best.evidence.instance}"
count = {best.count}

[scaling]
min = {best.count}
max = {best.count * GROWTH}
on = "concurrency"
target = {float(best.target)}
"""
