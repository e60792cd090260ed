"""The status page, in a real browser: what it shows, on a desk and on a phone, and whom it asks.

With RESPFIX_PICTURES=folder the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import histories
import pytest
import pytest_asyncio
from browser import DESKTOP, PHONE, Page, browsing, program
from histories import UPSTREAM, end, running, stream
from test_admin import OTHER, Looker, Service, looking

READY = "document.getElementById('main')?.hidden === false && document.getElementById('pulse').className"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncIterator[Page]:
    """One browser for all of them: it takes a second to start."""
    executable = program()
    if executable is None:
        pytest.skip("no Chromium; on Debian: apt-get install --no-install-recommends chromium")
    async with browsing(executable) as tab:
        yield tab


async def shown(page: Page, looker: Looker, size: tuple[int, int] = DESKTOP, *, is_dark: bool = False) -> str:
    """Open the status page and give what it says."""
    await page.show("about:blank")  # the page before shall not complain any more that nobody answers it
    await page.until("location.href === 'about:blank'")
    page.urls.clear()
    page.complaints.clear()
    await page.show(looker.url + "/", size, is_dark=is_dark)
    await page.until(f"location.href === {json.dumps(looker.url + '/')} && {READY} === 'fresh'")
    return str(await page.look("document.body.innerText"))


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("empty", "Waiting for a stream", ["No stream is running.", "Point a client at http://127.0.0.1:8081"]),
        ("healthy", "The upstream is healthy", ["Nothing was wrong so far.", "untouched complete"]),
        (
            "broken",
            "The upstream is broken; respfix repairs it",
            ["3 streams", "missing-item-id +8", "Breaks AI SDK, openai-node, typed clients", "52 → 61"],
        ),
        ("failing", "The upstream is failing", ["the upstream fell silent", "the upstream broke off"]),
        ("crowded", "The upstream is", ["150 streams, 100 shown", "Show all 100", "1,234,567 → 2,345,678", "(2 wait)"]),
    ],
)
async def test_the_page_tells_at_a_glance_and_fits_every_screen(
    page: Page, name: str, title: str, words: list[str]
) -> None:
    """Nothing is cut off or asked for elsewhere, nothing in it is markup that came over the network."""
    service = Service(getattr(histories, name)())
    service.troubles |= {entry.upstream: "" for entry in service.journal.past}
    folder = os.environ.get("RESPFIX_PICTURES")
    async with looking(service) as looker:
        for size, is_dark in ((DESKTOP, False), (PHONE, True), (PHONE, False), (DESKTOP, True)):
            said = await shown(page, looker, size, is_dark=is_dark)
            tab = await page.look("document.title")
            width = await page.look("document.documentElement.scrollWidth")

            assert tab.startswith(title)
            assert [] == [word for word in words if word not in said]
            assert width <= size[0]
            assert page.complaints == []
            asked = {url for url in page.urls if not url.startswith("data:")}
            assert {looker.url + "/", looker.url + "/status.json"} <= asked
            # The page before may have asked once more; it is another port of this machine.
            assert [] == [url for url in asked if not re.fullmatch(r"http://127\.0\.0\.1:\d+/(status\.json)?", url)]
            assert 0 == await page.look("document.querySelectorAll('main img').length")
            if folder:
                name_of = f"{name}-{'phone' if size == PHONE else 'desktop'}{'-dark' * is_dark}.png"
                await page.picture(Path(folder, name_of))


async def test_dark_and_light_follow_the_system(page: Page) -> None:
    """And both are there."""
    grounds = []
    async with looking(Service(histories.broken())) as looker:
        for is_dark in (False, True):
            await shown(page, looker, is_dark=is_dark)
            grounds.append(await page.look("getComputedStyle(document.body).backgroundColor"))

    assert ["rgb(244, 245, 247)", "rgb(14, 17, 21)"] == grounds


async def test_the_page_follows_what_happens(page: Page) -> None:
    """It asks again every two seconds, keeps what was opened, and says when nobody answers any more."""
    service = Service()
    async with looking(service) as looker:
        assert "Waiting for a stream" in await shown(page, looker)
        service.journal.begin(running(1.0))
        await page.until("document.body.innerText.includes('1 stream')")
        end(service.journal, stream(0, 2.0, {"incomplete-item": 2, "missing-part-added": 1}), 2.0)
        await page.look("go()")  # what its timer does, and sooner
        await page.until("document.title.includes('respfix repairs it')")
        await page.look(
            "document.querySelector('#past .fixes').focus(), document.querySelector('#past .fixes').click()"
        )
        await page.until("document.querySelector('#past .fixes').innerText.includes('incomplete-item \u00d7 2')")
        end(service.journal, stream(0, 2.0, {"incomplete-item": 2}), 2.0)
        await page.look("go()")
        await page.until("document.querySelectorAll('#past tbody tr').length === 2")

        assert "true" == await page.look("document.querySelectorAll('#past .fixes')[1].getAttribute('aria-expanded')")
        assert await page.look("document.activeElement === document.querySelectorAll('#past .fixes')[1]")
        service.is_draining = True
        await page.look("go()")
        await page.until("document.title.includes('respfix is stopping')")
    await page.until("document.getElementById('pulse').className === 'lost'")
    assert "no answer since" in await page.look("document.getElementById('pulse').innerText")


async def test_a_row_is_read_along_its_first_line(page: Page) -> None:
    """Also where the repairs take several."""
    service = Service()
    end(service.journal, stream(0, 2.0, {"incomplete-item": 2, "missing-part-added": 1}), 2.0)
    async with looking(service) as looker:
        await shown(page, looker)
        await page.look("document.querySelector('#past .fixes').click()")
        await page.until("document.querySelectorAll('#past .fixes li').length === 2")
        await page.look(
            "window.tops = (place) => { const all = document.createRange();"
            " all.selectNodeContents(document.querySelector(place));"
            " return [...all.getClientRects()].map((each) => each.top).sort((one, other) => one - other) }"
        )
        when, fixes = await page.look("tops('#past td.when')"), await page.look("tops('#past .fixes')")

    assert fixes[-1] - fixes[0] > 20  # pixels: three lines
    assert abs(when[0] - fixes[0]) < 3


async def test_two_upstreams_are_told_apart(page: Page) -> None:
    """One card each, with its name."""
    service = Service(histories.broken(), {UPSTREAM: "", OTHER: "Connection refused"})
    async with looking(service) as looker:
        said = await shown(page, looker)

    assert UPSTREAM in said
    assert "The upstream is broken; respfix repairs it" in said
    assert OTHER in said
    assert "The upstream does not answer" in said
    assert "Connection refused. Requests get a 502 until it does" in said


async def test_a_hidden_page_asks_nothing(page: Page) -> None:
    """A forgotten tab costs nothing."""
    async with looking(Service()) as looker:
        await shown(page, looker)
        await page.look("Object.defineProperty(document, 'hidden', {get: () => true})")
        await page.look("go()")  # what its timer does
        page.urls.clear()
        await asyncio.sleep(0.3)

        assert page.urls == []
        assert await page.look("document.getElementById('pulse').className") == "fresh"
