"""The page in a real browser, with a microphone that plays a clip, against the real server with real weights."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aural.audio.decode import decode
from tests.api.conftest import KEY
from tests.api.wire import wav
from tests.browser import Tab, chromium, open_tab
from tests.conftest import Recording, Server, words

pytestmark = pytest.mark.slow

PATIENCE_S = 90.0
LOBSTERS = words("when is a lobster not a lobster when it is a crayfish")
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
IS_IDLE = "document.body.dataset.state === 'idle'"
SMALLEST_PX = 36
"""What a finger can hit."""
SAID = "document.getElementById('utterances').innerText"
WATCH = """window.states = [];
new MutationObserver(() => states.push(document.body.dataset.state)).observe(document.body, {attributes: true})"""
IS_OVER = "states.length > 1 && states.at(-1) === 'idle'"
COMMITTED = "[...document.querySelectorAll('.committed')].map((one) => one.textContent).join(' ')"


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


@asynccontextmanager
async def page(server: Server, *flags: str, language: str = "en") -> AsyncIterator[Tab]:
    """The page, which at the end has asked nobody but the server for anything, and had nothing to complain of."""
    async with open_tab(server.url + "/", f"--lang={language}", *flags) as tab:
        yield tab
        here = re.compile(rf"({server.url}|{server.url.replace('http', 'ws')}|blob:|data:)")
        assert [address for address in tab.requested if not here.match(address)] == []
        assert tab.complaints == []


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 3 * PATIENCE_S))


def test_what_is_said_into_the_microphone_is_shown_and_can_be_kept(whisper: Server, clip: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with page(whisper, *MICROPHONE, f"--use-file-for-fake-audio-capture={clip}%noloop") as tab:
            await tab.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
            await tab.until("document.getElementById('model').value === 'whisper-tiny.en'", PATIENCE_S)
            await tab.run(WATCH)
            await tab.press(" ", "Space")
            await tab.until("document.querySelector('.utterance.final .committed')?.textContent", PATIENCE_S)
            assert await tab.run("document.getElementById('final-lag').textContent") != "–"
            await tab.press(" ", "Space")
            await tab.until(IS_OVER, PATIENCE_S)
            assert {"starting", "listening", "speaking", "finishing"} <= set(await tab.run("states"))
            assert words(await tab.run(COMMITTED)) == LOBSTERS
            assert words(await tab.run("document.getElementById('spoken').textContent")) == LOBSTERS
            assert await tab.run("document.getElementById('alert').textContent") == ""
            for name in ("txt", "srt", "vtt", "json"):
                await tab.run(f"document.querySelector('[data-format={name}]').click()")
                await arrived(tmp_path / f"captions.{name}")
            await tab.run("document.getElementById('clear').click()")
            assert await tab.run(SAID) == ""

    run(scenario)
    assert words((tmp_path / "captions.txt").read_text()) == LOBSTERS
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\nWhen", (tmp_path / "captions.srt").read_text())
    assert (tmp_path / "captions.vtt").read_text().startswith("WEBVTT\n\n00:00:0")
    (segment,) = json.loads((tmp_path / "captions.json").read_text())["segments"]
    assert 0 < segment["start"] < segment["end"] < 10
    assert [word["word"].strip(" .,?").lower() for word in segment["words"]] == LOBSTERS


async def arrived(file: Path) -> None:
    for _ in range(300):
        if await asyncio.to_thread(file.exists):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{file.name} was not downloaded")


def test_a_file_is_played_and_heard_to_its_end(whisper: Server, clip: Path) -> None:
    async def scenario() -> None:
        async with page(whisper) as tab:
            await tab.until("document.getElementById('model').value", PATIENCE_S)
            await tab.run(WATCH)
            root = await tab.do("DOM.getDocument")
            node = await tab.do("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file-input")
            await tab.do("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(clip)])
            await tab.until(IS_OVER, PATIENCE_S)
            assert words(await tab.run(COMMITTED)) == LOBSTERS

    run(scenario)


def test_a_lost_connection_is_opened_again_and_the_text_stays(whisper: Server, clip: Path) -> None:
    keep = """window.sockets = []; window.alerts = [];
    const place = document.getElementById('alert');
    new MutationObserver(() => alerts.push(place.textContent)).observe(place, {childList: true});
    window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); sockets.push(this); } }"""

    async def scenario() -> None:
        async with page(whisper, *MICROPHONE, f"--use-file-for-fake-audio-capture={clip}") as tab:
            await tab.until("document.getElementById('model').value === 'whisper-tiny.en'", PATIENCE_S)
            await tab.run(WATCH)
            await tab.run(keep)
            await tab.press(" ", "Space")
            await tab.until("document.querySelector('.utterance.final .committed')?.textContent", PATIENCE_S)
            before = await tab.run(COMMITTED)
            await tab.run("sockets[0].close()")
            await tab.until(
                "states.includes('reconnecting') && alerts.some((said) => said.includes('lost'))", PATIENCE_S
            )
            await tab.until("document.querySelectorAll('.utterance.final').length > 1", PATIENCE_S)
            assert (await tab.run(COMMITTED)).startswith(before)
            assert await tab.run("document.getElementById('alert').textContent") == ""
            assert await tab.run("sockets.length") == 2
            await tab.press(" ", "Space")
            await tab.until(IS_OVER, PATIENCE_S)

    run(scenario)


def test_stopping_without_a_connection_ends_at_once(fake: Server) -> None:
    no_more = """window.sockets = [];
    window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); sockets.push(this);
      if (sockets.length > 1) this.close(); } }"""

    async def scenario() -> None:
        async with open_tab(fake.url + "/", *MICROPHONE) as tab:
            await tab.until("document.getElementById('model').value", PATIENCE_S)
            await tab.run(no_more)
            await tab.press(" ", "Space")
            await tab.until("document.body.dataset.state === 'listening'", PATIENCE_S)
            await tab.run("sockets[0].close()")
            await tab.until("sockets.length > 2", PATIENCE_S)
            assert await tab.run("document.body.dataset.state") == "reconnecting"
            await tab.press(" ", "Space")
            await tab.until(IS_IDLE, PATIENCE_S)

    run(scenario)


def test_a_file_that_is_no_sound_is_told(fake: Server, tmp_path: Path) -> None:
    (tmp_path / "noise.wav").write_bytes(b"nothing of the kind")

    async def scenario() -> None:
        async with page(fake) as tab:
            root = await tab.do("DOM.getDocument")
            node = await tab.do("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file-input")
            await tab.do("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(tmp_path / "noise.wav")])
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
