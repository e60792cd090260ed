"""Content codings, undone while the bytes flow.

respfix asks for `identity` where it may have to repair the answer. Some servers compress all the same, and Codex cannot
read a compressed stream, so what can be decoded is. gzip and deflate come with Python; br and zstd with a library.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

# What one step may inflate to. A read is at most 256 KiB, and 256 KiB of gzip can be 256 MiB of zeros.
STEP = 256 * 1024


class DecodingError(Exception):
    """The body is not what its Content-Encoding says, or it ends too early."""


class Decoder(Protocol):
    """One body's decoding."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give back what the chunk completes, in pieces of bounded size where the library can bound them."""

    def close(self) -> None:
        """Raise DecodingError if the coded body is not at its end."""


class _Inflate:
    """gzip, with any number of members, and deflate, with or without the zlib header that it should have."""

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
            piece = self._inflate(chunk)
            if piece:
                yield piece
            # A full piece may have left output inside zlib although all of the input was taken.
            is_full = len(piece) == STEP
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data

    def _inflate(self, chunk: bytes) -> bytes:
        try:
            piece = self._inflater.decompress(chunk, STEP)
        except zlib.error as error:
            if not self._is_untouched or self._window_bits != zlib.MAX_WBITS:
                raise DecodingError(str(error)) from None
            # "deflate" without the zlib header, as some servers have always sent it.
            self._window_bits = -zlib.MAX_WBITS
            self._inflater = zlib.decompressobj(self._window_bits)
            piece = self._inflate(chunk)
        self._is_untouched = False
        return piece

    def close(self) -> None:
        if not self._inflater.eof and not self._is_untouched:
            raise DecodingError("the compressed body is not at its end")


class _Foreign:
    """A decoder from a library."""

    def __init__(self, feed: Callable[[bytes], bytes], is_finished: Callable[[], bool], error: type[Exception]) -> None:
        self._feed = feed
        self._is_finished = is_finished
        self._error = error

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        try:
            piece = self._feed(chunk)
        except self._error as error:
            raise DecodingError(str(error)) from None
        if piece:
            yield piece

    def close(self) -> None:
        if not self._is_finished():
            raise DecodingError("the compressed body is not at its end")


def _brotli() -> Decoder:
    brotli = importlib.import_module("brotli")
    decoder = brotli.Decompressor()
    return _Foreign(decoder.process, decoder.is_finished, brotli.error)


def _zstd() -> Decoder:
    try:
        zstd = importlib.import_module("compression.zstd")  # Python 3.14
        decoder = zstd.ZstdDecompressor()
        feed = decoder.decompress
    except ModuleNotFoundError:
        zstd = importlib.import_module("zstandard")
        decoder = zstd.ZstdDecompressor().decompressobj()
        feed = decoder.decompress
    return _Foreign(feed, lambda: bool(decoder.eof), zstd.ZstdError)


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: _Inflate(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Inflate(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Inflate(zlib.MAX_WBITS),
    "br": _brotli,
    "zstd": _zstd,
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
