"""The upstream's body, read: bytes as they come, and at the end how it ended.

Reading is the only place where an error can be the upstream's; from here on it is an `Ending`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from aiohttp import ClientError, ClientOSError, ClientResponse
from aiohttp.http import HttpProcessingError

from respfix.capture.recording import Mending
from respfix.relay.codings import Decoder, DecodingError
from respfix.relay.patience import Patience, PatienceLostError
from respfix.relay.sniff import Sniffer
from respfix.relay.spout import Spout
from respfix.stream import Ending


class Source:
    """The upstream's body: bytes as they come, then nothing, and how it ended."""

    __slots__ = ("_content", "_is_proven", "_patience", "_protocol", "ending", "kept")

    def __init__(self, upstream: ClientResponse, patience: Patience) -> None:
        self.ending: Ending | None = None
        self.kept: list[bytes] | None = None  # collects what is read, while it is a list
        self._patience = patience
        self._content = upstream.content
        self._protocol = upstream.connection.protocol if upstream.connection else None
        has_body = upstream.method != "HEAD" and upstream.status not in (204, 304)
        framed = "Content-Length" in upstream.headers or "Transfer-Encoding" in upstream.headers
        self._is_proven = framed or not has_body

    @property
    def lost(self) -> Ending | None:
        """Why nobody waits for this body any more, if that is so."""
        return self._patience.ending

    async def read(self) -> bytes:
        """The next bytes; b"" when there are no more, and then `ending` is set."""
        if self.ending is not None:
            return b""
        try:
            chunk = await self._patience.wait(self._content.readany())
            if not chunk:
                self.ending = self._how_it_ended()
        except PatienceLostError:
            self.ending = self._patience.ending
            chunk = self._remainder()  # also if it broke while nobody waited
        except (ClientError, HttpProcessingError, OSError):  # the second comes from aiohttp's pure-Python parser
            self.ending = Ending.CUT
            chunk = self._remainder()
        if self.kept is not None and chunk:
            self.kept.append(chunk)
        return chunk

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Give `take` what comes, as it comes, until it says no or something else happens; `read` tells what."""
        transport = self._protocol.transport if self._protocol is not None else None
        if transport is None or transport.is_closing() or self._content.is_eof() or self.ending is not None:
            return

        spout = Spout(transport, self._content, take)
        try:
            # A read of a full buffer lets aiohttp parse what it had put off, and that is not in what it gave.
            spout.hand_on()
            await self._patience.wait(spout.dried, lambda: spout.heard_at)
        except PatienceLostError:
            self.ending = self._patience.ending
        finally:
            spout.close()

    def _how_it_ended(self) -> Ending:
        if self._is_proven:
            return Ending.COMPLETE
        # Without framing aiohttp takes a reset for the end; its protocol object knows better.
        error = self._protocol.exception() if self._protocol is not None else None
        return Ending.CUT if isinstance(error, ClientOSError) else Ending.CLOSED

    def _remainder(self) -> bytes:
        # Bytes that came in the same turn of the loop as the error wait behind it, and readers give out errors first.
        self._content._exception = None  # noqa: SLF001 (aiohttp has no other way to them)
        return self._content.read_nowait()


class Decoded:
    """A source whose bytes are decoded on the way."""

    __slots__ = ("_decoder", "_is_rest", "_pieces", "_source", "ending")

    def __init__(self, source: Source, decoder: Decoder) -> None:
        self.ending: Ending | None = None
        self._source = source
        self._decoder = decoder
        self._pieces: Iterator[bytes] = iter(())
        self._is_rest = False  # of what one read has brought

    async def read(self) -> bytes:
        """As `Source.read`; a body that cannot be decoded is cut there."""
        try:
            while self.ending is None:
                if piece := next(self._pieces, b""):
                    if self._is_rest:
                        # One read can inflate to gigabytes; the others shall have their turn, and who ends it be heard.
                        await asyncio.sleep(0)
                        self.ending = self._source.lost
                    self._is_rest = True
                    return piece if self.ending is None else b""
                if chunk := await self._source.read():
                    self._pieces, self._is_rest = self._decoder.feed(chunk), False
                    continue
                self.ending = self._source.ending
                if self.ending in (Ending.COMPLETE, Ending.CLOSED):
                    self._decoder.close()
        except DecodingError:
            self.ending = Ending.CUT
        return b""

    async def pour(self, take: Callable[[bytes], bool]) -> None:
        """Nothing: one read may inflate to more than the client takes at once."""


class Tap:
    """Shows an observer what passes, decoded, once it is known to be a stream."""

    __slots__ = ("_decoder", "_observer", "_seen", "_sniffer")

    def __init__(self, observer: Mending, decoder: Decoder | None, *, is_stream: bool) -> None:
        self._observer = observer
        self._decoder = decoder
        self._sniffer = Sniffer()
        self._sniffer.is_stream = is_stream or None
        self._seen = b""

    def feed(self, chunk: bytes) -> None:
        """Look at bytes that have just passed."""
        if self._sniffer.is_stream is False:
            return
        try:
            for piece in self._decoder.feed(chunk) if self._decoder else (chunk,):
                self._look(piece)
        except DecodingError:
            self._sniffer.is_stream = False

    def _look(self, piece: bytes) -> None:
        if self._sniffer.is_stream is None:
            self._seen += piece
            if not self._sniffer.feed(piece):
                return
            piece, self._seen = self._seen, b""
        self._observer.feed(piece)

    def close(self, ending: Ending, seconds: float) -> None:
        """The body has ended."""
        self._observer.close(ending, seconds)
