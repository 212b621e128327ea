"""How fast and how well aural serves, beside the article's design, a peer and the bare engine, in one run.

    pip install -r benchmarks/requirements.txt
    python benchmarks/serving.py --quick

README.md in this folder says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from rich.console import Console  # noqa: E402

from aural.bench import clips  # noqa: E402
from aural.bench.clips import LONG, Workload  # noqa: E402
from aural.engines import catalog  # noqa: E402
from aural.engines.weights import digest  # noqa: E402
from benchmarks import records, report  # noqa: E402
from benchmarks.arms import ALL  # noqa: E402
from benchmarks.arms.base import ANY, Setup  # noqa: E402
from benchmarks.plan import QUICK, QUICK_ARMS, Plan  # noqa: E402
from benchmarks.results import ItemInfo, Results  # noqa: E402
from benchmarks.run import Run  # noqa: E402

PACKAGES = ("aural", "ctranslate2", "faster-whisper", "flask", "litserve", "numpy")


def main() -> None:
    options = parse()
    console = Console()
    if options.report:
        again(options.report, console)
        return
    audio = clips.find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, found none")
    plan = plan_of(options)
    out = options.out or Path("benchmark-results") / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True, exist_ok=True)
    model = f"whisper-{options.model}"
    folder = catalog.find(model).fetch()
    assert folder is not None
    utterances = clips.read_utterances(audio)
    workloads = [clips.read_long(audio) if w == LONG else clips.build(w, utterances) for w in plan.workloads]
    about = {**environment(model, folder, audio), "plan": asdict(plan)}
    with tempfile.TemporaryDirectory() as scratch:
        setup = Setup(model, folder, Path(scratch))
        cells = records.read(out / "cells.jsonl") if (out / "cells.jsonl").exists() else []
        run = Run(plan, [ALL[name] for name in options.arms], workloads, setup, out, console, cells)
        items = {workload.name: infos(workload) for workload in workloads}
        keep(out, about, items, run.unavailable)
        try:
            run.all()
        except KeyboardInterrupt:
            console.print("[yellow]interrupted: this is the report of what was measured so far")
        finally:
            keep(out, about, items, run.unavailable)
            report.write(Results(model, run.cells, items, run.unavailable), about, out, console)
    console.print(f"Records, tables and JSON are in {out}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--model", default="tiny.en", choices=("tiny.en", "base"))
    add("--workloads", type=words, help="lengths in seconds, mix, long; separated by commas")
    add("--arms", type=words, help=f"of {', '.join(ALL)}")
    add("--rounds", type=int)
    add("--callers", type=words, help="numbers of callers, separated by commas")
    add("--seconds", type=float, help="how long a window of measurement stays open at least")
    add("--quick", action="store_true", help="one round of 15 s clips, in about two minutes")
    add("--out", type=Path, help="folder for the records and the report; a run begun there goes on")
    add("--report", type=Path, metavar="OUT", help="make the report of an earlier run again")
    options = parser.parse_args()
    options.arms = options.arms or (QUICK_ARMS if options.quick else tuple(ALL))
    if unknown := sorted(set(options.arms) - set(ALL)):
        parser.error(f"expected arms of {', '.join(ALL)}; got {', '.join(unknown)}")
    if unknown := sorted(set(options.callers or ()) - set(map(str, ANY))):
        parser.error(f"expected callers of {', '.join(map(str, sorted(ANY)))}; got {', '.join(unknown)}")
    return options


def words(value: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in value.split(",") if word.strip())


def plan_of(options: argparse.Namespace) -> Plan:
    given = {
        "workloads": options.workloads,
        "rounds": options.rounds,
        "callers": tuple(map(int, options.callers)) if options.callers else None,
        "seconds": options.seconds,
    }
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return replace(QUICK if options.quick else Plan(), **changes)


def infos(workload: Workload) -> list[ItemInfo]:
    return [ItemInfo(item.name, item.text, item.duration_s, item.speech_share) for item in workload.items]


def environment(model: str, folder: Path, audio: Path) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    return {
        "model": model,
        "weights_sha256": digest(folder / "model.bin"),
        "clips_sha256": hashlib.sha256((audio / "manifest.jsonl").read_bytes()).hexdigest(),
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "decoding": "greedy, int8, no timestamps up to 30 s",
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def keep(out: Path, about: dict[str, Any], items: dict[str, list[ItemInfo]], unavailable: dict[str, str]) -> None:
    """run.json: what `--report` needs beside cells.jsonl."""
    kept = {"about": about, "items": {name: [asdict(i) for i in some] for name, some in items.items()}}
    (out / "run.json").write_text(json.dumps({**kept, "unavailable": unavailable}), encoding="utf-8")


def again(out: Path, console: Console) -> None:
    kept = json.loads((out / "run.json").read_text(encoding="utf-8"))
    items = {name: [ItemInfo(**item) for item in some] for name, some in kept["items"].items()}
    cells = records.read(out / "cells.jsonl")
    report.write(Results(kept["about"]["model"], cells, items, kept["unavailable"]), kept["about"], out, console)


if __name__ == "__main__":
    main()
