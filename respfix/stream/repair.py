"""The engine: what upstream's events mean, given what is open.

It knows no event by name. `grammar.PLACES` says which bracket an event belongs to and whether it opens, grows, remarks
on or closes it. One method for each of these asks `owners` whom the event is for, has `brackets` open what is missing
around it or close what should have been closed before it, sets its names and values right and sends it on. What it adds
to the truth goes to the ledger.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from respfix.stream.bodies import type_of_item
from respfix.stream.event import Body, Event
from respfix.stream.grammar import (
    CREATED,
    PLACES,
    PREFIX,
    STATUS_OF,
    Leaf,
    Place,
    Role,
    Scope,
    kind_of,
    owners_of_part,
)
from respfix.stream.ledger import Item, Part
from respfix.stream.owners import Owners, known_part, names_in
from respfix.stream.splice import same
from respfix.stream.values import at, closing_value, text_of, value_of, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from respfix.stream.contract import Options
    from respfix.stream.defects import Triage


class Repair(Owners):
    """One response, event by event."""

    def __init__(self, options: Options, triage: Triage) -> None:
        super().__init__(options, triage, self.step)
        self.spoke: Part | None = None  # the part whose delta the last step was
        self._steps: dict[tuple[Scope, Role], Callable[[Event, Place], None]] = {
            (Scope.RESPONSE, Role.OPEN): self._response_opens,
            (Scope.RESPONSE, Role.NOTE): self._pass,
            (Scope.ITEM, Role.OPEN): self._item_opens,
            (Scope.ITEM, Role.NOTE): self._item_is_noted,
            (Scope.ITEM, Role.CLOSE): self._item_closes,
            (Scope.PART, Role.OPEN): self._part_opens,
            (Scope.PART, Role.CLOSE): self._part_closes,
            (Scope.VALUE, Role.GROW): self._value_grows,
            (Scope.VALUE, Role.NOTE): self._value_is_noted,
            (Scope.VALUE, Role.CLOSE): self._value_closes,
        }

    def step(self, event: Event) -> None:
        """Take one event through its bracket; what has to leave is at the door afterwards."""
        place = PLACES.get(event.type)
        self.spoke = None
        if place is None:
            self._pass(event)
        else:
            self._steps[place.scope, place.role](event, place)
        if type(number := event.body.get("sequence_number")) is int:
            report = self.triage.report
            if report.first_number is None:
                report.first_number = number
            self.count((number,))

    def hear(self, text: str, numbers: Sequence[int]) -> None:
        """Take more deltas of the part that spoke last."""
        assert self.spoke is not None  # noqa: S101 (else there would be no stencil to read them by)
        self.spoke.say(text)
        if numbers:
            self.count(numbers)

    def _response_opens(self, event: Event, _: Place) -> None:
        came = event.body.get("response")
        body: Body = came if isinstance(came, dict) else {}
        if body is not came and self.response is not None:
            # OmniRoute sends a bare response.in_progress as a keepalive; it kills Grok and OpenCode.
            if self.drop(event, "bare-lifecycle-event"):
                self.send(self.keepalive())
            return
        if event.type == CREATED and self.response is not None and self.door.drop("repeated-response-created"):
            return
        if self.response is not None and not self.id_is_made and body.get("id") not in (None, self.response.get("id")):
            self.ledger.rotates = True  # GitHub Copilot; no other server changes the id before it has said anything
        whole = self.bodies.response(body, self.response, self.identity(), STATUS_OF[event.type])
        if event.type != CREATED:
            self.has_progress = True
            if self.response is None:
                self.make_created(whole)
        self.response = self.response or whole
        self.send(event, {} if whole is body else {"response": whole})

    # -- items --------------------------------------------------------------------------------------------------------

    def _item_opens(self, event: Event, _: Place) -> None:
        body = event.body.get("item")
        if not isinstance(body, dict):
            self.drop(event, "event-without-item")
            return
        self.open_response()
        kind, names = kind_of(type_of_item(body)), names_in(event, body)
        known = self.already_announced(kind, names)
        if known is not None:
            self.learn(known, names, body)
            if known.is_announced or known.awaits_second_id:
                self.drop(event, "repeated-item-added")
                return
            known.added_event, known.body = event, body
            self.announce_named(known)
            return
        self.take_over_index(names)
        self.triage.count_text(len(event.text))
        item = self.new_item(kind, names, body)
        item.was_announced_by_upstream, item.added_event = True, event
        for array in kind.arrays:
            parts = self.bodies.parts(kind, array, at(body, array.path))
            said = (text_of(part.get(leaf.value)) or "" for leaf, part in parts if not leaf.is_hosted)
            item.found[array.key] = "".join(said)
        if item.own and not item.own.leaf.is_hosted:
            item.own.found = value_of(item.own.leaf, at(body, item.own.leaf.path)) or ""
        if self.ledger.rotates and kind.id_binds_content:
            item.awaits_second_id = True
            return
        self.announce_named(item)

    def _item_is_noted(self, event: Event, place: Place) -> None:
        item = self.owner(event, place, kind_of(next(iter(place.owners))), opens=True)
        if item is not None:
            self.send(event, self._item_id_for(event, item), item)

    def _item_closes(self, event: Event, _: Place) -> None:
        body = event.body.get("item")
        if not isinstance(body, dict):
            self.drop(event, "event-without-item")
            return
        names = names_in(event, body)
        known = self.ledger.by_id(names.id)
        kind = known.kind if known and known.kind.type == body.get("type") else kind_of(type_of_item(body))
        item = self.ledger.find(names, {kind.type})
        if item is not None and item.is_done:
            self.drop(event, "repeated-item-done")
            return
        if item is None:
            self.open_response()
            item = self.new_item(kind, names, body)
        # An image, or a text without deltas: what was said is counted already, and the terminal will need the rest.
        self.triage.count_text(max(0, len(event.text) - sum(len(part.said) for part in item.all_parts())))
        item.body = item.body or body  # of one that could not be announced for lack of a name
        self.learn(item, names, body)
        if not self.announce_named(item):
            self.wait(item, event)
            return
        item.is_closed_by_upstream = True
        self.close_item(item, body, event, "completed")

    # -- parts --------------------------------------------------------------------------------------------------------

    def _part_opens(self, event: Event, place: Place) -> None:
        found = self._part_of(event, place)
        if found is None:
            return
        item, leaf, part, index, body = found
        if part is not None and not (part.is_done and part.was_announced_by_upstream):
            part.was_announced_by_upstream = True
            self.drop(event, "repeated-part-added")
            return
        self.settle_elders(item, leaf)
        part = self.begin_part(item, leaf, index)
        part.is_announced = part.was_announced_by_upstream = True
        part.body = body
        if leaf.is_hosted:
            self._send_named(event, item, part, {})
            return
        whole = self.bodies.part(leaf, body)
        text = text_of(body.get(leaf.value)) if leaf.value else None
        if text and self.triage.mend("filled-snapshot"):
            whole, part.found = {**whole, leaf.value: ""}, text
        self._send_named(event, item, part, {} if whole is event.body.get("part") else {"part": whole})

    def _part_closes(self, event: Event, place: Place) -> None:
        found = self._part_of(event, place)
        if found is None:
            return
        item, leaf, part, index, body = found
        if part is not None and part.is_done:
            self.drop(event, "repeated-part-done")
            return
        part = part or self.begin_part(item, leaf, index)
        self.open_part(item, part)
        self.settle_value(item, part, body.get(part.leaf.value) if part.leaf.value else None)
        part.is_done = part.is_closed_by_upstream = True
        whole = self.bodies.spoken_part(item, part, body)
        self._send_named(event, item, part, {} if whole is event.body.get("part") else {"part": whole})

    def _part_of(self, event: Event, place: Place) -> tuple[Item, Leaf, Part | None, int | None, Body] | None:
        """Give what an event on a part is about: the item, the part's row, the part if it is known, index and body."""
        array, came = place.array, event.body.get("part")
        body: Body = came if isinstance(came, dict) else {}
        assert array is not None  # noqa: S101 (every part stands in an array; the table says so)
        if array.is_bare:
            body = event.body  # the event is the part
        place = replace(place, owners=owners_of_part(array, body.get("type")) or place.owners)
        usual = "message" if "message" in place.owners else next(iter(place.owners))
        item = self.owner(event, place, kind_of(usual), opens=True)
        if item is None:
            return None
        leaf = self.bodies.leaf(item.kind, array, body)
        index = whole_number(event.body.get(array.index))
        return item, leaf, known_part(item, leaf, array, index), index, body

    # -- values -------------------------------------------------------------------------------------------------------

    def _value_grows(self, event: Event, place: Place) -> None:
        text = text_of(event.body.get("delta"))
        if text is None:
            self.drop(event, "delta-without-text")  # Sub2API 0.1.132 and its forks; it opens nothing
            return
        found = self._value_of(event, place, opens=bool(text))
        if found is None:
            return
        item, leaf, part, index = found
        if part is None or part.is_valued:
            if part is not None and (leaf.array is None or self.is_repeat(part, text, event)):
                self.drop(event, "repeated-delta")
                return
            if (
                part is not None
                and self.dialect.tail_before_item_done
                and part.is_closed_by_upstream
                and index is not None
            ):
                part.settle(part.value + text)  # the late tail of a stream that was repaired before
                self._send_named(event, item, part, {})
                return
            if not text and self.door.drop("delta-without-text"):
                return
            part = self.begin_part(item, leaf, index)
        news = self.listener.news(item, part, event, text)
        if news is None:
            return
        self.open_part(item, part)
        self.triage.count_text(len(news))
        part.say(news)
        if isinstance(logprobs := event.body.get("logprobs"), list) and logprobs:
            self.triage.count_text(len(event.text))
            part.logprobs += logprobs
        is_text = isinstance(event.body["delta"], str)
        is_right = news == text and (is_text or not self.triage.mend("delta-not-text"))
        self._send_named(event, item, part, {} if is_right else {"delta": news})
        self.spoke = None if self.listener.expects(part) else part

    def _value_is_noted(self, event: Event, place: Place) -> None:
        found = self._value_of(event, place, opens=True)
        if found is None:
            return
        item, leaf, part, index = found
        part = part or self.begin_part(item, leaf, index)
        self.open_part(item, part)
        annotation, came = event.body.get("annotation"), event.body.get("annotation_index")
        slot, due = whole_number(came), len(part.annotations)
        if slot is not None and 0 <= slot < due and same(part.annotations[slot], annotation):
            self.drop(event, "repeated-delta")
            return
        is_right = came is None or (type(came) is int and came == due)
        changes = {} if is_right or not self.triage.mend("wrong-part-index") else {"annotation_index": due}
        if annotation is not None:
            self.triage.count_text(len(event.text))
            part.annotations.append(annotation)
        self._send_named(event, item, part, changes)

    def _value_closes(self, event: Event, place: Place) -> None:
        found = self._value_of(event, place, opens=True)
        if found is None:
            return
        item, leaf, part, index = found
        if part is not None and part.is_valued:
            self.drop(event, "repeated-value-done")
            return
        part = part or self.begin_part(item, leaf, index)
        self.open_part(item, part)
        came = event.body.get(leaf.value)
        self.listener.hear_out(item, part, came)
        if leaf.is_json and not came and not part.said and self.door.drop("empty-arguments"):
            return  # the item's done or the terminal may still have the arguments; if not, they are {} there
        value, slug = closing_value(item, part, came)
        is_mended = value != came and self.triage.mend(slug)
        if slug == "empty-arguments" and not is_mended:
            value = ""
        self.say_rest(item, part, value)
        part.settle(value)
        part.is_done = leaf.array is None or not leaf.array.done
        if self.would_double(part) and self.door.drop("value-done-after-others"):
            return
        self._send_named(event, item, part, {leaf.value: value} if is_mended else {})

    def _value_of(
        self, event: Event, place: Place, *, opens: bool
    ) -> tuple[Item, Leaf, Part | None, int | None] | None:
        """Give what an event on a value is about: the item, the value's row, its part if it is known, and the index."""
        leaf = place.leaf
        item = self.owner(event, place, kind_of(leaf.item), opens=opens) if leaf else None
        if item is None or leaf is None:
            return None
        index = whole_number(event.body.get(leaf.array.index)) if leaf.array else None
        return item, leaf, known_part(item, leaf, leaf.array, index), index

    # -- the way out --------------------------------------------------------------------------------------------------

    def _send_named(self, event: Event, item: Item, part: Part, changes: dict[str, Any]) -> None:
        """Send an event that stands inside an item, under the names that the item and the part left under."""
        leaf = part.leaf
        if not (leaf.array and leaf.array.is_bare):
            changes |= self._item_id_for(event, item)
        if leaf.array is not None:
            index = event.body.get(leaf.array.index)
            if type(index) is not int or index != part.index:
                slug = "wrong-kind" if whole_number(index) == part.index else "wrong-part-index"
                if self.triage.mend("missing-part-index" if index is None else slug):
                    changes[leaf.array.index] = part.index
        if event.type in (leaf.delta, leaf.done):
            neutral = {key: value for key, value in leaf.event_also.items() if key not in event.body}
            if neutral and self.triage.mend("neutral-keys"):
                changes |= neutral
        self.send(event, changes, item)

    def _item_id_for(self, event: Event, item: Item) -> dict[str, Any]:
        came = event.body.get("item_id")
        slug = "wrong-kind" if str(came) == item.id else "changed-item-id" if came else "missing-item-id"
        return {} if came == item.id or not self.triage.mend(slug) else {"item_id": item.id}

    def _pass(self, event: Event, _: Place | None = None) -> None:
        """Let an event pass that has no row: of the response's own family, under its item's outgoing name."""
        item, changes = None, {}
        if event.type.startswith(PREFIX):
            self.open_response()
            names = names_in(event, event.body)
            item = self.ledger.by_id(names.id) if names.id else self.ledger.by_index(names.index)
            came = event.body.get("item_id")
            if item is not None and isinstance(came, str) and came != item.id and self.triage.mend("changed-item-id"):
                changes["item_id"] = item.id
        self.send(event, changes, item)
