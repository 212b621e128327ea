"""A headless Chromium driven over its own DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-default-apps", "--no-default-browser-check", "--metrics-recording-only", "--mute-audio"),
    *("--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0"),
)
MOST_BYTES = 64 * 2**20
POLL_S = 0.1


def chromium() -> str:
    """The browser; skips the test, loudly, where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("NOT RUN: expected chromium (apt-get install chromium), found none")
    return found


class Tab:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())
        self.requested: list[str] = []
        """Every address that the page asked for."""
        self.complaints: list[str] = []
        """Errors of the page's own code and of its security policy."""

    async def close(self) -> None:
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        number = self._count
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return await self._answers[number]

    async def run(self, code: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        answer = await self.do(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, code: str, limit_s: float) -> Any:
        """The first true value of an expression."""
        value, deadline = None, asyncio.get_running_loop().time() + limit_s
        while not value:
            assert asyncio.get_running_loop().time() < deadline, f"{code} did not come true within {limit_s} s"
            value = await self.run(code)
            await asyncio.sleep(POLL_S)
        return value

    async def picture(self, path: Path) -> None:
        answer = await self.do("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))

    async def size(self, width: int, height: int, *, phone: bool = False, scale: float = 1) -> None:
        await self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    async def media(self, **features: str) -> None:
        """Media features, such as prefers_color_scheme='dark'."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.do("Emulation.setEmulatedMedia", features=named)

    async def press(self, key: str, code: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, key=key, code=code, text=key)

    async def _read(self) -> None:
        async for frame in self._socket:
            message = json.loads(frame)
            if "id" in message:
                future = self._answers.pop(message["id"])
                if "error" in message:
                    future.set_exception(AssertionError(message["error"]))
                else:
                    future.set_result(message["result"])
            else:
                self._note(message["method"], message["params"])

    def _note(self, method: str, given: dict[str, Any]) -> None:
        match method:
            case "Network.requestWillBeSent":
                self.requested.append(given["request"]["url"])
            case "Network.webSocketCreated":
                self.requested.append(given["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(given["exceptionDetails"]))
            case "Log.entryAdded" if given["entry"]["level"] == "error":
                self.complaints.append(given["entry"]["text"])


@asynccontextmanager
async def open_tab(address: str, *flags: str) -> AsyncIterator[Tab]:
    """A tab that shows an address."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium(), *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
        browser = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with connect(await _page(port), max_size=MOST_BYTES, proxy=None) as socket:
                tab = Tab(socket)
                try:
                    for domain in ("Page", "Runtime", "Network", "Log"):
                        await tab.do(f"{domain}.enable")
                    await tab.do("Page.navigate", url=address)
                    await tab.until("document.readyState === 'complete'", 30)
                    yield tab
                finally:
                    await tab.close()
        finally:
            browser.terminate()
            await browser.wait()


async def _port(file: Path) -> int:
    for _ in range(600):
        if lines := await asyncio.to_thread(_lines, file):
            return int(lines[0])
        await asyncio.sleep(POLL_S)
    raise AssertionError("chromium did not start")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


async def _page(port: int) -> str:
    """The address of the first page's DevTools socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /json/list HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length:")[1].split("\r\n")[0])
    pages = json.loads(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
