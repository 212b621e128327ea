"""The caption page in a real browser: what its tests share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.browser import Tab, open_tab
from tests.conftest import Server

PATIENCE_S = 90.0
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
IS_IDLE = "document.body.dataset.state === 'idle'"
IS_LISTENING = "document.body.dataset.state === 'listening'"
HAS_MODEL = "document.getElementById('model').value"
HAS_DRAFT = "document.querySelector('.open .draft')?.textContent"
HAS_FINAL = "document.querySelector('.utterance.final .committed')?.textContent"
COMMITTED = "[...document.querySelectorAll('.committed')].map((one) => one.textContent).join(' ')"
ALERT = "document.getElementById('alert').textContent"
WATCH = """window.states = [];
new MutationObserver(() => states.push(document.body.dataset.state)).observe(document.body, {attributes: true})"""
IS_OVER = "states.length > 1 && states.at(-1) === 'idle'"
KEEP_SOCKETS = """window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...given) { super(...given); sockets.push(this); } }"""
KEEP_STREAMS = """window.streams = [];
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (...given) => {
  if (window.isSlow) await new Promise((resolve) => (window.grant = resolve));
  streams.push(await ask(...given));
  return streams.at(-1);
}"""
TRACKS = "streams.flatMap((stream) => stream.getTracks().map((track) => track.readyState)).join()"


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 3 * PATIENCE_S))


@asynccontextmanager
async def page(server: Server, *flags: str, language: str = "en") -> AsyncIterator[Tab]:
    """The page, which at the end has asked nobody but the server for anything, and had nothing to complain of."""
    async with open_tab(server.url + "/", f"--lang={language}", *flags) as tab:
        yield tab
        here = re.compile(rf"({server.url}|{server.url.replace('http', 'ws')}|blob:|data:)")
        assert [address for address in tab.requested if not here.match(address)] == []
        assert tab.complaints == []


async def play(tab: Tab, file: Path) -> None:
    """Choose a file, as if by hand."""
    root = await tab.do("DOM.getDocument")
    node = await tab.do("DOM.querySelector", nodeId=root["root"]["nodeId"], selector="#file-input")
    await tab.do("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(file)])


async def arrived(file: Path) -> str:
    """The text of a file that is being downloaded."""
    for _ in range(300):
        if await asyncio.to_thread(file.exists):
            return await asyncio.to_thread(file.read_text)
        await asyncio.sleep(0.1)
    raise AssertionError(f"{file.name} was not downloaded")
