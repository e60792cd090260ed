"""The process and its init system: signals, what systemd is told, and sockets that it hands over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from conftest import Figures
from downstream import connected, request
from upstream import END, STREAM_HEAD, Exchange, chunk, serving

from respfix.config import Address
from respfix.edge.notify import Notifier
from respfix.edge.sockets import inherited

WAIT = 60.0  # seconds; a start takes half of one, and ten where twenty processes share two cores
pytestmark = pytest.mark.timeout(240)

ASKED = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
EVENT = b'data: {"type":"x"}\n\n'

# What systemd does between fork and exec: the sockets become the descriptors from 3 on, and the process is named.
LAUNCHER = """
import fcntl, os, sys
passed = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 50) for number in sys.argv[1].split()]
for place, number in enumerate(passed):
    os.dup2(number, 3 + place)
    os.close(number)
if passed:
    os.environ |= {"LISTEN_FDS": str(len(passed)), "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "respfix.socket"}
if "WATCHDOG_USEC" in os.environ:
    os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "respfix", "serve", *sys.argv[2:]])
"""


class Manager:
    """Stands in for systemd: hears what a service says, and starts it with sockets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.bind(str(folder / "notify"))
        self.heard.settimeout(WAIT)
        self.config = folder / "config.yaml"

    def message(self) -> dict[str, str]:
        """The next message, as its variables."""
        return dict(line.split("=", 1) for line in self.heard.recv(4096).decode().splitlines())

    def message_with(self, name: str) -> dict[str, str]:
        """The next message that says this."""
        while name not in (found := self.message()):
            pass
        return found

    @contextmanager
    def started(self, *sockets: socket.socket, watchdog: float = 0) -> Iterator[subprocess.Popen[str]]:
        """A service for the time of a block; it is stopped at the end, if it still runs."""
        environ = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify"), "PYTHONUNBUFFERED": "1"}
        if watchdog:
            environ["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        numbers = [each.fileno() for each in sockets]
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, " ".join(map(str, numbers)), "--config", str(self.config)],
            env=environ, stderr=subprocess.PIPE, text=True, pass_fds=numbers,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.communicate(timeout=WAIT)


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager with a configuration that listens on a free port."""
    manager = Manager(tmp_path)
    manager.config.write_text(
        "listen: 127.0.0.1:0\nupstream: http://127.0.0.1:9\nconnect_retries: 0\ntimeouts:\n  drain: 5\n"
    )
    with manager.heard:
        yield manager


def next_line(process: subprocess.Popen[str], pattern: str) -> str:
    """The next line of the log in which this is found."""
    assert process.stderr is not None
    lines = []
    while line := process.stderr.readline():
        lines.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError("".join(lines))


def ask(address: tuple[str, int]) -> bytes:
    """The status line of the answer to a request."""
    with socket.create_connection(address, WAIT) as client:
        client.sendall(ASKED)
        return client.makefile("rb").readline()


# What systemd is told


def test_it_says_when_it_is_ready_when_it_reloads_and_when_it_stops(manager: Manager) -> None:
    """In the order that Type=notify and Type=notify-reload ask for, each with words for `systemctl status`."""
    with manager.started() as process:
        ready = manager.message()
        assert ready["READY"] == "1"
        assert re.fullmatch(r"listens on http://127\.0\.0\.1:\d+ for http://127\.0\.0\.1:9", ready["STATUS"])

        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        process.send_signal(signal.SIGHUP)
        reloading = manager.message()
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert manager.message()["READY"] == "1"

        process.send_signal(signal.SIGTERM)
        stopping = manager.message()
        assert stopping["STOPPING"] == "1"
        assert stopping["STATUS"] == "0 running requests have 5 s"
        assert process.wait(WAIT) == 0


def test_the_watchdog_hears_of_it_twice_in_its_time(manager: Manager) -> None:
    """So that one late turn of the loop is no death."""
    with manager.started(watchdog=0.4):
        assert manager.message()["READY"] == "1"
        begun = time.monotonic()
        for _ in range(3):
            assert manager.message() == {"WATCHDOG": "1"}

        assert time.monotonic() - begun > 0.35


def test_a_watchdog_of_another_process_is_not_fed() -> None:
    """The variable may have been inherited."""
    environ = {"WATCHDOG_USEC": "1000000", "NOTIFY_SOCKET": "/absent"}

    assert Notifier({**environ, "WATCHDOG_PID": "1"}).heartbeat == 0
    assert Notifier({**environ, "WATCHDOG_PID": str(os.getpid())}).heartbeat == 0.5
    assert Notifier(environ).heartbeat == 0.5
    assert Notifier({}).heartbeat == 0


def test_an_abstract_socket_is_reached_and_a_missing_one_is_no_matter() -> None:
    """systemd uses either kind; nobody listens when respfix is started by hand with a stale variable."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0respfix-test-{os.getpid()}")
        heard.settimeout(WAIT)
        Notifier({"NOTIFY_SOCKET": f"@respfix-test-{os.getpid()}"}).ready("well")
        assert heard.recv(100) == b"READY=1\nSTATUS=well"
    Notifier({"NOTIFY_SOCKET": "/absent/notify"}).alive()
    Notifier({}).alive()


# Sockets that are handed over


def test_a_socket_that_is_handed_over_is_used_in_place_of_its_address(manager: Manager) -> None:
    """The configuration stays as it is; a name that leads to several addresses finds each of them."""
    with socket.create_server(("127.0.0.1", 0)) as handed:
        address = handed.getsockname()
        manager.config.write_text(f"listen: 127.0.0.1:{address[1]}\nupstream: http://127.0.0.1:9\nconnect_retries: 0\n")
        with manager.started(handed):
            assert manager.message_with("READY")["STATUS"].startswith(f"listens on http://127.0.0.1:{address[1]} ")
            assert ask(address) == b"HTTP/1.1 502 Bad Gateway\r\n"


def test_a_client_that_connects_during_a_restart_waits_and_is_served(manager: Manager, figures: Figures) -> None:
    """The socket stays open between two processes, so the kernel queues who comes; how long they wait is measured."""
    with socket.create_server(("127.0.0.1", 0)) as handed:
        address = handed.getsockname()
        manager.config.write_text(f"listen: 127.0.0.1:{address[1]}\nupstream: http://127.0.0.1:9\nconnect_retries: 0\n")
        with manager.started(handed) as process:
            manager.message_with("READY")
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT) == 0
        with socket.create_connection(address, WAIT) as early:
            early.sendall(ASKED)
            begun = time.monotonic()
            with manager.started(handed):
                assert early.makefile("rb").readline() == b"HTTP/1.1 502 Bad Gateway\r\n"
                waited = time.monotonic() - begun
    figures(f"restart behind a socket of systemd's: a client that came just before the start waited {waited:.2f} s")


def test_a_unix_socket_that_is_handed_over_keeps_its_name(manager: Manager) -> None:
    """It is systemd's, and needed for the next start."""
    path = manager.folder / "r.sock"
    with socket.socket(socket.AF_UNIX) as handed:
        handed.bind(str(path))
        handed.listen()
        manager.config.write_text(f"listen: unix:{path}\nupstream: http://127.0.0.1:9\nconnect_retries: 0\n")
        with manager.started(handed) as process:
            manager.message_with("READY")
            process.send_signal(signal.SIGHUP)
            manager.message_with("READY")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(ASKED)
                assert client.makefile("rb").readline() == b"HTTP/1.1 502 Bad Gateway\r\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT) == 0
    assert path.exists()


def test_a_socket_that_nobody_asked_for_stops_the_start(manager: Manager) -> None:
    """Whoever connects there would wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as handed, manager.started(handed) as process:
        where = f"127.0.0.1:{handed.getsockname()[1]}"
        line = next_line(process, "error")

        assert f"a socket was handed over for {where}; add that address to `listen`" in line
        assert process.wait(WAIT) == 1


def test_sockets_of_another_process_are_left_alone() -> None:
    """The variables are inherited by children, the descriptors are not theirs."""
    assert inherited({"LISTEN_FDS": "1", "LISTEN_PID": "1"}) == []
    assert inherited({}) == []


# SIGHUP


def test_a_file_that_is_wrong_changes_nothing_and_is_said_with_its_line(manager: Manager) -> None:
    """In the log, and in `systemctl status`; the next reload of a right one counts."""
    with manager.started() as process:
        address = ("127.0.0.1", int(re.findall(r":(\d+) for", manager.message_with("READY")["STATUS"])[0]))
        good = manager.config.read_text()
        manager.config.write_text(good + "repair: maybe\n")
        process.send_signal(signal.SIGHUP)

        expected = f"{manager.config}:6: repair: expected one of on, observe, off, not 'maybe'"
        assert expected in next_line(process, "not reloaded")
        assert manager.message_with("READY")["STATUS"].endswith(f"; not reloaded: {expected}")
        assert ask(address) == b"HTTP/1.1 502 Bad Gateway\r\n"

        manager.config.write_text(good + "repair: observe\n")
        process.send_signal(signal.SIGHUP)
        assert "changed: repair" in next_line(process, "is reloaded")
        assert "not reloaded" not in manager.message_with("READY")["STATUS"]


def test_several_instances_can_share_a_port(manager: Manager) -> None:
    """One is stopped, and the other goes on serving: a core each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    manager.config.write_text(
        f"listen: 127.0.0.1:{address[1]}\nupstream: http://127.0.0.1:9\nconnect_retries: 0\nreuse_port: true\n"
    )
    with manager.started() as first:
        manager.message_with("READY")
        with manager.started():
            manager.message_with("READY")
            first.send_signal(signal.SIGTERM)
            assert first.wait(WAIT) == 0
            for _ in range(5):
                assert ask(address) == b"HTTP/1.1 502 Bad Gateway\r\n"


def test_a_reload_takes_a_renewed_certificate(manager: Manager) -> None:
    """In the event loop that respfix really uses; the address stays open."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    both = manager.folder / "tls.pem"
    manager.config.write_text(
        f"listen: https://127.0.0.1:0\nupstream: http://127.0.0.1:9\ntls:\n  certificate: {both}\n"
    )

    def renew(name: str) -> None:
        both.write_bytes(authority.issue_cert("127.0.0.1", common_name=name).private_key_and_cert_chain_pem.bytes())

    def shown(port: int) -> str:
        with (
            socket.create_connection(("127.0.0.1", port), WAIT) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            return str(client.getpeercert())

    renew("old-name")
    with manager.started() as process:
        port = int(re.findall(r":(\d+) for", manager.message_with("READY")["STATUS"])[0])
        assert "old-name" in shown(port)
        renew("new-name")
        process.send_signal(signal.SIGHUP)
        manager.message_with("READY")
        assert "new-name" in shown(port)

        both.write_text("half of a certificate")
        process.send_signal(signal.SIGHUP)
        assert f"{manager.config}:4: tls.certificate: {both} holds no certificate" in next_line(process, "not reloaded")
        manager.message_with("READY")
        assert "new-name" in shown(port)


# Under load


async def streaming(exchange: Exchange) -> None:
    """A stream of some events over 0.2 s."""
    await exchange.send(STREAM_HEAD)
    for _ in range(5):
        await exchange.send(chunk(EVENT))
        await asyncio.sleep(0.04)
    await exchange.send(END)


class Crowd:
    """Clients that ask one after the other, each time on a new connection, until they are told to stop."""

    def __init__(self, address: Address, size: int) -> None:
        self.waits: list[float] = []  # seconds from the request to the head of its answer
        self.wrong: list[object] = []
        self._address = address
        self._is_over = False
        self._is_answered = asyncio.Event()
        self._tasks = [asyncio.create_task(self._ask_again_and_again()) for _ in range(size)]

    async def _ask_again_and_again(self) -> None:
        while not self._is_over:
            try:
                async with connected(self._address) as client:
                    begun = time.monotonic()
                    await client.send(request("/x", "Connection: close"))
                    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), WAIT)
                    self.waits.append(time.monotonic() - begun)
                    self._is_answered.set()
                    body = await client.body(head)
                    if (head.split()[1], body) != (b"200", EVENT * 5):
                        self.wrong.append((head, body))
            except (OSError, EOFError) as error:
                self.wrong.append(error)

    async def served(self, more: int) -> None:
        """Wait until so many more requests are answered."""
        wanted = len(self.waits) + more
        while len(self.waits) < wanted:
            self._is_answered.clear()
            await self._is_answered.wait()

    async def go(self) -> None:
        """Let each finish, and send them home."""
        self._is_over = True
        await asyncio.gather(*self._tasks)


async def test_a_reload_under_load_loses_nothing(manager: Manager, figures: Figures) -> None:
    """Twenty clients, and a SIGHUP whenever the last one is done: every stream is whole."""
    async with serving(streaming) as upstream:
        manager.config.write_text(f"listen: 127.0.0.1:0\nupstream: {upstream.url}\n")
        with manager.started() as process:
            status = (await asyncio.to_thread(manager.message_with, "READY"))["STATUS"]
            crowd = Crowd(Address("127.0.0.1", int(re.findall(r":(\d+) for", status)[0])), 20)
            for number in range(10):
                await crowd.served(5)
                manager.config.write_text(f"listen: 127.0.0.1:0\nupstream: {upstream.url}\nkeepalive: {number}\n")
                process.send_signal(signal.SIGHUP)
                await asyncio.to_thread(manager.message_with, "READY")
            await crowd.go()

    assert crowd.wrong == []
    figures(f"10 reloads under load: {len(crowd.waits)} streams, none lost")


async def test_a_restart_under_load_loses_nothing_behind_a_socket(manager: Manager, figures: Figures) -> None:
    """What runs is finished, what comes waits in the socket; nobody is refused, nobody has to try again."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as handed:
        address = Address("127.0.0.1", handed.getsockname()[1])
        async with serving(streaming) as upstream:
            manager.config.write_text(f"listen: {address}\nupstream: {upstream.url}\n")
            crowd = Crowd(address, 20)
            for _ in range(3):
                with manager.started(handed) as process:
                    await asyncio.to_thread(manager.message_with, "READY")
                    await crowd.served(30)
                    process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(process.wait, WAIT) == 0
            with manager.started(handed):
                await crowd.served(30)
                await crowd.go()

    assert crowd.wrong == []
    figures(f"3 restarts under load: {len(crowd.waits)} streams, none lost, longest wait {max(crowd.waits):.2f} s")
