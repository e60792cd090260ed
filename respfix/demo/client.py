"""A client that knows nothing of respfix: aiohttp-sse-client, told never to ask twice.

Left to itself that library sends the same request again when a stream ends, and each of these is a paid answer. Hence
`on_error` raises before it can, and the loop is left at the event that ends a response.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import ClientResponse, ClientSession, ClientTimeout
from aiohttp_sse_client.client import EventSource

from respfix.demo.streams import Event

LONGEST_LINE = 2**22  # aiohttp's own limit is 512 KiB, and the last event of a long answer is longer


class StreamError(Exception):
    """The stream could not be read to its end."""


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[ClientSession]:
    """A session without a limit on the whole answer, which may take its time."""
    async with ClientSession(timeout=ClientTimeout(total=None, sock_connect=10, sock_read=60)) as session:
        yield session


async def ask(session: ClientSession, base_url: str, name: str) -> list[Event]:
    """Ask for a stream by its name and read it up to its last event; exactly one request."""
    source = EventSource(
        f"{base_url}/responses",
        option={"method": "POST"},
        max_connect_retry=0,
        session=session,
        on_error=_give_up,
        json={"model": name, "input": "hello", "stream": True},
        headers={},
        read_bufsize=LONGEST_LINE,
        raise_for_status=_refuse,
    )
    events: list[Event] = []
    async with source:
        async for message in source:
            events.append(Event(message.data))
            if events[-1].is_last:
                break
    return events


def _give_up() -> None:
    raise StreamError("the stream ended without its last event")


async def _refuse(answer: ClientResponse) -> None:
    if not answer.ok:
        raise StreamError(f"{answer.status}: {await answer.text()}")
