"""A server that is as broken as the real ones, on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from aiohttp import web

from respfix.demo.streams import STREAMS, chosen

# What Sub2API sends, and what every proxy in between understands.
HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
LARGEST_REQUEST = 64 * 2**20  # Codex sends its whole history, with images


class Server:
    """Answers `POST …/responses` with a broken stream."""

    def __init__(self, pace: float) -> None:
        self._pace = pace

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Send the stream that the request asks for, event by event."""
        try:
            asked = json.loads(await request.read())
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            return _error(400, "the body is not a JSON object")
        answer = web.StreamResponse(headers=HEADERS)
        with contextlib.suppress(ConnectionError):  # clients leave as soon as they have what they want
            await answer.prepare(request)
            for frame in STREAMS[chosen(asked)].split(b"\n\n")[:-1]:
                await answer.write(frame + b"\n\n")
                await asyncio.sleep(self._pace)
            await answer.write_eof()
        return answer

    async def models(self, _request: web.Request) -> web.Response:
        """The streams, as models."""
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in STREAMS]})

    async def refuse(self, request: web.Request) -> web.Response:
        """There is nothing else here."""
        return _error(404, f"no {request.method} {request.path} here; try POST /v1/responses")


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "invalid_request_error"}}, status=status)


@contextlib.asynccontextmanager
async def serving(port: int = 0, *, pace: float = 0.0) -> AsyncIterator[int]:
    """The server for the time of a block, with so many seconds between two events; gives its port."""
    server = Server(pace)
    app = web.Application(client_max_size=LARGEST_REQUEST)
    app.router.add_post("/{prefix:.*}responses", server.respond)
    app.router.add_get("/{prefix:.*}models", server.models)
    app.router.add_route("*", "/{rest:.*}", server.refuse)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
