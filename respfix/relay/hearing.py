"""A copy of a request's body, taken as it passes: bounded, read once it is whole, and never in the way.

The body itself goes on byte for byte. What is heard is only used to make the repair of the answer better, so whatever
goes wrong in here (a coding that nobody knows, a body that is no JSON or too large) ends in knowing nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import StreamReader

from respfix.relay.codings import DecodingError, decoder_for, is_identity
from respfix.stream import Asked

# A request with pictures has some megabytes. What does not fit is relayed all the same, and its answer repaired as
# before: with neutral values.
AS_SENT = 16 * 2**20
DECODED = 64 * 2**20


class Hearing:
    """One request's body, overheard."""

    __slots__ = ("_is_whole", "_pieces", "_size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_whole = False

    async def passing(self, content: StreamReader) -> AsyncIterator[bytes]:
        """Give the body as it comes."""
        async for piece in content.iter_any():
            self._size += len(piece)
            if self._size <= AS_SENT:
                self._pieces.append(piece)
            else:
                self._pieces.clear()
            yield piece
        self._is_whole = True

    def asked(self, coding: str) -> Asked:
        """What the request said; nothing, if the answer came before its end. The copy is let go."""
        pieces, self._pieces = self._pieces, []
        return Asked.of(_decoded(pieces, coding)) if self._is_whole and pieces else Asked()


def _decoded(pieces: list[bytes], coding: str) -> bytes:
    """The body without its Content-Encoding; empty where that cannot be undone within the bound."""
    if is_identity(coding):
        return b"".join(pieces)
    decoder = decoder_for(coding)
    if decoder is None:
        return b""
    body = bytearray()
    try:
        for piece in pieces:
            for plain in decoder.feed(piece):
                body += plain
                if len(body) > DECODED:
                    return b""
        decoder.close()
    except DecodingError:
        return b""
    return bytes(body)
