"""Custom tools that came back as functions.

Servers that know only functions (Chat Completions upstreams) hand a custom tool to the model as a function with one
text, `input`, and give the client a `function_call` back, which is not the tool that it declared. Where the request
declared the tool as custom, and the arguments are the text of exactly `{"input": "…"}`, the call is what was asked for.
Only the whole arguments prove that, so a call of that name is held until they are there, with all that comes behind it;
nothing else ever is. This stands behind the repair, where every call has its brackets.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from respfix.stream.event import COMMENT, REMOVED, Body, Event
from respfix.stream.grammar import (
    ITEM_ADDED,
    ITEM_DONE,
    KEEPALIVE,
    KINDS,
    LEAVES,
    PLACES,
    Role,
    Scope,
)

if TYPE_CHECKING:
    from respfix.stream.contract import Options
    from respfix.stream.defects import Triage

SLUG = "custom-tool-as-function"
FUNCTION_CALL, CUSTOM_CALL = "function_call", "custom_tool_call"
FUNCTION = next(leaf for leaf in LEAVES if leaf.item == FUNCTION_CALL)
CUSTOM = next(leaf for leaf in LEAVES if leaf.item == CUSTOM_CALL)


class Restore:
    """Gives custom tools their calls back."""

    def __init__(self, options: Options, triage: Triage) -> None:
        # Whoever resumes a background response sends no request, and must find the same numbers in it.
        may_restore = triage.repairs(SLUG) and not options.asked.background
        self._tools: frozenset[str] = options.asked.custom_tools if may_restore else frozenset()
        self._limits = options.limits
        self._triage = triage
        self._restored: dict[str, str] = {}  # ids of calls as they came, and as they left
        self._call: str | None = None  # the id of the call whose arguments are awaited
        self._held: list[Event] = []
        self._held_bytes = 0
        self._last = -1  # the number of the last event that left
        self._renumbers = False

    @property
    def is_at_work(self) -> bool:
        """It holds something, or changes the numbers of what follows."""
        return self._call is not None or self._renumbers

    def take(self, events: list[Event]) -> list[Event]:
        """Take events as the repair lets them go; give those that leave."""
        if not self._tools:
            return events
        return [later for event in events for later in self._step(event)]

    def let_go(self) -> list[Event]:
        """Give what is held, as it came."""
        held = self._taken()
        return [later for place, event in enumerate(held) for later in self._step(event, is_decided=place == 0)]

    def _step(self, event: Event, *, is_decided: bool = False) -> list[Event]:
        if event.type == COMMENT or (event.type == KEEPALIVE and event.is_made):
            return [event]
        if self._call is not None:
            return self._hold(event)
        item = _item(event)
        if (
            event.type == ITEM_ADDED
            and not is_decided
            and item.get("type") == FUNCTION_CALL
            and item.get("name") in self._tools
            and isinstance(item.get("id"), str)
        ):
            self._call = item["id"]
            number = event.body.get("sequence_number")
            if type(number) is int and not self._renumbers:
                self._last = number - 1  # deltas may have left without coming by
            return self._hold(event)
        return [self._numbered(self._meant(event) if self._restored else event)]

    def _hold(self, event: Event) -> list[Event]:
        """Keep an event until the call's arguments are known, its response ends, or a bound is reached."""
        self._held.append(event)
        self._held_bytes += len(event.text)
        arguments = self._arguments(event)
        if arguments is not None:
            text = _only_input(arguments)
            if text is not None and self._triage.mend(SLUG):
                return self._restore(text)
            return self.let_go()
        place = PLACES.get(event.type)
        is_end = place is not None and place.scope is Scope.RESPONSE and place.role is Role.CLOSE
        is_too_much = len(self._held) > self._limits.held_frames or self._held_bytes > self._limits.held_bytes
        return self.let_go() if is_end or is_too_much else []

    def _taken(self) -> list[Event]:
        """Hold no longer; give what was held."""
        held, self._held = self._held, []
        self._call, self._held_bytes = None, 0
        return held

    def _arguments(self, event: Event) -> object:
        """Give the whole arguments of the call, if this event says them."""
        if event.type == FUNCTION.done and event.body.get("item_id") == self._call:
            return event.body.get(FUNCTION.value, "")
        if event.type == ITEM_DONE and _item(event).get("id") == self._call:
            return _item(event).get(FUNCTION.value, "")
        return None

    def _restore(self, text: str) -> list[Event]:
        """Let the call go as the custom tool's, with its whole input in one delta."""
        came, held = str(self._call), self._taken()
        self._renumbers = True
        self._restored[came] = KINDS[CUSTOM_CALL].prefix + came.removeprefix(KINDS[FUNCTION_CALL].prefix)
        left: list[Event] = []
        for event in held:
            if event.type == FUNCTION.delta and event.body.get("item_id") == came:
                self._triage.report.dropped += 1
                continue
            if event is held[-1]:  # the one that says the arguments
                names = {key: event.body[key] for key in ("output_index", "sequence_number") if key in event.body}
                left.append(Event.made(CUSTOM.delta, **names, item_id=self._restored[came], delta=text))
                self._triage.report.inserted += 1
            left.append(self._meant(event))
        return [later for event in left for later in self._step(event)]

    def _meant(self, event: Event) -> Event:
        """Give an event in which restored calls are what they were asked for as."""
        new_id = self._restored.get(str(event.body.get("item_id")))
        if event.type == FUNCTION.done and new_id is not None:
            text = _only_input(event.body.get(FUNCTION.value)) or ""
            return event.changed({FUNCTION.value: REMOVED, CUSTOM.value: text, "item_id": new_id}, CUSTOM.done)
        item, response = _item(event), event.body.get("response")
        if item.get("id") in self._restored:
            return event.changed({"item": self._custom(item)})
        output = response.get("output") if isinstance(response, dict) else None
        if isinstance(response, dict) and isinstance(output, list) and output:
            entries = [self._custom(entry) if isinstance(entry, dict) else entry for entry in output]
            if entries != output:
                return event.changed({"response": {**response, "output": entries}})
        return event

    def _custom(self, item: Body) -> Body:
        """Give a call as the custom tool's, if it is a restored one."""
        new_id = self._restored.get(str(item.get("id")))
        if new_id is None or item.get("type") != FUNCTION_CALL:
            return item
        text = _only_input(item.get("arguments")) or ""
        whole = {"input" if key == "arguments" else key: value for key, value in item.items()}
        return whole | {"id": new_id, "type": CUSTOM_CALL, "input": text}

    def _numbered(self, event: Event) -> Event:
        """Keep the numbers dense behind a call that left in fewer events than it came in."""
        number = event.body.get("sequence_number")
        if type(number) is not int:
            return event
        due = self._last + 1
        self._last = due if self._renumbers else number
        return event.changed({"sequence_number": due}) if self._renumbers and number != due else event


def _item(event: Event) -> Body:
    item = event.body.get("item")
    return item if isinstance(item, dict) else {}


def _only_input(arguments: object) -> str | None:
    """Give the one text that the arguments consist of."""
    try:
        value: Any = json.loads(arguments) if isinstance(arguments, str) else None
    except (ValueError, RecursionError):
        return None
    is_it = isinstance(value, dict) and value.keys() == {"input"} and isinstance(value["input"], str)
    return value["input"] if is_it else None
