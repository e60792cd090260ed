"""WebSocket frames of one side of a connection, read from bytes and written as bytes (RFC 6455, RFC 7692).

Parsing, masking and deflate are the `websockets` library's; here is what a relay needs around them: frames as they
come in any reads, and compression that each side has agreed on by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

from websockets.exceptions import NegotiationError, PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.headers import build_extension, parse_extension
from websockets.streams import StreamReader
from websockets.typing import ExtensionHeader

DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
# Deflate runs in the event loop: 64 KiB take about a millisecond. A larger message leaves uncompressed, as any may.
DEFLATED = 64 * 1024
# What the `websockets` library takes by default, for its own reason: 64 KiB a connection instead of 316.
WINDOW_BITS, SETTINGS = 12, {"memLevel": 5}
# What the frames of one read may inflate to, together with a large one that it completes: a read of 256 KiB could hold
# eight frames of 32 MiB, and nobody can be held back in the middle of it.
INFLATED = 64 * 2**20


class BrokenError(Exception):
    """The other side breaks the protocol; `code` is what to close with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Wire:
    """One side of a WebSocket connection."""

    __slots__ = ("_bound", "_deflates", "_extensions", "_is_client", "_is_within", "_parser", "_reader")

    def __init__(self, extensions: list[Extension], bound: int, *, is_client: bool) -> None:
        """`is_client`: a client is at the other end, whose frames come masked; `bound` is the largest one, in bytes."""
        self._extensions = extensions
        self._bound = bound
        self._is_client = is_client
        self._reader = StreamReader()
        self._parser: Generator[None, None, Frame] | None = None
        self._is_within = False  # a message of several frames
        self._deflates = True  # the message that is being written

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes as they come, give the frames they complete; raise BrokenError."""
        self._reader.feed_data(data)
        size, bound = 0, max(INFLATED, 2 * self._bound)
        while (frame := self._next()) is not None:
            size += len(frame.data)
            if size > bound:
                raise BrokenError(1009, f"{len(data)} bytes inflate to more than {bound}")
            if frame.opcode in DATA:
                if self._is_within is not (frame.opcode is Opcode.CONT):
                    raise BrokenError(1002, "frames of two messages are mixed")
                self._is_within = not frame.fin
            yield frame

    def _next(self) -> Frame | None:
        parser = self._parser or Frame.parse(
            self._reader.read_exact, mask=self._is_client, max_size=self._bound, extensions=self._extensions
        )
        self._parser = None
        try:
            next(parser)
        except StopIteration as found:
            frame: Frame = found.value
            return frame
        except PayloadTooBig:
            raise BrokenError(1009, f"a frame is larger than {self._bound} bytes (limits.frame_bytes)") from None
        except ProtocolError as error:
            raise BrokenError(1002, str(error)) from None
        self._parser = parser
        return None

    def write(self, frame: Frame) -> bytes:
        """Give a frame as bytes."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._deflates = len(frame.data) <= DEFLATED
        extensions = self._extensions if self._deflates else []
        return frame.serialize(mask=not self._is_client, extensions=extensions)

    def close(self, code: int, reason: str) -> bytes:
        """Give the frame that ends the connection."""
        return self.write(Frame(Opcode.CLOSE, Close(code, f"respfix: {reason}"[:120]).serialize()))


def accept(offers: str) -> tuple[list[Extension], str]:
    """Answer a client's offers; the answer is empty where none of them is one that respfix knows."""
    factory = ServerPerMessageDeflateFactory(
        server_max_window_bits=WINDOW_BITS, client_max_window_bits=WINDOW_BITS, compress_settings=SETTINGS
    )
    for name, params in _parsed(offers):
        if name == factory.name:
            try:
                agreed, extension = factory.process_request_params(params, [])
            except NegotiationError:
                continue  # the next offer may be better
            return [extension], build_extension([(name, list(agreed))])
    return [], ""


def offer() -> str:
    """Give what respfix offers to an upstream."""
    factory = _offered()
    return build_extension([(factory.name, list(factory.get_request_params()))])


def agreed(answer: str) -> list[Extension]:
    """Read an upstream's answer to the offer; raise ValueError where it agrees to what was not offered."""
    factory, extensions = _offered(), list[Extension]()
    for name, params in _parsed(answer):
        if name != factory.name:
            raise ValueError(name)
        try:
            extensions.append(factory.process_response_params(params, extensions))
        except NegotiationError as error:
            raise ValueError(name) from error
    return extensions


def _offered() -> ClientPerMessageDeflateFactory:
    return ClientPerMessageDeflateFactory(client_max_window_bits=True, compress_settings=SETTINGS)


def _parsed(header: str) -> list[ExtensionHeader]:
    try:
        return parse_extension(header) if header else []
    except Exception:  # noqa: BLE001 (the library's parser raises several kinds; a header that cannot be read says nothing)
        return []
