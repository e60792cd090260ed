"""The output of the terminal event: every item that was said, once, under the name it left under.

The terminal response repeats all items. Its entries are aligned with the items (by id, by call id, then by type and
order); what is still open is closed with what its entry says, what stands only there is announced, said and closed like
any other item, and what upstream left out is put in. What is not empty in an entry is upstream's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from respfix.stream.bodies import altered, type_of_item
from respfix.stream.event import Body, Event
from respfix.stream.grammar import kind_of
from respfix.stream.ledger import Item, Names
from respfix.stream.repair import Repair
from respfix.stream.splice import same

if TYPE_CHECKING:
    from collections.abc import Iterable


class Output(Repair):
    """A repair that can account for all items at the end."""

    def with_output(self, body: Body, status: str) -> Body:
        """Close what is open, announce what is new, and give the response with all items in its output."""
        came = body.get("output")
        entries = _told_once(entry for entry in came if isinstance(entry, dict)) if isinstance(came, list) else []
        match = self._align(entries)
        if not self._may_stay_open():
            self.close_all(match, status, entries)
        for place, entry in enumerate(entries):
            if place not in match:
                match[place] = self._announce_entry(entry, status)
        self.door.flush()
        by_item = {id(item): entries[place] for place, item in match.items()}
        items = self.as_they_left()
        whole = [self._entry(item, by_item.get(id(item))) for item in items]
        output = [entry for entry in whole if entry is not None]
        if isinstance(came, list) and len(came) == len(entries) == len(output):
            if all(map(same, came, output)):
                return body
            as_listed = [id(match[place]) for place in range(len(entries))]
            if as_listed == [id(item) for item in items if id(item) in by_item]:
                return altered(body, {"output": output})  # what its items lacked is counted with them
        slug = "wrong-output" if entries else "empty-output"
        return altered(body, {"output": output}) if (output or came is None) and self.triage.mend(slug) else body

    def as_they_left(self) -> list[Item]:
        """Give the items in the order of announcement; one that could not be announced comes last."""
        nowhere = len(self.ledger.items)
        return sorted(self.ledger.items, key=lambda item: nowhere if item.index is None else item.index)

    def _align(self, entries: list[Body]) -> dict[int, Item]:
        """Which entry is which item: by id, by call id, then by type and order."""
        match: dict[int, Item] = {}
        taken: set[int] = set()

        def take(place: int, item: Item | None) -> None:
            if item is not None and place not in match and id(item) not in taken:
                match[place] = item
                taken.add(id(item))

        left = {item.id: item for item in self.ledger.items}
        for place, entry in enumerate(entries):
            if isinstance(item_id := entry.get("id"), str):
                take(place, left.get(item_id) or self.ledger.by_id(item_id))
        for place, entry in enumerate(entries):
            call_id = entry.get("call_id")
            take(place, self.ledger.by_call(call_id) if isinstance(call_id, str) else None)
        for place, entry in enumerate(entries):
            if place not in match:
                kind = type_of_item(entry)
                free = (item for item in self.ledger.items if item.kind.type == kind and id(item) not in taken)
                take(place, next(free, None))
        return match

    def _may_stay_open(self) -> bool:
        """OpenAI itself never closes some items; where nothing else is wrong they stay as they are."""
        return not self.triage.is_dirty and all(item.kind.may_stay_open for item in self.ledger.open_items())

    def close_all(self, match: dict[int, Item], status: str, entries: list[Body]) -> None:
        """Close what is still open, with what the terminal event says of it."""
        by_item = {id(item): entries[place] for place, item in match.items()}
        for item in self.ledger.open_items():
            entry = by_item.get(id(item), {})
            self._supply(item, entry)
            if item.is_announced and not item.is_done:
                self.close_item(item, entry, None, status)

    def _supply(self, item: Item, entry: Body) -> None:
        """Announce a call with the names that the terminal event gives it, or let it go as it came."""
        if item.is_announced:
            return
        call_id = entry.get("call_id")
        self.learn(item, Names(None, None, call_id if isinstance(call_id, str) else None), entry)
        lacks_only_call_id = [key for key in item.kind.needs if key not in item.given] == ["call_id"]
        if lacks_only_call_id and self.triage.mend("call-without-call-id"):
            item.given["call_id"] = item.id
        if self.announce_named(item):
            return
        self.triage.mend("unannounceable-call")
        self._release(item)

    def _announce_entry(self, entry: Body, status: str) -> Item:
        """An item that stands only in the terminal event is announced, said and closed like any other."""
        self.open_response()
        kind = kind_of(type_of_item(entry))
        item_id, call_id = entry.get("id"), entry.get("call_id")
        names = Names(
            item_id if isinstance(item_id, str) else None, None, call_id if isinstance(call_id, str) else None
        )
        item = self.new_item(kind, names, entry)
        self._supply(item, entry)
        if item.is_announced and not item.is_done:
            self.close_item(item, entry, None, status)
        return item

    def _entry(self, item: Item, came: Body | None) -> Body | None:
        """Give an item as it should stand in the output."""
        if came is None:
            return item.final
        if self._is_one_text_for_several(item, came):
            return item.final
        return self.bodies.done(item, came, str(came.get("status") or (item.final or {}).get("status") or "completed"))

    def _is_one_text_for_several(self, item: Item, came: Body) -> bool:
        """Did upstream put into one entry what left as several items?"""
        family = {item: None}  # in order
        for other in self.ledger.items:
            if other.continues in family:
                family[other] = None
        if len(family) == 1 or item.final is None:
            return False
        for array in item.kind.arrays:
            texts = (entry.get(leaf.value) for leaf, entry in self.bodies.parts(item.kind, array, came.get(array.key)))
            whole = "".join(text for text in texts if isinstance(text, str))
            if len(whole) > len(item.said(array)) and whole == "".join(member.said(array) for member in family):
                return True
        return False

    def let_go(self) -> list[Event]:
        """The repair stops: give what was held, as it came."""
        for item in self.ledger.items:
            for event in self._in_doubt(item):
                self.send(event, {}, item)
            if not item.is_announced:
                self._release(item)
        self.door.flush()
        return self.door.take()

    def _in_doubt(self, item: Item) -> list[Event]:
        """Give the events that may be repeats, of which nothing will tell any more."""
        return [event for part in item.all_parts() for event in self.listener.give_up(part)]

    def _release(self, item: Item) -> None:
        item.is_done = True
        waiting = (item.added_event, *item.waiting)
        item.added_event, item.waiting = None, []
        for event in waiting:
            if event is not None:
                self.send(event)

    def give_up_calls(self) -> None:
        """A call that was never named does not leave before a failure: the SDKs would raise on it instead."""
        for item in self.ledger.items:
            for event in self._in_doubt(item):
                self.step(event)
            if not item.is_announced and not item.is_done and self.triage.mend("unannounceable-call"):
                item.is_done = True


def _told_once(entries: Iterable[Body]) -> list[Body]:
    """Leave out an entry that stands there twice: it is one item, and a call must not be run twice for it."""
    told: dict[tuple[str, str], Body] = {}
    once: list[Body] = []
    for entry in entries:
        name = entry.get("call_id") or entry.get("id")
        elder = told.setdefault((str(entry.get("type")), str(name)), entry)
        if elder is entry or not name or {**elder, "id": None} != {**entry, "id": None}:
            once.append(entry)
    return once
