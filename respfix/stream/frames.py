"""SSE frames: what a block of lines says, and how one is written. This file and `framer` know SSE, nobody else does.

A *frame* is what stands between two blank lines, with the blank line that ends it: comments, an event name, data over
one line or several. Neither file knows what a response is.
"""

from __future__ import annotations

from dataclasses import dataclass

from respfix.stream.splice import is_object

_FIELDS = frozenset((b"event", b"data", b"id", b"retry"))


@dataclass(frozen=True, slots=True)
class Frame:
    """The bytes of one block, and what its `event` and `data` fields say."""

    raw: bytes
    event: str | None = None
    data: bytes | None = None
    faults: tuple[str, ...] = ()
    fields: bool = False  # it has a field that a reader acts on, so it is not just comments and blank lines
    offset: int = 0  # where it began in the bytes as they came

    def carrying(self, event: str, data: bytes) -> bytes:
        """Give the same block with another event name and other data; its comments and other fields stay."""
        data = b"".join(data.splitlines())  # what came over several lines leaves on one
        lines: list[bytes] = []
        written = False
        for line in self.raw.splitlines(keepends=True):
            name, value = split_field(line)
            end = line[len(line.rstrip(b"\r\n")) :]
            if name == b"event":
                line = line if decoded(value) == event else b"event: " + _encoded(event) + end  # noqa: PLW2901
            elif name == b"data":
                if written:
                    continue
                line = line[: len(line) - len(value) - len(end)] + data + end  # noqa: PLW2901
                written = True
            lines.append(line)
        return b"".join(lines)


@dataclass(frozen=True, slots=True)
class Style:
    """How the stream at hand spells its frames, so that what is inserted looks native."""

    event_lines: bool = True
    space: bool = True
    line_end: bytes = b"\n"

    @classmethod
    def of(cls, frame: Frame) -> Style:
        """Read the style off one frame that has data."""
        lines = frame.raw.splitlines(keepends=True)
        data = next((line for line in lines if line.startswith(b"data:")), b"data: ")
        return cls(
            event_lines=frame.event is not None,
            space=data.startswith(b"data: "),
            line_end=b"\r\n" if data.endswith(b"\r\n") else b"\n",
        )

    def frame(self, event: str, data: bytes) -> bytes:
        """Write a new frame."""
        gap = b" " if self.space else b""
        head = b"event:" + gap + _encoded(event) + self.line_end if self.event_lines else b""
        return head + b"data:" + gap + data + self.line_end * 2

    def comment(self, text: str) -> bytes:
        """Write a comment, which no reader takes for an event."""
        return b": " + _encoded(text) + self.line_end * 2


def decoded(value: bytes) -> str:
    """Read a field; bytes that are not UTF-8 stay what they are."""
    return value.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    """Write a field, which is one line whatever an upstream puts into its types."""
    line = " ".join(text.splitlines())
    try:
        return line.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return line.encode("utf-8", "replace")  # half a surrogate pair


def split_field(line: bytes) -> tuple[bytes, bytes]:
    """Give a line's field name and value; a comment's name is empty, a bare JSON object's is `json`."""
    line = line.rstrip(b"\r\n")
    if line.lstrip()[:1] == b"{":
        return b"json", line
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def is_whole_object(data: bytes) -> bool:
    """Is this the text of one JSON object, or the [DONE] sentinel?"""
    return data.strip() == b"[DONE]" or is_object(data.decode("utf-8", "surrogateescape"))


def parse(raw: bytes, faults: tuple[str, ...], offset: int, *, bare_json: bool) -> Frame:
    """Read the fields of one block."""
    event, data, fields = None, None, False
    for line in raw.splitlines():
        name, value = split_field(line)
        if name == b"json" and data is None and bare_json and is_whole_object(line):
            return Frame(b"data: " + line + b"\n\n", event, line, (*faults, "raw-json"), fields=True, offset=offset)
        fields = fields or name in _FIELDS
        if name == b"event":
            event = decoded(value)
        elif name == b"data":
            data = value if data is None else data + b"\n" + value
    return Frame(raw, event, data, faults, fields, offset)
