"""Listening sockets that are to be closed: nobody comes in any more, and nobody who has come is sent away."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from respfix.config import Address, Listener, UnixSocket
from respfix.edge import StartError
from respfix.edge.sockets import Bound, listening

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can shut others out first")


@pytest.fixture(params=["IPv4", "IPv6", "unix"])
def bound(request: pytest.FixtureRequest, tmp_path: Path) -> Bound:
    """A socket of respfix's."""
    listeners: dict[str, Listener] = {
        "IPv4": Address("127.0.0.1", 0),
        "IPv6": Address("::1", 0),
        "unix": UnixSocket(str(tmp_path / "socket")),
    }
    try:
        [one] = listening(listeners[request.param], [])
    except StartError as error:
        pytest.skip(f"{request.param} cannot be had here: {error}")
    one.socket.listen()
    return one


def knock(family: int, name: Any) -> socket.socket:
    """Connect, or be refused, or get no answer."""
    client = socket.socket(family)
    client.settimeout(0.2)
    try:
        client.connect(name)
    except OSError:
        client.close()
        raise
    return client


def test_who_has_connected_is_still_let_in(bound: Bound) -> None:
    """And can talk; a client that is sent away here has lost a request that it may not send again."""
    with knock(bound.socket.family, bound.socket.getsockname()) as client:
        client.send(b"question")
        bound.shut_out()
        bound.socket.settimeout(0)
        accepted, _ = bound.socket.accept()
        with accepted:
            accepted.settimeout(1)
            assert b"question" == accepted.recv(100)
            accepted.sendall(b"answer" * 10_000)
            accepted.shutdown(socket.SHUT_WR)
            client.settimeout(1)
            assert b"answer" * 10_000 == b"".join(iter(lambda: client.recv(65536), b""))
    bound.close()


def test_nobody_comes_in_any_more(bound: Bound) -> None:
    """It gets no answer, or is refused; it is never let in and then reset."""
    family, name = bound.socket.family, bound.socket.getsockname()
    bound.shut_out()
    with pytest.raises((TimeoutError, ConnectionRefusedError)):
        knock(family, name)

    bound.socket.settimeout(0)
    with pytest.raises(BlockingIOError):
        bound.socket.accept()
    bound.close()
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        knock(family, name)
