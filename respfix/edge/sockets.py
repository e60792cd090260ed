"""Listening sockets: bound here, or handed over by the init system.

A socket is opened once and kept for as long as the configuration names its address. What is done behind it may change
on a reload; the kernel goes on queueing connections meanwhile, so nobody is refused.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from respfix.config import Address, Listener, UnixSocket
from respfix.edge import StartError

FIRST_INHERITED = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)

# Linux: a socket's filter (socket(7), SO_ATTACH_FILTER) that drops what would open a connection and nothing else. It is
# shown the TCP header, whose byte 13 has the flags: a SYN without an ACK.
SO_ATTACH_FILTER = 26
NO_SYN = b"".join(
    struct.pack("HBBI", *instruction)  # struct sock_filter, 8 bytes
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte
        (0x54, 0, 0, 0x12),  # of it, SYN and ACK
        (0x15, 0, 1, 0x02),  # only SYN?
        (0x06, 0, 0, 0),  # then nothing is kept
        (0x06, 0, 0, 0xFFFFFFFF),  # else all
    )
)


def inherited(environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets that an init system has opened for this very process; see sd_listen_fds(3)."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = [socket.socket(fileno=number) for number in range(FIRST_INHERITED, FIRST_INHERITED + int(count))]
    for each in sockets:
        each.set_inheritable(False)
    return sockets


def said(bound: socket.socket) -> Listener:
    """The address of a socket as the configuration would write it."""
    name = bound.getsockname()
    if bound.family == getattr(socket, "AF_UNIX", None):
        return UnixSocket(os.fsdecode(name))
    return Address(name[0], name[1])


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound socket, and whether respfix has bound it."""

    socket: socket.socket
    is_ours: bool = True

    def shut_out(self) -> None:
        """Let nobody connect any more; whoever has connected can still be accepted, and is reset only by `close`.

        Who is shut out knocks again after a second, and is refused then or served by the next process. Only Linux can.
        """
        if sys.platform == "linux":
            with suppress(OSError):  # a sandbox may forbid it
                if self.socket.family == socket.AF_UNIX:
                    self.socket.shutdown(socket.SHUT_RD)
                else:
                    program = array("B", NO_SYN)
                    described = struct.pack("HP", len(NO_SYN) // 8, program.buffer_info()[0])
                    self.socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)

    def close(self) -> None:
        """Close it, and take its name out of the file system if respfix has put it there."""
        listener = said(self.socket)
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # a copy that a server has not closed yet would go on listening
        self.socket.close()
        if self.is_ours and isinstance(listener, UnixSocket):
            with suppress(FileNotFoundError):
                Path(listener.path).unlink()


def listening(
    listener: Listener, handed: list[socket.socket], *, is_shared: bool = False, setting: str = "--listen"
) -> list[Bound]:
    """The sockets of one address (a name may have several), those handed over where there are any.

    What is used is taken out of the list. Raises StartError, which blames `setting`, and then nothing is left open.
    """
    bound: list[Bound] = []
    try:
        for family, name in _names(listener):
            if given := _taken(handed, name):
                bound.append(Bound(given, is_ours=False))
            elif fresh := _fresh(family, name, is_shared=is_shared):
                bound.append(Bound(fresh))
    except OSError as error:
        for each in bound:
            each.close()
        raise StartError(why_not(listener, error, setting)) from None
    if not bound:
        raise StartError(why_not(listener, OSError(errno.EADDRNOTAVAIL, ""), setting))
    return bound


def _names(listener: Listener) -> list[tuple[socket.AddressFamily, Any]]:
    if isinstance(listener, UnixSocket):
        return [(socket.AF_UNIX, listener.path)]
    found = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, name) for family, _, _, _, name in found))


def _taken(handed: list[socket.socket], name: object) -> socket.socket | None:
    for place, each in enumerate(handed):
        if each.getsockname() == name:
            return handed.pop(place)
    return None


def _fresh(family: socket.AddressFamily, name: Any, *, is_shared: bool) -> socket.socket | None:
    """A socket bound to this; nothing where this machine has no such address."""
    fresh = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == getattr(socket, "AF_UNIX", None):
            _bind_unix(fresh, Path(name))
        else:
            _prepare(fresh, is_shared=is_shared)
            fresh.bind(name)
    except OSError as error:
        fresh.close()
        if error.errno == errno.EADDRNOTAVAIL:  # as the ::1 of `localhost` where there is no IPv6
            return None
        raise
    return fresh


def _prepare(fresh: socket.socket, *, is_shared: bool) -> None:
    if sys.platform != "win32":  # there it would let another program take the address
        fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if fresh.family == socket.AF_INET6:
        fresh.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _bind_unix(fresh: socket.socket, path: Path) -> None:
    if path.is_socket() and not _is_answered(path):
        path.unlink()  # what a killed process left
    fresh.bind(str(path))
    path.chmod(0o666)  # as open as a loopback port; its folder may say more


def _is_answered(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(1)
        try:
            attempt.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def why_not(listener: Listener, error: OSError, setting: str = "--listen") -> str:
    """One line that says why nobody can listen there, and what to do; `setting` is where the address can be changed."""
    is_path = isinstance(listener, UnixSocket)
    if error.errno == errno.EADDRINUSE:
        if is_path:
            return f"{listener} is in use, or is a file that is no socket; choose another path with {setting}"
        return f"{listener} is in use; stop what listens there (another respfix?) or choose another port with {setting}"
    if error.errno == errno.EACCES:
        what = "a folder that it may write to" if is_path else "a port above 1023"
        return f"not allowed to listen on {listener}; choose {what} with {setting}"
    why = error.strerror
    if error.errno == errno.ENOENT and is_path:
        why = "its folder is not there"
    elif error.errno == errno.EADDRNOTAVAIL:
        why = "this machine has no such address"
    elif isinstance(error, socket.gaierror):
        why = "its name cannot be resolved"
    return f"cannot listen on {listener} ({why}); check {setting}"
