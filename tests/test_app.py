"""Starting, saying so, and stopping politely."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from downstream import config_for, connected, request, said, through
from upstream import END, STREAM_HEAD, Exchange, chunk, header_values, serving

from respfix.app import Service, running, started
from respfix.config import Address, Admin, Config, Listener, Route, Timeouts, UnixSocket
from respfix.edge import StartError, sockets
from respfix.edge.connection import Connection, Server
from respfix.process import serve
from respfix.relay.outward import Outward

EVENT = b'data: {"type":"x"}\n\n'


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


async def test_the_settings_that_are_asked_for_take_effect() -> None:
    """One argument that aiohttp does not know silently drops all the others."""
    config = config_for("http://127.0.0.1:1", timeouts={"client_keepalive": 12.0, "upstream_keepalive": 2.5})
    async with started(config) as service:
        (door,) = service._doors.values()
        connection = door._server()
        session = service.relay.ways[0].session

        assert connection.keepalive_timeout == 12.0
        assert (connection.max_line_size, connection.max_field_size, connection.max_headers) == (65536, 65536, 256)
        assert connection.access_logger is None
        assert connection.logger.name == "respfix.http"
        assert door._server.handler_cancellation
        assert session.connector is not None
        assert (session.connector.limit, session.connector._keepalive_timeout) == (0, 2.5)
        assert session.timeout.total is None
        assert session.timeout.sock_read is None
        assert not session.auto_decompress
        assert not session.trust_env


async def test_a_setting_that_aiohttp_does_not_know_stops_the_start() -> None:
    """Instead of being forgotten together with the others."""
    server = Server(lambda _request: asyncio.sleep(0), not_a_setting=1)  # type: ignore[arg-type, return-value]

    with pytest.raises(TypeError, match="not_a_setting"):
        server()


async def test_port_zero_takes_a_free_one_and_says_which() -> None:
    """For tests and demos."""
    async with serving() as upstream, running(config_for(upstream)) as address:
        assert address.host == "127.0.0.1"
        assert address.port > 0


async def test_a_taken_port_is_named_with_what_to_do() -> None:
    """The likeliest reason is another respfix."""
    with taken_port() as port:
        config = Config(listen=(Address("127.0.0.1", port),), upstream="http://127.0.0.1:1")
        with pytest.raises(StartError, match=rf"^127\.0\.0\.1:{port} is in use; .*--listen$"):
            async with running(config):
                pass


@pytest.mark.parametrize(
    ("where", "changes"),
    [
        ("admin.listen", lambda address: {"admin": Admin(listen=(address,))}),
        ("routes.listen", lambda address: {"routes": (Route(listen=(address,)),)}),
    ],
)
async def test_it_is_said_where_a_taken_port_can_be_changed(where: str, changes: Callable[[Address], Any]) -> None:
    """Not every address comes from --listen."""
    with taken_port() as port:
        config = config_for("http://127.0.0.1:1", **changes(Address("127.0.0.1", port)))
        with pytest.raises(StartError, match=rf"^127\.0\.0\.1:{port} is in use; .* another port with {where}$"):
            async with running(config):
                pass


@pytest.mark.parametrize(
    ("listener", "why"),
    [
        (UnixSocket("/absent/x.sock"), "its folder is not there"),
        (Address("192.0.2.1", 0), "this machine has no such address"),
        (Address("no-such-host.invalid", 0), "its name cannot be resolved"),
    ],
)
async def test_an_address_that_cannot_be_is_said_to_be_one(listener: Listener, why: str) -> None:
    """Typos in --listen, each in words that lead to it."""
    with pytest.raises(StartError) as error:
        sockets.listening(listener, [])

    assert f"cannot listen on {listener} ({why}); check --listen" == str(error.value)


async def test_an_address_of_another_machine_is_named() -> None:
    """A typo in --listen."""
    config = Config(listen=(Address("192.0.2.1", 0),), upstream="http://127.0.0.1:1")
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:0 .*--listen$"):
        async with running(config):
            pass


@pytest.mark.parametrize(
    ("listen", "upstream"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2")],
)
async def test_respfix_does_not_relay_to_itself(listen: str, upstream: str) -> None:
    """Every request would go round until the files run out."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    config = Config(listen=(Address(listen, port),), upstream=f"http://{upstream}:{port}/v1")

    with pytest.raises(StartError, match="is respfix itself"):
        async with running(config):
            pass


async def test_a_neighbour_on_the_same_port_of_another_address_is_no_loop() -> None:
    """Loopback has many addresses."""
    with socket.socket() as neighbour:
        neighbour.bind(("127.0.0.2", 0))
        neighbour.listen()
        port = neighbour.getsockname()[1]
        async with running(Config(listen=(Address("127.0.0.1", port),), upstream=f"http://127.0.0.2:{port}")):
            pass


async def test_the_start_is_logged_with_the_state_of_the_upstream(caplog: pytest.LogCaptureFixture) -> None:
    """The two lines that a first start is about."""
    caplog.set_level("INFO", "respfix")
    async with serving() as upstream, running(config_for(upstream.url.replace("//", "//bob:pass@"))) as address:
        await said(caplog, f"upstream {upstream.url} is reachable")

        assert f"listens on http://{address}" in caplog.text
        assert "pass" not in caplog.text


async def test_a_missing_upstream_does_not_stop_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """It may come later."""
    with taken_port() as port:
        pass
    async with running(config_for(f"http://127.0.0.1:{port}")):
        assert "(Connection refused)" in await said(caplog, "is not reachable")


async def test_a_request_is_logged_as_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Method, path without its query, status, time, bytes, dialect, events, terminal, defects, and who ended it."""
    caplog.set_level("INFO", "respfix")
    sent = STREAM_HEAD + chunk(EVENT) + END
    async with serving(sent) as upstream, through(upstream) as client:
        await client.ask(request("/v1/responses?key=sk-secret", "User-Agent: codex_exec", "Cookie: sk-secret"))
        await client.ask(request("/v1/mod%65ls", method="GET", body=None))

    (mended, piped) = (record.getMessage() for record in caplog.records if record.getMessage()[:4] in {"POST", "GET "})
    assert mended.startswith("POST /v1/responses 200 0.")
    assert "dialect=codex " in mended
    assert " events=1/" in mended
    assert "terminal=response.failed" in mended
    assert f"upstream={upstream.url} " in mended
    assert mended.endswith("ended by upstream")
    assert piped.startswith("GET /v1/mod%65ls 200 0.")
    assert piped.endswith(f"s {len(EVENT)}B upstream={upstream.url} ended by upstream")
    assert "sk-secret" not in caplog.text


async def test_a_fault_of_our_own_is_answered_without_details(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says where it is, and nobody sees what was sent."""

    def fault(self: Outward) -> None:
        del self
        raise ZeroDivisionError("sk-secret")

    monkeypatch.setattr(Outward, "check", fault)
    monkeypatch.setattr(Connection, "_second", 0)
    async with serving() as upstream, through(upstream) as client:
        head, body = await client.ask(request())

    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(body)["error"]["code"] == "internal_error"
    assert "ZeroDivisionError at " in caplog.text
    assert "test_app.py" in caplog.text
    assert "sk-secret" not in caplog.text + body.decode()


async def test_who_has_just_come_may_still_ask_when_respfix_stops() -> None:
    """A balancer connects for one request; those that were answered before and wait for nothing are closed at once."""
    async with serving() as upstream, contextlib.AsyncExitStack() as stack:
        service = Service(config_for(upstream))
        await service.start()
        fresh, served = [await stack.enter_async_context(connected(service.address)) for _ in range(2)]
        await served.ask(request())
        stopping = asyncio.create_task(service.stop(0.2))
        assert b"" == await served.rest()
        await asyncio.sleep(0.2)
        head, _ = await fresh.ask(request())

        assert head.startswith(b"HTTP/1.1 200 ")
        assert [b"close"] == header_values(head, b"Connection")
        await asyncio.wait_for(stopping, 5)


async def test_who_says_nothing_does_not_keep_respfix_running() -> None:
    """A second is enough."""
    async with serving() as upstream:
        service = Service(config_for(upstream))
        await service.start()
        async with connected(service.address) as silent:
            await asyncio.wait_for(service.stop(30), 5)

            assert b"" == await silent.rest()


async def test_running_streams_go_on_while_respfix_stops() -> None:
    """The door is closed, idle connections end, and a stream gets its time."""
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        if exchange.target == b"/x":
            await exchange.send(STREAM_HEAD + chunk(EVENT))
            await go.wait()
            await exchange.send(chunk(EVENT) + END)
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(script) as upstream:
        service = Service(config_for(upstream))
        await service.start()
        address = service.address
        async with connected(address) as busy, connected(address) as resting, connected(address) as fresh:
            await resting.ask(request("/quick"))
            await busy.send(request("/x"))
            await busy.head()
            await busy.chunk()
            stopping = asyncio.create_task(service.stop(5))

            assert await resting.rest() == b""
            assert await fresh.rest() == b""
            with pytest.raises(OSError, match="Connect"):
                await asyncio.open_connection(address.host, address.port)
            go.set()
            assert await busy.chunk() == EVENT
            assert await busy.chunk() == b""
            await asyncio.wait_for(stopping, 1)
            assert await busy.rest() == b""


async def test_a_request_on_an_open_connection_is_refused_while_respfix_stops() -> None:
    """Nothing was sent, so the client can go to the next respfix."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        await asyncio.sleep(0.1)
        await exchange.send(END)

    async with serving(script) as upstream:
        service = Service(config_for(upstream))
        await service.start()
        address = service.address
        async with connected(address) as client:
            await client.send(request("/x"))
            head = await client.head()
            stopping = asyncio.create_task(service.stop(5))
            await asyncio.sleep(0)
            await client.send(request("/y"))
            await client.body(head)
            head, body = await client.head(), b""
            body = await client.body(head)
            await stopping

        assert head.startswith(b"HTTP/1.1 503 ")
        assert header_values(head, b"Connection") == [b"close"]
        assert json.loads(body)["error"]["code"] == "shutting_down"
        assert len(upstream.exchanges) == 1


async def test_what_runs_longer_than_the_drain_is_ended_in_words() -> None:
    """A stream ends as failed, a pipe is cut, a request without an answer gets a 503."""

    async def script(exchange: Exchange) -> None:
        if exchange.target != b"/thinks":
            await exchange.send(STREAM_HEAD + chunk(EVENT))
        await exchange.gone()

    async with serving(script) as upstream:
        service = Service(config_for(upstream))
        await service.start()
        address = service.address
        async with connected(address) as mended, connected(address) as piped, connected(address) as thinking:
            await mended.send(request("/v1/responses"))
            await piped.send(request("/x"))
            await thinking.send(request("/thinks"))
            await asyncio.sleep(0.05)
            started = asyncio.get_running_loop().time()
            await service.stop(0.1)

            assert asyncio.get_running_loop().time() - started < 0.5
            body = await mended.body(await mended.head())
            assert body.startswith(EVENT)
            assert b"response.failed" in body
            assert (await piped.rest()).endswith(chunk(EVENT))
            assert (await thinking.rest()).startswith(b"HTTP/1.1 503 ")


async def test_a_client_that_reads_nothing_cannot_keep_respfix_running() -> None:
    """Its write never ends."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        with contextlib.suppress(ConnectionError):
            while True:
                await exchange.send(chunk(bytes(65_536)))

    async with serving(script) as upstream:
        service = Service(config_for(upstream))
        await service.start()
        address = service.address
        async with connected(address) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined] # every transport here has it
            await client.send(request("/x"))
            await asyncio.sleep(0.3)
            async with asyncio.timeout(3):
                await service.stop(0.1)
            client.leave()


async def test_a_signal_drains_and_a_second_one_hurries(caplog: pytest.LogCaptureFixture) -> None:
    """What an init system and an impatient person send."""
    caplog.set_level(logging.INFO, "respfix")

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(EVENT))
        await exchange.gone()

    async with serving(script) as upstream:
        bound: asyncio.Future[Service] = asyncio.get_running_loop().create_future()
        config = config_for(upstream, timeouts={"drain": 60})
        served = asyncio.create_task(serve(config, ready=bound.set_result))
        async with connected((await bound).address) as client:
            await client.send(request())
            await client.head()
            await client.chunk()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(0.1)
            assert not served.done()
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait_for(served, 2)

            assert (await client.rest()).endswith(END)
    assert "stopping" in caplog.text
    assert caplog.messages[-1] == "stopped"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_who_has_connected_before_the_door_is_shut_is_answered(loop: str) -> None:
    """The system had let them in, and would reset them; a balancer makes a 502 of that: a POST is not repeated."""

    async def knock() -> bytes:
        async with serving() as upstream:
            service = Service(config_for(upstream))
            await service.start()
            with socket.create_connection((service.address.host, service.address.port)) as client:
                client.sendall(request())  # in this very turn of the loop, in which nobody accepts
                await service.stop(5.0)
                return await asyncio.to_thread(client.recv, 2**16)

    make = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        assert runner.run(knock()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_program_serves_and_stops_cleanly(loop: str) -> None:
    """With uvloop, and without it."""
    script = f"""
import logging, sys
if {loop!r} == "asyncio":
    sys.modules["uvloop"] = None
from respfix import process
from respfix.config import Address, Config
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
process.run(Config(listen=(Address("127.0.0.1", 0),), upstream="http://127.0.0.1:1"))
"""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    command = [sys.executable, "-W", "error", "-c", script]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=10)

    assert "listens on http://127.0.0.1:" in line
    assert "stopped" in rest
    assert "Traceback" not in rest
    assert process.returncode == 0


def test_timeouts_default_to_patience() -> None:
    """A model may think for minutes; only silence in the middle of a body is limited."""
    assert (Timeouts().first_byte, Timeouts().idle) == (0, 300)
