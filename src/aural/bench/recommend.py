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
from typing import Any, Literal

from aural.bench.prices import HOURS_A_MONTH, Price, Prices
from aural.errors import BenchError

Use = Literal["interactive", "captions", "analysis"]
FULL = 0.7
"""Share of the measured capacity that is planned for."""
LIVE_COST = 4.0
"""Live captions hear each second several times, for drafts; so much more than a file is assumed, not measured."""
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
        """Audio seconds per second that must be heard in the busiest hour, in seconds of a file."""
        peak = self.streams or self.hours / HOURS_A_MONTH * (1.0 if self.use == "analysis" else PEAK)
        return peak * (LIVE_COST if self.use == "captions" else 1.0)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the speed of a model on an instance."""

    model: str
    instance: str
    rtfx: float
    """Audio seconds per second of the whole instance."""
    latency_s: float
    """One request alone."""
    audio_s: float
    wer_percent: float
    kind: str
    """measured, published or calculated."""
    unmeasured: tuple[str, ...] = ()


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


def _order(choice: Choice) -> tuple[float, float, float]:
    """Cheapest first, then the better text, then the quicker."""
    return choice.usd_per_month, choice.evidence.wer_percent, choice.evidence.latency_s


def published(prices: Prices, own: Sequence[Evidence] = ()) -> Iterator[Evidence]:
    """What the article's servers did, on every instance of the table; own measurements go before."""
    known = {(e.model, e.instance) for e in own}
    for profile in profiles()["models"]:
        told = profile["evidence"]
        whole = prices.of(told["instance"])
        for price in prices.by_instance.values():
            ratio = profiles()["gpu_ratio"].get(price.gpu, 0.0)
            memory = MEMORY_SHARE * profiles()["gpu_memory_gib"].get(price.gpu, 0)
            if ratio and profile["gpu_memory_gib"] <= memory and (profile["model"], price.instance) not in known:
                yield _scaled(profile, whole, price, ratio)


def _scaled(profile: dict[str, Any], whole: Price, price: Price, ratio: float) -> Evidence:
    """One GPU's published speed times the GPUs of an instance, a replica on each."""
    told = profile["evidence"]
    gaps = [
        "speed is that of the article's serial server: batching should make it better, and was not measured on a GPU"
    ]
    if price.gpu != whole.gpu:
        gaps.append(f"speed on {price.gpu} is calculated as {ratio:g} of {whole.gpu} (tensor throughput)")
    if price.gpus > told["gpus_used"]:
        gaps.append(f"{price.gpus} GPUs are taken to do {price.gpus} times what one does, a replica on each")
    return Evidence(
        profile["model"],
        price.instance,
        told["requests_per_s"] * told["audio_s"] * ratio * price.gpus / told["gpus_used"],
        told["latency_s"] / ratio,
        told["audio_s"],
        profile["wer_percent"],
        "published" if price.instance == whole.instance else "calculated",
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
    elif evidence.latency_s > scenario.goal_s:
        why = f"{evidence.latency_s:.2g} s for {evidence.audio_s:g} s of audio on {evidence.instance}, the goal is "
        why += f"{scenario.goal_s:g} s"
    if why:
        refused[evidence.model] = why
    return bool(why)


def _choice(evidence: Evidence, scenario: Scenario, price: Price) -> Choice:
    count = max(1, math.ceil(scenario.demand / (FULL * evidence.rtfx)))
    bill = count * price.usd_per_hour * HOURS_A_MONTH
    at_once = evidence.rtfx / evidence.audio_s * evidence.latency_s
    hours = scenario.hours or scenario.streams * HOURS_A_MONTH
    return Choice(evidence, count, bill, max(1, math.floor(max(at_once, 1.0) / FULL)), bill / hours)


def _reasons(scenario: Scenario, best: Choice, prices: Prices) -> tuple[str, ...]:
    e = best.evidence
    load = f"{scenario.streams:g} people at once" if scenario.streams else f"{scenario.hours:g} hours of audio a month"
    price = prices.of(e.instance)
    return (
        f"{load} for {scenario.use} make {scenario.demand:.3g} audio seconds per second in the busiest hour",
        f"{e.model} on {e.instance} hears {e.rtfx:.3g} ({e.kind}); {FULL:.0%} of that is planned for, which takes "
        f"{best.count}",
        f"one request of {e.audio_s:g} s takes {e.latency_s:.2g} s alone, the goal is {scenario.goal_s:g} s",
        f"word error rate {e.wer_percent:g} %; ${price.usd_per_hour:g} an hour each ({prices.region}, {prices.date})",
    )


def _unmeasured(scenario: Scenario, best: Choice) -> tuple[str, ...]:
    found = list(best.evidence.unmeasured)
    if scenario.use == "captions":
        found.append(f"live captions are taken to cost {LIVE_COST:g} times a file: `aural bench stream` measures it")
    if not scenario.streams and scenario.use != "analysis":
        found.append(f"the busiest hour is taken to be {PEAK:g} times the mean one")
    if scenario.language != "en":
        found.append("error rates are for English")
    return tuple(found)


def own_evidence(folder: Path) -> list[Evidence]:
    """What a run of `aural bench run` with --instance says, per length of audio the one nearest to 15 s."""
    from aural.bench import records
    from aural.bench.report.measured import Measured

    run = Measured.of(records.read(folder))
    if not run.instance:
        raise BenchError(f"expected a run with --instance in {folder}, for its price")
    told = run.about.get("endpoint", {}).get("models", [])
    model = str(run.about["plan"]["model"] or (told[0]["name"] if told else run.label))
    found = []
    for workload in run.workloads:
        single = [f for f in run.kind("single") if f.load.workload == workload and f.completed]
        if single and run.best_rtfx(workload):
            audio_s = single[0].audio_s / len(single[0].completed)
            rtfx, mean = run.best_rtfx(workload), single[0].latency.mean.value
            wer = round(single[0].wer.value, 1)
            found.append(Evidence(model, run.instance, rtfx, mean, round(audio_s, 1), wer, "measured"))
    return found


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
