"""The answer as the client gets it: a head that is relayed, bytes that are counted, an end that is honest."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import ClientResponse, web
from aiohttp.http import StreamWriter

from respfix.relay.headers import ANSWER_ONLY, REWRITTEN_BODY, is_event_stream, onward, spelled, unencodable

MADE_UP = ("Content-Type", "Date", "Server")  # what aiohttp adds to an answer that has none
# on, 0 s: closing sends a reset. Nothing less shows an HTTP/1.0 client that its body is not whole.
RESET = struct.pack("ii", 1, 0)


class Answer(web.StreamResponse):
    """An answer whose head is the upstream's: nothing made up, nothing lost."""

    @classmethod
    def relaying(cls, upstream: ClientResponse, *, is_rewritten: bool = False) -> Answer:
        """The answer to an upstream's, whose body is relayed or rewritten."""
        headers = onward(spelled(upstream.raw_headers), {*ANSWER_ONLY, *(REWRITTEN_BODY if is_rewritten else ())})
        if is_rewritten and not is_event_stream(upstream.headers):
            headers["Content-Type"] = "text/event-stream"
        if upstream.status == 101:  # noqa: PLR2004 (Switching Protocols)
            headers["Connection"] = "Upgrade"
            headers["Upgrade"] = upstream.headers.get("Upgrade", "websocket")
        return cls(status=upstream.status, reason=upstream.reason, headers=headers)

    async def begin(self, request: web.BaseRequest) -> None:
        """Send the head."""
        await self.prepare(request)
        self._client = request.protocol
        self._drain = request.writer.drain
        self._is_chunked = "Transfer-Encoding" in self.headers

    def send(self, data: bytes) -> bool:
        """Send more of the body, in one write; False if the client takes it more slowly than it comes: then `drain`.

        aiohttp's own `write` is three coroutines deep, and says only to those who wait whether the client is slow.
        """
        transport = self._client.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return not self._client.writing_paused

    async def drain(self) -> None:
        """Wait until the client has caught up."""
        await self._drain()

    def break_off(self, request: web.BaseRequest, patience: float) -> None:
        """Close the connection so that the client sees that the body is not whole, but gets what there is of it."""
        transport = request.transport
        if transport is None:
            return
        is_framed = "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        connection = transport.get_extra_info("socket")
        if is_framed or connection is None:
            # What is written already is flushed; the last chunk or the last bytes that never come say the rest.
            transport.close()
            asyncio.get_running_loop().call_later(patience, transport.abort)
        else:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.abort()

    async def _prepare_headers(self) -> None:
        given = {name for name in MADE_UP if name in self.headers}
        await super()._prepare_headers()
        for name in MADE_UP:
            if name not in given:
                self.headers.popall(name, None)

    async def _write_headers(self) -> None:
        if unencodable(self.headers) is None and self.reason.isascii():
            await super()._write_headers()
            return
        # aiohttp's writers drop or refuse bytes that are not UTF-8 (`caf\xe9`); its parser kept them as surrogates.
        request, writer = self._req, self._payload_writer
        assert request is not None  # noqa: S101 (prepare() has set both)
        assert isinstance(writer, StreamWriter)  # noqa: S101
        lines = [f"HTTP/{request.version.major}.{request.version.minor} {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        writer._headers_buf = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")  # noqa: SLF001
        writer.send_headers()
