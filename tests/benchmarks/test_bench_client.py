"""The measurement of the client itself, small: it reports, and loses no request. How fast is for quiet machines."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import DATA

ROOT = DATA.parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["invocations-raw", "invocations-parakeet"])
def test_every_request_is_answered_and_told(protocol: str) -> None:
    script = [sys.executable, str(ROOT / "benchmarks" / "client.py"), "--protocol", protocol]
    small = ["--rate", "50", "--seconds", "1", "--duration", "7", "--audio", str(DATA)]
    done = subprocess.run([*script, *small], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"50 requests, \d+/s, 0 failed", lines[0]), done.stdout + done.stderr
    assert [line.split("  ")[0].strip() for line in lines[1:4]] == ["from the schedule", "from sending", "client"]
    assert re.match(r"(PASS|MISS): p99 under 2 ms, under 1 core, none failed", lines[4])
