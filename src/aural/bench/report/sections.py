"""The sections of a report, in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from aural.bench import article, compare, scoring, stats
from aural.bench.figures import TIMEOUT, Figures
from aural.bench.prices import Prices
from aural.bench.report import pictures
from aural.bench.report.measured import Measured, rate_name
from aural.bench.report.parts import Section, Table, audio, number, ranged, seconds, tail

Runs = Sequence[Measured]
BYTES_A_MB = 1e6


def build(runs: Runs, prices: Prices, article_model: str = "") -> list[Section]:
    found = [
        _about(runs),
        _doubts(runs),
        _single(runs),
        _load(runs),
        _arrivals(runs),
        _capacity(runs),
        *_side_by_side(runs),
        _cost(runs, prices),
        *([_article(article_model, runs)] if article_model else []),
        _client(runs),
        _method(runs),
    ]
    return [section for section in found if section is not None]


def _about(runs: Runs) -> Section:
    rows = [
        (
            run.label,
            str(run.about["target"]),
            str(run.about["protocol"]),
            run.hardware,
            str(run.about["language"]),
            str(run.about["client"]["started"])[:16].replace("T", " "),
            str(run.about["client"]["revision"]),
        )
        for run in runs
    ]
    head = ("run", "target", "protocol", "hardware", "language", "started", "revision")
    text = []
    if len({run.hardware for run in runs}) > 1:
        text.append("! The runs used different hardware: their figures say nothing of the software alone.")
    return Section("What was measured", text, Table(head, rows, words=len(head)), pictures.overview(runs))


def _doubts(runs: Runs) -> Section:
    rows = [
        (run.label, audio(f.load.workload), _how(f), doubt) for run in runs for f in run.judged for doubt in f.doubts
    ]
    checked = sum(len(run.judged) for run in runs)
    if not rows:
        return Section(
            "Doubts",
            [
                f"None: Little's law holds in all {checked} cells, no request failed but in steps of a search, and no "
                "more texts were cut than chance explains."
            ],
        )
    text = ["! These cells do not mean what they seem to mean. Read the reason before the figure."]
    return Section("Doubts", text, Table(("run", "audio", "load", "doubt"), rows, words=4))


def _how(f: Figures) -> str:
    match f.load.kind:
        case "single":
            return "1 caller"
        case "closed":
            return f"{f.load.callers} callers"
        case _:
            return f"{f.load.rate:.3g}/s"


def _single(runs: Runs) -> Section | None:
    rows = [
        (run.label, audio(f.load.workload), *_latencies(f), *_quality(f)) for run in runs for f in run.kind("single")
    ]
    head = ("run", "audio", "mean", "P50", "P95", "P99", "max", "QPS", *QUALITY)
    return Section("Single requests", [], Table(head, rows)) if rows else None


def _load(runs: Runs) -> Section | None:
    rows = [
        (run.label, audio(f.load.workload), str(f.load.callers), *_latencies(f), number(f.rtfx, 1), *_quality(f))
        for run in runs
        for f in run.kind("single", "closed")
    ]
    if not rows:
        return None
    head = ("run", "audio", "callers", "mean", "P50", "P95", "P99", "max", "QPS", "RTFx", *QUALITY)
    text = ["Callers that never rest: what throughput is possible, and the latency that comes with it."]
    return Section("Under load", text, Table(head, rows), pictures.under_load(runs))


def _arrivals(runs: Runs) -> Section | None:
    rows = [
        (run.label, audio(f.load.workload), f"{f.load.rate:.3g}/s", *_latencies(f), *_quality(f))
        for run in runs
        for f in run.kind("open")
    ]
    head = ("run", "audio", "offered", "mean", "P50", "P95", "P99", "max", "QPS", *QUALITY)
    text = ["Poisson arrivals that wait for nobody; latency counts from the moment that the schedule names."]
    return Section("Arrivals", text, Table(head, rows)) if rows else None


QUALITY = ("answered", "WER %", "CER %", "audio heard")


def _latencies(f: Figures) -> tuple[str, ...]:
    got = f.latency
    return (
        ranged(got.mean, 3, " s"),
        tail(got, got.p50),
        tail(got, got.p95),
        tail(got, got.p99),
        seconds(got.highest),
        ranged(f.throughput),
    )


def _quality(f: Figures) -> tuple[str, ...]:
    """Answers, error rates, and audio that was transcribed of that which was sent."""
    heard = f"{f.heard_s:.0f} of {f.audio_s:.0f} s" + (" !" if f.truncates else "") if f.audio_s else ""
    answered = f"{len(f.completed)}/{len(f.cell.answers)}" + (" !" if f.failures else "")
    words = ranged(f.wer, 1) if f.rate_name == "WER" else ""
    return answered, words, ranged(f.cer, 1), heard


def _capacity(runs: Runs) -> Section | None:
    rows = [
        (
            run.label,
            audio(found["workload"]),
            f"{found['goal']['share']:.0%} within {found['goal']['latency_s']:g} s",
            number(found["low"]) + _fault(run.tries(found["workload"], found["low"])),
            number(found["high"]) + _fault(run.tries(found["workload"], found["high"]))
            if found["high"]
            else "not found",
            "".join(ranged(kept.wer, 1) for kept in run.tries(found["workload"], found["low"])[-1:]),
            str(len(found["steps"])),
        )
        for run in runs
        for found in run.search
    ]
    head = ("run", "audio", "goal", "kept at QPS", "not kept at QPS", f"{rate_name(runs)} % when kept", "steps")
    text = ["The highest rate of Poisson arrivals at which the goal was kept, and the lowest at which it was not."]
    if any(cell.endswith(" !") for row in rows for cell in row):
        text.append("! The client was busy or late where it is marked: the endpoint may take more.")
    return Section("Capacity", text, Table(head, rows)) if rows else None


def _fault(tries: Sequence[Figures]) -> str:
    return " !" if any(step.own_fault() for step in tries) else ""


def _side_by_side(runs: Runs) -> Iterator[Section]:
    for ours, theirs in combinations(runs, 2):
        rate = rate_name([ours, theirs])
        rows = [
            (
                audio(pair.ours.load.workload),
                _how(pair.ours),
                ranged(pair.throughput),
                ranged(pair.latency),
                ranged(pair.wer, 1),
                str(len(_items(pair.ours) & _items(pair.theirs)) or "none"),
            )
            for pair in compare.pairs(ours.figures, theirs.figures)
        ]
        if rows:
            head = ("audio", "load", "QPS ratio", "mean latency ratio", f"{rate} difference, points", "common items")
            text = [
                f"{ours.label} over {theirs.label}, with 95 % intervals. 1 means the same; for {rate} 0 does. Its "
                "difference rests on the items that both heard, or on all of either where there are none."
            ]
            yield Section(f"{ours.label} and {theirs.label} side by side", text, Table(head, rows))


def _items(f: Figures) -> set[str]:
    return {f.items[a.item].name for a in f.completed}


def _cost(runs: Runs, prices: Prices) -> Section | None:
    rows = [
        (
            run.label,
            run.instance,
            audio(workload),
            number(pace.rtfx, 1) + (" !" if pace.doubts else ""),
            f"${prices.of(run.instance).usd_per_hour:,.4g}",
            f"${prices.of(run.instance).per_audio_hour(pace.rtfx):,.4f}",
            ranged(pace.figures.wer, 1),
        )
        for run in runs
        if run.instance
        for workload in run.workloads
        if (pace := run.best(workload))
    ]
    if not rows:
        return None
    head = ("run", "instance", "audio", "RTFx", "an hour", "per audio hour", f"{rate_name(runs)} %")
    text = [
        f"At the capacity that was measured, by the audio that was heard, the whole instance paid for, GPUs that stood "
        f"idle included. Prices of {prices.date}, {prices.region}{_cited(runs, prices)}."
    ]
    if any(row[3].endswith(" !") for row in rows):
        text.append("! Marked: there was no cell of that length without a doubt. Read it before the price.")
    return Section("Cost", text, Table(head, rows, words=2), pictures.cost(runs, prices))


def _cited(runs: Runs, prices: Prices) -> str:
    keys = {prices.of(run.instance).source for run in runs if run.instance} - {""}
    return ": " + "; ".join(prices.sources[key] for key in sorted(keys)) if keys else ""


def _article(model: str, runs: Runs) -> Section:
    document = article.document()
    rows = []
    for cell in article.cells():
        if cell.model == model:
            verdict = article.check(cell)
            marks = "" if cell.published else "~"
            rows.append(
                (
                    audio(str(cell.audio_s)),
                    str(cell.callers),
                    f"{marks}{cell.requests_per_s:g}",
                    f"{marks}{cell.mean_s:g} s",
                    "holds" if verdict.ok else f"broken: {verdict.reason}",
                )
            )
    known = sorted({cell.model for cell in article.cells()})
    if not rows:
        return Section(
            "The article's figures", [f"! There are none of {model!r}; there are those of {', '.join(known)}."]
        )
    single = ", ".join(f"{d} s: {s:g} s" for d in (15, 30, 60) if (s := article.single_s(model, d)))
    here = ", ".join(sorted({run.hardware for run in runs}))
    text = [
        f"{model} on {document['instance']} ({document['gpus']} GPUs, {document['gpus_used']} of them used), from "
        f"[{document['source']['title']}]({document['source']['url']}). Mean latency of single requests: {single}.",
        f"! Another machine than here ({here}): no ratio of the two is given, because it would compare hardware.",
        *document["notes"],
    ]
    head = ("audio", "callers", "QPS", "mean latency", "Little's law")
    return Section("The article's figures", text, Table(head, rows, words=0))


def _client(runs: Runs) -> Section | None:
    """What the client did meanwhile: a busy or a late one measures itself."""
    rows = [
        (
            run.label,
            audio(f.load.workload),
            _how(f),
            number(f.sent_bytes / BYTES_A_MB, 1),
            number(f.client_cores),
            number(1000 * f.cell.done.watch.loop_lag_p99_s, 1),
            str(f.refusals),
            str(f.failures[TIMEOUT]),
            str(f.failures.total() - f.refusals - f.failures[TIMEOUT]),
        )
        for run in runs
        for f in run.figures
        if f.load.kind != "capacity"
    ]
    head = ("run", "audio", "load", "MB sent", "cores", "lag p99 ms", "refused", "timed out", "failed")
    return Section("The client", [], Table(head, rows, words=3)) if rows else None


def _method(runs: Runs) -> Section:
    return Section(
        "How it was measured",
        [
            "Real speech of exactly the asked length, joined from recordings with known text, others in every request; "
            "as many connections as callers. Intervals of times are 95 %, by bootstrap over blocks of neighbouring "
            "requests; those of error rates, over recordings.",
            *map(_asked, runs),
            "Percentiles are exact, from all samples, and left out where there are too few: P95 needs "
            f"{stats.LEAST[95.0]}, P99 {stats.LEAST[99.0]}. QPS counts answers with text; failures are shown, never "
            "dropped.",
            "Error rates are over all words of a cell; an empty answer missed all of its own. Audio heard ends with "
            "the last word that was heard right, and is that of no failed request.",
            "Little's law is checked on every cell: the seconds that requests were in flight, counted apart from the "
            "records, must equal the sum of their latencies, and callers must never rest.",
        ],
    )


def _asked(run: Measured) -> str:
    plan, language = run.about["plan"], str(run.about["language"])
    return (
        f"{run.label}: {plan['requests']} requests per cell after at most {plan['warm_up']} for warm-up, in "
        f"{language}; error rates after {scoring.normaliser(language)}."
    )
