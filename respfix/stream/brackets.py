"""Opening and closing: what respfix does to brackets of its own accord.

A bracket that is needed and not open is opened (`open_response`, `announce`, `open_part`); one that ends with things
open inside is settled first (`settle`, `close_item`). Each happens once, so what upstream sends late is a repeat. This
room knows no event of upstream's except the one it is handed to send along.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from respfix.stream.bodies import Bodies, paired
from respfix.stream.defects import Unswitched
from respfix.stream.dialects import DIALECTS
from respfix.stream.door import Door, Draft
from respfix.stream.echoes import Listener
from respfix.stream.event import Body, Event
from respfix.stream.grammar import CREATED, IN_PROGRESS, ITEM_ADDED, ITEM_DONE, KEEPALIVE, Array, Leaf, leaf_of
from respfix.stream.ledger import Item, Ledger, Part
from respfix.stream.values import at, closing_value, put, text_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from respfix.stream.contract import Options
    from respfix.stream.defects import Triage


class Brackets:
    """One response: its ledger, its door, and the hands that open and close."""

    def __init__(self, options: Options, triage: Triage, again: Callable[[Event], None]) -> None:
        """Take `again` for what is to be done with an event that has waited."""
        self.again = again
        self.options = options
        self.triage = triage
        self.dialect = DIALECTS[options.dialect]
        self.ledger = Ledger()
        self.door = Door(self.dialect, triage)
        self.listener = Listener(triage, self.door, again)
        self.bodies = Bodies(triage, self.dialect, options.asked)
        self.makes = Bodies(Unswitched(options, triage.report), self.dialect, options.asked)
        self.response: Body | None = None  # as it was announced
        self.id_is_made = False
        self.has_progress = False

    # -- the response -------------------------------------------------------------------------------------------------

    def open_response(self) -> None:
        """Before the first thing that stands inside the response, announce it."""
        if self.response is None:
            self.id_is_made = True
            self.make_created(self.makes.response({}, None, self.identity(), "in_progress"))
        if not self.has_progress:
            self.has_progress = True
            if self.triage.mend("missing-response-in-progress"):
                self.send(Event.made(IN_PROGRESS, response=self.response))

    def make_created(self, whole: Body) -> None:
        """Announce the response with this snapshot."""
        self.response = whole
        if self.triage.mend("missing-response-created"):
            status = "queued" if whole.get("status") == "queued" else "in_progress"
            self.send(Event.made(CREATED, response={**whole, "status": status}))

    def identity(self) -> Body:
        """Give the id, the time and the model that a response has if upstream says none."""
        stem = re.sub(r"[^A-Za-z0-9]", "", self.options.seed)
        return {"id": f"resp_{stem}", "created_at": self.options.now, "model": self.options.asked.model}

    # -- items --------------------------------------------------------------------------------------------------------

    def announce(self, item: Item) -> bool:
        """Announce an item, with upstream's event if it sent one; say whether it is announced."""
        if item.is_announced:
            return True
        is_nameless = any(key not in item.given for key in item.kind.needs)
        if is_nameless and self.triage.mend("call-without-name"):
            return False
        item.is_announced, item.awaits_second_id = True, False
        added, item.added_event = item.added_event, None
        if added is not None:
            whole = self.bodies.announced(item, item.body)
            self.send(added, {} if whole is item.body else {"item": whole}, item)
        elif not is_nameless and self.triage.mend("missing-output-item-added"):
            self.send(Event.made(ITEM_ADDED, item=self.makes.announced(item, _silent(item))), {}, item)
        return True

    def close_item(self, item: Item, body: Body, event: Event | None, status: str) -> None:
        """Close everything in an item, then the item: with upstream's done event, or with one of our own."""
        is_silent = not item.has_spoken
        for array in item.kind.arrays:
            self._close_array(item, array, self.bodies.share(item, array, at(body, array.path)), is_silent=is_silent)
        if item.own and not item.own.is_done:
            self.settle(item, item.own, at(body, item.own.leaf.path))
        if event is not None:
            whole = self.bodies.done(item, body, status)
        else:
            has_status = item.kind.has_status or "status" in item.body
            stated = {"status": status} if has_status else {}
            whole = self.makes.done(item, {**_without_parts(item), **body, **stated}, status)
        self._say_late_tails(item, whole)
        item.is_done, item.final = True, whole
        if event is not None:
            self.send(event, {} if whole is body else {"item": whole}, item)
        elif self.triage.mend("missing-output-item-done"):
            self.send(Event.made(ITEM_DONE, item=whole), {}, item)

    def _close_array(self, item: Item, array: Array, entries: list[tuple[Leaf, Body]], *, is_silent: bool) -> None:
        parts = item.parts(array)
        said = list(parts)
        for part, (leaf, entry) in zip(paired(said, entries), entries, strict=True):
            if part is None:
                self._add_unsaid(item, leaf, entry, is_silent=is_silent)
            else:
                self.settle(item, part, entry.get(leaf.value))
        for part in said:
            self.settle(item, part, None)
        usual = leaf_of(item.kind.type, array, None)
        if not parts and usual and (found := item.found.pop(array.key, "")):
            self.settle(item, item.add(usual), found)

    def _add_unsaid(self, item: Item, leaf: Leaf, entry: Body, *, is_silent: bool) -> None:
        """A part that stands only in the closing item is said, unless a healthy server may keep silent about it."""
        part = item.add(leaf)
        part.body = entry
        may_stay_silent = leaf.is_hosted or not (leaf.unsaid or self.triage.is_dirty)
        if may_stay_silent or (item.kind.whole_is_said_once and not is_silent):
            part.is_announced = part.is_done = True
            part.settle(text_of(entry.get(leaf.value)) or "")
        else:
            self.settle(item, part, entry.get(leaf.value))

    def _say_late_tails(self, item: Item, whole: Body) -> None:
        """For a client that shows deltas only, say what the whole item has and no delta said."""
        if not self.dialect.tail_before_item_done:
            return
        for array in item.kind.arrays:
            for part, (_, entry) in zip(
                item.parts(array), self.bodies.parts(item.kind, array, at(whole, array.path)), strict=False
            ):
                text = entry.get(part.leaf.value) if part.leaf.value and not part.leaf.is_hosted else None
                if not isinstance(text, str) or not part.value or not text.startswith(part.value):
                    continue
                if len(text) > len(part.value) and self.triage.mend("late-tail"):
                    self._make_delta(item, part, text[len(part.value) :])

    # -- parts --------------------------------------------------------------------------------------------------------

    def open_part(self, item: Item, part: Part) -> None:
        """Announce a part that upstream did not."""
        array = part.leaf.array
        if part.is_announced or array is None:
            return
        self.settle_elders(item, part.leaf, part)
        part.is_announced = True
        if self.triage.mend("missing-part-added"):
            body = {"type": part.leaf.name, **part.leaf.wants, **part.leaf.also}
            said = {part.leaf.value: ""} if array.is_bare else {"part": body}
            self.send(Event.made(array.added, **_names_of(item, part), **said), {}, item)

    def settle_elders(self, item: Item, leaf: Leaf, younger: Part | None = None) -> None:
        """Parts of one array follow one another: before the next opens, the one before is closed."""
        for part in item.open_parts(leaf.array, younger):
            self.settle(item, part, None)

    def settle(self, item: Item, part: Part, upstream: object) -> None:
        """Close a part: its value, then itself."""
        if part.is_done:
            return
        self.open_part(item, part)
        self.settle_value(item, part, upstream)
        part.is_done = True
        array = part.leaf.array
        if array is not None and array.done and self.triage.mend("missing-part-done"):
            whole = self.makes.spoken_part(item, part, None)
            self.send(Event.made(array.done, **_names_of(item, part), part=whole), {}, item)

    # -- values -------------------------------------------------------------------------------------------------------

    def settle_value(self, item: Item, part: Part, upstream: object) -> None:
        """Close a value that upstream did not close."""
        leaf = part.leaf
        if part.is_valued or not leaf.value:
            return
        self.listener.hear_out(item, part, upstream)
        if leaf.is_hosted and not part.said:
            part.settle(value_of(leaf, upstream) or "")  # apply_patch_call has no diff to say when it deletes a file
            return
        value, slug = closing_value(item, part, upstream)
        if slug == "empty-arguments" and not self.triage.mend(slug):
            value = ""
        self.say_rest(item, part, value)
        part.settle(value)
        would_double = self.would_double(part) and self.triage.repairs("value-done-after-others")
        if not would_double and self.triage.mend("missing-value-done"):
            also = {"logprobs": part.logprobs} if "logprobs" in leaf.event_also else {}
            self.send(Event.made(leaf.done, **_names_of(item, part), **also, **{leaf.value: value}), {}, item)

    @staticmethod
    def would_double(part: Part) -> bool:
        """Would this client put the closing value beside what was said, and not in its place?"""
        return part.was_interrupted and part.leaf.array is not None

    def say_rest(self, item: Item, part: Part, value: str) -> None:
        """Before a value is closed, say what of it no delta has said."""
        said = part.said
        if not value.startswith(said) or len(value) == len(said) or part.leaf.is_hosted:
            return
        if not (said or part.leaf.unsaid or self.triage.is_dirty):
            return  # raw reasoning may come whole
        if self.triage.mend("missing-tail" if said else part.leaf.unsaid or "missing-delta"):
            self._make_delta(item, part, value[len(said) :])

    def _make_delta(self, item: Item, part: Part, text: str) -> None:
        leaf = part.leaf
        self.send(Event.made(leaf.delta, **_names_of(item, part), **leaf.event_also, delta=text), {}, item)
        part.ahead += text

    # -- the way out --------------------------------------------------------------------------------------------------

    def keepalive(self) -> Event:
        """Give what tells the client that the stream lives: a comment, or the one event that every client accepts."""
        if self.dialect.data_keepalive and self.response is not None:
            return Event.made(KEEPALIVE)
        return Event.comment("keepalive")

    def drop(self, event: Event, slug: str) -> bool:
        """Let an event go no further; where that is switched off it passes as it came."""
        dropped = self.door.drop(slug)
        if not dropped:
            self.send(event)
        return dropped

    def send(self, event: Event, changes: dict[str, Any] | None = None, item: Item | None = None) -> None:
        """Bring an event to the door."""
        self.door.send(Draft(event, changes or {}, item))


def _names_of(item: Item, part: Part) -> dict[str, Any]:
    """The names in an event of our own; the door adds the item's index."""
    array = part.leaf.array
    if array is None:
        return {"item_id": item.id}
    return {array.index: part.index} if array.is_bare else {"item_id": item.id, array.index: part.index}


def _silent(item: Item) -> Body:
    """An item that respfix announces has said nothing yet, whatever its done event says already."""
    body = {key: value for key, value in _without_parts(item).items() if key != "encrypted_content"}
    if item.own:
        body = put(body, item.own.leaf.path, "")
    if item.kind.has_status:
        body["status"] = "in_progress"
    return {"id": item.id, "type": item.kind.type} | body | {"id": item.id}


def _without_parts(item: Item) -> Body:
    """An item as upstream announced it, but for the parts that stood there: they are said in their own events."""
    body = item.body
    for array in item.kind.arrays:
        body = put(body, array.path, []) if at(body, array.path) else body
    return body
