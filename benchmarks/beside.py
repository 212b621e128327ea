"""aural and the article's design, one after the other, measured by `aural bench` and laid side by side.

    pip install -e '.[test]' -r benchmarks/requirements.txt
    python benchmarks/beside.py [--out FOLDER [--resume]] [--requests 40] [--model tiny.en]

Both serve the same Whisper weights on this machine, greedy and int8, and both are sent base64 in JSON, as the article's
client sends it. No cell makes requests for more than 25 s, so that all 24 cells take about eight minutes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from aural.bench.clips import find_audio  # noqa: E402
from aural.engines import catalog  # noqa: E402
from benchmarks.arms import ALL  # noqa: E402
from benchmarks.arms.base import ServerArm, Setup, spawned, wait_until_ready  # noqa: E402

ARMS = {
    "aural": ("aural", {}, 18_480),
    "article": ("the article's design", {"threads": 2, "search": "greedy"}, 18_481),
}
"""Label, settings, and port: the same every time, so that a run that is continued finds its target again."""
SERVER_NICE = 5
"""The client goes first on cores that both share, or it would time itself; the same for both servers."""
PROTOCOL = "invocations-parakeet"
"""Base64 in JSON; the model behind it is Whisper in both."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with us
    options = parse()
    audio = options.audio or find_audio(ROOT)
    if audio is None:
        sys.exit("expected recordings with known text in shared/audio beside the repository, or --audio")
    model = f"whisper-{options.model}"
    folder = catalog.find(model).fetch()
    assert folder is not None
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        setup = Setup(model, folder, Path(scratch))
        for name in ARMS:
            measure(name, setup, audio, options)
    bench("report", *(str(out / name) for name in ARMS), "--out", str(out), "--article", "whisper-large-v3-turbo")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="a new folder in bench-results")
    parser.add_argument("--resume", action="store_true", help="continue the runs in --out")
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=25.0, help="most seconds in which a cell makes requests")
    parser.add_argument("--durations", default="15,30,60")
    parser.add_argument("--concurrency", default="1,5,10,20")
    parser.add_argument("--model", default="tiny.en", choices=("tiny.en", "base"))
    parser.add_argument("--audio", type=Path)
    options = parser.parse_args()
    if options.resume and options.out is None:
        parser.error("expected --out with --resume: the folder of the runs that are continued")
    options.out = options.out or ROOT / "bench-results" / time.strftime("beside-%Y%m%d-%H%M%S")
    return options


def measure(name: str, setup: Setup, audio: Path, options: argparse.Namespace) -> None:
    """Start one of the two, ask it, end it."""
    arm = ALL[name]
    assert isinstance(arm, ServerArm)
    label, variant, port = ARMS[name]
    log = setup.scratch / f"{name}.log"
    with spawned(arm.command(setup, variant, port), arm.env(variant), log) as child:
        os.setpriority(os.PRIO_PROCESS, child.pid, SERVER_NICE)
        wait_until_ready(child, port, arm.health, log)
        bench(
            "run",
            *("--target", f"http://127.0.0.1:{port}", "--protocol", PROTOCOL, "--audio", str(audio)),
            *("--durations", options.durations, "--concurrency", options.concurrency),
            *("--requests", str(options.requests), "--seconds", str(options.seconds), "--warm-up", "2"),
            *("--label", f"{label}, {setup.model}", "--out", str(options.out / name)),
            *(["--resume"] if options.resume else []),
        )


def bench(*arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, "-m", "aural", "bench", *arguments], cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    main()
