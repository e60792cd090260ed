"""The inputs: short streams of `tests/streams`, grown to any length.

What a server sent once is the pattern: the event that repeats becomes a template with a place for its text and its
number, and the closing events get the whole text where they had the short one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

STREAMS = Path(__file__).parents[1] / "tests" / "streams"

# As long as a token of English prose on average, with its space; a model's deltas are tokens.
WORDS = (b" the", b" answer", b" of", b" model", b" is", b" long", b" and", b" not", b" very", b" interesting")
STAMP = 16  # digits of a time stamp in nanoseconds, which then is the text of a delta

_FRAME = re.compile(rb"(?:[^\n]+\n)+\n")
_NUMBER = re.compile(rb'(?<="sequence_number":)\d+')
_PADDING = re.compile(rb'(?<="obfuscation":")\w*')


@dataclass(frozen=True)
class Shape:
    """A kind of stream."""

    name: str
    title: str
    source: str  # below tests/streams, without its suffix
    grows: str = "response.output_text.delta"  # the event that repeats
    slot: str = "delta"  # the key with its text
    wrap: tuple[bytes, bytes] = (b"", b"")  # around the whole text: arguments are JSON
    is_healthy: bool = False
    word: bytes = b""  # the text of each event, where it is not WORDS

    @cached_property
    def _parts(self) -> tuple[bytes, bytes, bytes, bytes]:
        """What stands before the repeated events, their template, what stands behind, and the text they had."""
        body = (STREAMS / f"{self.source}.sse").read_bytes()
        frames = [frame for frame in _FRAME.findall(body) if not frame.startswith(b":")]
        name = b"event: " + self.grows.encode() + b"\n"
        places = [place for place, frame in enumerate(frames) if frame.startswith(name)]
        first, last = places[0], places[-1] + 1
        text = "".join(str(_json(frames[place]).get(self.slot, "")) for place in places)
        # The last one: the first may come without its text.
        key = b'"%b":"' % self.slot.encode()
        before, _, after = frames[last - 1].replace(b"%", b"%%").partition(key)
        after = after[re.match(rb'(?:[^"\\]|\\.)*', after).end() :]  # type: ignore[union-attr] # matches anything
        template = before + key + b"%(text)b" + after
        template = _NUMBER.sub(b"%(number)d", template)
        template = _PADDING.sub(b"%(padding)b", template)
        if self.word:  # other events may stand between two of them, and may carry the text, too
            return b"".join(frames[:first]), template, b"".join(frames[last:]), b""
        return b"".join(frames[:first]), template, b"".join(frames[last:]), json.dumps(text)[1:-1].encode()

    @property
    def head(self) -> bytes:
        """The events before the first that repeats."""
        return self._parts[0]

    @cached_property
    def _first_number(self) -> int:
        return self.head.count(b"\n\n")

    def event(self, place: int, text: bytes) -> bytes:
        """One of the events that repeat."""
        number = self._first_number + place
        padding = b"x9Kq2Lr8Tz4Wm6Yp"[: 1 + place * 7 % 16]  # OpenAI hides the length of a token behind its padding
        return self._parts[1] % {b"text": text, b"number": number, b"padding": padding}

    def tail(self, texts: Sequence[bytes]) -> bytes:
        """The events after the last that repeats."""
        _, _, tail, old = self._parts
        if old:
            tail = tail.replace(old, b"".join(texts))
        numbers = iter(range(self._first_number + len(texts), 2**62))
        return _NUMBER.sub(lambda _: b"%d" % next(numbers), tail)

    def texts(self, count: int) -> list[bytes]:
        """As many texts as a stream of so many repeated events has."""
        if self.word:
            return [self.word] * count
        words = [WORDS[place % len(WORDS)] for place in range(count)]
        return self.wrapped(words)

    def wrapped(self, words: list[bytes]) -> list[bytes]:
        """The texts with what stands around the whole."""
        before, after = self.wrap
        words[0] = before + words[0]
        words[-1] += after
        return words

    def body(self, texts: Sequence[bytes]) -> bytes:
        """The whole stream."""
        return b"".join([self.head, *(self.event(place, text) for place, text in enumerate(texts)), self.tail(texts)])


def _json(frame: bytes) -> dict[str, object]:
    body: dict[str, object] = json.loads(frame.partition(b"data: ")[2])
    return body


def events(body: bytes) -> Iterator[dict[str, object]]:
    """The bodies of a stream's events."""
    for frame in _FRAME.findall(body):
        for line in frame.splitlines():
            if line.startswith(b"data:") and not line.endswith(b"[DONE]"):
                yield json.loads(line[5:])


CALL = ("response.function_call_arguments.delta", (b'{\\"text\\":\\"', b'\\"}'))

SHAPES: dict[str, Shape] = {
    shape.name: shape
    for shape in (
        Shape("healthy", "a healthy text", "conformant/text-2026", is_healthy=True),
        Shape("sub2api-an", "Sub2API 0.1.132, Anthropic bridge", "recorded/sub2api-0.1.132-an-text"),
        Shape("sub2api-cc", "Sub2API 0.1.132, Chat Completions bridge", "recorded/sub2api-0.1.132-cc-text"),
        Shape("opencode", "opencode-llm-proxy 1.6.1", "recorded/opencode-llm-proxy-1.6.1-text"),
        Shape("call", "a healthy tool call", "conformant/function-call", CALL[0], wrap=CALL[1], is_healthy=True),
        Shape(
            "sub2api-call",
            "Sub2API 0.1.132, a tool call",
            "recorded/sub2api-0.1.132-an-tool-only",
            CALL[0],
            wrap=CALL[1],
        ),
        Shape(
            "image",
            "images of 1 MiB, one event each",
            "conformant/image-generation",
            "response.image_generation_call.partial_image",
            "partial_image_b64",
            is_healthy=True,
            word=b"QUJD" * (2**20 // 4),
        ),
    )
}


def stamps(text: bytes) -> Iterable[bytes]:
    """The time stamps that a text was made of."""
    return (text[at : at + STAMP] for at in range(0, len(text), STAMP))
