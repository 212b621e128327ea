"""The engine that CONTRIBUTING shows is served as it stands there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from tests.api.wire import exchange, request, wav
from tests.conftest import serving

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"


def test_the_example_is_an_engine(tmp_path: Path) -> None:
    found = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    assert len(found[1].splitlines()) <= 32
    (tmp_path / "my_engines").mkdir()
    (tmp_path / "my_engines" / "loudness.py").write_text(found[1])
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    with serving("--model", "loudness=my_engines.loudness:load", "--replicas", "1", PYTHONPATH=path) as server:
        for level, text in ((0.5, "loud"), (0.01, "soft")):
            tone = level * np.sin(np.arange(16_000)).astype(np.float32)
            reply = exchange(server.url, request("/invocations", wav(tone), Content_Type="audio/wav"))
            assert (reply.status, reply.json["text"]) == (200, text)
