"""Takes the credentials out of a stream before it is kept.

A server may say in its answer what it was sent: a wrong key in an error, a header in the metadata. So whatever came in
the request's headers and query, or stands in the upstream's URL, is looked for byte for byte, in the spellings that
JSON and URLs have for it; and so is what looks like a key of one of the known kinds. What a response object repeats of
its request (instructions, metadata, tools) is blanked. What the model said stays: it is what the recording is about.

It runs in a thread beside the event loop, which has to wait while a pattern is searched for. So every pattern begins
with its letters, which is found fast, goes over each byte once, whoever sent them, and gets a small piece at a time.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from respfix.stream.splice import parse, respell

MASK = b"***"

# Headers whose values say nothing about anybody, and may stand in a stream as ordinary words.
HARMLESS = {
    *("accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection"),
    *("content-encoding", "content-length", "content-type", "date", "expect", "host", "keep-alive", "pragma"),
    *("te", "transfer-encoding", "upgrade", "x-stainless-runtime"),
}
TELLING = re.compile(r"auth|cookie|credential|key|passw|secret|session|token", re.IGNORECASE)  # names of headers
SHORTEST, SHORTEST_ORDINARY = 6, 12  # below, a value is too likely to be an ordinary word

PIECE = 64 * 1024  # bytes; 15 ms of the worst that a server can send

# Each begins where a word begins, which is looked at behind its letters.
KEYS = [
    *(
        re.compile(rb"%s(?<![\w-]%s)[\w-]{%d,}" % (start, start, least))
        for least, starts in (
            (12, b"sk- sk_ pk- pk_ rk_ xai- gsk_ hf_ fw_ nvapi- gho_ ghp_ ghr_ ghs_ ghu_ glpat-"),
            (20, b"AIza"),
        )
        for start in starts.split()
    ),
    re.compile(rb"github_pat_\w{12,}"),
    re.compile(rb"xox(?<![\w-]xox)[abpr]-[\w-]{8,}"),
    re.compile(rb"AKIA(?<!\wAKIA)[A-Z0-9]{12,}"),
    re.compile(rb"eyJ(?<![\w-]eyJ)[\w-]{12,}\.[\w-]{8,}(?:\.[\w-]*)?"),
    re.compile(rb"(?<=arer )(?<=[Bb]earer )[\w.~+/-]{16,}=*"),
    re.compile(rb"(?<=://)[^\s\"\\/@:]{1,256}:[^\s\"\\/@]{1,256}(?=@)"),
]

# What a request's tools may carry for a third server, and a careless one repeats: the text of a key called so.
NAMED = re.compile(
    rb"(?i)(\"[\w-]{0,40}(?:authorization|api[_-]?key|access[_-]?token|secret|password)\"\s{0,20}:\s{0,20}\")"
    rb"(?:[^\"\\]|\\.)+"
)

# What a response object repeats of its request, and what may stay of it: calls need the names of their tools.
ECHO = {"input", "instructions", "metadata", "prompt", "prompt_cache_key", "reasoning", "safety_identifier", "text"}
ECHO |= {"tools", "user"}
ECHO_MARKS = [f'"{key}"'.encode() for key in ECHO]
SHAPE = {"effort", "format", "name", "summary", "type", "verbosity"}
WORD = re.compile(r"\w{1,64}")  # a name, a type, an `auto`


def secrets_of(headers: Iterable[tuple[str, str]], target: str) -> list[bytes]:
    """What must not be kept, in all its spellings, the longest first."""
    words = set(_of_query(target))
    for name, value in headers:
        if name.lower() not in HARMLESS:
            words.update(_of_header(name, value))
    spelled = {spelling for word in words for spelling in _spellings(word)}
    return sorted((each for each in spelled if len(each) >= SHORTEST), key=len, reverse=True)


def masked(text: bytes, secrets: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes without these secrets, and without what looks like a key, piece by piece."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    text = b"".join(map(_without_echo, text.splitlines(keepends=True)))
    start = 0
    while start < len(text):
        end = _border(text, start + PIECE)
        piece = text[start:end]
        for key in KEYS:
            piece = key.sub(MASK, piece)
        yield NAMED.sub(rb"\1" + MASK, piece)
        start = end


def _without_echo(line: bytes) -> bytes:
    """A line of a stream without what a response object in it repeats of the request; the rest keeps its spelling."""
    if not any(key in line for key in ECHO_MARKS):
        return line
    field, colon, data = (b"", b"", line) if line.startswith(b"{") else line.partition(b":")
    try:
        text = data.decode()
        body, _ = parse(text)
    except ValueError:
        return line
    if not isinstance(body, dict):
        return line
    blank = {**body, "response": _blanked(body["response"])} if isinstance(body.get("response"), dict) else body
    if body.get("object") == "response":
        blank = _blanked(blank)
    bare = text.strip()
    before, _, after = text.partition(bare)
    return field + colon + (before + respell(bare, body, blank) + after).encode("utf-8", "surrogatepass")


def _blanked(response: dict[str, Any]) -> dict[str, Any]:
    return {key: _blank(value) if key in ECHO else value for key, value in response.items()}


def _blank(value: Any) -> Any:
    """The shape of a value: what kind of a thing it is and what it is called."""
    if isinstance(value, dict):
        return {key: each if _is_word(each) else _blank(each) for key, each in value.items() if key in SHAPE}
    if isinstance(value, list):
        return [_blank(each) for each in value]
    return MASK.decode() if isinstance(value, str) else value


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and WORD.fullmatch(value) is not None


def _border(text: bytes, wanted: int) -> int:
    """Where a piece may end: behind a line or a member of an object, which no key goes over; soon in any case."""
    for sign in (b"\n", b',"'):
        if found := text.find(sign, wanted, wanted + PIECE) + 1:
            return found
    return wanted


def _of_header(name: str, value: str) -> Iterator[str]:
    if not TELLING.search(name):
        if len(value) >= SHORTEST_ORDINARY:
            yield value
        return
    yield value
    for word in re.split(r"[\s;,]+", value):
        yield word
        yield word.partition("=")[2]
        with_padding = word + "=" * (-len(word) % 4)
        try:
            pair = base64.b64decode(with_padding, validate=True).decode()
        except (binascii.Error, ValueError):
            continue
        yield pair
        yield from pair.split(":", 1)


def _of_query(target: str) -> Iterator[str]:
    query = target.partition("?")[2]
    if target.startswith("/") and query:
        for pair in re.split(r"[&;]", query):
            for value in (pair, pair.partition("=")[2]):
                yield from (value, unquote(value), unquote_plus(value))


def _spellings(word: str) -> Iterator[bytes]:
    """As it is, as JSON encoders write it, and as it stands in a URL."""
    plain = json.dumps(word)[1:-1]
    unicode = json.dumps(word, ensure_ascii=False)[1:-1]
    escapes: Mapping[str, str] = {sign: f"\\u{ord(sign):04x}" for sign in "<>&"}  # Go's, and PHP's slash
    go = "".join(escapes.get(sign, sign) for sign in unicode)
    for spelling in (word, plain, unicode, go, plain.replace("/", "\\/"), quote(word), quote(word, safe="")):
        yield spelling.encode("utf-8", "surrogateescape")
