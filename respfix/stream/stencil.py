"""The short way for deltas, which are nearly all events of a stream.

Between two brackets the deltas of one value differ in three places only: the text, the sequence number, and OpenAI's
random `obfuscation`. So once a delta has gone the long way alone (one frame in, the same frame out, changed or not),
its frame is a stencil: the next frame that is equal to it everywhere else means the same event, and the same is done to
it, without opening its JSON. Everything else makes the stencil void.

Nothing is decided here. Take the stencil away and no output changes, only its price (a property test holds this).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from respfix.stream.splice import spans

if TYPE_CHECKING:
    from respfix.stream.event import Event
    from respfix.stream.frames import Frame

_TEXT = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\.)*+"')  # a JSON string; its escapes are checked by who reads it
_NUMBER = re.compile(rb"(?:0|[1-9][0-9]{0,17})(?![0-9.eE])")
_VARIABLES = {"delta": _TEXT, "obfuscation": _TEXT, "sequence_number": _NUMBER}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a frame says where it differs from its stencil."""

    text: str
    number: int | None
    values: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Stencil:
    """One delta frame, cut at the places where the next one may differ."""

    head: tuple[tuple[bytes, str], ...]  # what stands before each variable as it came, and the variable
    tail: bytes
    out_head: tuple[tuple[bytes, str], ...]  # the same for what leaves
    out_tail: bytes
    slugs: tuple[str, ...]  # the defects that are mended in every such frame
    is_faithful: bool  # it left as it came

    def read(self, raw: bytes) -> Trace | None:
        """Read a frame that fits; None for any other."""
        at, values = 0, {}
        for literal, variable in self.head:
            if not raw.startswith(literal, at):
                return None
            found = _VARIABLES[variable].match(raw, at + len(literal))
            if found is None:
                return None
            values[variable], at = found[0], found.end()
        if raw[at:] != self.tail:
            return None
        try:
            text = values["delta"]
            said = json.loads(text) if b"\\" in text else text[1:-1].decode()
        except ValueError:
            return None
        number = values.get("sequence_number")
        return Trace(said, int(number) if number is not None else None, values)

    def write(self, trace: Trace, number: int) -> bytes:
        """Give the frame that leaves for one that was read."""
        out: list[bytes] = []
        for literal, variable in self.out_head:
            out += (literal, b"%d" % number if variable == "sequence_number" else trace.values[variable])
        return b"".join((*out, self.out_tail))


def cut(frame: Frame, came: Event, left: Event, written: bytes, slugs: tuple[str, ...]) -> Stencil | None:
    """Make a stencil of a delta that came in this frame and left as these bytes; None where it can be none."""
    if came.body.get("logprobs") or not isinstance(came.body.get("delta"), str):
        return None  # probabilities are gathered, and differ anyway
    head, tail = _pieces(frame.raw, came)
    out_head, out_tail = _pieces(written, left)
    known = {variable for _, variable in head} | {"sequence_number"}
    if not head or not out_head or not {variable for _, variable in out_head} <= known:
        return None
    return Stencil(head, tail, out_head, out_tail, slugs, written == frame.raw)


def _pieces(raw: bytes, event: Event) -> tuple[tuple[tuple[bytes, str], ...], bytes]:
    """Cut a frame at its event's variables."""
    data = event.data()
    begin = raw.find(data)
    if begin < 0 or "delta" not in event.body:
        return (), b""
    cuts: list[tuple[bytes, str]] = []
    at = 0
    for key, (start, end) in spans(event.text).items():
        if key in _VARIABLES:
            place = begin + len(event.text[:start].encode("utf-8", "surrogateescape"))
            cuts.append((raw[at:place], key))
            at = place + len(event.text[start:end].encode("utf-8", "surrogateescape"))
    return tuple(cuts), raw[at:]
