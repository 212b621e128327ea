"""The page in a real browser, with a microphone that plays a clip, against the real server with real weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from aural.audio.decode import decode
from tests.api.captions_page import (
    ALERT,
    COMMITTED,
    HAS_FINAL,
    HAS_MODEL,
    IS_IDLE,
    IS_OVER,
    MICROPHONE,
    PATIENCE_S,
    WATCH,
    arrived,
    page,
    play,
    run,
)
from tests.api.conftest import KEY
from tests.api.wire import wav
from tests.browser import chromium, open_tab
from tests.conftest import Recording, Server, words

pytestmark = pytest.mark.slow

LOBSTERS = words("when is a lobster not a lobster when it is a crayfish")
LISTEN_TO_STATUS = """window.tellings = [];
new MutationObserver((records) =>
  tellings.push(...records.flatMap(({addedNodes}) => [...addedNodes].map(({data}) => data)))
).observe(document.getElementById("told"), {childList: true})"""
SMALLEST_PX = 36
"""What a finger can hit."""


@pytest.fixture(scope="module", autouse=True)
def _browser() -> None:
    chromium()


@pytest.fixture(scope="module")
def clip(clips: dict[str, Recording], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lobsters, with silence before and after."""
    samples = decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples
    path = tmp_path_factory.mktemp("microphone") / "speech.wav"
    path.write_bytes(wav(np.pad(samples, (8_000, 32_000))))
    return path


def test_what_is_said_into_the_microphone_is_shown_and_can_be_kept(whisper: Server, clip: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with page(whisper, *MICROPHONE, f"--use-file-for-fake-audio-capture={clip}%noloop") as tab:
            await tab.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
            await tab.until("document.getElementById('model').value === 'whisper-tiny.en'", PATIENCE_S)
            await tab.run(WATCH)
            await tab.run(LISTEN_TO_STATUS)
            await tab.press(" ", "Space")
            await tab.until(HAS_FINAL, PATIENCE_S)
            assert await tab.run("document.getElementById('final-lag').textContent") != "–"
            await tab.press(" ", "Space")
            await tab.until(IS_OVER, PATIENCE_S)
            assert {"starting", "listening", "speaking", "finishing"} <= set(await tab.run("states"))
            assert words(await tab.run(COMMITTED)) == LOBSTERS
            assert words(await tab.run("document.getElementById('spoken').textContent")) == LOBSTERS
            assert await tab.run("[...spoken.children].every((line) => line.lang === 'en')")
            assert await tab.run("tellings") == ["Starting…", "Listening", "Finishing…", "Ready"]
            assert await tab.run(ALERT) == ""
            for name in ("txt", "srt", "vtt", "json"):
                await tab.run(f"document.querySelector('[data-format={name}]').click()")
                await arrived(tmp_path / f"captions.{name}")
            await tab.run("document.getElementById('clear').click()")
            assert await tab.run("document.getElementById('utterances').innerText") == ""

    run(scenario)
    assert words((tmp_path / "captions.txt").read_text()) == LOBSTERS
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\nWhen", (tmp_path / "captions.srt").read_text())
    assert (tmp_path / "captions.vtt").read_text().startswith("WEBVTT\n\n00:00:0")
    (segment,) = json.loads((tmp_path / "captions.json").read_text())["segments"]
    assert 0 < segment["start"] < segment["end"] < 10
    assert [word["word"].strip(" .,?").lower() for word in segment["words"]] == LOBSTERS


def test_a_file_is_played_and_heard_to_its_end(whisper: Server, clip: Path) -> None:
    async def scenario() -> None:
        async with page(whisper) as tab:
            await tab.until(HAS_MODEL, PATIENCE_S)
            await tab.run(WATCH)
            await play(tab, clip)
            await tab.until(IS_OVER, PATIENCE_S)
            assert words(await tab.run(COMMITTED)) == LOBSTERS

    run(scenario)


def test_a_file_that_is_no_sound_is_told(fake: Server, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"nothing of the kind")

    async def scenario() -> None:
        async with page(fake) as tab:
            await play(tab, tmp_path / "noise.wav")
            await tab.until("document.getElementById('alert').textContent.includes('decode')", PATIENCE_S)
            await tab.until(IS_IDLE, PATIENCE_S)

    run(scenario)


def test_the_newest_words_stay_in_view_until_somebody_scrolls_away(fake: Server) -> None:
    gap = "transcript.scrollHeight - transcript.scrollTop - transcript.clientHeight"
    speak = """import('/page/captions.js').then(({Captions}) => {
      const [list, scroller, spoken] = ['utterances', 'transcript', 'spoken'].map((id) => document.getElementById(id));
      window.captions = new Captions({list, scroller, spoken});
      for (let i = 0; i < 60; i++) captions.final(`u${i}`, 'Words that were said.');
    })"""

    async def scenario() -> None:
        async with page(fake) as tab:
            await tab.run(speak)
            await tab.until(f"transcript.scrollTop > 0 && {gap} < 2", PATIENCE_S)
            await tab.size(360, 500, phone=True)
            await tab.until(f"{gap} < 2", PATIENCE_S)
            await tab.run("""new Promise((done) => {
              transcript.addEventListener('scrollend', done);
              transcript.dispatchEvent(new WheelEvent('wheel'));
              transcript.scrollTo(0, 0);
            })""")
            await tab.run("captions.final('last', 'And a last one.')")
            await tab.until("document.querySelectorAll('.utterance').length === 61", PATIENCE_S)
            assert await tab.run("transcript.scrollTop") == 0

    run(scenario)


def test_a_server_with_a_key_asks_for_it(guarded: Server) -> None:
    async def scenario() -> None:
        async with open_tab(guarded.url + "/") as tab:
            await tab.until("document.getElementById('key-dialog').open", PATIENCE_S)
            await tab.run(f"document.getElementById('key').value = '{KEY}'")
            await tab.run("document.querySelector('#key-dialog button').click()")
            await tab.until("document.getElementById('model').value === 'fake'", PATIENCE_S)

    run(scenario)


def test_the_page_fits_a_phone_in_the_dark_and_in_chinese(fake: Server) -> None:
    async def scenario() -> None:
        async with page(fake) as tab:
            await tab.size(360, 640, phone=True)
            await tab.media(prefers_color_scheme="dark")
            assert await tab.run("document.documentElement.scrollWidth <= window.innerWidth")
            assert await tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 22)"
            await tab.run("document.getElementById('locale').click()")
            assert await tab.run("document.documentElement.lang") == "zh-Hans"
            assert await tab.run("document.getElementById('file').textContent") == "播放文件"
            assert await tab.run("document.documentElement.scrollWidth <= window.innerWidth")
            heights = await tab.run("[...document.querySelectorAll('button, select')].map((one) => one.offsetHeight)")
            assert min(height for height in heights if height) >= SMALLEST_PX

    run(scenario)


def test_everything_that_can_be_pressed_has_a_name(fake: Server) -> None:
    async def scenario() -> None:
        async with page(fake) as tab:
            await tab.do("Accessibility.enable")
            tree = (await tab.do("Accessibility.getFullAXTree"))["nodes"]
            controls = [node for node in tree if node.get("role", {}).get("value") in ("button", "combobox", "link")]
            assert len(controls) >= 8
            assert [node for node in controls if not node.get("name", {}).get("value")] == []

    run(scenario)
