"""A headless Chromium, driven over its DevTools protocol: opens a page, looks at it, takes its picture."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
PHONE, DESKTOP = (390, 844), (1280, 900)

# It must not call anybody: no name can be resolved, and everything that would like to is switched off.
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root, where the sandbox refuses to work
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


def program() -> str | None:
    """The browser, if there is one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@dataclass
class Page:
    """One tab."""

    socket: aiohttp.ClientWebSocketResponse
    urls: list[str] = field(default_factory=list)  # everything that was asked for
    complaints: list[str] = field(default_factory=list)  # what the console says, errors and broken policies included
    _number: int = 0
    _answers: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def listen(self) -> None:
        """Take what the browser says, until it is closed."""
        async for message in self.socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] == "Network.requestWillBeSent":
                self.urls.append(told["params"]["request"]["url"])
            elif told["method"] in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.complaints.append(json.dumps(told["params"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": self._number, "method": method, "params": params})
        told = await asyncio.wait_for(answer, 20)
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def look(self, script: str) -> Any:
        """The value of an expression."""
        told = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(20):
            while not await self.look(script):  # noqa: ASYNC110 (only the page knows)
                await asyncio.sleep(0.05)

    async def show(self, url: str, size: tuple[int, int] = DESKTOP, *, is_dark: bool = False) -> None:
        """Open a page in a window of this size."""
        width, height = size
        mobile = width < 600
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if mobile else 1,
            mobile=mobile,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Page.navigate", url=url)

    async def picture(self, path: Path, tallest: int = 1700) -> None:
        """Take a picture of the page, down to this depth."""
        width, height = await self.look("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, tallest), "scale": 1}
        told = await self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(told["data"]))  # noqa: ASYNC240 (nobody waits for it)


@contextlib.asynccontextmanager
async def browsing(executable: str) -> AsyncIterator[Page]:
    """A browser with one tab, for the time of a block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            executable,
            *FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(await _tab(profile, session), max_msg_size=0) as socket,
            ):
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Network", "Log", "Runtime", "Page"):
                    await page.call(f"{domain}.enable")
                yield page
                listening.cancel()
        finally:
            process.terminate()
            await process.wait()


async def _tab(profile: str, session: aiohttp.ClientSession) -> str:
    """The socket of the first tab."""
    file = Path(profile, "DevToolsActivePort")
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError, IndexError, ValueError):
                port = int(file.read_text().split()[0])  # noqa: ASYNC240 (some bytes of a local file)
                async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
                if tabs:
                    return str(tabs[0]["webSocketDebuggerUrl"])
            await asyncio.sleep(0.1)
