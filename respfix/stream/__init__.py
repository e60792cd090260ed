"""Bytes in, bytes out: the journey of a chunk.

    bytes -> frames -> events -> engine (quirks -> repair -> door) -> frames -> bytes

`framer` cuts and `event` reads. Of the `engine`, `quirks` sets misnamed and foreign events right, `repair` and
`terminal` open and close what upstream forgot, by the rows of `grammar`, and `door` orders and numbers what leaves.
Where each event comes as a message of its own, `messages` stands around the engine instead.
This file is the whole interface of the package; the shell needs nothing else. It is pure: no clock, no randomness, no
I/O, so the same bytes give the same bytes, whatever reads they come in.
"""

from __future__ import annotations

from operator import ne
from typing import TYPE_CHECKING

from respfix.stream.asked import Asked
from respfix.stream.contract import Ending, Limits, Options, Report, Sighting
from respfix.stream.defects import BoundExceededError
from respfix.stream.engine import Engine
from respfix.stream.event import COMMENT, DONE, Event, read
from respfix.stream.framer import Framer, FrameTooLargeError
from respfix.stream.frames import Frame, Style
from respfix.stream.messages import Conversation
from respfix.stream.quirks import looks_right
from respfix.stream.remainder import Remainder
from respfix.stream.stencil import Stencil, cut
from respfix.stream.unfold import unfolded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Asked",
    "Conversation",
    "Ending",
    "Limits",
    "Mender",
    "Observer",
    "Options",
    "Report",
    "Resumed",
    "Sighting",
    "unfolded",
]


RAREST = 6  # a stencil for every 63rd delta, where none has ever fitted


class Mender:
    """One upstream body, mended while it flows."""

    def __init__(self, options: Options | None = None, witness: Callable[[Sighting], None] | None = None) -> None:
        """Be told how to mend; `witness` is told of every defect where it is seen, in the order of the stream."""
        self.options = options or Options()
        self._engine = Engine(self.options)
        self._triage, self._report = self._engine.triage, self._engine.report
        self._offset = 0  # of the frame that is being mended
        if witness is not None:
            self._triage.witness = lambda slug: witness(Sighting(slug, self._report.events_in, self._offset))
        self._framer = Framer(self.options.limits.frame_bytes, self._triage.off)
        self._style: Style | None = None
        self._stencil: Stencil | None = None
        self._alike = 0  # events that were mended by it and are not in the report yet
        self._unfit = 0  # stencils in a row that nothing fitted
        self._wait = 0  # deltas before the next one is cut
        self._is_between_frames = True  # nothing that came waits for more
        self._is_over = False

    @property
    def report(self) -> Report:
        """What was seen and done so far; always the same object, in which deltas are added up when it is asked for."""
        self._add_up()
        return self._report

    @property
    def is_over(self) -> bool:
        """A terminal or an error has been seen: the body should end within the grace time."""
        return self._is_over

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes as they came; give back the bytes that should have come (perhaps none).

        Whatever goes wrong in here, no byte is lost and the stream goes on.
        """
        if self._report.stopped is not None:
            return chunk
        out: list[bytes] = []
        frame: Frame | None = None
        try:
            if self._is_between_frames and self._stencil is not None and chunk:
                mended, length = self._by_stencil(self._stencil, chunk)
                self._framer.offset += length
                if length == len(chunk):
                    return mended
                out.append(mended)
                chunk = chunk[length:]
            self._framer.take(chunk)
            chunk = b""
            while True:
                if self._stencil is not None:
                    mended, length = self._by_stencil(self._stencil, self._framer.window())
                    if length:
                        self._framer.skip(length)
                        out.append(mended)
                frame = self._framer.frame()
                if frame is None:
                    self._is_between_frames = self._framer.is_between_frames
                    self._is_over = self._engine.is_over
                    return b"".join(out)
                out.append(self._mended(frame))
                frame = None
        except (BoundExceededError, FrameTooLargeError) as error:
            stopped = str(error)
        except Exception:  # noqa: BLE001 (a fault of the repair stops the repair, never the stream)
            stopped = "internal-fault"
        return b"".join((*out, self._stop(stopped), frame.raw if frame else b"", self._framer.drain(), chunk))

    def close(self, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> bytes:
        """The body has ended like this, after so many seconds; give back what is still owed."""
        if self.report.stopped is not None:
            return b""
        cut = self._framer.close()
        rest = Mender.feed(self, b"")
        if self.report.stopped is not None:
            return rest + cut
        if cut and ending is Ending.COMPLETE:
            ending = Ending.CLOSED  # who stops in the middle of an event has not finished, whatever the framing says
        owed = self._write(self._engine.close(ending, seconds))
        if owed and cut and self._triage.mend("cut-frame"):
            cut = b""  # half an event is no event, says the specification, and what is owed must not be glued to it
        return rest + cut + owed

    def keepalive(self) -> bytes:
        """Give bytes that show the client a living stream; none in the middle of a frame, or after the end."""
        sign = self._engine.keepalive() if self._is_between_frames else None
        return b"" if sign is None else self._written(sign)

    def _by_stencil(self, stencil: Stencil, window: bytes) -> tuple[bytes, int]:
        """Mend all deltas that have come and are like the one before them; give what leaves, and how much it was."""
        run = stencil.read(window)
        if run is None:
            return b"", 0
        raw, count, text, came, cells = run
        numbers = self._engine.take_more(text, came, count)
        if numbers is None:
            return b"", 0
        self._alike += count
        if stencil.is_faithful:
            if numbers is came or not came:
                return raw, len(raw)
            self._report.rewritten += sum(map(ne, came, numbers))
        return stencil.write(cells, numbers), len(raw)

    def _add_up(self) -> None:
        """Put into the report what has gone the short way since the last time."""
        if self._stencil is not None and self._alike:
            count, self._alike = self._alike, 0
            self._unfit = self._wait = 0
            self._report.events_in += count
            self._report.events_out += count
            self._report.rewritten += 0 if self._stencil.is_faithful else count
            for slug in self._stencil.slugs:
                self._report.defects[slug] += count

    def _mended(self, frame: Frame) -> bytes:
        """Read one frame and give what leaves for it."""
        if not frame.fields and not frame.faults:
            return frame.raw  # comments and blank lines mean nothing, also to the stencil
        self._add_up()
        self._offset, self._stencil = frame.offset, None
        self._triage.recent.clear()
        event = read(frame.data, frame) if frame.data is not None else None
        self._report.events_in += event is not None and event.type != DONE
        for fault in frame.faults:
            self._triage.mend(fault)
        if frame.data is None or not frame.data.strip():
            is_hollow = frame.fields and self._triage.mend("block-without-data")
            return self._written(Event.comment("-")) if is_hollow else frame.raw
        if event is None:
            return frame.raw
        self._style = self._style or Style.of(frame)
        phase = self._engine.phase
        left = self._engine.take(event)
        written = self._write(left)
        is_alone = len(left) == 1 and not frame.faults and looks_right(event) and phase == self._engine.phase
        if is_alone and self._engine.spoke and self._triage.witness is None:
            self._cut(frame, event, left[0], written)
        return written

    def _cut(self, frame: Frame, came: Event, left: Event, written: bytes) -> None:
        """Make the stencil for the deltas that follow; more and more rarely while nothing fits.

        Servers that put a time or an id into each delta would pay for a pattern each time: 250 us, the long way 60.
        """
        if self._wait:
            self._wait -= 1
            return
        self._stencil = cut(frame, came, left, written, tuple(self._triage.recent))
        self._unfit += 1
        self._wait = 2 ** min(self._unfit, RAREST) - 2

    def _write(self, events: list[Event]) -> bytes:
        return b"".join(map(self._written, events))

    def _written(self, event: Event) -> bytes:
        """Give an event as bytes: the very frame it came in, that frame with other data, or a new one."""
        style = self._style or Style()
        if event.type == COMMENT:
            return style.comment(event.text)
        if event.frame is None:
            return style.frame(event.type, event.data())
        if event.is_as_it_came:
            return event.frame.raw
        return event.frame.carrying(event.type if event.name is None else event.name, event.data())

    def _stop(self, why: str) -> bytes:
        """Repair no more: let go what was held, and be a pipe from here on. The first reason counts."""
        return self._write(self._engine.stop(why))


class Resumed(Mender):
    """A stream that is sent again from its start; what the client has of it already is left out."""

    def __init__(self, options: Options, after: int) -> None:
        """Be told how to mend, and the number of the last event that the client has."""
        super().__init__(options)
        self._remainder = Remainder(after, options.limits.frame_bytes)

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes as they came; give those that the client lacks."""
        return self._remainder.feed(super().feed(chunk))

    def close(self, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> bytes:
        """The body has ended; give what is still owed and what the client lacks of it."""
        return self._remainder.feed(super().close(ending, seconds))


class Observer(Mender):
    """Counts what it would repair and changes nothing (`repair: observe`)."""

    @property
    def is_over(self) -> bool:
        """Nothing is ended by somebody who only looks."""
        return False

    def feed(self, chunk: bytes) -> bytes:
        """Look at the bytes and give them back."""
        super().feed(chunk)
        return chunk

    def close(self, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> bytes:
        """Count what is missing at the end and add nothing."""
        terminal = self.report.terminal
        super().close(ending, seconds)
        self.report.terminal = terminal
        return b""

    def keepalive(self) -> bytes:
        """Say nothing."""
        return b""
