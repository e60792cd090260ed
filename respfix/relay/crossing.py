"""A WebSocket on which responses are mended, frame by frame.

    client -> wire -> (overheard) -> wire -> upstream
    client <- wire <- conversation <- wire <- upstream

A crossing reads the frames of both sides between the two lanes of a tunnel. Every frame goes on as it came: pings and
pongs, close codes and reasons, binary messages, fragments. Only text messages of the upstream are gathered, mended and
written anew where something was wrong. Who breaks the protocol is told so, and the other side that it is over. A ping
of respfix's own goes to the client, and its pong no further.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from websockets.frames import Frame, Opcode

from respfix.relay.wire import BrokenError, Wire
from respfix.stream import Conversation, Ending, Limits

GOING_AWAY = 1001
PING = b"respfix"  # what a ping of our own says, and with it the pong to it


class Crossing:
    """Both directions of one WebSocket."""

    def __init__(
        self,
        here: Wire,
        there: Wire,
        conversation: Conversation,
        limits: Limits,
        send: tuple[Callable[[bytes], None], ...],
    ) -> None:
        """`here` is the client's side, `there` the upstream's; `send` writes to the one and to the other."""
        self.is_over = asyncio.Event()  # somebody broke the protocol, and both were told
        self.was_left = False  # the client closed it, before the upstream did
        self.written = 0  # reads of the upstream that brought something for the client, and pings
        self._here, self._there = here, there
        self._conversation = conversation
        self._limits = limits
        self._send_here, self._send_there = send
        self._is_closing = False  # one side has said that it is over
        self._has_pinged = False  # the client owes a pong
        self._farewell: BrokenError | None = None  # what the client has to be told when its last answer has passed
        self._asked = bytearray()  # a text message of the client's, as far as it came
        self._answered: list[Frame] = []  # one of the upstream's, likewise
        self._size = 0  # of that one
        self._is_text = False  # the message that the client is sending
        self._started = self._heard = time.monotonic()

    def up(self, data: bytes) -> bytes:
        """Take the client's bytes, give those for the upstream."""
        return self._through(data, self._here, self._passed_on)

    def down(self, data: bytes) -> bytes:
        """Take the upstream's bytes, give those for the client."""
        self._heard = time.monotonic()
        out = self._through(data, self._there, self._mended)
        self.written += bool(out)
        return out

    def ping(self) -> None:
        """Let the client show that it is there, and whoever is in between that the connection is in use."""
        if not self.is_over.is_set() and not self._is_closing:
            self.written += 1
            self._has_pinged = True
            self._send_here(self._here.write(Frame(Opcode.PING, PING)))

    def _through(self, data: bytes, source: Wire, pass_on: Callable[[Frame], list[bytes]]) -> bytes:
        if self.is_over.is_set() and (source is self._here or self._farewell is None):
            return b""
        out: list[bytes] = []
        try:
            for frame in source.feed(data):
                out += pass_on(frame)
        except BrokenError as error:
            (self._break_here if source is self._here else self._break_there)(error, b"".join(out))
            return b""
        return b"".join(out)

    def _break_here(self, error: BrokenError, rest: bytes) -> None:
        """The client broke the protocol: it is told so once the upstream has answered what came before."""
        self._farewell = error
        self._send_there(rest + self._there.close(GOING_AWAY, "the client broke the protocol"))
        self.is_over.set()

    def _break_there(self, error: BrokenError, rest: bytes) -> None:
        """The upstream broke the protocol: it is told so, and the client that it is over."""
        self._send_there(self._there.close(error.code, str(error)))
        self._send_here(rest)
        self._say_farewell(Ending.CUT, self._farewell or BrokenError(GOING_AWAY, f"the upstream broke it: {error}"))
        self.is_over.set()

    def _say_farewell(self, ending: Ending, why: BrokenError) -> None:
        self._send_here(b"".join(self._last_words(ending, why)))

    def _last_words(self, ending: Ending, why: BrokenError) -> list[bytes]:
        self._farewell = None
        return [*self.owed(ending), self._here.close(why.code, str(why))]

    def _passed_on(self, frame: Frame) -> list[bytes]:
        """Give what leaves for a frame of the client's."""
        if self._has_pinged and frame.opcode is Opcode.PONG and bytes(frame.data) == PING:
            self._has_pinged = False
            return []
        if frame.opcode is Opcode.CLOSE:
            self.was_left = not self._is_closing
            self._is_closing = True
        self._overhear(frame)
        return [self._there.write(frame)]

    def _overhear(self, frame: Frame) -> None:
        """Gather the client's text messages, because a request says what its answer should repeat."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        if self._is_text and len(self._asked) <= self._limits.frame_bytes:
            self._asked += frame.data
        if frame.fin:
            if self._is_text and len(self._asked) <= self._limits.frame_bytes:
                self._conversation.hear(bytes(self._asked), int(time.time()))
                self._heard = time.monotonic()
            self._asked.clear()

    def _mended(self, frame: Frame) -> list[bytes]:
        """Give what leaves for a frame of the upstream's."""
        self._is_closing |= frame.opcode is Opcode.CLOSE
        if frame.opcode is Opcode.CLOSE and self._farewell is not None:
            return self._last_words(Ending.CLOSED, self._farewell)
        if frame.opcode is Opcode.CLOSE:
            return [*self.owed(Ending.CLOSED), self._here.write(frame)]
        is_part = frame.opcode is Opcode.CONT and self._answered
        if frame.opcode is not Opcode.TEXT and not is_part:
            return [self._here.write(frame)]
        self._answered.append(frame)
        self._size += len(frame.data)
        is_bounded = self._size <= self._limits.frame_bytes and len(self._answered) <= self._limits.held_frames
        if not frame.fin and is_bounded:
            return []
        parts, self._answered, self._size = self._answered, [], 0
        message = b"".join(part.data for part in parts)
        left = self._conversation.mend(message) if frame.fin else [message]
        if left == [message]:
            return [self._here.write(part) for part in parts]
        return [self._here.write(Frame(Opcode.TEXT, each)) for each in left]

    def owed(self, ending: Ending) -> list[bytes]:
        """Give what the client has to be told before the end; one that has closed the connection waits for nothing."""
        if self.was_left:
            return []
        seconds = time.monotonic() - self._started
        return [self._here.write(Frame(Opcode.TEXT, each)) for each in self._conversation.close(ending, seconds)]

    def leave(self) -> None:
        """The upstream has gone without a word: tell the client what became of its responses."""
        if self._farewell is not None:
            self._say_farewell(Ending.CUT, self._farewell)
        else:
            self._send_here(b"".join(self.owed(Ending.CUT)))

    def end(self, ending: Ending, reason: str) -> None:
        """End it from here: tell the client what became of its responses, and both sides why."""
        if self._farewell is not None:
            self._say_farewell(ending, self._farewell)
        elif not self.is_over.is_set():
            self._send_there(self._there.close(GOING_AWAY, reason))
            self._say_farewell(ending, BrokenError(GOING_AWAY, reason))
            self.is_over.set()

    async def silence(self, seconds: float) -> None:
        """Wait until the upstream owes an answer and has said nothing for so long; 0 waits for ever."""
        while True:
            left = self._heard + seconds - time.monotonic() if self._conversation.is_waiting else seconds
            if seconds and left <= 0:
                return
            await asyncio.sleep(max(left, 0.01) if seconds else 3600)
