"""Is this body an event stream? Asked where the Content-Type does not say so.

The first line that is not blank decides, as soon as it can: an SSE field or a comment. HTML begins with `<`, JSON with
`{` or `[`, and neither can be taken for one. Nothing waits for a number of bytes.
"""

from __future__ import annotations

FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
BOM = b"\xef\xbb\xbf"
# A body of nothing but blank lines is no stream worth holding; the bound only keeps a hostile one from growing.
BLANKS = 64 * 1024


class Sniffer:
    """Takes the beginning of a body as it comes, until it is sure."""

    __slots__ = ("_blanks", "_line", "is_stream")

    def __init__(self) -> None:
        self.is_stream: bool | None = None  # None: not yet known
        self._line = b""
        self._blanks = 0

    def feed(self, chunk: bytes) -> bool | None:
        """Look at more of the body; True or False is final."""
        if self.is_stream is not None:
            return self.is_stream
        start = self._line + chunk
        if not self._blanks:
            if BOM.startswith(start):
                self._line = start
                return None
            start = start.removeprefix(BOM)
        self._line = start.lstrip(b"\r\n\t ")
        self._blanks += len(start) - len(self._line)
        if self._line.startswith(FIELDS):
            self.is_stream = True
        elif self._blanks > BLANKS or not any(field.startswith(self._line) for field in FIELDS):
            self.is_stream = False
        return self.is_stream
