"""The door: in which order events leave, and under which numbers.

Everything that leaves passes here, one draft at a time. Where the client can hear only one item at a time (see
dialects.py), the door lets a message finish before anybody else speaks. Only then does a draft get its `output_index`
(the order of announcement) and its `sequence_number`, so held events are numbered as they leave. Numbers are left alone
while nothing was inserted, removed or reordered; from then on they are dense.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from respfix.stream.event import Event
from respfix.stream.grammar import ITEM_ADDED, ITEM_DONE, KEEPALIVE, PLACES, PREFIX, Role
from respfix.stream.splice import same
from respfix.stream.values import rises, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from respfix.stream.defects import Triage
    from respfix.stream.dialects import Dialect
    from respfix.stream.ledger import Item


@dataclass(frozen=True, slots=True)
class Draft:
    """An event on its way out: what is to be changed in it, and the item it speaks for."""

    event: Event
    changes: dict[str, Any]
    item: Item | None = None


@dataclass(slots=True)
class Door:
    """Orders and numbers what leaves."""

    dialect: Dialect
    triage: Triage
    _out: list[Event] = field(default_factory=list)
    _next_index: int = 0
    _last_number: int = -1
    renumbers: bool = False  # from now on every number is respfix's own
    _is_numbered: bool = False  # upstream counts its events
    _speaker: Item | None = None  # the message that is being said
    _parked: dict[int, list[Draft]] = field(default_factory=dict)  # messages that have not said a word yet, by id()
    _parked_at: dict[int, int] = field(default_factory=dict)  # how many had left before
    _left: int = 0
    _held: list[Draft] = field(default_factory=list)  # what others wanted to say meanwhile
    _open: dict[int, Item] = field(default_factory=dict)  # items whose added has left and whose done has not
    _faded: set[int] = field(default_factory=set)
    _last: Item | None = None  # the one whose event left last

    def take(self) -> list[Event]:
        """Give what has left since the last time."""
        out, self._out = self._out, []
        return out

    def send(self, draft: Draft) -> None:
        """Let a draft leave as soon as it may."""
        if draft.item is None or not self.dialect.speakers or not self.triage.repairs("interrupted-message"):
            self._leave(draft)
        elif self._speaker is not None and draft.item is not self._speaker and self.triage.mend("interrupted-message"):
            self.triage.hold(draft.event)
            self._held.append(draft)
            self.renumbers = True
        elif draft.item.kind.type in self.dialect.speakers:
            self._speak(draft, draft.item)
        elif not self._has_faded(draft) or not self.drop("interrupted-message"):
            self._leave(draft)

    def drop(self, slug: str) -> bool:
        """Let an event go no further, unless its defect is switched off; then say False."""
        if not self.triage.mend(slug):
            return False
        self.triage.report.dropped += 1
        self.renumbers = True
        return True

    def reorders(self) -> None:
        """An event will leave later than it came, so the numbers that came are of no use any more."""
        self.renumbers = True

    def pass_by(self, came: Sequence[int], count: int) -> Sequence[int] | None:
        """Let so many deltas in a row leave, and give their numbers; None where that takes more thought."""
        due = self._last_number + 1
        if self.renumbers or not (came or self._is_numbered):
            numbers: Sequence[int] = range(due, due + count)
        elif came and came[0] >= due and rises(came):
            numbers = came
        else:
            return None
        self._last_number = numbers[-1]
        self._left += count
        return numbers

    def flush(self) -> None:
        """Let everything leave that still waits for somebody to finish, in the order it came."""
        parked, held = self._parked, self._held
        self._parked, self._held, self._speaker = {}, [], None
        for drafts in (*parked.values(), held):
            for draft in drafts:
                self._leave(draft)

    def _has_faded(self, draft: Draft) -> bool:
        """Was this item interrupted? Then the client hears nothing of it but its done, which carries the whole.

        Not its part's closing either: Codex logs every event of an item that is not its active one as an error.
        """
        return id(draft.item) in self._faded and draft.event.type != ITEM_DONE

    def _speak(self, draft: Draft, item: Item) -> None:
        """A message is announced when it says its first word, and from then on has the floor until it is done."""
        parked = self._parked.get(id(item))
        place = PLACES.get(draft.event.type)
        if draft.event.type == ITEM_ADDED:
            self._parked[id(item)], self._parked_at[id(item)] = [draft], self._left
            return
        if parked is not None and (place is None or place.role is Role.OPEN):
            parked.append(draft)
            return
        if parked is not None:
            self._speaker = item
            self.renumbers = self.renumbers or self._left != self._parked_at[id(item)]
            self._faded.update(key for key, other in self._open.items() if other.kind.type in self.dialect.faders)
            for earlier in self._parked.pop(id(item)):
                self._leave(earlier)
        self._leave(draft)
        if draft.event.type == ITEM_DONE:
            self._speaker = None
            held, self._held = self._held, []
            for later in held:
                self.triage.release(later.event)
                self.send(later)

    def _leave(self, draft: Draft) -> None:
        """Number a draft and let it go."""
        event, changes = draft.event, dict(draft.changes)
        self._left += 1
        if draft.item is not None:
            if draft.item is not self._last:
                self._interrupt(draft.item)
            self._place(draft, draft.item, changes)
        if _takes_number(event):
            self._number(draft, changes)
        if event.is_made:
            self._out.append(Event.made(event.type, **{**event.body, **changes, "type": event.type}))
            self.triage.report.inserted += 1
        elif changes:
            self._out.append(event.changed(changes))
            self.triage.report.rewritten += 1
        else:
            self._out.append(event)

    def _interrupt(self, item: Item) -> None:
        """An item speaks: what others have begun to say is said no more in one breath."""
        self._last = item
        for other in self._open.values() if self.dialect.one_breath else ():
            if other is not item:
                for part in other.all_parts():
                    part.was_interrupted = part.was_interrupted or part.has_spoken

    def _place(self, draft: Draft, item: Item, changes: dict[str, Any]) -> None:
        """Give the event its item's index; an item gets its own when the first of its events leaves, its added."""
        event = draft.event
        if item.index is None:
            item.index = self._next_index
            self._next_index += 1
            self._open[id(item)] = item
        elif event.type == ITEM_DONE:
            self._open.pop(id(item), None)
        came = event.body.get("output_index")
        if same(came, item.index):
            return
        slug = "wrong-kind" if whole_number(came) == item.index else "wrong-output-index"
        if draft.event.is_made or self.triage.mend("missing-output-index" if came is None else slug):
            changes["output_index"] = item.index

    def _number(self, draft: Draft, changes: dict[str, Any]) -> None:
        """Keep the numbers rising, and dense once anything was inserted or removed."""
        came = draft.event.body.get("sequence_number")
        number = came if type(came) is int else None
        due = self._last_number + 1
        if draft.event.is_made:
            self.renumbers = True
            number = changes["sequence_number"] = due
        elif number is None:
            if self.triage.mend("missing-sequence-number" if came is None else "wrong-kind"):
                changes["sequence_number"] = due
            elif self._is_numbered:
                return  # a keepalive without a number in a stream that has them
            number = due
        elif (self.renumbers and number != due) or (
            number <= self._last_number and self.triage.mend("sequence-number-not-rising")
        ):
            self.renumbers = True
            number = changes["sequence_number"] = due
        self._is_numbered = self._is_numbered or came is not None
        self._last_number = max(number, due)


def _takes_number(event: Event) -> bool:
    """The protocol's own events carry a number; a vendor's frames beside it and our own keepalives need none."""
    if event.type == KEEPALIVE and event.is_made:
        return False
    return event.type.startswith(PREFIX) or event.type in ("error", KEEPALIVE) or "sequence_number" in event.body
