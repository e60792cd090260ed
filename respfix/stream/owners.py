"""Whom an event is for: finds its item and its part by the names it carries, or enters a new one.

Every name that upstream uses is tried in the order of trust (id, index, call id, the only one that fits), and the
newest meaning of a name wins. An event for an item that is done is a repeat, or the first word of a continuation. A
call that nobody can name yet keeps its events waiting; they are taken again when its name has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from respfix.stream.brackets import Brackets
from respfix.stream.event import Body, Event
from respfix.stream.grammar import Array, Kind, Leaf, Place, Role, own_leaf
from respfix.stream.ledger import Item, Names, Part
from respfix.stream.splice import is_object
from respfix.stream.values import rises, text_of, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from respfix.stream.contract import Options
    from respfix.stream.defects import Triage


class Owners(Brackets):
    """The items and parts of one response, by the names that upstream gives them."""

    def __init__(self, options: Options, triage: Triage, again: Callable[[Event], None]) -> None:
        super().__init__(options, triage, again)
        self._highest_number = -1  # of upstream's
        self._numbers_rise = True

    # -- items --------------------------------------------------------------------------------------------------------

    def owner(self, event: Event, place: Place, kind: Kind, *, opens: bool) -> Item | None:
        """Give the announced item that an event inside it is for; None if the event goes no further for now."""
        names = names_in(event, event.body)
        item = self.ledger.find(names, place.owners)
        if item is not None and item.is_done:
            item = self._continuation(item, event, place, names)
            if item is None:
                return None
        if item is None:
            if not opens and self.door.drop("delta-without-text"):
                return None
            self.open_response()
            item = self.new_item(kind, names, {})
        self.learn(item, names, event.body)
        if not self.announce_named(item):
            self.wait(item, event)
            return None
        return item

    def _continuation(self, item: Item, event: Event, place: Place, names: Names) -> Item | None:
        """An event for an item that is done: a repeat, or (a delta that says something new) the next item's first."""
        text = text_of(event.body.get("delta")) if place.role is Role.GROW else None
        parts = item.parts(place.array)
        if not text or (parts and self.is_repeat(parts[-1], text, event)):
            self.drop(event, "repeated-delta" if text else "event-after-done")
            return None
        self.triage.mend("delta-after-done")
        younger = self.new_item(item.kind, Names(names.id, names.index), {})
        younger.continues = item
        return younger

    def already_announced(self, kind: Kind, names: Names) -> Item | None:
        """Give the item that this `added` repeats, or announces late."""
        if (known := self.ledger.by_id(names.id)) is not None:
            return known
        called = self.ledger.by_call(names.call_id)
        is_elsewhere = names.index is not None and self.ledger.by_index(names.index) is not called
        if called is not None and (names.id is None or not (called.is_done or is_elsewhere)):
            return called
        for item in self.ledger.open_items():
            if item.kind.type != kind.type:
                continue
            is_at_index = self.ledger.by_index(names.index) is item
            if not item.was_announced_by_upstream and (is_at_index or not item.was_named):
                return item  # opened by a delta that did not name it
            if names.id is None and is_at_index and not item.has_spoken:
                return item
        return None

    def take_over_index(self, names: Names) -> None:
        """A new item on the index of an open one closes it (opencode-llm-proxy 1.10.0, text then tool).

        But for a call whose arguments are not whole: they may still come, and `{}` is nothing to run a tool with.
        """
        elder = self.ledger.by_index(names.index)
        if elder is None or elder.is_done or not elder.is_announced:
            return
        is_whole = elder.own is None or not elder.own.leaf.is_json or is_object(elder.own.said)
        if is_whole and self.triage.mend("reused-output-index"):
            self.close_item(elder, {}, None, "completed")

    def new_item(self, kind: Kind, names: Names, body: Body) -> Item:
        """Enter an item nobody has heard of yet; raise BoundExceededError beyond the bound."""
        self.triage.count_item(len(self.ledger.items))
        item_id = names.id
        if item_id is None or self.ledger.by_id(item_id) is not None:
            response_id = str(self.response.get("id", "")) if self.response else ""
            item_id = f"{kind.prefix}{response_id.removeprefix('resp_')}_{len(self.ledger.items)}"
        item = Item(kind, item_id, body)
        self.ledger.add(item, names)
        if leaf := own_leaf(kind.type):
            item.add(leaf).is_announced = True
        self.learn(item, names, body)
        return item

    def learn(self, item: Item, names: Names, body: Body) -> None:
        """Take the names that an event of upstream's gives the item."""
        if item.awaits_second_id and names.id is not None:
            item.id = names.id
        self.ledger.rebind(item, names)
        for key in item.kind.needs:
            value = body.get(key)
            if isinstance(value, str) and value:
                item.given.setdefault(key, value)

    def announce_named(self, item: Item) -> bool:
        """Announce an item if it can be, and take again what waited for that."""
        if not self.announce(item):
            return False
        waiting, item.waiting = item.waiting, []
        for later in waiting:
            self.triage.release(later)
            self.again(later)
        return True

    def wait(self, item: Item, event: Event) -> None:
        """Keep an event of a call that nobody can name yet."""
        self.triage.hold(event)
        self.door.reorders()
        item.waiting.append(event)

    # -- parts --------------------------------------------------------------------------------------------------------

    def begin_part(self, item: Item, leaf: Leaf, index: int | None) -> Part:
        """Enter a part nobody has heard of yet, under upstream's index."""
        part = item.add(leaf)
        item.bind_part(leaf.array, index, part)
        part.found = item.found.pop(leaf.array.key if leaf.array else "", "")
        return part

    def is_repeat(self, part: Part, text: str, event: Event) -> bool:
        """Was this delta said already: sent ahead from a done value, or received out of order?"""
        if text and part.ahead.startswith(text):
            part.ahead = part.ahead[len(text) :]
            return True
        number = event.body.get("sequence_number")
        return self._numbers_rise and type(number) is int and number <= self._highest_number

    def count(self, numbers: Sequence[int]) -> None:
        """Take upstream's sequence numbers."""
        if numbers[0] > self._highest_number and rises(numbers):
            self._highest_number = numbers[-1]
        else:
            self._numbers_rise = False
            self._highest_number = max(self._highest_number, *numbers)


def names_in(event: Event, body: Body) -> Names:
    """Read whom an event is for; `body` is its item where it carries one, else its own."""
    came = body.get("item_id" if body is event.body else "id")
    item_id = came if isinstance(came, str) and came else str(came) if type(came) in (int, float) else None
    call_id = body.get("call_id")
    index = whole_number(event.body.get("output_index"))
    return Names(item_id, index, call_id if isinstance(call_id, str) and call_id else None)


def known_part(item: Item, leaf: Leaf, array: Array | None, index: int | None) -> Part | None:
    """Give the part an event is for; without an index, or where another type has it, the newest that fits."""
    part = item.part_at(array, index)
    if part is None or part.leaf.name != leaf.name:
        newest = next((other for other in reversed(item.parts(array)) if other.leaf.name == leaf.name), None)
        is_meant = newest is not None and (index is None or not (newest.is_valued or newest.was_indexed))
        part = newest if is_meant else None
    if part is not None:
        item.bind_part(array, index, part)
    return part
