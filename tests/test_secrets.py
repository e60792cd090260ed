"""A canary in every place where a secret can be: it must be seen nowhere, whatever goes wrong.

It goes through a respfix that logs in both forms, tells operators everything it has and keeps every stream, in requests
that are right, wrong and hostile, to upstreams that repeat it, break off, answer nonsense or are not there.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from aiohttp import ClientSession
from downstream import config_for, connected
from test_admin_listener import HERE, Eye, connector_to
from test_capture import BROKEN, settings
from upstream import END, STREAM_HEAD, Exchange, Script, chunk, serving

from respfix.app import Service
from respfix.config import Admin
from respfix.journal.lines import FORMATS, hush_foreign_loggers

CANARY = "canary-0123456789abcdef"  # by its looks no key of any kind
TRACES = (CANARY, base64.b64encode(CANARY.encode()).decode()[:20], CANARY.upper())

POST = "POST /v1/responses HTTP/1.1"
WAIT = 0.8  # seconds for an answer; some requests are never whole
SAFE_HEAD = ["Host: localhost", "Content-Type: application/json"]


def asked(line: str, *headers: str, body: bytes = b'{"stream":true}') -> bytes:
    """A request, spelled as it shall be."""
    lines = [line, *(SAFE_HEAD if not any(each.startswith("Host:") for each in headers) else []), *headers]
    if not any(each.startswith(("Transfer-Encoding", "Content-Length")) for each in headers):
        lines.append(f"Content-Length: {len(body)}")
    if not any(each.startswith("Connection: Upgrade") for each in headers):
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


BODY = {
    **dict.fromkeys(("model", "input", "instructions", "user", "safety_identifier", "prompt_cache_key"), CANARY),
    "metadata": {"ticket": CANARY, CANARY: "x"},
    "tools": [
        {
            "type": "mcp",
            "server_label": CANARY,
            "authorization": CANARY,
            "headers": {"Authorization": f"Bearer {CANARY}"},
        },
        {"type": "function", "name": "shell", "description": CANARY, "parameters": {"default": CANARY, CANARY: {}}},
    ],
    "text": {"format": {"type": "json_schema", "name": "x", "schema": {"description": CANARY}}},
    "stream": True,
}
BASIC = base64.b64encode(f"bob:{CANARY}".encode()).decode()
LONG = f"{CANARY}." * 4000

REQUESTS = {
    "authorization": asked(POST, f"Authorization: Bearer {CANARY}"),
    "basic": asked(POST, f"Authorization: Basic {BASIC}"),
    "proxy-authorization": asked(POST, f"Proxy-Authorization: Bearer {CANARY}"),
    "api keys": asked(POST, f"X-Api-Key: {CANARY}", f"Api-Key: {CANARY}", f"X-Goog-Api-Key: {CANARY}"),
    "cookie": asked(POST, f"Cookie: a=b; session={CANARY}; c={CANARY}"),
    "any header": asked(POST, f"X-Custom: {CANARY}", f"Referer: http://x/?k={CANARY}"),
    "user agent": asked(POST, f"User-Agent: codex {CANARY}", f"X-Codex-Turn: {CANARY}"),
    "header name": asked(POST, f"X-{CANARY}: 1"),
    "host": asked(POST, f"Host: {CANARY}.example"),
    "host userinfo": asked(POST, f"Host: bob:{CANARY}@localhost"),
    "query": asked(f"POST /v1/responses?key={CANARY}&{CANARY}=1&{CANARY} HTTP/1.1"),
    "fragment": asked(f"POST /v1/responses#{CANARY} HTTP/1.1"),
    "query of another path": asked(f"GET /v1/models?key={CANARY} HTTP/1.1", body=b""),
    "absolute target": asked(f"GET http://bob:{CANARY}@localhost/v1?x={CANARY} HTTP/1.1", body=b""),
    "connect": asked(f"CONNECT {CANARY}:443 HTTP/1.1", body=b""),
    "body": asked(POST, body=json.dumps(BODY).encode()),
    "chunked body": asked(
        POST,
        "Transfer-Encoding: chunked",
        body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(json.dumps(BODY)), json.dumps(BODY).encode()),
    ),
    "chunk extension and trailer": asked(
        POST,
        "Transfer-Encoding: chunked",
        body=f"2;x={CANARY}\r\n{{}}\r\n0\r\nX-Trailer: {CANARY}\r\n\r\n".encode(),
    ),
    "broken chunk": asked(POST, "Transfer-Encoding: chunked", body=f"{CANARY}\r\n{CANARY}\r\n".encode()),
    "body that is no JSON": asked(POST, body=CANARY.encode()),
    "body cut": asked(POST, "Content-Length: 9999", body=CANARY.encode()),
    "content encoding": asked(POST, f"Content-Encoding: {CANARY}"),
    "content length": asked(POST, f"Content-Length: {CANARY}"),
    "transfer encoding": asked(POST, f"Transfer-Encoding: {CANARY}"),
    "expect": asked(POST, f"Expect: {CANARY}"),
    "connection": asked(POST, f"Connection: {CANARY}", f"{CANARY}: 1"),
    "upgrade": asked("GET /v1/responses HTTP/1.1", "Connection: Upgrade", f"Upgrade: {CANARY}", body=b""),
    "websocket": asked(
        f"GET /v1/responses?k={CANARY} HTTP/1.1",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {CANARY}",
        f"Sec-WebSocket-Protocol: openai-insecure-api-key.{CANARY}",
        body=b"",
    ),
    "control byte": asked(POST, f"X: {CANARY}\x00"),
    "no colon": asked(POST, CANARY),
    "folded": asked(POST, f"X: a\r\n {CANARY}"),
    "not utf-8": asked(POST, f"X: {CANARY}\udcff", f"X-{CANARY}: \udcff"),
    "long header": asked(POST, f"Authorization: Bearer {LONG}"),
    "many headers": asked(POST, *(f"X-{n}: {CANARY}" for n in range(400))),
    "long query": asked(f"POST /v1/responses?{LONG} HTTP/1.1"),
    "version": asked(f"POST /v1/responses HTTP/{CANARY}"),
    "no request line": f"{CANARY}\r\n\r\n".encode(),
    "nonsense": f"\x16\x03\x01{CANARY}\x00".encode() * 40,
}


def _repeating(exchange: Exchange) -> bytes:
    """A broken stream that says what it was sent."""
    heard = exchange.head.decode("latin-1") + exchange.body.decode("latin-1")
    error = json.dumps({"type": "error", "error": {"message": f"wrong key {CANARY}", "code": "x"}})
    told = json.dumps(
        {"type": "response.created", "response": {"id": "r", "instructions": heard, "metadata": {"h": heard}}}
    )
    return f"event: response.created\ndata: {told}\n\n".encode() + BROKEN + f"data: {error}\n\n".encode()


async def repeats(exchange: Exchange) -> None:
    """Everything it was sent, in the head, in a stream and in an error."""
    body = _repeating(exchange)
    head = STREAM_HEAD.replace(b"\r\n\r\n", f"\r\nX-Echo: {CANARY}\r\nSet-Cookie: k={CANARY}\r\n\r\n".encode())
    await exchange.send(head + chunk(body) + END)


async def breaks_off(exchange: Exchange) -> None:
    """In the middle of repeating it."""
    await exchange.send(STREAM_HEAD + chunk(_repeating(exchange)[:1500]))
    await asyncio.sleep(0.005)
    exchange.reset()


async def refuses(exchange: Exchange) -> None:
    """With what it was sent in the reason and in the body."""
    error = json.dumps({"error": {"message": f"Incorrect API key provided: {CANARY}"}}).encode()
    await exchange.send(f"HTTP/1.1 401 No {CANARY}\r\nContent-Length: {len(error)}\r\n\r\n".encode() + error)


async def talks_nonsense(exchange: Exchange) -> None:
    """No HTTP at all."""
    await exchange.send(f"{CANARY} {CANARY}\r\n{CANARY}\r\n\r\n".encode())
    exchange.is_last = True


async def sends_a_bad_head(exchange: Exchange) -> None:
    """HTTP that cannot be relayed."""
    await exchange.send(f"HTTP/1.1 200 OK\r\nX: {CANARY}\x01\r\nTransfer-Encoding: {CANARY}\r\n\r\n".encode())
    exchange.is_last = True


async def sends_bad_chunks(exchange: Exchange) -> None:
    """Framing that is none, in the middle."""
    await exchange.send(STREAM_HEAD + chunk(BROKEN[:700]) + f"{CANARY}\r\n".encode())
    exchange.is_last = True


async def codes_badly(exchange: Exchange) -> None:
    """A coding that nobody knows, and one that it does not keep to."""
    coding = CANARY if exchange.body else "gzip"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {coding}\r\n"
    await exchange.send(head.encode() + b"Content-Length: 30\r\n\r\n" + CANARY.encode().ljust(30))


MODES: tuple[Literal["observe", "off"], ...] = ("observe", "off")
UPSTREAMS: dict[str, Script | None] = {
    "repeats": repeats,
    "breaks off": breaks_off,
    "refuses": refuses,
    "talks nonsense": talks_nonsense,
    "bad head": sends_a_bad_head,
    "bad chunks": sends_bad_chunks,
    "bad coding": codes_badly,
    "is not there": None,
}


@dataclass
class Ear(logging.Handler):
    """Hears every record of every logger, in both forms."""

    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """As every handler."""
        super().__init__(logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Write it down as the log would."""
        self.lines += [form().format(record) for form in FORMATS.values()]

    __hash__ = logging.Handler.__hash__


@pytest.fixture
def ear() -> Iterator[Ear]:
    """The log, at its most talkative."""
    hush_foreign_loggers()
    root, heard = logging.getLogger(), Ear()
    level = root.level
    root.addHandler(heard)
    root.setLevel(logging.DEBUG)
    yield heard
    root.setLevel(level)
    root.removeHandler(heard)


async def answered(service: Service, request: bytes) -> bytes:
    """What comes back, as far as it does."""
    async with connected(service.address) as client:
        with contextlib.suppress(ConnectionError):
            await client.send(request)
        answer = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(WAIT):  # some wait for the rest of a request that never comes
                while piece := await client.reader.read(65_536):
                    answer += piece
        return answer


def said_by_respfix(answer: bytes) -> bytes:
    """The answer, if it is respfix's own; what the upstream said is relayed as it is."""
    return answer if b"Server: respfix" in answer.partition(b"\r\n\r\n")[0] else b""


def seen(text: str) -> list[str]:
    """The traces of the canary in it, with what stands around them."""
    return [text[max(0, text.find(each) - 80) : text.find(each) + 40] for each in TRACES if each in text]


@pytest.mark.parametrize(
    ("behaviour", "repair"),
    [*((name, "on") for name in UPSTREAMS), *((name, mode) for name in ("repeats", "bad coding") for mode in MODES)],
)
async def test_a_canary_is_seen_nowhere(
    behaviour: str, repair: Literal["on", "observe", "off"], tmp_path: Path, ear: Ear
) -> None:
    """Neither in a log line, a metric, the page, an error of respfix's own, nor in what is kept."""
    folder = tmp_path / "kept"
    async with serving(UPSTREAMS[behaviour] or repeats) as upstream:
        url = upstream.url.replace("//", f"//bob:{CANARY}@")
        if UPSTREAMS[behaviour] is None:
            url = f"http://bob:{CANARY}@127.0.0.1:1"
        config = config_for(
            url,
            repair=repair,
            admin=Admin(listen=HERE),
            capture=settings(folder),
            timeouts={"idle": 2.0, "client_keepalive": 1.0},
        )
        service = Service(config)
        await service.start()
        try:
            answers = await asyncio.gather(*(answered(service, each) for each in REQUESTS.values()))
            async with ClientSession(connector=connector_to(service)) as session:
                eye = Eye(session)
                looked = {path: (await eye.see(path))[1] for path in LOOKS}
        finally:
            await service.stop(0.2)
        reached = sum(CANARY.encode() in each.head + each.body for each in upstream.exchanges)

    own = [(name, said_by_respfix(answer)) for name, answer in zip(REQUESTS, answers, strict=True)]
    assert [] == [(name, seen(answer.decode("latin-1"))) for name, answer in own if seen(answer.decode("latin-1"))]
    assert [] == [(path, seen(text)) for path, text in looked.items() if seen(text)]
    assert [] == seen("\n".join(ear.lines))
    files = list(folder.iterdir())
    assert [] == [(each.name, seen(each.read_text("latin-1"))) for each in files if seen(each.read_text("latin-1"))]
    # The test would prove nothing if the canary had not been everywhere.
    assert reached > 12 or UPSTREAMS[behaviour] is None
    assert len(ear.lines) > len(REQUESTS)
    assert sum(bool(answer) for _, answer in own) > 8
    assert bool(files) == (repair != "off" and behaviour in {"repeats", "breaks off", "bad chunks"})


LOOKS = ("/", "/status.json", "/metrics", "/healthz", "/readyz", f"/{CANARY}", f"/status.json?{CANARY}")


async def test_a_fault_of_respfix_itself_says_nothing_either(
    monkeypatch: pytest.MonkeyPatch, ear: Ear, tmp_path: Path
) -> None:
    """Its exception may quote what was sent."""

    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError(CANARY)

    async with serving(repeats) as upstream:
        service = Service(config_for(upstream, admin=Admin(listen=HERE), capture=settings(tmp_path / "kept")))
        await service.start()
        try:
            for where in ("respfix.relay.Outward.check", "respfix.relay.homeward.Answer.relaying"):
                with monkeypatch.context() as patched:
                    patched.setattr(where, fault)
                    said = await answered(service, REQUESTS["authorization"])
                    assert b" 500 " in said.splitlines()[0]
                    assert CANARY.encode() not in said
            with monkeypatch.context() as patched:
                patched.setattr("respfix.admin.status", fault)
                async with ClientSession(connector=connector_to(service)) as session:
                    status, text = await Eye(session).see("/status.json")
                    assert (500, False) == (status, CANARY in text)
            with monkeypatch.context() as patched:
                patched.setattr("respfix.capture.secrets_of", fault)
                await answered(service, REQUESTS["authorization"])
                await asyncio.sleep(0.05)
        finally:
            await service.stop(0.2)

    assert [] == seen("\n".join(ear.lines))
    assert any("ZeroDivisionError" in line for line in ear.lines)
