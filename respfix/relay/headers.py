"""Which headers travel on, which end here, and what the others say about a request or an answer.

Pure rules over header multidicts; nothing is ever read into a plain `dict`, because that loses duplicates. respfix
promises to relay headers unchanged, so what does not travel is a list, and each entry has its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from respfix.stream.dialects import DIALECTS

Headers = CIMultiDict[str] | CIMultiDictProxy[str]

HOP_BY_HOP: Mapping[str, str] = {
    "connection": "speaks about this connection, and names other headers that do",
    "keep-alive": "parameters of this connection",
    "proxy-connection": "the same, as some old clients spell it",
    "proxy-authenticate": "a challenge from the nearest proxy",
    "proxy-authorization": "credentials for the nearest proxy; the server must not see them",
    "te": "what this connection's receiver accepts; trailers are not relayed",
    "trailer": "announces trailers, which are not relayed",
    "transfer-encoding": "framing; each side frames anew, and two framings in one message smuggle requests",
    "upgrade": "an upgrade is negotiated per connection; tunnels put it back",
    "expect": "already answered: the client was told to go on before its body was read",
}

ANSWER_ONLY: Mapping[str, str] = {
    "alt-svc": "the upstream's alternative addresses are not respfix's; a client that took one would go around it",
}

REWRITTEN_BODY: Mapping[str, str] = {
    "content-length": "the headers leave before it is known what will be repaired",
    "content-encoding": "the body is decoded in order to be read",
    "etag": "names the bytes as the upstream sent them",
    "digest": "sums up the bytes as the upstream sent them",
    "content-digest": "likewise",
    "repr-digest": "likewise",
    "content-md5": "likewise",
}


def spelled(raw: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """The headers as they were spelled; aiohttp's C parser turns `ETag` into `Etag` and `x-request-id` into others."""
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in raw:
        # Space before the colon, which aiohttp lets pass in answers, is to be taken out by a proxy (RFC 9112 5.1).
        headers.add(name.decode("utf-8", "surrogateescape").rstrip(" \t"), value.decode("utf-8", "surrogateescape"))
    return headers


def _tokens(headers: Headers, name: str) -> set[str]:
    return {token.strip().lower() for value in headers.getall(name, ()) for token in value.split(",")}


def onward(headers: Headers, without: Iterable[str] = ()) -> CIMultiDict[str]:
    """The headers that travel on, in their order and spelling; neither hop-by-hop ones nor those in `without`."""
    stay = {*HOP_BY_HOP, *_tokens(headers, "Connection"), *without}
    # `add`, not assignment: Set-Cookie and many others come more than once. A repeated name takes its first spelling,
    # because aiohttp's client takes `X-A` and `x-a` for two and lets the second replace the first.
    kept: CIMultiDict[str] = CIMultiDict()
    spelling: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key not in stay:
            kept.add(spelling.setdefault(key, name), value)
    return kept


def is_websocket(method: str, headers: Headers) -> bool:
    """The request asks to become a WebSocket."""
    asks = headers.get("Upgrade", "").strip().lower() == "websocket"
    return method == "GET" and asks and "upgrade" in _tokens(headers, "Connection")


EXTENSIONS = "Sec-WebSocket-Extensions"


def extensions_in(headers: Headers) -> str:
    """The WebSocket extensions that are offered or agreed to; the header may come more than once."""
    return ", ".join(headers.getall(EXTENSIONS, ()))


FRAMING = {"content-length", "transfer-encoding"}


def is_plainly_framed(headers: Headers) -> bool:
    """One length at most, and no transfer coding but chunked: another one would be lost together with the header."""
    if any(name.rstrip().lower() in FRAMING and name[-1:].isspace() for name in headers):
        return False  # a header that aiohttp did not take for what the next reader may take it for
    return _tokens(headers, "Transfer-Encoding") <= {"chunked"} and len(headers.getall("Content-Length", ())) < 2  # noqa: PLR2004


def unencodable(headers: Headers) -> str | None:
    """A header whose bytes are not UTF-8; aiohttp's writer would leave them out without a word."""
    for name, value in headers.items():
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            return name
    return None


def is_event_stream(headers: Headers) -> bool:
    """The answer says that it is an event stream; parameters are allowed, lookalike types are not."""
    return _media_type(headers) == "text/event-stream"


def is_json(headers: Headers) -> bool:
    """The answer says that it is JSON."""
    return _media_type(headers) == "application/json"


def _media_type(headers: Headers) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def dialect_of(headers: Headers, configured: str) -> str:
    """Whom the stream is written for: what was configured, or a client that the request shows the marks of."""
    if configured != "auto":
        return configured
    names = [name.lower() for name in headers]
    programs = " ".join(value.lower() for key in ("Originator", "User-Agent") for value in headers.getall(key, ()))
    for row in DIALECTS.values():
        is_marked = row.header and any(name.startswith(row.header) for name in names)
        if is_marked or any(agent in programs for agent in row.agents):
            return row.name
    return "default"
