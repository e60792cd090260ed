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

    __slots__ = ("_start", "is_stream")

    def __init__(self) -> None:
        self.is_stream: bool | None = None  # None: not yet known
        self._start = b""

    def feed(self, chunk: bytes) -> bool | None:
        """Look at more of the body; True or False is final."""
        if self.is_stream is not None:
            return self.is_stream
        self._start += chunk
        if BOM.startswith(self._start):
            return None
        line = self._start.removeprefix(BOM).lstrip(b"\r\n\t ")
        if line.startswith(FIELDS):
            self.is_stream = True
        elif len(self._start) > BLANKS or not any(field.startswith(line) for field in FIELDS):
            self.is_stream = False
        return self.is_stream
