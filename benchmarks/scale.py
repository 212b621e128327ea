"""What Ray costs: `aural serve` alone beside the same models on a Ray cluster, with one replica and with two.

    python benchmarks/scale.py                 # about five minutes
    python benchmarks/scale.py --rounds 1 --seconds 3

All on this machine, in one run, arms in turn (A B, then B A). Overhead is the difference of the median latencies of a
lone caller, loss the difference in requests per second at 20 callers. The bar: at most 10 ms, and at most 10 %.
RUN/scale.json is what `aural bench simulate --against` reads.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from aural.bench import clips  # noqa: E402
from aural.bench.clips import Workload  # noqa: E402
from aural.simulation.against import Measured  # noqa: E402
from aural.simulation.costs import Costs, fit, read_batches  # noqa: E402
from benchmarks import load  # noqa: E402
from benchmarks.load import Job  # noqa: E402

MANY = 20
MOST_BATCH = 8
MOST_OVERHEAD_S = 0.010
MOST_LOSS = 0.10
START_S = 240.0
STOP_S = 60.0
CONFIG = 'log_level = "debug"\nmax_wait_s = 600\n[[models]]\nmodel = "{model}"\nreplicas = {replicas}\nthreads = 1\n'


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to serve the same model."""

    name: str
    replicas: int
    is_ray: bool

    def command(self, config: Path, port: int) -> list[str]:
        if self.is_ray:
            return [sys.executable, "-m", "benchmarks.scale_cluster", str(config), str(port)]
        return [sys.executable, "-m", "aural", "serve", "--config", str(config), "--port", str(port)]


ARMS = (Arm("aural, 1", 1, False), Arm("Ray, 1", 1, True), Arm("aural, 2", 2, False), Arm("Ray, 2", 2, True))


@dataclass(slots=True)
class Seen:
    """What was measured of an arm, over all rounds."""

    alone_s: list[float] = field(default_factory=list)
    """Latencies of a lone caller."""
    many_s: list[float] = field(default_factory=list)
    answered: int = 0
    window_s: float = 0.0
    errors: int = 0
    log: list[str] = field(default_factory=list)
    """The server's lines about batches."""

    @property
    def per_s(self) -> float:
        return self.answered / self.window_s if self.window_s else 0.0


def main() -> None:
    options = parse()
    audio = clips.find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, found none")
    workload = clips.build(str(options.length), clips.read_utterances(audio))
    out = options.out or Path("benchmark-results") / time.strftime("scale-%Y%m%d-%H%M%S")
    out.mkdir(parents=True, exist_ok=True)
    seen = {arm: Seen() for arm in ARMS}
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        bodies = write(workload, Path(scratch))
        for round_ in range(options.rounds):
            for arm in ARMS if round_ % 2 == 0 else reversed(ARMS):
                console.print(f"round {round_ + 1} of {options.rounds}: {arm.name}")
                measure(arm, seen[arm], bodies, options, Path(scratch))
    show(seen, console)
    runs = [measured(arm, seen[arm], workload) for arm in ARMS]
    (out / "scale.json").write_text(json.dumps({"runs": [asdict(run) for run in runs]}, indent=2) + "\n")
    console.print(f"The record is {out / 'scale.json'}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add = parser.add_argument
    add("--model", default="whisper-tiny.en")
    add("--length", type=int, default=15, help="seconds of audio in a request")
    add("--rounds", type=int, default=2)
    add("--seconds", type=float, default=12.0, help="how long a window of measurement stays open at least")
    add("--out", type=Path)
    return parser.parse_args()


def write(workload: Workload, folder: Path) -> list[str]:
    """The request bodies as files, for the process that sends them."""
    paths = [folder / f"{number}.wav" for number in range(len(workload.items))]
    for path, item in zip(paths, workload.items, strict=True):
        path.write_bytes(item.wav)
    return [str(path) for path in paths]


def measure(arm: Arm, seen: Seen, bodies: list[str], options: argparse.Namespace, scratch: Path) -> None:
    """One round of an arm: a lone caller, then many."""
    config = scratch / "aural.toml"
    config.write_text(CONFIG.format(model=options.model, replicas=arm.replicas))
    with running(arm, config, scratch / "log") as port:
        order = list(range(len(bodies)))
        job = Job(port, "/invocations", "audio/wav", bodies, order, 1, seconds=options.seconds, at_least=10)
        alone = heard(job)
        many = heard(replace(job, callers=MANY, at_least=2 * MANY))
    lone, crowd = latencies(alone), latencies(many)
    seen.alone_s += lone
    seen.many_s += crowd
    seen.answered += len(crowd)
    seen.window_s += many.closed - many.opened
    seen.errors += sum(bool(answer.error) for answer in (*alone.answers, *many.answers))
    seen.log += [line for line in (scratch / "log").read_text(errors="replace").splitlines() if '"batch"' in line]


def latencies(outcome: load.Outcome) -> list[float]:
    """Of the good answers that came while the window was open."""
    inside = [a for a in outcome.answers if outcome.opened < a.end <= outcome.closed and not a.error]
    return [answer.end - answer.start for answer in inside]


def heard(job: Job) -> load.Outcome:
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), cwd=ROOT, capture_output=True, text=True, check=True)
    return load.from_json(done.stdout)


@contextmanager
def running(arm: Arm, config: Path, log: Path) -> Iterator[int]:
    """Start the arm; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    surroundings = os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_DEDUP_LOGS": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for staying on the loopback address
    }
    with log.open("w") as sink:
        process = subprocess.Popen(arm.command(config, port), env=surroundings, cwd=ROOT, stdout=sink, stderr=sink)
        try:
            wait(port, process, log)
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_S)


def wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"the server ended:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    sys.exit(f"the server was not ready within {START_S:.0f} s")


def measured(arm: Arm, seen: Seen, workload: Workload) -> Measured:
    """The run at many callers, with what its own batches cost and what the way to them costs."""
    lengths_s = tuple(item.duration_s for item in workload.items)
    batches = read_batches(seen.log)
    costs = fit(batches)
    single_s = [batch.engine_s for batch in batches if len(batch.clips_s) == 1]
    door_s = max(0.0, percentile(seen.alone_s, 0.5) - percentile(single_s, 0.5))
    pods, workers = (arm.replicas, 1) if arm.is_ray else (1, arm.replicas)
    p50_s, p95_s = percentile(seen.many_s, 0.5), percentile(seen.many_s, 0.95)
    costs = Costs(**asdict(costs) | {"door_s": door_s})
    return Measured(arm.name, pods, workers, MANY, lengths_s, MOST_BATCH, seen.per_s, p50_s, p95_s, costs)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def show(seen: dict[Arm, Seen], console: Console) -> None:
    table = Table("arm", "1 caller: p50 ms", "20 callers: requests/s", "p50 s", "p95 s", "errors")
    for arm, what in seen.items():
        figures = (percentile(what.alone_s, 0.5) * 1000, what.per_s, *(percentile(what.many_s, q) for q in (0.5, 0.95)))
        table.add_row(arm.name, *(f"{figure:.3g}" for figure in figures), str(what.errors))
    console.print(table)
    for own, rays in ((ARMS[0], ARMS[1]), (ARMS[2], ARMS[3])):
        overhead_s = percentile(seen[rays].alone_s, 0.5) - percentile(seen[own].alone_s, 0.5)
        loss = 1 - seen[rays].per_s / seen[own].per_s
        verdict = "within the bar" if overhead_s <= MOST_OVERHEAD_S and loss <= MOST_LOSS else "beyond the bar"
        console.print(
            f"{rays.name}: {overhead_s * 1000:+.1f} ms per request, {loss:+.1%} of throughput lost: {verdict}"
        )


if __name__ == "__main__":
    main()
