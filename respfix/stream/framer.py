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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from respfix.stream.frames import Frame, decoded, is_whole_object, parse, split_field

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

BOM = b"\xef\xbb\xbf"

# Two line ends in a row. A carriage return at the very end of what has come may be half of CR LF, so it does not count
# yet; after another bare carriage return it does, for then the stream's lines end in CR alone.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\Z))|\r\r\Z")
_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_ANY_LINE_END = re.compile(rb"\r\n|\r")
_PLAIN = re.compile(rb"(?:event: ?([^\r\n]*)\n)?data: ?([^\r\n]*)\n\n")


class FrameTooLargeError(Exception):
    """A frame grew beyond the bound; `frames` came before it, `rest` is every byte that has not been given out yet."""

    def __init__(self, frames: list[Frame], rest: bytes) -> None:
        super().__init__(f"a frame is larger than the bound: {len(rest)} bytes and no end")
        self.frames = frames
        self.rest = rest


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
    _rest: bytearray = field(default_factory=bytearray)
    _scanned: int = 0  # no blank line ends before this place
    _lined: int = 0  # complete lines of the unfinished block have been looked at up to here
    _sought: int = 0  # and the unfinished line after them has no end before this place
    _block: _Block = field(default_factory=_Block)
    _has_cr: bool = False
    _offset: int = 0  # of the next frame
    _skip_lf: bool = False
    _faults: tuple[str, ...] = ()  # found before the next frame, to be told with it
    _began: bool = False

    @property
    def is_between_frames(self) -> bool:
        """Nothing of an unfinished frame is waiting."""
        return not self._rest

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take bytes, give the frames they completed; raise FrameTooLargeError beyond the bound."""
        self._rest += chunk
        if not self._began and not self._begin():
            return []
        self._has_cr = self._has_cr or b"\r" in chunk
        frames = list(self._cut())
        if len(self._rest) > self.bound:
            raise FrameTooLargeError(frames, self.drain())
        return frames

    def _begin(self) -> bool:
        """Take a byte order mark off: the specification allows it, but Codex loses the first event to it."""
        if len(self._rest) < len(BOM) and BOM.startswith(self._rest):
            return False
        self._began = True
        self._has_cr = b"\r" in self._rest
        if self._rest.startswith(BOM) and "byte-order-mark" not in self.off:
            del self._rest[: len(BOM)]
            self._offset = len(BOM)
            self._faults = ("byte-order-mark",)
        return True

    def close(self) -> tuple[list[Frame], bytes]:
        """Give the frames that are left, an event that only lacks its blank line with it, and the rest of a cut one."""
        rest = self.drain()
        if not rest:
            return [], b""
        *pieces, end = self._divide(rest)
        frames, last = [self._frame(piece) for piece in pieces], self._frame(end, is_last=True)
        if last.data is None or _ends_in_blank_line(last.raw):
            is_whole = not last.fields and last.raw.endswith((b"\n", b"\r"))
            return ([*frames, last], b"") if is_whole or _ends_in_blank_line(last.raw) else (frames, last.raw)
        if not is_whole_object(last.data):
            return frames, last.raw
        line_end = b"\r\n" if b"\r\n" in last.raw else b"\n"
        ends = 1 if last.raw.endswith(b"\n") else 2
        return [*frames, self._mended(last, last.raw + line_end * ends, "unterminated-event")], b""

    def drain(self) -> bytes:
        """Give back every byte that is still held, as it came."""
        rest = bytes(self._rest)
        self._rest.clear()
        self._scanned = self._lined = self._sought = 0
        self._block = _Block()
        return rest

    def _cut(self) -> Iterator[Frame]:
        """Take every finished frame off the front of what has come."""
        rest, start = self._rest, 0
        while (end := self._end_of_frame(start)) is not None:
            block = bytes(rest[start:end])
            start = self._scanned = self._lined = self._sought = end
            self._block = _Block()
            if plain := _PLAIN.fullmatch(block):  # nearly every frame: an event line, a data line, LF
                event = decoded(plain[1]) if plain[1] is not None else None
                yield Frame(block, event, plain[2], self._take_faults(), fields=True, offset=self._offset)
                self._offset += len(block)
            else:
                yield from map(self._frame, self._divide(block))
        del rest[:start]
        self._scanned = max(0, len(rest) - 3)
        self._lined = max(0, self._lined - start)
        self._sought = max(0, self._sought - start)

    def _take_faults(self) -> tuple[str, ...]:
        faults, self._faults = self._faults, ()
        return faults

    def _end_of_frame(self, start: int) -> int | None:
        """Where the frame that begins at `start` ends, if that is known."""
        rest = self._rest
        if self._skip_lf and start < len(rest):
            self._skip_lf = False
            if rest.startswith(b"\n", start):
                del rest[start]
                self._offset += 1
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
        while line := _LINE_END.search(self._rest, max(at, self._sought)):
            if self._block.begins_anew(bytes(self._rest[at : line.end()])):
                return at
            at = self._lined = self._sought = line.end()
        self._sought = max(start, len(self._rest) - 1)  # the last byte may be the first half of CR LF
        return None

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
        frame = parse(raw, self._take_faults(), self._offset, bare_json="raw-json" not in self.off)
        self._offset += len(raw)
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
