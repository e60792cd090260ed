"""The short way of a read: from the upstream's socket to the client's, in the very turn of the loop that brought it.

A task that waits for each read costs an event a future, two callbacks and the steps of five coroutines: 52,000 machine
instructions outside the kernel (a bare aiohttp relay 48,000). A spout parks the task instead and stands in front of
aiohttp's protocol. aiohttp parses what came, and the spout hands on what it made of it: 35,000. Where a read is nothing
but whole chunks, as one event nearly always is, there is nothing left to parse: 18,000. The task is woken when anything
else happens: the end, an error, a client that is slower.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from aiohttp import StreamReader

# At most 256 MiB, so that nothing hostile is computed with; aiohttp judges what is stranger.
_SIZE = re.compile(rb"([0-9a-fA-F]{1,7})\r\n")
_CHUNK = re.compile(_SIZE.pattern + rb"(.+)\r\n", re.DOTALL)

# A read that may have left something in the socket. uvloop takes 32 of these, 8 MB, before anybody else has a turn.
FULL = 2**17


def unframed(data: bytes) -> bytes | None:
    """What is in the chunks that these bytes are, or None if they are not whole chunks and nothing else."""
    one = _CHUNK.fullmatch(data)
    if one and one.end(2) - one.start(2) == int(one[1], 16):  # nearly always
        return one[2]
    pieces: list[bytes] = []
    at = 0
    while size := _SIZE.match(data, at):
        start = size.end()
        end = start + int(size[1], 16)
        at = end + 2
        if end == start or data[end:at] != b"\r\n":
            return None  # the last chunk, or a cut one
        if at == len(data):
            return b"".join([*pieces, data[start:end]])
        pieces.append(data[start:end])
    return None


class Spout(asyncio.Protocol):
    """Hands on each read of a connection, in the place of its protocol, which is given back; must be closed."""

    __slots__ = (
        "_clock",
        "_content",
        "_is_between_chunks",
        "_is_open",
        "_protocol",
        "_take",
        "_transport",
        "dried",
        "heard_at",
    )

    def __init__(self, transport: asyncio.Transport, content: StreamReader, take: Callable[[bytes], bool]) -> None:
        """Begin; `take` is given what comes, and says whether it would take more."""
        loop = asyncio.get_running_loop()
        self.dried = loop.create_future()
        self.heard_at = 0.0  # by the loop's clock
        self._clock = loop.time
        self._content = content
        self._take = take
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._is_between_chunks = False  # not known yet
        self._is_open = True
        transport.set_protocol(self)

    def close(self) -> None:
        """Let the task that waits for `dried` go on, and hand on no more; doing it twice changes nothing."""
        if self._is_open:
            self._is_open = self._is_between_chunks = False
            if not self.dried.done():
                self.dried.set_result(None)
            # One that closes ends with the spout in front: asyncio's over TLS, closed twice, takes no other protocol.
            if not self._transport.is_closing():
                self._transport.set_protocol(self._protocol)

    def data_received(self, data: bytes) -> None:
        """Hand on what came: whole chunks at once, everything else as aiohttp parses it."""
        self.heard_at = self._clock()
        payload = unframed(data)
        try:
            if payload is None or not self._is_between_chunks:
                self._parse(data, payload)
            elif not self._take(payload):
                self.close()
            if len(data) >= FULL:
                self.close()  # the task goes on in a later turn, and aiohttp holds back what comes until then
        except Exception as error:  # noqa: BLE001 (raised where the task waits)
            if not self.dried.done():
                self.dried.set_exception(error)
            self.close()

    def _parse(self, data: bytes, payload: bytes | None) -> None:
        self._protocol.data_received(data)  # type: ignore[attr-defined] # a stream's protocol
        self.hand_on(payload)

    def hand_on(self, payload: bytes | None = None) -> None:
        """Hand on what aiohttp has parsed; `payload` is what it should be, if nothing but whole chunks came."""
        content = self._content
        self._is_between_chunks = False
        while self._is_open and content.exception() is None and (chunk := content.read_nowait()):
            # Bytes that look like chunks may be the text of a larger one: only if aiohttp agrees, they are.
            self._is_between_chunks = chunk == payload
            if not self._take(chunk):
                self.close()
        # At once, because aiohttp has put a connection whose answer is complete back into its pool.
        if content.is_eof() or content.exception() is not None:
            self.close()

    def eof_received(self) -> bool | None:
        """Tell aiohttp."""
        return self._protocol.eof_received()  # type: ignore[attr-defined, no-any-return]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell aiohttp, and let the task find out what it makes of it."""
        self._protocol.connection_lost(exc)
        self.close()

    def pause_writing(self) -> None:
        """Tell aiohttp, which may still be sending the request."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Likewise."""
        self._protocol.resume_writing()
