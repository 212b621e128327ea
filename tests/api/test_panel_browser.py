"""The panel beside the captions in a real browser: what a real voice said, marked and understood."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aural.audio.decode import decode
from tests.api.captions_page import play
from tests.api.wire import wav
from tests.browser import chromium, open_tab
from tests.conftest import Recording, Server, serving

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
RULES = """
keywords = { animals = ["lobster"] }

[alert.lobster-said]
any = [{ category = "animals" }]
"""
PANEL = "document.getElementById('insights')"


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that looks for lobsters."""
    chromium()
    path = tmp_path_factory.mktemp("insights") / "insights.toml"
    path.write_text(RULES)
    with serving("--model", "whisper-tiny.en", "--insights", str(path), "--max-streams", "8") as server:
        yield server


def test_the_panel_shows_keywords_mood_and_alerts(knowing: Server, clips: dict[str, Recording], tmp_path: Path) -> None:
    voice = tmp_path / "speech.wav"
    voice.write_bytes(wav(np.pad(decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples, (8_000, 32_000))))

    async def scenario() -> None:
        async with open_tab(knowing.url + "/", "--lang=en") as tab:
            await tab.until("document.getElementById('model').value", PATIENCE_S)
            await play(tab, voice)
            await tab.until(f"{PANEL}.innerText.includes('lobster-said')", PATIENCE_S)
            await tab.until("document.body.dataset.state === 'idle'", PATIENCE_S)
            shown = await tab.run(f"{PANEL}.innerText")
            for word in ("Alerts", "Mood", "Keywords", "lobster"):
                assert word in shown
            assert "lobster" in await tab.run("[...CSS.highlights.get('insight')].map(String)")
            assert await tab.run("[...CSS.highlights.get('insight')].every((range) => !range.collapsed)")
            assert await tab.run(f"{PANEL}.querySelectorAll('svg polyline').length") == 1
            assert await tab.run(f"{PANEL}.querySelectorAll('[role=alert]').length") == 1
            await tab.run("document.getElementById('locale').click()")
            assert "关键词" in await tab.run(f"{PANEL}.innerText")
            assert tab.complaints == []
            await tab.run("document.getElementById('clear').click()")
            assert await tab.run(f"{PANEL}.hidden") is True

    asyncio.run(asyncio.wait_for(scenario(), 2 * PATIENCE_S))
