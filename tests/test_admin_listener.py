"""The admin listener of a running respfix: what it tells of real traffic, and when it can be asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiohttp import BaseConnector, ClientSession, TCPConnector, UnixConnector
from downstream import config_for, connected, request
from upstream import END, STREAM_HEAD, Exchange, Script, Upstream, answer, chunk, serving

from respfix.app import Service
from respfix.config import Address, Admin, Config, UnixSocket

HERE = (Address("127.0.0.1", 0),)
EVENT = b'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1","output":[]}}\n\n'


@dataclass
class Eye:
    """Looks at the admin listener."""

    session: ClientSession

    async def see(self, path: str) -> tuple[int, str]:
        """Status and text."""
        async with self.session.get(f"http://localhost{path}") as answered:
            return answered.status, await answered.text()

    async def status(self) -> dict[str, Any]:
        """What the page shows."""
        facts: dict[str, Any] = json.loads((await self.see("/status.json"))[1])
        return facts


class There(TCPConnector):
    """Connects to one port, whatever the URL says."""

    def __init__(self, port: int) -> None:
        super().__init__(limit=0)
        self._there = port

    async def _resolve_host(self, *_: Any, **__: Any) -> Any:
        family = {"family": 2, "proto": 6, "flags": 0}
        return [{"hostname": "localhost", "host": "127.0.0.1", "port": self._there, **family}]


@contextlib.asynccontextmanager
async def watched(script: Script | bytes = b"", **changes: Any) -> AsyncIterator[tuple[Service, Upstream, Eye]]:
    """A respfix with an admin listener in front of a scripted upstream, and somebody who looks."""
    async with serving(script) as upstream:
        changes.setdefault("admin", Admin(listen=HERE))
        service = Service(config_for(upstream, **changes))
        await service.start()
        try:
            async with ClientSession(connector=connector_to(service)) as session:
                yield service, upstream, Eye(session)
        finally:
            if service.is_ready:
                await service.stop(0)


def connector_to(service: Service) -> BaseConnector:
    """The way to where operators look."""
    where = service.admin_bound[0]
    return UnixConnector(where.path) if isinstance(where, UnixSocket) else There(where.port)


async def ends_early(exchange: Exchange) -> None:
    """A stream that begins and breaks off."""
    await exchange.send(STREAM_HEAD + chunk(EVENT) + END)


async def runs(exchange: Exchange) -> None:
    """A stream that begins and goes on until the client leaves."""
    await exchange.send(STREAM_HEAD + chunk(EVENT))
    await exchange.gone()


async def test_nothing_listens_unless_it_is_asked_for() -> None:
    """A port that nobody knows of is nobody's friend."""
    async with serving() as upstream:
        service = Service(config_for(upstream))
        await service.start()
        try:
            assert service.admin_bound == []
        finally:
            await service.stop(0)


async def test_what_clients_do_is_seen_there() -> None:
    """While it runs and when it is over; respfix's own paths are not taken from the upstream."""
    async with watched(runs) as (service, upstream, eye):
        async with connected(service.address) as client:
            await client.send(request("/v1/responses?key=x", "User-Agent: codex"))
            await client.head()
            await client.chunk()
            facts = await eye.status()

            (row,) = facts["live"]
            assert ("/v1/responses", "codex", 1, 1) == (
                row["path"],
                row["dialect"],
                row["events_in"],
                facts["live_streams"],
            )
            client.leave()
        await asyncio.sleep(0.05)
        facts = await eye.status()

        (row,) = facts["past"]
        assert ([], "left", "the client left early") == (facts["live"], row["outcome"], row["how"])
        assert [(upstream.url, True)] == [(each["upstream"], each["is_reachable"]) for each in facts["verdicts"]]
        upstream.script = ends_early
        async with connected(service.address) as client:
            await client.ask(request("/healthz", method="GET", body=None))
        assert upstream.last.target == b"/healthz"
        assert 'respfix_requests_total{kind="other"' in (await eye.see("/metrics"))[1]


async def test_times_are_measured_from_the_outside_in() -> None:
    """How long the upstream thinks is not what respfix adds."""

    async def thinks(exchange: Exchange) -> None:
        await asyncio.sleep(0.15)
        await exchange.send(STREAM_HEAD + chunk(EVENT))
        await asyncio.sleep(0.1)
        await exchange.send(END)

    async with watched(thinks) as (service, _, eye):
        async with connected(service.address) as client:
            await client.ask(request())
        await asyncio.sleep(0.01)
        facts = await eye.status()

    assert 0.15 <= facts["times"]["first_byte"] < facts["past"][0]["seconds"]
    assert 0 < facts["times"]["added"] < 0.1


async def test_readiness_follows_the_upstream() -> None:
    """A real look at a real port."""
    async with serving() as gone:
        pass
    async with watched(upstream_tls=replace(Config().upstream_tls)) as (service, _, eye):
        assert 200 == (await eye.see("/readyz"))[0]
        await service.reload(replace(service.config, upstream=gone.url))
        desk = service._desk
        assert desk is not None
        desk._health._fresh_until = 0.0

        assert (503, f"not ready\n{gone.url}: Connection refused\n") == await eye.see("/readyz")
        assert 200 == (await eye.see("/healthz"))[0]


async def test_a_unix_socket_does_as_well(tmp_path: Path) -> None:
    """Whom the folder lets in may look; the upstream may be one, too."""
    path = str(tmp_path / "admin.sock")
    async with watched(admin=Admin(listen=(UnixSocket(path),))) as (_, _, eye):
        assert (200, "alive\n") == await eye.see("/healthz")


async def test_a_reload_moves_the_admin_listener_and_keeps_the_numbers(tmp_path: Path) -> None:
    """What was counted is about the process, not about its configuration."""
    async with watched(answer()) as (service, _, _):
        async with connected(service.address) as client:
            await client.ask(request())
        path = str(tmp_path / "admin.sock")
        await service.reload(replace(service.config, admin=Admin(listen=(UnixSocket(path),))))
        async with ClientSession(connector=UnixConnector(path)) as session:
            assert 1 == (await Eye(session).status())["totals"]["streams"]
        await service.reload(replace(service.config, admin=Admin()))
        assert service.admin_bound == []
        async with connected(service.address) as client:
            await client.ask(request())


async def test_operators_can_look_while_respfix_stops() -> None:
    """Not ready from the first moment, alive until the last stream is over, and the page says how many there are."""
    async with watched(runs) as (service, _, eye), connected(service.address) as client:
        await client.send(request())
        await client.head()
        stopping = asyncio.create_task(service.stop(5))
        await asyncio.sleep(0.02)

        assert (503, "stopping: running streams may end, new requests get a 503\n") == await eye.see("/readyz")
        assert (200, "alive\n") == await eye.see("/healthz")
        facts = await eye.status()
        assert (True, 1) == (facts["is_draining"], facts["live_streams"])
        assert "respfix_draining 1.0" in (await eye.see("/metrics"))[1]
        client.leave()
        await asyncio.wait_for(stopping, 3)


async def test_operators_are_answered_while_clients_take_all_there_is() -> None:
    """A full admission does not count them, and busy streams leave them a turn."""

    async def floods(exchange: Exchange) -> None:
        delta = b'data: {"type":"response.output_text.delta","delta":"word ","item_id":"m","output_index":0}\n\n' * 20
        with contextlib.suppress(ConnectionError):
            await exchange.send(STREAM_HEAD + chunk(EVENT))
            while True:
                await exchange.send(chunk(delta))
                await asyncio.sleep(0.001)

    admission = replace(Config().admission, requests=40)
    async with watched(floods, admission=admission) as (service, _, eye), contextlib.AsyncExitStack() as stack:
        reading = []
        for _ in range(40):
            client = await stack.enter_async_context(connected(service.address))
            await client.send(request())
            await client.head()
            reading.append(asyncio.create_task(_read_on(client.reader)))
        async with connected(service.address) as late:
            assert (await late.ask(request()))[0].startswith(b"HTTP/1.1 503 ")
        waits = []
        for path in ("/healthz", "/readyz", "/metrics", "/", "/status.json") * 3:
            started = time.monotonic()
            status, _ = await eye.see(path)
            waits.append(time.monotonic() - started)
            assert status == 200
        assert (await eye.status())["live_streams"] == 40
        for each in reading:
            each.cancel()

    assert max(waits) < 3  # here, with both ends in the same process, 0.2 s


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def test_a_malformed_request_is_not_repeated_to_operators_either() -> None:
    """aiohttp would echo what it could not parse."""
    async with watched() as (service, _, _):
        where = service.admin_bound[0]
        assert isinstance(where, Address)
        async with connected(where) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: sk-canary\x00\r\n\r\n")
            said = await client.rest()

    assert b" 400 Bad Request" in said.splitlines()[0]
    assert b"sk-canary" not in said
