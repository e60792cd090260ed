"""Where the stream comes from: a file, standard input, or a server that is asked once.

What a server sends is kept byte for byte, because places in it are counted in bytes. Hence plain aiohttp: an SSE reader
would hide a byte order mark, lines that end in CR alone, and a last event without its blank line.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from respfix.check.excerpt import masked
from respfix.check.findings import frames_of
from respfix.stream import Ending, Mender

if TYPE_CHECKING:
    import aiohttp

GRACE = 1.0  # seconds that a body may go on after its last event; the relay's own default
LONGEST_COMPLAINT = 200  # characters of a server's error message, which may be a page
SHORTEST_SECRET = 6  # characters
ERROR_PAGE = 64 * 1024  # bytes of an answer that is no stream; its message stands at its beginning
ADVICE = {
    400: "check --model, and that the server speaks the Responses API",
    401: "check --key or OPENAI_API_KEY",
    403: "check --key or OPENAI_API_KEY",
    404: "check the path of the URL, which usually ends in /v1",
    429: "wait, or use another key",
}


class SourceError(Exception):
    """There is no stream to judge; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A body as it came, and how it ended."""

    body: bytes
    ending: Ending = Ending.COMPLETE


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a server."""

    url: str
    model: str
    key: str = field(repr=False)
    prompt: str = field(repr=False)
    timeout: float

    @property
    def endpoint(self) -> str:
        """Where it is sent: the URL itself, or below it where the URL is a base URL."""
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/")
        return urlunsplit(parts._replace(path=f"{path}/responses")) if path.endswith("/v1") else self.url

    @property
    def secrets(self) -> list[str]:
        """What a server may quote and nobody else should read; shorter words would mask half the page."""
        return [word for word in (self.key, self.prompt) if len(word) >= SHORTEST_SECRET]


def is_url(source: str) -> bool:
    """Is a server to be asked?"""
    return re.match(r"https?://", source) is not None


def shown(source: str) -> str:
    """The source's name without what a URL may carry of secrets."""
    if not is_url(source):
        return "standard input" if source == "-" else source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def opened(source: str) -> Recording:
    """Read a file or standard input to its end."""
    with open(0, "rb", closefd=False) if source == "-" else Path(source).open("rb") as stream:
        return Recording(stream.read())


def asked(question: Question) -> Recording:
    """Send one request and keep what comes back."""
    return asyncio.run(_ask(question))


def refuse_what_is_no_stream(body: bytes, known: Collection[str] = ()) -> None:
    """Raise where the bytes are something else; an empty body is a stream that broke off at once."""
    text = body.decode("utf-8", "replace").strip()
    advice = "record one with `curl -sN … -d '{…, \"stream\": true}'`"
    if text.startswith("<"):
        raise SourceError("this is HTML, not an event stream; check the URL, whose path usually ends in /v1")
    if text.startswith("{") and (complaint := _complaint(text, known)) is not None:
        said = f" ({complaint})" if complaint else ""
        raise SourceError(f"this is one JSON object, not an event stream{said}; {advice}")
    if text and not any(frame.fields or frame.raw.startswith(b":") for frame in frames_of(body)):
        raise SourceError(f"this is not an event stream; {advice}")


def _complaint(text: str, known: Collection[str]) -> str | None:
    """The error message in a JSON object, empty if it has none; None if this is not one JSON object."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    said = (
        error.get("message") if isinstance(error, dict) else error or (isinstance(body, dict) and body.get("message"))
    )
    return " ".join(masked(said, known).split())[:LONGEST_COMPLAINT] if isinstance(said, str) else ""


async def _ask(question: Question) -> Recording:
    import aiohttp

    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if question.key:
        headers["Authorization"] = f"Bearer {question.key}"
    body = {"model": question.model, "input": question.prompt, "stream": True}
    patience = aiohttp.ClientTimeout(total=None, connect=question.timeout, sock_read=question.timeout)
    try:
        async with (
            aiohttp.ClientSession(timeout=patience) as session,
            session.post(question.endpoint, json=body, headers=headers, allow_redirects=False) as answer,
        ):
            if not answer.ok or answer.status >= 300:  # noqa: PLR2004 (what is no success)
                raise SourceError(_refusal(question, answer.status, await answer.content.read(ERROR_PAGE)))
            return await _listen(answer)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise SourceError(_failure(question, error)) from None


async def _listen(answer: aiohttp.ClientResponse) -> Recording:
    """Read until the body ends, or has had its last event and does not end."""
    import aiohttp

    mender, chunks = Mender(), list[bytes]()
    deadline: float | None = None
    clock = asyncio.get_running_loop().time
    ending = Ending.COMPLETE
    try:
        async with asyncio.timeout(None) as grace:
            async for chunk in answer.content.iter_any():
                chunks.append(chunk)
                mender.feed(chunk)
                if mender.is_over and deadline is None:
                    deadline = clock() + GRACE
                    grace.reschedule(deadline)
    except aiohttp.ClientPayloadError:
        ending = Ending.CUT
    except TimeoutError:
        ending = Ending.IDLE if deadline is None else Ending.OVER
    except aiohttp.ClientError:
        ending = Ending.CUT
    return Recording(b"".join(chunks), ending)


def _refusal(question: Question, status: int, page: bytes) -> str:
    """What the server said instead of a stream."""
    complaint = _complaint(page.decode("utf-8", "replace"), question.secrets) or ""
    advice = ADVICE.get(status, "the server's own log may say why")
    if 300 <= status < 400:  # noqa: PLR2004 (redirects)
        advice = "redirects are not followed: give the URL that it leads to"
    return f"{shown(question.endpoint)} answered {status}{f' ({complaint})' if complaint else ''}; {advice}"


def _failure(question: Question, error: Exception) -> str:
    """What went wrong before there was an answer."""
    import aiohttp

    where = shown(question.endpoint)
    if isinstance(error, TimeoutError):
        return f"{where} sent no answer within {question.timeout:g} s; check the URL, or raise --timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {where}: {error.strerror or 'refused'}; check that the server runs, and the URL"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        return f"{where} closed the connection without an answer; its own log may say why"
    return f"{where} did not answer in HTTP ({type(error).__name__}); check the URL, its scheme and its port"
