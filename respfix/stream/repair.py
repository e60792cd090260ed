"""The engine: an event and the ledger in, the events that should have come out.

It knows no event by name. `grammar.PLACES` says which bracket an event belongs to and whether it opens, grows, remarks on
or closes it; one method for each of these looks up whom the event is for, opens what is missing around it, closes what
should have been closed before it, sets its names and values right and lets it go. What an event adds to the truth goes
to the ledger; what leaves goes through the door.

Three ideas carry all of it:

* A bracket that is needed and not open is opened (`_open_response`, `_announce`, `_open_part`); one that ends with things
  open inside is settled first (`_settle`, `_close`). Each happens once, so what upstream sends late is a repeat.
* Every closing value is decided by one function (`_final`): empty is not authoritative when something was streamed; what
  is not empty is upstream's to say.
* A call that nobody can name yet is not announced: its events wait in the item and go through the engine again when its
  name has come.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from respfix.stream.bodies import Bodies, text_of, type_of_item, value_of, whole_number
from respfix.stream.defects import Unswitched
from respfix.stream.dialects import DIALECTS
from respfix.stream.door import Door, Draft
from respfix.stream.event import COMMENT, Body, Event
from respfix.stream.grammar import (
    CREATED,
    IN_PROGRESS,
    ITEM_ADDED,
    ITEM_DONE,
    KEEPALIVE,
    PLACES,
    PREFIX,
    STATUS_OF,
    Array,
    Kind,
    Leaf,
    Place,
    Role,
    Scope,
    kind_of,
    leaf_of,
    own_leaf,
)
from respfix.stream.ledger import Item, Ledger, Names, Part
from respfix.stream.splice import is_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from respfix.stream.contract import Options
    from respfix.stream.defects import Triage


class Repair:
    """One response, bracket by bracket."""

    def __init__(self, options: Options, triage: Triage) -> None:
        self.options = options
        self.triage = triage
        self.ledger = Ledger()
        self.dialect = DIALECTS[options.dialect]
        self.door = Door(self.dialect, triage)
        self.bodies = Bodies(triage, self.dialect)
        self.makes = Bodies(Unswitched(options, triage.report), self.dialect)
        self.response: Body | None = None  # as it was announced
        self.id_is_made = False
        self.has_progress = False
        self.highest_number = -1  # of upstream's, while they rise
        self._numbers_rise = True
        self._steps: dict[tuple[Scope, Role], Callable[[Event, Place], None]] = {
            (Scope.RESPONSE, Role.OPEN): self._response_opens,
            (Scope.ITEM, Role.OPEN): self._item_opens,
            (Scope.ITEM, Role.CLOSE): self._item_closes,
            (Scope.PART, Role.OPEN): self._part_opens,
            (Scope.PART, Role.CLOSE): self._part_closes,
            (Scope.VALUE, Role.GROW): self._value_grows,
            (Scope.VALUE, Role.NOTE): self._value_is_noted,
            (Scope.VALUE, Role.CLOSE): self._value_closes,
        }

    def step(self, event: Event) -> None:
        """Take one event through its bracket; what has to leave is at the door afterwards."""
        number = event.body.get("sequence_number")
        is_late = type(number) is int and number <= self.highest_number
        place = PLACES.get(event.type)
        if place is None:
            self._pass(event)
        else:
            self._steps[place.scope, place.role](event, place)
        if type(number) is int:
            self._numbers_rise = self._numbers_rise and not is_late
            self.highest_number = max(self.highest_number, number)

    # -- the response -------------------------------------------------------------------------------------------------

    def _response_opens(self, event: Event, _: Place) -> None:
        body = event.body.get("response")
        if not isinstance(body, dict):
            if self.response is not None:
                # OmniRoute sends a bare response.in_progress as a keepalive; it kills Grok and OpenCode.
                self._say_keepalive(event, "bare-lifecycle-event")
                return
            body = {}
        if event.type == CREATED and self.response is not None and self.door.drop(event, "repeated-response-created"):
            return
        if self.response is not None and isinstance(body.get("id"), str) and body["id"] != self.response["id"]:
            self.ledger.rotates = True  # no other server changes the id before it has said anything
        whole = self.bodies.response(body, self.response, self.identity(), STATUS_OF[event.type])
        if event.type != CREATED:
            self.has_progress = True
            if self.response is None:
                self._make_created(whole)
        self.response = self.response or whole
        self.send(event, {} if whole is event.body.get("response") else {"response": whole})

    def identity(self) -> Body:
        """Give the id, the time and the model that a response has if upstream says none."""
        stem = re.sub(r"[^A-Za-z0-9]", "", self.options.seed)
        model = self.response.get("model", "") if self.response else ""
        return {"id": f"resp_{stem}", "created_at": self.options.now, "model": model}

    def _make_created(self, whole: Body) -> None:
        self.response = whole
        if self.triage.mend("missing-response-created"):
            status = "queued" if whole.get("status") == "queued" else "in_progress"
            self.send(Event.made(CREATED, response={**whole, "status": status}))

    def open_response(self) -> None:
        """Before the first thing that stands inside the response, announce it."""
        if self.response is None:
            self.triage.is_dirty = True
            self.id_is_made = True
            self._make_created(self.makes.response({}, None, self.identity(), "in_progress"))
        if not self.has_progress:
            self.has_progress = True
            if self.triage.mend("missing-response-in-progress"):
                self.send(Event.made(IN_PROGRESS, response=self.response))

    # -- items --------------------------------------------------------------------------------------------------------

    def _item_opens(self, event: Event, _: Place) -> None:
        body = event.body.get("item")
        if not isinstance(body, dict):
            self._drop(event, "event-without-item")
            return
        self.open_response()
        kind, names = kind_of(type_of_item(body)), self._names(event, body)
        known = self._already_announced(kind, names)
        if known is not None:
            self._learn(known, names, body)
            if known.is_announced or known.awaits_second_id:
                self._drop(event, "repeated-item-added")
            else:
                self._announce(known, event)
            return
        self._take_over_index(names)
        item = self._new_item(kind, names, body)
        item.was_announced_by_upstream = True
        for array in kind.arrays:
            texts = (text_of(part.get(leaf.value)) or "" for leaf, part in self.bodies.parts(kind, array, body.get(array.key)))
            item.found[array.key] = "".join(texts)
        if item.own:
            item.own.found = value_of(item.own.leaf, body.get(item.own.leaf.value)) or ""
        if self.ledger.rotates and kind.type == "reasoning":
            item.awaits_second_id = True
        self._announce(item, event)

    def _already_announced(self, kind: Kind, names: Names) -> Item | None:
        """Give the item that this `added` repeats, or announces late."""
        if (known := self.ledger.by_id(names.id)) is not None:
            return known
        called = self.ledger.by_call(names.call_id)
        if called is not None and (not called.is_done or names.id is None):
            return called
        for item in self.ledger.open_items():
            if item.kind.type != kind.type:
                continue
            if not item.was_announced_by_upstream and (not item.was_named or self.ledger.by_index(names.index) is item):
                return item  # opened by a delta that did not name it
            if names.id is None and self.ledger.by_index(names.index) is item and not item.has_spoken:
                return item
        return None

    def _take_over_index(self, names: Names) -> None:
        """A new item on the index of an open one closes it (opencode-llm-proxy 1.10.0, text then tool)."""
        elder = self.ledger.by_index(names.index)
        if elder is not None and not elder.is_done and elder.is_announced and self.triage.mend("reused-output-index"):
            self.close_item(elder, {}, None, "completed")

    def _item_closes(self, event: Event, place: Place) -> None:
        body = event.body.get("item")
        if not isinstance(body, dict):
            self._drop(event, "event-without-item")
            return
        kind, names = kind_of(type_of_item(body)), self._names(event, body)
        item = self.ledger.find(names, {kind.type})
        if item is not None and item.is_done:
            self._drop(event, "repeated-item-done")
            return
        if item is None:
            self.open_response()
            item = self._new_item(kind, names, body)
        self._learn(item, names, body)
        if not self._announce(item):
            self._wait(item, event)
            return
        item.is_closed_by_upstream = True
        self.close_item(item, body, event, "completed")

    def _new_item(self, kind: Kind, names: Names, body: Body) -> Item:
        """Enter an item nobody has heard of yet."""
        self.triage.count_item(len(self.ledger.items))
        item_id = names.id
        if item_id is None or self.ledger.by_id(item_id) is not None:
            response_id = str(self.response["id"]) if self.response else ""
            item_id = f"{kind.prefix}{response_id.removeprefix('resp_')}_{len(self.ledger.items)}"
        item = Item(kind, item_id, body)
        self.ledger.add(item, names)
        if leaf := own_leaf(kind.type):
            item.add(leaf).is_announced = True
        self._learn(item, names, body)
        return item

    def _learn(self, item: Item, names: Names, body: Body) -> None:
        """Take the names that an event of upstream's gives the item."""
        if item.awaits_second_id and names.id is not None and names.id != item.id:
            item.id = names.id
            item.awaits_second_id = False
        self.ledger.rebind(item, names)
        for key in ("call_id", "name"):
            value = body.get(key)
            if key in item.kind.needs and isinstance(value, str) and value:
                setattr(item, key, getattr(item, key) or value)

    def _announce(self, item: Item, event: Event | None = None) -> bool:
        """Announce an item if it can be announced, and let go what waited for that; say whether it is announced."""
        if item.is_announced:
            return True
        if event is not None:
            item.added_event, item.body = event, event.body["item"]
        if any(getattr(item, key) is None for key in item.kind.needs) or (item.awaits_second_id and event is not None):
            if item.kind.needs:
                self.triage.mend("call-without-name")
            return False
        item.is_announced, item.awaits_second_id = True, False
        added, item.added_event = item.added_event, None
        if added is not None:
            whole = self.bodies.announced(item, item.body)
            self.send(added, {} if whole is item.body else {"item": whole}, item)
        elif self.triage.mend("missing-output-item-added"):
            self.send(Event.made(ITEM_ADDED, item=self.makes.announced(item, self._silent(item))), {}, item)
        waiting, item.waiting = item.waiting, []
        for later in waiting:
            self.triage.release(later)
            self.step(later)
        return True

    @staticmethod
    def _silent(item: Item) -> Body:
        """An item that respfix announces has said nothing yet, whatever its done event says already."""
        silent: Body = {key: value for key, value in item.body.items() if key != "encrypted_content"}
        silent |= {array.key: [] for array in item.kind.arrays if array.key in silent}
        if item.own:
            silent[item.own.leaf.value] = ""
        if item.kind.has_status:
            silent["status"] = "in_progress"
        return {"id": item.id, "type": item.kind.type} | silent

    def _wait(self, item: Item, event: Event) -> None:
        """Keep an event of a call that nobody can name yet."""
        self.triage.hold(event)
        self.door.reorders()
        item.waiting.append(event)

    def close_item(self, item: Item, body: Body, event: Event | None, status: str) -> None:
        """Close everything in an item, then the item: with upstream's done event, or with one of our own."""
        for array in item.kind.arrays:
            self._close_array(item, array, self._own_share(item, array, body))
        if item.own and not item.own.is_done:
            self._settle(item, item.own, body.get(item.own.leaf.value))
        if event is not None:
            whole = self.bodies.done(item, body, status)
        else:
            stated = {"status": status} if item.kind.has_status else {}
            whole = self.makes.done(item, {**item.body, **body, **stated}, status)
        self._tell_tails(item, whole)
        item.is_done, item.final = True, whole
        if event is not None:
            self.send(event, {} if whole is body else {"item": whole}, item)
        elif self.triage.mend("missing-output-item-done"):
            self.send(Event.made(ITEM_DONE, item=whole), {}, item)

    def _own_share(self, item: Item, array: Array, body: Body) -> list[tuple[Leaf, Body]]:
        """Give upstream's parts of an array, unless they are one text for what left as several."""
        entries = self.bodies.parts(item.kind, array, body.get(array.key))
        parts = item.parts(array)
        texts = [text_of(entry.get(leaf.value)) or "" for leaf, entry in entries]
        if 0 < len(entries) < len(parts) and "".join(texts) == item.said(array):
            return []
        return entries

    def _close_array(self, item: Item, array: Array, entries: list[tuple[Leaf, Body]]) -> None:
        parts = item.parts(array)
        for place, (leaf, entry) in enumerate(entries):
            if place < len(parts):
                self._settle(item, parts[place], entry.get(parts[place].leaf.value))
                continue
            part = item.add(leaf)
            part.body = entry
            if leaf.is_quiet and (not self.triage.is_dirty or item.has_spoken):
                part.is_announced = part.is_done = True
                part.settle(text_of(entry.get(leaf.value)) or "")
            else:
                self._settle(item, part, entry.get(leaf.value))
        for part in parts[len(entries) :]:
            self._settle(item, part, None)
        usual = leaf_of(item.kind.type, array, None)
        if not parts and usual and (found := item.found.get(array.key)):
            self._settle(item, item.add(usual), found)

    def _tell_tails(self, item: Item, whole: Body) -> None:
        """For a client that shows deltas only, say what the whole item has and no delta said."""
        if not self.dialect.tail_before_item_done:
            return
        for array in item.kind.arrays:
            for part, entry in zip(item.parts(array), whole.get(array.key) or (), strict=False):
                text = entry.get(part.leaf.value) if part.leaf.value else None
                if part.has_spoken and isinstance(text, str) and len(text) > len(part.value) and text.startswith(part.value):
                    if self.triage.mend("late-tail"):
                        self._make_delta(item, part, text[len(part.value) :])

    # -- parts --------------------------------------------------------------------------------------------------------

    def _part_opens(self, event: Event, place: Place) -> None:
        array = place.array
        assert array is not None  # noqa: S101 (the table says so)
        body = event.body.get("part")
        body = body if isinstance(body, dict) else {}
        item = self._owner(event, place, kind_of(_owner_of_part(body, place)), opens=True)
        if item is None:
            return
        leaf = self.bodies.leaf(item.kind, array, body)
        index = whole_number(event.body.get(array.index))
        part = self._known_part(item, leaf, array, index)
        if part is not None and not part.is_valued:
            self._drop(event, "repeated-part-added")
            return
        self._settle_elders(item, array)
        part = item.add(leaf)
        item.bind_part(array, index, part)
        part.is_announced, part.body = True, body
        part.found = text_of(body.get(leaf.value)) or "" if leaf.value else ""
        whole = self.bodies.part(leaf, body)
        if part.found and self.triage.mend("filled-snapshot"):
            whole = {**whole, leaf.value: ""}
        self.send(event, self._named(event, item, part, {} if whole is event.body.get("part") else {"part": whole}), item)

    def _part_closes(self, event: Event, place: Place) -> None:
        array = place.array
        assert array is not None  # noqa: S101 (the table says so)
        body = event.body.get("part")
        body = body if isinstance(body, dict) else {}
        item = self._owner(event, place, kind_of(_owner_of_part(body, place)), opens=True)
        if item is None:
            return
        leaf = self.bodies.leaf(item.kind, array, body)
        index = whole_number(event.body.get(array.index))
        part = self._known_part(item, leaf, array, index) or self._begin_part(item, leaf, index)
        if part.is_done:
            self._drop(event, "repeated-part-done")
            return
        self._open_part(item, part)
        self._settle_value(item, part, body.get(part.leaf.value) if part.leaf.value else None)
        part.is_done = True
        whole = self.bodies.spoken_part(part, body)
        self.send(event, self._named(event, item, part, {} if whole is event.body.get("part") else {"part": whole}), item)

    def _known_part(self, item: Item, leaf: Leaf, array: Array | None, index: int | None) -> Part | None:
        """Give the part an event is for; without an index, or under one that is taken by another type, the newest."""
        part = item.part_at(array, index)
        if part is None or (part.leaf.name != leaf.name and part.leaf.value):
            newest = next((part for part in reversed(item.parts(array)) if part.leaf.name == leaf.name), None)
            is_its_own = newest is not None and (index is None or not (newest.is_valued or newest.was_indexed))
            part = newest if is_its_own else None
        if part is not None and index is not None and array is not None:
            item.bind_part(array, index, part)
        return part

    def _begin_part(self, item: Item, leaf: Leaf, index: int | None) -> Part:
        part = item.add(leaf)
        if leaf.array is not None:
            item.bind_part(leaf.array, index, part)
        return part

    def _open_part(self, item: Item, part: Part) -> None:
        """Announce a part that upstream did not."""
        array = part.leaf.array
        if part.is_announced or array is None:
            return
        self._settle_elders(item, array, part)
        part.is_announced = True
        if self.triage.mend("missing-part-added"):
            body = {"type": part.leaf.name, **part.leaf.wants, **part.leaf.also}
            self.send(Event.made(array.added, **self._place_of(item, part), part=body), {}, item)

    def _settle_elders(self, item: Item, array: Array, younger: Part | None = None) -> None:
        """Parts of one array follow one another: before the next opens, the one before is closed."""
        for part in item.parts(array):
            if part is younger:
                break
            self._settle(item, part, None)

    def _settle(self, item: Item, part: Part, upstream: object) -> None:
        """Close a part: its value, then itself."""
        if part.is_done:
            return
        self._open_part(item, part)
        self._settle_value(item, part, upstream)
        part.is_done = True
        array = part.leaf.array
        if array is not None and self.triage.mend("missing-part-done"):
            whole = self.makes.spoken_part(part, None)
            self.send(Event.made(array.done, **self._place_of(item, part), part=whole), {}, item)

    # -- values -------------------------------------------------------------------------------------------------------

    def _value_grows(self, event: Event, place: Place) -> None:
        leaf, delta = place.leaf, event.body.get("delta")
        assert leaf is not None  # noqa: S101 (the table says so)
        text = text_of(delta)
        if text is None:
            self._drop(event, "delta-without-text")  # Sub2API 0.1.132 and its forks (#3253); it opens nothing
            return
        item = self._owner(event, place, kind_of(leaf.item), opens=bool(text))
        if item is None:
            return
        index = whole_number(event.body.get(leaf.array.index)) if leaf.array else None
        part = self._known_part(item, leaf, leaf.array, index)
        if part is None or part.is_valued:
            if part is not None and (part.leaf.array is None or self._is_repeat(part, text, event)):
                self._drop(event, "repeated-delta")
                return
            if not text and self.door.drop(event, "delta-without-text"):
                return
            part = self._begin_part(item, leaf, index)
        self._open_part(item, part)
        self._remember(part, text)
        if isinstance(probabilities := event.body.get("logprobs"), list):
            part.logprobs += probabilities
        changes: dict[str, Any] = {}
        if not isinstance(delta, str) and self.triage.mend("delta-not-text"):
            changes["delta"] = text
        self._fill_event(event, leaf, changes)
        self.send(event, self._named(event, item, part, changes), item)

    def _is_repeat(self, part: Part, text: str, event: Event) -> bool:
        """Was this delta said already: sent ahead from a done value, or received out of order?"""
        if text and part.ahead.startswith(text):
            part.ahead = part.ahead[len(text) :]
            return True
        number = event.body.get("sequence_number")
        return self._numbers_rise and type(number) is int and number <= self.highest_number

    def _value_is_noted(self, event: Event, place: Place) -> None:
        leaf = place.leaf
        assert leaf is not None  # noqa: S101 (the table says so)
        item = self._owner(event, place, kind_of(leaf.item), opens=True)
        if item is None:
            return
        index = whole_number(event.body.get(leaf.array.index)) if leaf.array else None
        part = self._known_part(item, leaf, leaf.array, index) or self._begin_part(item, leaf, index)
        self._open_part(item, part)
        if (annotation := event.body.get("annotation")) is not None:
            part.annotations.append(annotation)
        self.send(event, self._named(event, item, part, {}), item)

    def _value_closes(self, event: Event, place: Place) -> None:
        leaf = place.leaf
        assert leaf is not None  # noqa: S101 (the table says so)
        item = self._owner(event, place, kind_of(leaf.item), opens=True)
        if item is None:
            return
        index = whole_number(event.body.get(leaf.array.index)) if leaf.array else None
        part = self._known_part(item, leaf, leaf.array, index)
        if part is not None and part.is_valued:
            self._drop(event, "repeated-value-done")
            return
        part = part or self._begin_part(item, leaf, index)
        self._open_part(item, part)
        came = event.body.get(leaf.value)
        value, slug = self._final(item, part, came)
        self._say_rest(item, part, value)
        part.settle(value)
        part.is_done = leaf.array is None
        changes = {leaf.value: value} if value != came and self.triage.mend(slug) else {}
        self._fill_event(event, leaf, changes)
        self.send(event, self._named(event, item, part, changes), item)

    def _settle_value(self, item: Item, part: Part, upstream: object) -> None:
        """Close a value that upstream did not close."""
        leaf = part.leaf
        if part.is_valued or not leaf.value:
            return
        value, _ = self._final(item, part, upstream)
        self._say_rest(item, part, value)
        part.settle(value)
        if self.triage.mend("missing-value-done"):
            also = {"logprobs": part.logprobs} if "logprobs" in leaf.event_also else {}
            self.send(Event.made(leaf.done, **self._place_of(item, part), **also, **{leaf.value: value}), {}, item)

    def _final(self, item: Item, part: Part, upstream: object) -> tuple[str, str]:
        """Decide a closing value; give it with the defect that it mends where it is not what upstream says.

        What upstream says wins where it says anything, even if it differs from the deltas (moderation, trimming).
        """
        leaf, said = part.leaf, part.said
        came = value_of(leaf, upstream) or ""
        value = self._less_what_came_before(item, leaf, came)
        slug = "delta-after-done" if value != came else "empty-value-done" if upstream is None else "wrong-kind"
        if not value and (said or part.found):
            value, slug = said or part.found, "empty-value-done"
        elif leaf.is_json and said and value == said * 2 and is_object(said):
            value, slug = said, "doubled-arguments"
        if leaf.is_json and not value:
            value, slug = "{}", "empty-arguments"
        return value, slug

    def _less_what_came_before(self, item: Item, leaf: Leaf, value: str) -> str:
        """Where upstream takes this item for the continuation of a closed one, its values repeat that one's."""
        elder = item.continues
        while elder is not None and value:
            value = value.removeprefix(elder.said(leaf.array))
            elder = elder.continues
        return value

    def _say_rest(self, item: Item, part: Part, value: str) -> None:
        """Say first what of the whole value no delta has said."""
        said = part.said
        if not value.startswith(said) or len(value) == len(said):
            return
        if part.leaf.is_quiet and not said and not self.triage.is_dirty:
            return  # a healthy call may come whole (LM Studio)
        if self.triage.mend("missing-tail" if said else "missing-delta"):
            self._make_delta(item, part, value[len(said) :])

    def _make_delta(self, item: Item, part: Part, text: str) -> None:
        also = dict(part.leaf.event_also)
        self.send(Event.made(part.leaf.delta, **self._place_of(item, part), **also, delta=text), {}, item)
        part.ahead += text

    # -- names --------------------------------------------------------------------------------------------------------

    def _owner(self, event: Event, place: Place, kind: Kind, *, opens: bool) -> Item | None:
        """Give the announced item that an event inside it is for; None if the event goes no further for now."""
        names = self._names(event, event.body)
        item = self.ledger.find(names, place.owners)
        if item is not None and item.is_done and not (item := self._after_done(item, event, place, names)):
            return None
        if item is None:
            if not opens and self.door.drop(event, "delta-without-text"):
                return None
            self.open_response()
            self.triage.mend("missing-output-item-added")
            item = self._new_item(kind, names, {})
        self._learn(item, names, event.body)
        if not self._announce(item):
            self._wait(item, event)
            return None
        return item

    def _after_done(self, item: Item, event: Event, place: Place, names: Names) -> Item | None:
        """An event for an item that is done: a repeat, or (a delta that says something new) the next item's first."""
        text = text_of(event.body.get("delta")) if place.role is Role.GROW else None
        part = item.parts(place.array)[-1] if item.parts(place.array) else None
        if not text or (part is not None and self._is_repeat(part, text, event)):
            self._drop(event, "repeated-delta" if text else "event-after-done")
            return None
        self.triage.mend("delta-after-done")
        younger = self._new_item(item.kind, Names(names.id, names.index, None), {})
        younger.continues = item
        return younger

    def _names(self, event: Event, body: Body) -> Names:
        """Read whom an event is for."""
        came = body.get("id") if body is not event.body else body.get("item_id")
        item_id = came if isinstance(came, str) and came else str(came) if type(came) in (int, float) else None
        call_id = body.get("call_id")
        return Names(item_id, whole_number(event.body.get("output_index")), call_id if isinstance(call_id, str) else None)

    def _named(self, event: Event, item: Item, part: Part, changes: dict[str, Any]) -> dict[str, Any]:
        """Set the names right under which an event leaves."""
        came = event.body.get("item_id")
        if came != item.id and self.triage.mend("missing-item-id" if came is None else "changed-item-id"):
            changes["item_id"] = item.id
        if (array := part.leaf.array) is not None:
            index = event.body.get(array.index)
            is_right = type(index) is int and index == part.index
            if not is_right and self.triage.mend("missing-part-index" if index is None else "wrong-part-index"):
                changes[array.index] = part.index
        return changes

    @staticmethod
    def _place_of(item: Item, part: Part) -> dict[str, Any]:
        """The names in an event of our own; the door adds the index."""
        names: dict[str, Any] = {"item_id": item.id}
        if part.leaf.array is not None:
            names[part.leaf.array.index] = part.index
        return names

    def _fill_event(self, event: Event, leaf: Leaf, changes: dict[str, Any]) -> None:
        for key, value in leaf.event_also.items():
            if key not in event.body and self.triage.mend("neutral-keys"):
                changes[key] = value

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _remember(self, part: Part, text: str) -> None:
        self.triage.count_text(len(text))
        part.say(text)

    def _pass(self, event: Event) -> None:
        """Let an event pass that has no row: of the response's own family, under its item's outgoing name."""
        item = None
        changes: dict[str, Any] = {}
        if event.type.startswith(PREFIX):
            self.open_response()
            names = self._names(event, event.body)
            item = self.ledger.by_id(names.id) or self.ledger.by_index(names.index)
            came = event.body.get("item_id")
            if item is not None and isinstance(came, str) and came != item.id and self.triage.mend("changed-item-id"):
                changes["item_id"] = item.id
        self.send(event, changes, item)

    def _say_keepalive(self, event: Event, slug: str) -> None:
        if not self._drop(event, slug):
            return
        self.send(self.keepalive())

    def keepalive_for(self, comment: Event) -> Event:
        """Give what a foreign frame becomes: a comment, or for Codex an event that resets its idle timer."""
        alive = self.keepalive()
        return comment if alive.type == COMMENT else alive

    def keepalive(self) -> Event:
        """Give what tells the client that the stream lives: a comment, or the one event that every client accepts."""
        if self.dialect.data_keepalive and self.response is not None:
            return Event.made(KEEPALIVE)
        return Event.comment("keepalive")

    def _drop(self, event: Event, slug: str) -> bool:
        """Let an event go no further; where that is switched off it passes as it came."""
        dropped = self.door.drop(event, slug)
        if not dropped:
            self.send(event)
        return dropped

    def send(self, event: Event, changes: dict[str, Any] | None = None, item: Item | None = None) -> None:
        """Bring an event to the door."""
        self.door.send(Draft(event, changes or {}, item))


def _owner_of_part(part: Body, place: Place) -> str:
    """Give the type of item that an orphan part implies."""
    if "message" not in place.owners:
        return "reasoning"
    return "reasoning" if part.get("type") == "reasoning_text" else "message"
