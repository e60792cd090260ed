"""Cutting bytes into frames, whatever reads they come in.

The specification (https://html.spec.whatwg.org/multipage/server-sent-events.html, 9.2.5 and 9.2.6) allows three line
ends; servers in the wild add what it does not allow: events divided by one newline only, a body that stops before its
last blank line, a bare JSON object where `data:` should be. All of it is read. What the measured clients can read too
leaves as it came; the rest is written anew, and the frame says so in `faults`.

A frame leaves with the read that completed it. The one exception are events divided by single newlines: there an event
ends only when the next line has come.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from respfix.stream.frames import Frame, decoded, is_whole_object, parse, split_field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

BOM = b"\xef\xbb\xbf"
# A number is found at once; a bytes object is first tried as one, which costs a TypeError (200 ns).
LF, CR = 0x0A, 0x0D

# Two line ends in a row. A carriage return at the very end of what has come may be half of CR LF, so it does not count
# yet; after another bare carriage return it does, for then the stream's lines end in CR alone.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\Z))|\r\r\Z")
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_ANY_LINE_END = re.compile(rb"\r\n|\r")
# Where no line ends in CR. The data is taken to the end in one step, and looked through for line ends afterwards: a
# pattern that stops at them looks at every byte, which takes a millisecond for an image.
_PLAIN = re.compile(rb"(?:event: ?([^\n]*+)\n)?data: ?(.*)\n\n", re.DOTALL)


# How many bytes are shown to the stencil at once: more than one read brings, and little enough to be looked at again.
_WINDOW = 2**16


class FrameTooLargeError(Exception):
    """A frame grew beyond the bound; its bytes can still be drained."""


@dataclass(slots=True)
class _Block:
    """What the lines of the unfinished block have shown so far, to see where the next event begins.

    It may begin without a blank line. Only the first data line is ever tested, once, so a pretty-printed object of any
    length costs nothing more.
    """

    event: bool = False
    data: bytes | None = None
    bare: bool = False  # the data is a bare JSON object, so no field after it is its own
    whole: bool | None = None

    def begins_anew(self, line: bytes) -> bool:
        """Does this line belong to the next event already?"""
        name, value = split_field(line)
        if self.data is not None and (name in (b"data", b"json") or (name == b"event" and (self.event or self.bare))):
            if self.whole is None:
                self.whole = is_whole_object(self.data)
            if self.whole:
                return True
        self.event = self.event or name == b"event"
        if name in (b"data", b"json") and self.data is None:
            self.data = value
            self.bare = name == b"json"
        return False


@dataclass(slots=True)
class Framer:
    """Cuts bytes into frames, whatever reads they come in. Cost is linear in the bytes."""

    bound: int = 32 * 2**20
    off: Collection[str] = ()
    _rest: bytes | bytearray = b""  # the very chunk, or an unfinished frame and what has come of it since
    _at: int = 0  # where the next frame begins
    _scanned: int = 0  # no blank line ends before this place
    _lined: int = 0  # complete lines of the unfinished block have been looked at up to here
    _sought: int = 0  # and the unfinished line after them has no end before this place
    _block: _Block | None = None  # of the unfinished frame, once one of its lines has been looked at
    _has_cr: bool = False
    offset: int = 0  # of the next frame; whoever reads frames that never came here has to count them
    _skip_lf: bool = False
    _faults: tuple[str, ...] = ()  # found before the next frame, to be told with it
    _began: bool = False
    _ready: deque[Frame] = field(default_factory=deque)  # came in one block with the frame before

    @property
    def is_between_frames(self) -> bool:
        """Nothing is waiting: no unfinished frame, and nothing that must be told with the next."""
        return not (self._rest or self._ready or self._skip_lf or self._faults)

    def take(self, chunk: bytes) -> None:
        """Take bytes."""
        if self._rest:
            self._rest += chunk
        else:
            self._rest = chunk
        self._has_cr = self._has_cr or CR in chunk
        if not self._began:
            self._begin()

    def _begin(self) -> None:
        """Take a byte order mark off: the specification allows it, but Codex loses the first event to it."""
        if len(self._rest) < len(BOM) and BOM.startswith(self._rest):
            return
        self._began = True
        if self._rest.startswith(BOM) and "byte-order-mark" not in self.off:
            self._at = self.offset = len(BOM)
            self._faults = ("byte-order-mark",)

    def frame(self) -> Frame | None:
        """Give the next frame, once all of it has come; raise FrameTooLargeError beyond the bound."""
        if self._ready:
            return self._ready.popleft()
        if not self._rest:
            return None
        end = self._end_of_frame(self._at) if self._began else None
        if end is not None:
            block = bytes(self._rest[self._at : end])
            self._pass(end)
            plain = None if self._has_cr else _PLAIN.fullmatch(block)
            if plain and LF not in plain[2]:  # nearly every frame: an event line, a data line
                event = decoded(plain[1]) if plain[1] is not None else None
                offset, self.offset = self.offset, self.offset + len(block)
                return Frame(block, event, plain[2], self._take_faults(), fields=True, offset=offset)
            self._ready.extend(map(self._frame, self._divide(block)))
            return self._ready.popleft()
        self._forget_passed()
        if len(self._rest) > self.bound:
            raise FrameTooLargeError("frame-too-large")
        return None

    def window(self) -> bytes:
        """Give some of the bytes that `frame` has not come to; none where the next frame is not theirs alone."""
        if self._ready or self._skip_lf or self._faults:
            return b""
        return bytes(self._rest[self._at : self._at + _WINDOW])

    def skip(self, length: int) -> None:
        """Whole frames of this length, seen in the window, have been read by somebody else."""
        self.offset += length
        self._pass(self._at + length)

    def _pass(self, end: int) -> None:
        if end == len(self._rest):
            self._rest, end = b"", 0
        self._at = self._scanned = self._lined = self._sought = end
        self._block = None

    def _forget_passed(self) -> None:
        at, self._at = self._at, 0
        if at or isinstance(self._rest, bytes):
            self._rest = bytearray(self._rest[at:])
        self._scanned = max(0, len(self._rest) - 3)
        self._lined = max(0, self._lined - at)
        self._sought = max(0, self._sought - at)

    def close(self) -> bytes:
        """Nothing more will come: an event that only lacks its blank line is a frame; give the rest of a cut one."""
        rest = self._drained()
        if not rest:
            return b""
        *pieces, end = self._divide(rest)
        self._ready.extend(map(self._frame, pieces))
        last = self._frame(end, is_last=True)
        if last.data is None or _ends_in_blank_line(last.raw):
            is_whole = not last.fields and last.raw.endswith((b"\n", b"\r"))
            if not (is_whole or _ends_in_blank_line(last.raw)):
                return end
        elif not is_whole_object(last.data):
            return end
        else:
            line_end = b"\r\n" if b"\r\n" in last.raw else b"\n"
            ends = 1 if last.raw.endswith(b"\n") else 2
            last = self._mended(last, last.raw + line_end * ends, "unterminated-event")
        self._ready.append(last)
        return b""

    def drain(self) -> bytes:
        """Give back every byte that is still held, as it came."""
        ready = b"".join(frame.raw for frame in self._ready)
        self._ready.clear()
        return ready + self._drained()

    def _drained(self) -> bytes:
        rest = bytes(self._rest[self._at :])
        self._rest = b""
        self._pass(0)
        return rest

    def _take_faults(self) -> tuple[str, ...]:
        faults, self._faults = self._faults, ()
        return faults

    def _end_of_frame(self, start: int) -> int | None:
        """Where the frame that begins at `start` ends, if that is known."""
        rest = self._rest
        if self._skip_lf and start < len(rest):
            self._skip_lf = False
            if rest.startswith(b"\n", start):
                start = self._at = start + 1
                self.offset += 1
        if start < len(rest) and rest[start] in b"\r\n" and (lead := _LINE_END.match(rest, start)):
            return lead.end()  # a blank line too many is a frame of its own and needs no waiting
        at = max(start, self._scanned)
        if self._has_cr:
            found = _BLANK_LINE.search(rest, at)
            blank = found.end() if found else None
            if found and found[0] == b"\r\r" and blank == len(rest):
                self._skip_lf = "cr-line-ends" not in self.off  # the other half of CR LF may still come
        else:
            place = rest.find(b"\n\n", at)
            blank = place + 2 if place >= 0 else None
        return blank if blank is not None else self._begin_of_next(start)

    def _begin_of_next(self, start: int) -> int | None:
        """Where the next event begins although no blank line stands before it."""
        at = max(start, self._lined)
        block = self._block = self._block or _Block()
        while (end := self._end_of_line(max(at, self._sought))) is not None:
            if block.begins_anew(bytes(self._rest[at:end])):
                return at
            at = self._lined = self._sought = end
        self._sought = max(start, len(self._rest) - 1)  # the last byte may be the first half of CR LF
        return None

    def _end_of_line(self, at: int) -> int | None:
        if self._has_cr:
            found = _LINE_END.search(self._rest, at)
            return found.end() if found else None
        return self._rest.find(b"\n", at) + 1 or None  # an image is one line of a megabyte

    def _divide(self, raw: bytes) -> Iterator[bytes]:
        """Divide a block that holds several events at the lines where a new one begins."""
        block, lines = _Block(), list[bytes]()
        for line in raw.splitlines(keepends=True):
            text = line
            if line.lstrip()[:1] == b"{" and (head := _first_object(line)) and line[len(head) :].strip():
                yield b"".join(lines) + head  # a JSON object, and the stream begins on the same line
                block, lines, text = _Block(), [], line[len(head) :]
            if block.begins_anew(text):
                yield b"".join(lines)
                block, lines = _Block(), []
                block.begins_anew(text)
            lines.append(text)
        yield b"".join(lines)

    def _frame(self, raw: bytes, *, is_last: bool = False) -> Frame:
        """Read one block, writing anew what the measured clients cannot read."""
        frame = parse(raw, self._take_faults(), self.offset, bare_json="raw-json" not in self.off)
        self.offset += len(raw)
        if self._has_cr and _BARE_CR.search(frame.raw):
            frame = self._mended(frame, _ANY_LINE_END.sub(b"\n", frame.raw), "cr-line-ends")
        if frame.data is not None and not is_last and not _ends_in_blank_line(frame.raw):
            frame = self._mended(frame, frame.raw + b"\n" * (1 + (not frame.raw.endswith(b"\n"))), "missing-blank-line")
        return frame

    def _mended(self, frame: Frame, raw: bytes, fault: str) -> Frame:
        if fault in self.off:
            return frame
        return replace(frame, raw=raw, faults=(*frame.faults, fault))


def _first_object(line: bytes) -> bytes | None:
    """Give the JSON object that the line begins with, if it begins with one."""
    text = line.decode("utf-8", "surrogateescape")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return text[:end].encode("utf-8", "surrogateescape")


def _ends_in_blank_line(raw: bytes) -> bool:
    return raw.endswith((b"\n\n", b"\n\r\n"))
