"""A reload: new requests go the new way, running streams do not notice, and what is wrong changes nothing."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from downstream import config_for, connected, request
from upstream import END, STREAM_HEAD, Exchange, Upstream, answer, chunk, serving

from respfix.app import started
from respfix.config import Address, Config, ConfigError, NamedFile, Tls, UnixSocket
from respfix.edge import StartError
from respfix.edge.notify import Notifier
from respfix.process import _keep_reloading

EVENT = b'data: {"type":"x"}\n\n'


@pytest.fixture
async def other() -> AsyncIterator[Upstream]:
    """Another upstream, which answers at once."""
    async with serving(answer(b"other")) as upstream:
        yield upstream


def free_address() -> Address:
    """An address nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", probe.getsockname()[1])


async def test_running_streams_keep_the_old_and_new_requests_get_the_new(other: Upstream) -> None:
    """On the same connection, too."""
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(EVENT))
        await go.wait()
        await exchange.send(chunk(EVENT) + END)

    async with (
        serving(script) as upstream,
        started(config_for(upstream)) as service,
        connected(service.address) as busy,
        connected(service.address) as waiting,
    ):
        await busy.send(request("/x"))
        await busy.head()
        await busy.chunk()
        await service.reload(replace(service.config, upstream=other.url))

        assert (await waiting.ask(request("/x")))[1] == b"other"
        go.set()
        assert await busy.chunk() == EVENT
        assert await busy.chunk() == b""
        assert (await busy.ask(request("/x")))[1] == b"other"


async def test_the_old_way_is_let_go_of_when_its_last_request_is_over(other: Upstream) -> None:
    """Its connections are closed then, and not before."""
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        await go.wait()
        await exchange.send(END)

    async with serving(script) as upstream, started(config_for(upstream)) as service:
        old = service.relay.ways[0].session
        async with connected(service.address) as client:
            await client.send(request("/x"))
            await client.head()
            await service.reload(replace(service.config, upstream=other.url))
            assert not old.closed
            go.set()
            await client.chunk()
            await asyncio.sleep(0.05)
            assert old.closed


async def test_an_address_that_stays_is_not_closed_for_a_moment() -> None:
    """Clients that connect while respfix reloads, again and again, are all served; nothing that runs is lost."""
    served = 0

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(EVENT))
        await asyncio.sleep(0.02)
        await exchange.send(chunk(EVENT) + END)

    async with serving(script) as upstream, started(config_for(upstream)) as service:

        async def ask_again_and_again() -> None:
            nonlocal served
            for _ in range(10):
                async with connected(service.address) as client:
                    head, body = await client.ask(request("/x"))
                    assert head.startswith(b"HTTP/1.1 200 ")
                    assert body == EVENT + EVENT
                    served += 1

        clients = [asyncio.create_task(ask_again_and_again()) for _ in range(20)]
        reloads = 0
        while not all(client.done() for client in clients):
            await service.reload(replace(service.config, keepalive=reloads % 2 * 100.0))
            reloads += 1
            await asyncio.sleep(0.01)
        await asyncio.gather(*clients)

    assert (served, len(upstream.exchanges)) == (200, 200)
    assert reloads > 5


async def test_addresses_come_and_go(tmp_path: Path) -> None:
    """A new one is opened; one that is gone refuses, ends what is idle, and lets finish what runs."""
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        await go.wait()
        await exchange.send(END)

    first, second = free_address(), UnixSocket(str(tmp_path / "r.sock"))
    async with serving(script) as upstream, started(config_for(upstream, listen=first)) as service:
        async with connected(first) as busy, connected(first) as idle:
            await busy.send(request("/x"))
            head = await busy.head()
            await service.reload(replace(service.config, listen=(second,)))

            assert service.bound == [second]
            assert await idle.rest() == b""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(first.host, first.port)
            go.set()
            async with connected(second) as client:
                assert (await client.ask(request("/x")))[0].startswith(b"HTTP/1.1 200 ")
            assert await busy.body(head) == b""
        await service.reload(replace(service.config, listen=(first,)))
        assert not (tmp_path / "r.sock").exists()


async def test_what_cannot_be_used_changes_nothing(other: Upstream) -> None:
    """All or nothing: an address that is taken, a file that is not there, an upstream that is respfix itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = Address("127.0.0.1", taken.getsockname()[1])
        async with started(config_for(other)) as service:
            config, relay = service.config, service.relay
            for wrong, error in (
                (replace(config, upstream="http://127.0.0.1:1", listen=(*config.listen, busy)), StartError),
                (replace(config, tls=Tls(certificate=NamedFile(Path("/absent"), "x:1: tls.certificate"))), ConfigError),
                (replace(config, upstream=f"http://{service.address}"), StartError),
            ):
                with pytest.raises(error):
                    await service.reload(wrong)
                assert (config, relay) == (service.config, service.relay)
                async with connected(service.address) as client:
                    assert (await client.ask(request("/x")))[1] == b"other"


async def test_a_reload_says_what_it_changed_and_what_it_could_not(
    other: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Some settings are kept by what is open already, and the reason is said."""
    caplog.set_level(logging.INFO, "respfix")
    async with started(config_for(other)) as service:
        await service.reload(replace(service.config, repair="observe", reuse_port=True))
        await service.reload(service.config)

    assert "the configuration is reloaded; changed: repair, reuse_port" in caplog.messages
    assert "the configuration is reloaded; changed: nothing, but files were read again" in caplog.messages
    assert any(message.startswith("reuse_port: addresses that are open stay as") for message in caplog.messages)


async def test_a_fault_of_our_own_changes_nothing_either(other: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """It is said with its place, and the next reload works."""
    hang_up, faults = asyncio.Event(), [ZeroDivisionError("sk-secret")]
    async with started(config_for(other)) as service:

        def again() -> Config:
            if faults:
                raise faults.pop()
            return replace(service.config, repair="observe")

        reloading = asyncio.create_task(_keep_reloading(service, again, hang_up, Notifier({})))
        for expected in ("on", "observe"):
            hang_up.set()
            await asyncio.sleep(0.1)
            assert expected == service.config.repair
        reloading.cancel()

    assert "not reloaded, respfix goes on as before: ZeroDivisionError at " in caplog.text
    assert "sk-secret" not in caplog.text
