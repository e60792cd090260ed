"""Two relays to compare with: the least that aiohttp can do, and what one would write first.

    python -m bench.relays bare 8081 http://127.0.0.1:8080
    python -m bench.relays json 8081 http://127.0.0.1:8080

`bare` copies reads. `json` parses every event and writes it anew, as a relay does that repairs without splicing.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class Copy:
    """Gives back what comes."""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give bytes."""
        return data


class Anew:
    """Parses each event and writes it anew."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give the events that are whole."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        return b"".join(b"\n".join(map(self._line, block.split(b"\n"))) + b"\n\n" for block in blocks)

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data: {"):
            return line
        return b"data: " + json.dumps(json.loads(line[6:]), ensure_ascii=False, separators=(",", ":")).encode()


MAKERS: dict[str, Callable[[], Copy | Anew]] = {"bare": Copy, "json": Anew}


async def serve(kind: str, port: int, upstream: str) -> None:
    """Relay for ever."""
    session = ClientSession(
        connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False, read_bufsize=2**18
    )

    async def relay(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        async with session.request(
            request.method, upstream + request.path_qs, headers=headers, data=await request.read()
        ) as came:
            kept = {name: value for name, value in came.headers.items() if name.lower() not in HOP_BY_HOP}
            answer = web.StreamResponse(status=came.status, headers=kept)
            await answer.prepare(request)
            changed = MAKERS[kind]()
            async for data in came.content.iter_any():
                if out := changed.feed(data):
                    await answer.write(out)
            await answer.write_eof()
            return answer

    runner = web.ServerRunner(web.Server(relay, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
