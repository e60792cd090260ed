"""Content codings, undone while the bytes flow.

respfix asks for `identity` where it may have to repair the answer. Some servers compress all the same, and Codex cannot
read a compressed stream, so what can be decoded is. gzip and deflate come with Python; br and zstd with a library.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

# What one step may inflate to. A read is at most 256 KiB, and 256 KiB of gzip can be 256 MiB of zeros.
STEP = 256 * 1024
# zstd's libraries inflate all that they are given, and four bytes can be a block of 128 KiB: with so many bytes at once
# a step is 2 MiB at most. It costs an ordinary stream 6 ns a byte more.
SLICE = 64
# What RFC 9659 allows over HTTP; a frame that asks for more could make its decoder remember 128 MiB.
WINDOW = 8 * 2**20


class DecodingError(Exception):
    """The body is not what its Content-Encoding says, or it ends too early."""


class Decoder(Protocol):
    """One body's decoding."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give back what the chunk completes, in pieces of bounded size."""

    def close(self) -> None:
        """Raise DecodingError if the coded body is not at its end."""


class _Inflate:
    """gzip, with any number of members, or zlib."""

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._inflater = zlib.decompressobj(window_bits)
        self._is_untouched = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        is_full = False
        while chunk or is_full:
            if self._inflater.eof:
                chunk = chunk.lstrip(b"\0")  # gzip files may be padded
                if not chunk:
                    return
                self._inflater = zlib.decompressobj(self._window_bits)
            self._is_untouched = False
            try:
                piece = self._inflater.decompress(chunk, STEP)
            except zlib.error as error:
                raise DecodingError(str(error)) from None
            if piece:
                yield piece
            # A full piece may have left output inside zlib although all of the input was taken.
            is_full = len(piece) == STEP
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data

    def close(self) -> None:
        if not self._inflater.eof and not self._is_untouched:
            raise DecodingError("the compressed body is not at its end")


class _Deflate:
    """What HTTP calls deflate: zlib, but some servers have always sent it without zlib's two bytes of header."""

    def __init__(self) -> None:
        self._start = b""
        self._inflate: _Inflate | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._inflate is None:
            self._start += chunk
            if len(self._start) < 2:  # noqa: PLR2004 (the header's length)
                return
            has_header = self._start[0] & 15 == zlib.DEFLATED and int.from_bytes(self._start[:2]) % 31 == 0
            self._inflate = _Inflate(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
            chunk = self._start
        yield from self._inflate.feed(chunk)

    def close(self) -> None:
        if self._inflate is not None:
            self._inflate.close()
        elif self._start:
            raise DecodingError("the compressed body is not at its end")


class _Brotli:
    """br, whose library stops where it is told to, from version 1.2 on."""

    def __init__(self) -> None:
        self._brotli = importlib.import_module("brotli")
        self._decoder = self._brotli.Decompressor()
        if not hasattr(self._decoder, "can_accept_more_data"):
            # Older ones inflate all at once: 2 kB to a gigabyte.
            raise ModuleNotFoundError("brotli 1.2")
        self._is_untouched = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        is_full = bool(chunk)
        while is_full:
            self._is_untouched = False
            try:
                piece = self._decoder.process(chunk, output_buffer_limit=STEP)
            except self._brotli.error as error:
                raise DecodingError(str(error)) from None
            if piece:
                yield piece
            # A full piece may have left output inside, as with zlib.
            chunk, is_full = b"", not self._decoder.can_accept_more_data() or len(piece) >= STEP

    def close(self) -> None:
        if not self._is_untouched and not self._decoder.is_finished():
            raise DecodingError("the compressed body is not at its end")


class _Zstd:
    """zstd, with any number of frames."""

    def __init__(self) -> None:
        self._new, self._error = _zstd()
        self._decoder: Any = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        at = 0
        while at < len(chunk):
            if self._decoder is None or self._decoder.eof:
                self._decoder = self._new()
            part = chunk[at : at + SLICE]
            try:
                piece = self._decoder.decompress(part)
            except self._error as error:
                raise DecodingError(str(error)) from None
            at += len(part) - (len(self._decoder.unused_data) if self._decoder.eof else 0)
            if piece:
                yield piece

    def close(self) -> None:
        if self._decoder is not None and not self._decoder.eof:
            raise DecodingError("the compressed body is not at its end")


def _zstd() -> tuple[Callable[[], Any], type[Exception]]:
    """What makes a decoder, and the error that it raises."""
    try:
        zstd = importlib.import_module("compression.zstd")  # Python 3.14
    except ModuleNotFoundError:
        zstd = importlib.import_module("zstandard")
        return lambda: zstd.ZstdDecompressor(max_window_size=WINDOW).decompressobj(), zstd.ZstdError
    options = {zstd.DecompressionParameter.window_log_max: WINDOW.bit_length() - 1}
    return lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Inflate(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Inflate(16 + zlib.MAX_WBITS),
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def is_identity(coding: str) -> bool:
    """The header, as it stands, means that nothing is coded."""
    return coding.strip().lower() in {"", "identity"}


def decoder_for(coding: str) -> Decoder | None:
    """A decoder for the value of a Content-Encoding header; None where the coding is unknown or its library missing."""
    make = _DECODERS.get(coding.strip().lower())
    try:
        return make() if make else None
    except ModuleNotFoundError:
        return None
