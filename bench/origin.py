"""The server that sends the streams: as lean as Python gets, so that it is not what is measured.

`POST /plan` sets the plan; every other request is a stream of it. Streams get their head and first events at once;
when as many are there as planned, all go on together. `python -m bench.origin` prints its port.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator

import uvloop

from bench.plan import Plan
from bench.streams import SHAPES, STAMP, Shape

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
SETTLE = 0.3  # seconds from the last request to the first of the events that repeat; the load begins to count there
TICK = 0.0005  # seconds between two looks at what is due
FULL = 2**18  # bytes that one stream is given before another's turn, where nobody paces them


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Round:
    """The streams of one plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.shape: Shape = SHAPES[plan.shape]
        self.streams: list[Stream] = []
        texts = self.shape.texts(plan.deltas)
        self._pieces: list[bytes] = []
        if not plan.is_stamped:
            frames = [self.shape.event(place, text) for place, text in enumerate(texts)]
            bursts = range(0, plan.deltas, plan.burst)
            self._pieces = [chunk(b"".join(frames[at : at + plan.burst])) for at in bursts]
            self._tail = chunk(self.shape.tail(texts)) + END

    def pieces(self) -> Iterator[bytes]:
        """What a stream writes, one after the other, made when it is written."""
        if not self.plan.is_stamped:
            yield from self._pieces
            yield self._tail
            return
        sent: list[bytes] = []
        burst, deltas = self.plan.burst, self.plan.deltas
        while len(sent) < deltas:
            frames = []
            for place in range(len(sent), min(deltas, len(sent) + burst)):
                stamp = b"%0*d" % (STAMP, time.monotonic_ns())
                before, after = self.shape.wrap
                text = (before if not place else b"") + stamp + (after if place == deltas - 1 else b"")
                frames.append(self.shape.event(place, text))
                sent.append(text)
            yield chunk(b"".join(frames))
        yield chunk(self.shape.tail(sent)) + END

    def join(self, stream: Stream) -> None:
        """Take one more; the last one starts them all."""
        self.streams.append(stream)
        if len(self.streams) == self.plan.streams and not self.plan.is_held:
            asyncio.get_running_loop().call_later(SETTLE, self._start)

    def _start(self) -> None:
        if self.plan.rate:
            self._running = asyncio.ensure_future(self._pace())
        else:
            for stream in self.streams:
                stream.pour()

    async def _pace(self) -> None:
        """One write per stream and turn, spread evenly, so that one event is one read."""
        begin = time.monotonic()
        writes = self.plan.rate / self.plan.burst
        done, running = 0, list(self.streams)
        while running:
            place = 0
            while place < len(running):
                due = int((time.monotonic() - begin) * writes)
                if done >= due:
                    await asyncio.sleep(TICK)
                    continue
                done += 1
                if running[place].step():
                    place += 1
                else:
                    del running[place]


class Stream(asyncio.Protocol):
    """One connection."""

    round: Round | None = None

    def __init__(self) -> None:
        self._came = b""
        self._is_full = False
        self._pieces: Iterator[bytes] = iter(())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # it is one
        """Keep where to write."""
        self._transport = transport
        transport.set_write_buffer_limits(FULL)

    def data_received(self, data: bytes) -> None:
        """Collect a request."""
        self._came += data
        head, end, body = self._came.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if not end or (length and len(body) < int(length[1])):
            return
        if b"\r\ntransfer-encoding:" in head.lower() and not body.endswith(END):
            return
        self._came = b""
        if head.startswith(b"POST /plan"):
            Stream.round = Round(Plan.load(body))
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif Stream.round is None or not head.startswith(b"POST"):
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        else:
            self._pieces = Stream.round.pieces()
            self._transport.write(HEAD + chunk(Stream.round.shape.head))
            Stream.round.join(self)

    def step(self) -> bool:
        """Write one piece; False if it was the last."""
        piece = next(self._pieces)
        self._transport.write(piece)
        return not piece.endswith(END)

    def pour(self) -> None:
        """Write until nobody takes more."""
        while not self._is_full and (piece := next(self._pieces, b"")):
            self._transport.write(piece)

    def pause_writing(self) -> None:
        """The reader is slower."""
        self._is_full = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_full = False
        self.pour()


async def main() -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Stream, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
