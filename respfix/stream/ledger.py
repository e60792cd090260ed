"""What is open now, and what it has said so far.

The ledger remembers values, not frames: a token of five bytes comes in a frame of 250. Each item keeps the names that
upstream gives it (every id seen for it, its index, its call id) apart from the one id and the one index it leaves
under; the newest binding of a name wins, so an upstream that uses an index twice means the newer item by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from respfix.stream.event import Body, Event
    from respfix.stream.grammar import Array, Kind, Leaf


# Deltas that are kept apart before they become one text: a string of five letters takes 60 bytes, so that a stream of
# words took twelve times its text.
BLOCK = 128


@dataclass(slots=True, eq=False)
class Part:
    """One part of an item, or the item's own value: open, then valued, then done."""

    leaf: Leaf
    index: int
    is_announced: bool = False
    is_valued: bool = False
    is_done: bool = False
    is_closed_by_upstream: bool = False
    value: str = ""  # once valued
    ahead: str = ""  # text that was sent before upstream said it, so that its late delta is not said twice
    found: str = ""  # text that stood in the announcing event, sent only if nothing else says it
    annotations: list[Any] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    was_interrupted: bool = False  # another item spoke between its deltas, or before its done
    was_indexed: bool = False  # upstream gave it an index
    was_announced_by_upstream: bool = False  # else upstream's announcement may still come, late
    body: Body | None = None  # the part as upstream announced it, for its vendor's keys
    echo: str = ""  # the slug of how its deltas say again what was said, once that is proven
    no_echo: frozenset[str] = frozenset()  # of how they do not
    waiting: list[Event] = field(default_factory=list)  # deltas that may be repeats
    _said: list[str] = field(default_factory=list)
    _words: list[str] = field(default_factory=list)  # the newest deltas, which are not in it yet

    @property
    def said(self) -> str:
        """Everything that left as deltas, or came as deltas that were dropped for a reason."""
        if self._words or len(self._said) > 1:
            self._said = ["".join((*self._said, *self._words))]
            self._words.clear()
        return self._said[0] if self._said else ""

    @property
    def has_spoken(self) -> bool:
        """At least one delta that was not empty."""
        return any(self._words) or any(self._said)

    def say(self, delta: str) -> None:
        """Remember a delta."""
        self._words.append(delta)
        if len(self._words) == BLOCK:
            self._said.append("".join(self._words))
            self._words.clear()

    def settle(self, value: str) -> None:
        """Remember the whole value; the deltas need no place any more."""
        self.is_valued = True
        self.value = value
        self._said = [value] if value else []
        self._words.clear()


@dataclass(slots=True, eq=False)
class Item:
    """One output item: its outgoing name, its parts and how far it has come."""

    kind: Kind
    id: str
    body: Body  # as it was or will be announced, without its parts
    given: dict[str, str] = field(default_factory=dict)  # the names that nobody could make up: call_id, name, …
    index: int | None = None  # assigned when it leaves
    is_announced: bool = False
    is_done: bool = False
    is_closed_by_upstream: bool = False
    was_named: bool = False  # an event of upstream's gave it an id or an index
    was_indexed: bool = False  # an index
    was_announced_by_upstream: bool = False  # else its first delta or its done was the first that was heard of it
    awaits_second_id: bool = False  # upstream rotates ids: the next event's id is the one that counts
    own: Part | None = None
    arrays: dict[str, list[Part]] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)  # by array: text of its announcement, until a part takes it
    added_event: Event | None = None  # upstream's announcement, until it leaves
    waiting: list[Event] = field(default_factory=list)  # what cannot leave before it is announced
    elder: Item | None = None  # the one of its kind before it
    continues: Item | None = None  # the item that upstream takes this one for
    final: Body | None = None  # as its done event left
    _by_index: dict[tuple[str, int], Part] = field(default_factory=dict)
    _done: dict[str, int] = field(default_factory=dict)  # by array: so many parts from the first on are done

    def parts(self, array: Array | None) -> list[Part]:
        """Give the parts of one array; without an array, the item's own value."""
        if array is None:
            return [self.own] if self.own else []
        return self.arrays.setdefault(array.key, [])

    def all_parts(self) -> Iterator[Part]:
        """Give every part in order."""
        if self.own:
            yield self.own
        for parts in self.arrays.values():
            yield from parts

    def open_parts(self, array: Array | None, before: Part | None) -> list[Part]:
        """Give the parts that are not done, up to one; those that are done are not looked at for every new one."""
        parts, key = self.parts(array), array.key if array else ""
        first = self._done.get(key, 0)
        while first < len(parts) and parts[first].is_done:
            first += 1
        self._done[key] = first
        return [part for part in parts[first : before.index if before else None] if not part.is_done]

    def add(self, leaf: Leaf) -> Part:
        """Append a part."""
        parts = self.parts(leaf.array)
        part = Part(leaf, len(parts))
        if leaf.array is None:
            self.own = part
        else:
            parts.append(part)
        return part

    def bind_part(self, array: Array | None, index: int | None, part: Part) -> None:
        """From now on upstream's index means this part; the item's own value has none."""
        if array is not None and index is not None:
            self._by_index[array.key, index] = part
            part.was_indexed = True

    def part_at(self, array: Array | None, index: int | None) -> Part | None:
        """Give the part that goes under upstream's index; the item's own value needs none."""
        if array is None:
            return self.own
        return self._by_index.get((array.key, index)) if index is not None else None

    def said(self, array: Array | None) -> str:
        """Everything the parts of one array have said, in a row."""
        return "".join(part.said for part in self.parts(array))

    def told(self, array: Array | None) -> str:
        """Everything it has said, after all that was said by the items that it continues."""
        told: list[str] = []
        item: Item | None = self
        while item is not None:
            told.append(item.said(array))
            item = item.continues
        return "".join(reversed(told))

    @property
    def has_spoken(self) -> bool:
        """Anything but silence."""
        return any(part.has_spoken or part.value for part in self.all_parts())


@dataclass(slots=True)
class Names:
    """What an event says about whom it is for. Absent is unknown, never 0."""

    id: str | None = None
    index: int | None = None
    call_id: str | None = None


@dataclass(slots=True)
class Ledger:
    """All items of one response, by every name they go under."""

    items: list[Item] = field(default_factory=list)
    rotates: bool = False  # upstream gave one bracket two ids (GitHub Copilot, in every event)
    _by_id: dict[str, Item] = field(default_factory=dict)
    _by_index: dict[int, Item] = field(default_factory=dict)
    _by_call: dict[str, Item] = field(default_factory=dict)

    def add(self, item: Item, names: Names) -> None:
        """Enter a new item under the names it came with."""
        item.elder = next((elder for elder in reversed(self.items) if elder.kind.type == item.kind.type), None)
        self.items.append(item)
        self._by_id[item.id] = item
        self.rebind(item, names)

    def rebind(self, item: Item, names: Names) -> None:
        """From now on these names mean this item."""
        if names.id is not None:
            self._by_id[names.id] = item
        if names.index is not None:
            self._by_index[names.index] = item
            item.was_indexed = True
        if names.call_id:
            self._by_call[names.call_id] = item
        item.was_named = item.was_named or names.id is not None or names.index is not None

    def by_id(self, item_id: str | None) -> Item | None:
        """Give the item that goes under this id."""
        return self._by_id.get(item_id) if item_id is not None else None

    def by_index(self, index: int | None) -> Item | None:
        """Give the item that goes under this upstream index."""
        return self._by_index.get(index) if index is not None else None

    def by_call(self, call_id: str | None) -> Item | None:
        """Give the item that answers to this call id."""
        return self._by_call.get(call_id) if call_id else None

    def find(self, names: Names, owners: Collection[str]) -> Item | None:
        """Give the item an event is for: by id, else index, else call id, else the only open item that fits.

        At every step the item's type must fit the event's family: an upstream that puts a message and a reasoning item
        on the same index (Sub2API, #2875) is told apart by it. The only open item is not meant by an event with
        another index where nothing is announced (a call would get the arguments of the next), nor by one with an index
        and another id once the item has a name.
        """
        for found in (self.by_id(names.id), self.by_index(names.index), self.by_call(names.call_id)):
            if found is not None and found.kind.type in owners:
                return found
        open_items = [item for item in self.open_items() if item.kind.type in owners]
        if len(open_items) != 1:
            return None
        only = open_items[0]
        is_other_index = only.was_indexed and not only.was_announced_by_upstream
        is_other = is_other_index or (names.id is not None and only.was_named)
        return None if names.index is not None and is_other else only

    def open_items(self) -> list[Item]:
        """Give the items that are not done, in order."""
        return [item for item in self.items if not item.is_done]
