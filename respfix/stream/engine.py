"""Events in, events out: the repair of one response, whatever its events travel in.

An event that does not look like one of the protocol's is set right by `quirks` or taken out; the rest goes through
`terminal`, which opens, closes and numbers, and past `restore`. What the events stand in (SSE frames, WebSocket
messages) is read before and written after, by the `Mender` and by `messages`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from respfix.stream.contract import Ending, Options, Report
from respfix.stream.defects import Triage
from respfix.stream.event import COMMENT, DONE
from respfix.stream.grammar import KEEPALIVE
from respfix.stream.quirks import QUIRKS, looks_right
from respfix.stream.restore import Restore
from respfix.stream.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from respfix.stream.event import Event


class Engine:
    """One response, mended while it flows; what it raises is a bound exceeded, or a fault of its own."""

    def __init__(self, options: Options) -> None:
        self.report = Report()
        self.triage = Triage(options, self.report)
        self.repair = Terminal(options, self.triage)
        self._restore = Restore(options, self.triage)

    @property
    def is_over(self) -> bool:
        """A terminal or an error has been seen: nothing of the response should follow."""
        return self.report.stopped is None and (self.repair.ended is not None or self.repair.error is not None)

    def take(self, event: Event) -> list[Event]:
        """Take an event as it came; give those that leave for it."""
        return self._counted(self.repair.take(event) if looks_right(event) else self._take_odd(event))

    @property
    def spoke(self) -> bool:
        """The last event was a delta that left at once, so that more like it may be taken together."""
        return self.repair.spoke is not None and not self._restore.is_at_work

    @property
    def phase(self) -> tuple[bool, bool]:
        """While it is the same, the same is done to deltas that are alike."""
        return self.triage.is_dirty, self.repair.door.renumbers

    def take_more(self, text: str, numbers: Sequence[int], count: int) -> Sequence[int] | None:
        """Take deltas that differ from the last event in text and number only, and give the numbers they leave under.

        `numbers` are upstream's, none where it does not count. None: they must be taken one by one.
        """
        triage, repair = self.triage, self.repair
        if len(text) > triage.room:
            return None
        leave = repair.door.pass_by(numbers, count)
        if leave is not None:
            triage.room -= len(text)
            repair.hear(text, numbers)
        return leave

    def close(self, ending: Ending, seconds: float) -> list[Event]:
        """No more events will come: give what is still owed."""
        return self._counted(self.repair.close(ending, seconds)) + self._restore.let_go()

    def keepalive(self) -> Event | None:
        """Give what shows the client a living stream; nothing after its end."""
        is_alive = self.report.stopped is None and self.repair.ended is None
        return self.repair.keepalive() if is_alive else None

    def stop(self, why: str) -> list[Event]:
        """Repair no more: let go what was held. The first reason counts."""
        self.report.stopped = self.report.stopped or why
        return self._restore.let_go() + self._counted(self.repair.let_go())

    def _take_odd(self, event: Event) -> list[Event]:
        """Take the event that was meant, if one was."""
        for quirk in QUIRKS:
            if quirk.sees(event, self.repair.dialect) and self.triage.mend(quirk.slug):
                meant = quirk.remedy(event)
                if meant is None or meant.type == COMMENT:
                    self.repair.door.reorders()
                    self.report.dropped += 1
                    return [] if meant is None else [self.repair.keepalive()]
                event = meant
        return self.repair.take(event)

    def _counted(self, left: list[Event]) -> list[Event]:
        left = self._restore.take(left)
        self.report.events_out += sum(event.type not in (COMMENT, DONE, KEEPALIVE) for event in left)
        return left
