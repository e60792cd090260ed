"""Conformant streams, and the same streams with one thing wrong.

Each fault is one that a server is known to send; most come from bug reports. A repaired variant must give every client
what the conformant stream gives it, unless its row says that it is a failure that must be told. The faults are written
down here as changes to a list of events, or to the bytes, and know nothing of how a repair would go about them.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
Events = list[Event]

WORDS = ("Hello ", "brave ", "world")
THOUGHTS = ("Let me ", "think.")
SHELL = ('{"cmd":', '"pwd"}')
RESPONSE, MODEL = "resp_1", "m"
USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 12,
}


# Conformant streams, as OpenAI sends them


def response(status: str, output: Iterable[Event] = (), usage: Event | None = None) -> Event:
    """A response object with the keys that OpenAI always sends."""
    return {
        "id": RESPONSE, "object": "response", "created_at": 1763600000, "status": status, "error": None,
        "incomplete_details": None, "instructions": None, "max_output_tokens": None, "model": MODEL,
        "output": list(output), "parallel_tool_calls": True, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "store": False, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "truncation": "disabled", "usage": usage, "user": None, "metadata": {},
    }  # fmt: skip


def item(index: int, opened: Event, closed: Event, *body: Event) -> tuple[Event, Events]:
    """An item as it is when done, and its events; the events of the body get its id and index."""
    named = [{"item_id": opened["id"], "output_index": index} | event for event in body]
    return closed, [
        {"type": "response.output_item.added", "output_index": index, "item": opened},
        *named,
        {"type": "response.output_item.done", "output_index": index, "item": closed},
    ]


def message(
    index: int, words: Iterable[str] = WORDS, *more: Iterable[str], refused: bool = False
) -> tuple[Event, Events]:
    """A message of one part, or of as many as there are lists of words."""
    family, key = ("refusal", "refusal") if refused else ("output_text", "text")
    extra: Event = {} if refused else {"annotations": [], "logprobs": []}
    logs: Event = {} if refused else {"logprobs": []}
    part: Event = {"type": family, key: "", **extra}
    body: Events = []
    closed_parts: Events = []
    for place, pieces in enumerate((words, *more)):
        closed_parts.append(part | {key: "".join(pieces)})
        body += [
            {"type": "response.content_part.added", "content_index": place, "part": part},
            *({"type": f"response.{family}.delta", "content_index": place, "delta": word, **logs} for word in pieces),
            {"type": f"response.{family}.done", "content_index": place, key: "".join(pieces), **logs},
            {"type": "response.content_part.done", "content_index": place, "part": closed_parts[-1]},
        ]
    opened = {"id": f"msg_{index}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    return item(index, opened, opened | {"status": "completed", "content": closed_parts}, *body)


def reasoning(index: int, words: Iterable[str] = THOUGHTS) -> tuple[Event, Events]:
    """A reasoning item with one summary."""
    whole = "".join(words)
    part = {"type": "summary_text", "text": ""}
    body = [
        {"type": "response.reasoning_summary_part.added", "summary_index": 0, "part": part},
        *({"type": "response.reasoning_summary_text.delta", "summary_index": 0, "delta": word} for word in words),
        {"type": "response.reasoning_summary_text.done", "summary_index": 0, "text": whole},
        {"type": "response.reasoning_summary_part.done", "summary_index": 0, "part": part | {"text": whole}},
    ]
    opened: Event = {"id": f"rs_{index}", "type": "reasoning", "summary": []}
    return item(index, opened, opened | {"summary": [part | {"text": whole}]}, *body)


def call(
    index: int, pieces: Iterable[str] = SHELL, *, custom: bool = False, name: str = "shell", call_id: str = ""
) -> tuple[Event, Events]:
    """A function call, or a custom tool call."""
    whole = "".join(pieces)
    kind, family, key = (
        ("custom_tool_call", "custom_tool_call_input", "input")
        if custom
        else ("function_call", "function_call_arguments", "arguments")
    )
    body: Events = [
        *({"type": f"response.{family}.delta", "delta": piece} for piece in pieces),
        {"type": f"response.{family}.done", key: whole},
    ]
    opened = {
        "id": f"{'ctc' if custom else 'fc'}_{index}", "type": kind, "status": "in_progress",
        key: "", "call_id": call_id or f"call_{index}", "name": name,
    }  # fmt: skip
    return item(index, opened, opened | {"status": "completed", key: whole}, *body)


def stream(*items: tuple[Event, Events]) -> Events:
    """A whole stream of these items."""
    events: Events = [
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.in_progress", "response": response("in_progress")},
        *(event for _, body in items for event in body),
        {"type": "response.completed", "response": response("completed", (done for done, _ in items), USAGE)},
    ]
    return [copy.deepcopy(event) | {"sequence_number": number} for number, event in enumerate(events)]


BASES: dict[str, Events] = {
    "text": stream(message(0)),
    "refusal": stream(message(0, ("I ", "won't."), refused=True)),
    "reasoning": stream(reasoning(0), message(1)),
    "call": stream(call(0)),
    "calls": stream(message(0), call(1), call(2, ('{"cmd":"ls"}',), name="list")),
    "custom": stream(call(0, ("*** Begin", " Patch"), custom=True, name="apply_patch")),
    "all": stream(reasoning(0), message(1), call(2)),
}


def encoded(events: Iterable[Event]) -> bytes:
    """Write events as OpenAI does."""
    return b"".join(
        f"event: {event.get('type', 'message')}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()
        for event in events
    )


# Faults

Fault = Callable[[Events], Events | bytes | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: what it does, to which streams, and what a client must be told."""

    name: str
    bases: tuple[str, ...]
    fault: Fault
    status: str = "completed"  # "failed": told as a failure; "incomplete": the final response says so
    cut: bool = False  # the connection breaks at the end
    tokens: int = 12  # the usage that arrives
    changed: bool = True  # False: OpenAI or a healthy vendor does it, too, so it leaves as it came


ROWS: list[Row] = []
ALL = tuple(BASES)
TEXTS = ("text", "reasoning", "calls", "all")
CALL_ITEMS = ("function_call", "custom_tool_call")
CALLS = ("call", "calls", "custom", "all")
FUNCTIONS = ("call", "calls", "all")
THINKING = ("reasoning", "all")


def fault(name: str, *bases: str, **more: Any) -> Callable[[Fault], Fault]:
    """Put a fault into the table."""

    def register(change: Fault) -> Fault:
        ROWS.append(Row(name, bases or ALL, change, **more))
        return change

    return register


def at(events: Events, *suffixes: str) -> Events:
    """Give the events whose type ends like this."""
    return [event for event in events if event["type"].endswith(suffixes)]


def without(events: Events, *suffixes: str) -> Events:
    """Give all other events."""
    return [event for event in events if not event["type"].endswith(suffixes)]


def last(events: Events) -> Event:
    """Give the response of the terminal event."""
    ended: Event = events[-1]["response"]
    return ended


def items(events: Events, *, added: bool = False, done: bool = False, final: bool = False) -> Events:
    """Give the items in these places."""
    found: Events = []
    found += [event["item"] for event in at(events, "output_item.added")] if added else []
    found += [event["item"] for event in at(events, "output_item.done")] if done else []
    found += last(events)["output"] if final else []
    return found


VALUE = {"message": "content", "reasoning": "summary", "function_call": "arguments", "custom_tool_call": "input"}
DELTAS = ("_text.delta", "refusal.delta", "arguments.delta", "input.delta")
DONES = ("_text.done", "refusal.done", "arguments.done", "input.done")
ARGUMENTS = ("arguments", "input")
KEYS = ("text", "refusal", *ARGUMENTS)
TOO_LONG = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}


def drop(*suffixes: str) -> Fault:
    """Leave out events."""
    return lambda events: without(events, *suffixes)


def pop(keys: Iterable[str], *suffixes: str) -> Fault:
    """Leave out keys of events."""

    def change(events: Events) -> None:
        for event in at(events, *suffixes) if suffixes else events:
            for key in keys:
                event.pop(key, None)

    return change


def put(key: str, value: Callable[[Event], Any], *suffixes: str) -> Fault:
    """Set a key of events that have it."""

    def change(events: Events) -> None:
        for event in at(events, *suffixes) if suffixes else events:
            if key in event:
                event[key] = value(event)

    return change


def on_items(change: Callable[[Event], Any], **where: bool) -> Fault:
    """Change items in these places."""

    def apply(events: Events) -> None:
        for found in items(events, **where):
            change(found)

    return apply


def on_last(change: Callable[[Event], Any]) -> Fault:
    """Change the terminal response."""

    def apply(events: Events) -> None:
        change(last(events))

    return apply


def steps(*changes: Callable[[Events], object]) -> Fault:
    """Make several changes in place, one after the other."""

    def apply(events: Events) -> None:
        for change in changes:
            change(events)

    return apply


def each(change: Callable[[Event], object], *suffixes: str) -> Fault:
    """Change events in place."""

    def apply(events: Events) -> None:
        for event in at(events, *suffixes) if suffixes else events:
            change(event)

    return apply


def add(name: str, bases: tuple[str, ...], change: Fault, **more: Any) -> None:
    """Put a fault made by one of the makers above into the table."""
    ROWS.append(Row(name, bases, change, **more))


def emptied(value: Any) -> Any:
    """Give the empty value of the same kind."""
    return type(value)()


# The beginning

add("created-missing", ALL, drop("response.created"))
add("in-progress-missing", ALL, drop("in_progress"), changed=False)
add("created-and-in-progress-missing", ALL, drop("response.created", "in_progress"))
add("created-without-output", ALL, each(lambda event: event["response"].pop("output"), "response.created"))
add("created-at-missing", ALL, each(lambda event: event.get("response", {}).pop("created_at", None)))


@fault("created-with-an-id-only")
def _(events: Events) -> None:
    for event in at(events, "response.created", "in_progress"):
        event["response"] = {"id": RESPONSE}


@fault("created-twice")
def _(events: Events) -> Events:
    return [events[0], *events]


# Items

add("item-added-missing", ("text", "refusal", "reasoning"), drop("output_item.added"))
add("item-added-missing-but-item-done-tells-all", CALLS, drop("output_item.added"))
add("item-added-without-value", ALL, on_items(lambda item: item.pop(VALUE[item["type"]]), added=True))
add("item-added-with-null-value", ALL, on_items(lambda item: item.update({VALUE[item["type"]]: None}), added=True))
add(
    "item-added-with-content-as-text",
    TEXTS,
    on_items(lambda i: i.get("content") is None or i.update(content=""), added=True),
)
add("item-without-role", TEXTS, on_items(lambda item: item.pop("role", None), added=True, done=True, final=True))
add("item-added-without-role", TEXTS, on_items(lambda item: item.pop("role", None), added=True))
add("item-added-without-id", ALL, on_items(lambda item: item.pop("id"), added=True))
add(
    "item-without-any-id",
    ALL,
    steps(pop(["item_id"]), on_items(lambda item: item.pop("id"), added=True, done=True, final=True)),
)
add("item-without-status", ALL, on_items(lambda i: i.pop("status", None), added=True, done=True, final=True))
add("item-added-without-type", TEXTS, on_items(lambda i: i["type"] == "message" and i.pop("type"), added=True))
add(
    "item-id-is-a-number",
    ("text", "reasoning"),
    steps(
        on_items(lambda item: item.update(id=int(item["id"][-1]) + 40), added=True, done=True, final=True),
        put("item_id", lambda event: int(event["item_id"][-1]) + 40),
    ),
)
add("item-done-with-another-id", ALL, on_items(lambda item: item.update(id="other_" + item["id"]), done=True))
add("item-final-with-another-id", ALL, on_items(lambda item: item.update(id="other_" + item["id"]), final=True))
add("item-done-missing", ALL, drop("output_item.done"))
add(
    "item-done-with-empty-value",
    ALL,
    on_items(lambda i: i.update({VALUE[i["type"]]: emptied(i[VALUE[i["type"]]])}), done=True),
)
add("item-done-without-value", ALL, on_items(lambda item: item.pop(VALUE[item["type"]]), done=True))
add(
    "item-done-and-final-without-value",
    ALL,
    on_items(lambda item: item.pop(VALUE[item["type"]]), done=True, final=True),
)
add(
    "item-done-with-content-as-text",
    TEXTS,
    on_items(lambda i: "content" in i and i.update(content="".join(WORDS)), done=True, final=True),
)
add("item-done-without-type", TEXTS, on_items(lambda i: i["type"] == "message" and i.pop("type"), done=True))
add(
    "item-done-with-text-parts",
    TEXTS,
    on_items(lambda i: [p.update(type="text") for p in i.get("content", [])], done=True, final=True),
)
add(
    "item-done-with-empty-text", TEXTS, on_items(lambda i: [p.update(text="") for p in i.get("content", [])], done=True)
)
add(
    "item-done-with-parts-without-annotations",
    TEXTS,
    on_items(lambda i: [p.pop("annotations") for p in i.get("content", [])], done=True, final=True),
)
add(
    "items-null",
    ALL,
    lambda events: [events[0], {"type": "response.output_item.added", "output_index": 0, "item": None}, *events[1:]],
)


@fault("item-added-late", "text", "refusal", "reasoning")
def _(events: Events) -> Events:
    added = next(event for event in at(events, "output_item.added") if event["item"]["type"] == "message")
    rest = [event for event in events if event is not added]
    where = next(i for i, event in enumerate(rest) if event["type"].endswith(("output_text.done", "refusal.done")))
    return [*rest[:where], added, *rest[where:]]


@fault("item-added-twice")
def _(events: Events) -> Events:
    return [again for event in events for again in [event] * (2 if event["type"].endswith("item.added") else 1)]


@fault("item-done-twice")
def _(events: Events) -> Events:
    return [again for event in events for again in [event] * (2 if event["type"].endswith("item.done") else 1)]


@fault("item-done-after-completed", "text", "call")
def _(events: Events) -> Events:
    return [*without(events, "output_item.done"), *at(events, "output_item.done")]


@fault("item-added-with-an-empty-part", *TEXTS)
def _(events: Events) -> None:
    for found in items(events, added=True):
        if found["type"] == "message":
            found["content"] = [{"type": "output_text", "text": ""}]


@fault("only-item-done")
def _(events: Events) -> Events:
    return without(events, *DELTAS, *DONES, "part.added", "part.done", "output_item.added")


@fault("only-the-terminal")
def _(events: Events) -> Events:
    return [events[0], events[-1]]


# Parts and values

add("part-added-missing", (*TEXTS, "refusal"), drop("part.added"))
add("part-done-missing", (*TEXTS, "refusal"), drop("part.done"))
add("parts-missing", (*TEXTS, "refusal"), drop("part.added", "part.done"))
add("part-null", TEXTS, put("part", lambda _: None, "content_part.added"))
add(
    "part-of-type-text",
    TEXTS,
    put("part", lambda event: event["part"] | {"type": "text"}, "content_part.added", "content_part.done"),
)
add(
    "part-without-text",
    TEXTS,
    put("part", lambda _: {"type": "output_text", "annotations": []}, "content_part.added", "content_part.done"),
)
add(
    "part-without-annotations",
    TEXTS,
    put(
        "part", lambda e: {"type": "output_text", "text": e["part"]["text"]}, "content_part.added", "content_part.done"
    ),
)
add("value-done-missing", ALL, drop(*DONES))
add("value-done-and-part-done-missing", ALL, drop(*DONES, "part.done"))
add("value-done-part-done-and-item-done-missing", ALL, drop(*DONES, "part.done", "item.done"))
add("value-done-without-value", ALL, pop(KEYS, *DONES))
add("value-done-with-null-value", ALL, steps(*(put(key, lambda _: None, *DONES) for key in KEYS)))
add("values-only-at-done", ALL, drop(*DELTAS))
add("values-only-in-items-done", ALL, lambda e: without(e, *DELTAS, *DONES, "part.done"))


@fault("value-done-with-empty-value")
def _(events: Events) -> None:
    for event in at(events, *DONES):
        for key in KEYS:
            if key in event:
                event[key] = ""


@fault("value-done-twice")
def _(events: Events) -> Events:
    return [again for event in events for again in [event] * (2 if event["type"].endswith(DONES) else 1)]


@fault("values-only-in-deltas")
def _(events: Events) -> None:
    pop(KEYS, *DONES)(events)
    on_items(lambda found: found.pop(VALUE[found["type"]]), done=True)(events)
    last(events)["output"] = []


@fault("part-added-twice", *TEXTS, "refusal")
def _(events: Events) -> Events:
    return [again for event in events for again in [event] * (2 if event["type"].endswith("part.added") else 1)]


@fault("part-added-late", "text", "refusal", "reasoning")
def _(events: Events) -> Events:
    added = at(events, "content_part.added")
    rest = without(events, "content_part.added")
    where = next(i for i, event in enumerate(rest) if event["type"].endswith(("output_text.done", "refusal.done")))
    return [*rest[:where], *added, *rest[where:]]


@fault("last-delta-only-at-done", "text", "reasoning", "refusal", "call", "custom")
def _(events: Events) -> Events:
    gone = at(events, *DELTAS)[-1]
    return [event for event in events if event is not gone]


# Deltas


@fault("delta-null-among-deltas")
def _(events: Events) -> Events:
    first = at(events, *DELTAS)[0]
    where = events.index(first)
    return [*events[: where + 1], first | {"delta": None}, *events[where + 1 :]]


@fault("delta-missing-among-deltas")
def _(events: Events) -> Events:
    first = at(events, *DELTAS)[0]
    where = events.index(first)
    return [*events[:where], {key: value for key, value in first.items() if key != "delta"}, *events[where:]]


add(
    "delta-as-an-object",
    TEXTS,
    put("delta", lambda event: {"type": "text", "text": event["delta"]}, "output_text.delta"),
)
add("delta-without-logprobs", TEXTS, pop(["logprobs"]), changed=False)


# Names and numbers

add("item-id-missing", ALL, pop(["item_id"]))
add("item-id-missing-in-deltas", ALL, pop(["item_id"], *DELTAS))
add(
    "item-id-wrong-in-deltas",
    ("text", "refusal", "reasoning", "call"),
    put("item_id", lambda event: "other_" + event["item_id"], *DELTAS),
)
add("item-id-empty", ALL, put("item_id", lambda _: ""))
add("output-index-missing", ALL, pop(["output_index"]))
add(
    "output-index-zero-is-missing",
    ALL,
    each(lambda event: event.get("output_index") == 0 and event.pop("output_index")),
)
add("output-index-always-zero", ("reasoning", "calls", "all"), put("output_index", lambda _: 0))
add("output-index-from-one", ALL, put("output_index", lambda event: event["output_index"] + 1))
add("output-index-with-gaps", ("calls", "all"), put("output_index", lambda event: event["output_index"] * 3))
add("output-index-as-text", ALL, put("output_index", lambda event: str(event["output_index"])))
add("output-index-as-float", ALL, put("output_index", lambda event: float(event["output_index"])))
add("content-index-missing", (*TEXTS, "refusal"), pop(["content_index"]))
add("content-index-from-one", (*TEXTS, "refusal"), put("content_index", lambda event: event["content_index"] + 1))
add("content-index-as-text", (*TEXTS, "refusal"), put("content_index", lambda event: str(event["content_index"])))
add("summary-index-missing", THINKING, pop(["summary_index"]))
add(
    "names-and-indices-missing",
    ("text", "refusal", "call", "custom"),
    pop(["item_id", "output_index", "content_index", "summary_index"]),
)
add("sequence-missing", ALL, pop(["sequence_number"]), changed=False)
add("sequence-always-zero", ALL, put("sequence_number", lambda _: 0))
add("sequence-falling", ALL, put("sequence_number", lambda event: 1000 - event["sequence_number"]))
add(
    "indices-and-sequence-missing-and-parts-too",
    TEXTS,
    lambda e: without(
        [
            {
                k: v
                for k, v in x.items()
                if k not in ("output_index", "content_index", "summary_index", "sequence_number")
            }
            for x in e
        ],
        "part.added",
        "part.done",
    ),
)


@fault("item-id-new-in-every-event", "text", "reasoning", "call")
def _(events: Events) -> None:
    for number, event in enumerate(events):
        if "item_id" in event:
            event["item_id"] = f"x_{number}"
        if "item" in event:
            event["item"]["id"] = f"x_{number}"


# Reasoning

add("reasoning-item-missing", THINKING, lambda e: [x for x in e if x.get("item", {}).get("type") != "reasoning"])
add(
    "reasoning-never-done",
    THINKING,
    lambda e: [x for x in e if not (x["type"].endswith("item.done") and x["item"]["type"] == "reasoning")],
)
add(
    "reasoning-deltas-without-anything",
    THINKING,
    lambda e: [
        {
            k: v
            for k, v in x.items()
            if not (x["type"].endswith("summary_text.delta") and k in ("item_id", "output_index", "summary_index"))
        }
        for x in e
        if x["type"].endswith("summary_text.delta")
        or not (x.get("item_id", "").startswith("rs") or x.get("item", {}).get("type") == "reasoning")
    ],
)


@fault("reasoning-without-anything-and-item-added-missing", *THINKING)
def _(events: Events) -> Events:
    bare = next(row for row in ROWS if row.name == "reasoning-deltas-without-anything").fault(events)
    assert isinstance(bare, list)
    return [event for event in bare if event.get("item", {}).get("type") != "message" or "added" not in event["type"]]


@fault("reasoning-done-among-text", "reasoning")
def _(events: Events) -> Events:
    done = next(event for event in at(events, "output_item.done") if event["item"]["type"] == "reasoning")
    rest = [event for event in events if event is not done]
    where = rest.index(at(rest, "output_text.delta")[0]) + 1
    return [*rest[:where], done, *rest[where:]]


# Calls


def forget(found: Event, *keys: str) -> None:
    """Leave keys out of an item, if it is a call."""
    for key in keys if found["type"] in CALL_ITEMS else ():
        found.pop(key, None)


def blank(found: Event, *keys: str) -> None:
    """Empty those of these keys that are there."""
    found.update(dict.fromkeys((key for key in keys if key in found), ""))


add(
    "call-without-value-but-in-deltas",
    CALLS,
    steps(
        pop(ARGUMENTS, *DONES),
        on_items(lambda item: forget(item, *ARGUMENTS, "call_id", "name"), done=True),
        on_last(lambda ended: ended.update(output=[])),
    ),
)
add(
    "call-empty-but-in-deltas",
    CALLS,
    steps(
        each(lambda event: blank(event, *ARGUMENTS), *DONES),
        on_items(lambda item: blank(item, *ARGUMENTS, "call_id", "name"), done=True),
        on_last(lambda ended: ended.update(output=[])),
    ),
)
add(
    "call-never-done",
    CALLS,
    lambda e: [
        x
        for x in without(e, "arguments.done", "input.done")
        if not (x["type"].endswith("item.done") and "call" in x["item"]["type"])
    ],
)
add(
    "call-arguments-doubled",
    FUNCTIONS,
    steps(
        on_items(
            lambda item: "arguments" in item and item.update(arguments=item["arguments"] * 2), done=True, final=True
        ),
        put("arguments", lambda event: event["arguments"] * 2, "arguments.done"),
    ),
)
add(
    "call-arguments-as-an-object",
    FUNCTIONS,
    on_items(
        lambda item: "arguments" in item and item.update(arguments=json.loads(item["arguments"])), done=True, final=True
    ),
)
add(
    "call-arguments-null-at-done",
    FUNCTIONS,
    on_items(lambda i: "arguments" in i and i.update(arguments=None), done=True, final=True),
)
add("call-id-late", FUNCTIONS, on_items(lambda item: item.pop("call_id", None), added=True))
add("call-name-late", FUNCTIONS, on_items(lambda item: item.pop("name", None), added=True))
add(
    "call-deltas-name-the-call-and-not-the-item",
    ("call", "all"),
    steps(
        each(lambda event: event.update(call_id=f"call_{event['output_index']}", name="shell"), "arguments.delta"),
        pop(["item_id"], "arguments.delta"),
    ),
)


@fault("calls-interleaved", "calls", changed=False)
def _(events: Events) -> Events:
    one = [event for event in events if event.get("output_index") == 1]
    two = [event for event in events if event.get("output_index") == 2]
    mixed = [event for pair in zip(one, two, strict=False) for event in pair] + one[len(two) :] + two[len(one) :]
    rest = [event for event in events if event.get("output_index") not in (1, 2)]
    ordered = [*rest[:-1], *mixed, rest[-1]]
    return [event | {"sequence_number": number} for number, event in enumerate(ordered)]


@fault("call-opens-inside-the-message", "calls")
def _(events: Events) -> Events:
    closing = [event for event in events if event.get("output_index") == 0 and event["type"].endswith(".done")]
    rest = [event for event in events if event not in closing]
    return [*rest[:-1], *closing, rest[-1]]


# What matters to Codex, which has one active item and parses whole items or none of them

add(
    "item-added-with-a-part-of-unknown-type",
    TEXTS,
    on_items(lambda i: "content" in i and i.update(content=[{"type": "rich_text", "text": ""}]), added=True),
)
add(
    "item-added-and-done-without-value",
    ALL,
    on_items(lambda item: item.pop(VALUE[item["type"]]), added=True, done=True),
)
add("item-done-without-role", TEXTS, on_items(lambda item: item.pop("role", None), done=True))
add(
    "item-done-with-parts-without-text",
    TEXTS,
    on_items(lambda i: [p.pop("text") for p in i.get("content", [])], done=True, final=True),
)
add(
    "message-of-unknown-phase",
    TEXTS,
    on_items(lambda i: "content" in i and i.update(phase="musing"), added=True, done=True, final=True),
    changed=False,  # but for Codex
)
add("content-index-as-float", (*TEXTS, "refusal"), put("content_index", lambda event: float(event["content_index"])))
add("usage-with-a-null-total", ALL, on_last(lambda r: r["usage"].update(total_tokens=None)))


# The end

add("final-output-empty", ALL, on_last(lambda r: r.update(output=[])))
add("final-output-null", ALL, on_last(lambda r: r.update(output=None)))
add("final-output-missing", ALL, on_last(lambda r: r.pop("output")))
add("final-output-shorter", ("reasoning", "calls", "all"), on_last(lambda r: r["output"].pop()))
add("final-output-in-another-order", ("reasoning", "calls", "all"), on_last(lambda r: r["output"].reverse()))
add("final-status-missing", ALL, on_last(lambda r: r.pop("status")))
add("final-id-missing", ALL, on_last(lambda r: r.pop("id")))
add("final-id-null", ALL, on_last(lambda r: r.update(id=None)))
add("final-id-another", ALL, on_last(lambda r: r.update(id="resp_2")))
add("usage-missing", ALL, on_last(lambda r: r.pop("usage")), tokens=0)
add("usage-null", ALL, on_last(lambda r: r.update(usage=None)), tokens=0)
add("usage-empty", ALL, on_last(lambda r: r.update(usage={})), tokens=0)
add(
    "usage-of-chat",
    ALL,
    on_last(lambda r: r.update(usage={"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12})),
)
add("usage-without-total", ALL, on_last(lambda r: r["usage"].pop("total_tokens")))
add(
    "usage-with-floats",
    ALL,
    on_last(lambda r: r["usage"].update(input_tokens=7.0, output_tokens=5.0, total_tokens=12.0)),
)
add(
    "usage-with-strings",
    ALL,
    on_last(lambda r: r["usage"].update(input_tokens="7", output_tokens="5", total_tokens="12")),
)
add("usage-details-empty", ALL, on_last(lambda r: r["usage"].update(input_tokens_details={}, output_tokens_details={})))
add("completed-named-done", ALL, lambda events: events[-1].update(type="response.done"))
add("completed-twice", ALL, lambda events: [*events, events[-1]])
add(
    "events-after-completed",
    ALL,
    lambda events: [
        *events,
        {
            "type": "response.output_text.delta",
            "delta": "late",
            "item_id": "msg_0",
            "output_index": 0,
            "content_index": 0,
        },
        {"type": "unknown.billing"},
    ],
)
add("done-marker-instead-of-completed", ALL, lambda events: encoded(events[:-1]) + b"data: [DONE]\n\n", tokens=0)
add(
    "no-terminal-after-complete-items",
    ("text", "reasoning", "call", "calls", "custom", "all"),
    lambda events: events[:-1],
    tokens=0,
)
add("done-marker-after-completed", ALL, lambda events: encoded(events) + b"data: [DONE]\n\n", changed=False)
add(
    "final-status-incomplete",
    ("text", "reasoning"),
    on_last(lambda ended: ended.update(TOO_LONG)),
    status="incomplete",
)
add(
    "terminal-incomplete",
    ("text", "reasoning"),
    steps(
        on_last(lambda ended: ended.update(TOO_LONG)), each(lambda e: e.update(type="response.incomplete"), "completed")
    ),
    status="incomplete",
    changed=False,
)


# Failures, which must be told


def middle(events: Events) -> int:
    """Give the place after the first delta."""
    return events.index(at(events, *DELTAS)[0]) + 1


def failed_after(events: Events, *more: Event) -> Events:
    """Give these events, and then OpenAI's own failure, numbered on."""
    ended = {"type": "response.failed", "response": response("failed") | {"error": BAD}}
    return [*events, *(one | {"sequence_number": len(events) + n} for n, one in enumerate([*more, ended]))]


NESTED = {"type": "error", "error": {"type": "server_error", "code": "server_error", "message": "boom", "param": None}}
FLAT = {"type": "error", "code": "server_error", "message": "boom", "param": None}
BAD = {"code": "server_error", "message": "boom"}

add("ends-in-the-middle", ALL, lambda events: events[: middle(events)], status="failed")
add("cut-in-the-middle", ALL, lambda events: events[: middle(events)], status="failed", cut=True)
add("cut-before-completed", ALL, lambda events: events[:-1], status="failed", cut=True)
add("cut-inside-a-frame", ALL, lambda events: encoded(events[: middle(events)])[:-9], status="failed", cut=True)
add(
    "ends-before-the-item-is-done",
    ("text", "call"),
    lambda events: without(events, "item.done", "completed"),
    status="failed",
)
add("ends-after-created", ALL, lambda events: events[:2], status="failed")
add("empty-body", ("text",), lambda _: b"", status="failed")
add("only-comments", ("text",), lambda _: b": hi\n\n: ho\n\n", status="failed")
add("only-pings", ("text",), lambda _: b'data: {"type": "ping"}\n\ndata: {"type": "ping"}\n\n', status="failed")
add("error-nested-in-the-middle", ALL, lambda e: [*e[: middle(e)], NESTED], status="failed")
add("error-flat-in-the-middle", ALL, lambda e: [*e[: middle(e)], FLAT], status="failed")
add(
    "error-untyped-in-the-middle",
    ALL,
    lambda e: encoded(e[: middle(e)]) + b'data: {"error":{"message":"boom","code":502}}\n\n',
    status="failed",
)
add("error-json-alone", ("text",), lambda _: b'{"error":{"message":"boom"}}', status="failed")
add(
    "error-json-after-pings",
    ("text",),
    lambda _: b'data: {"type": "ping"}\n\n{"error":{"message":"boom","code":"x"}}',
    status="failed",
)
add("error-at-the-start", ("text",), lambda _: [NESTED], status="failed")
add("error-then-completed", ("text", "call"), lambda e: [*e[: middle(e)], NESTED, e[-1]], status="failed")
add(
    "failed-in-the-middle",
    ALL,
    lambda e: failed_after(e[: middle(e)]),
    status="failed",
    changed=False,
)
add(
    "failed-at-the-start",
    ALL,
    lambda e: failed_after(e[:2]),
    status="failed",
    changed=False,
)
add(
    "failed-at-the-end",
    ALL,
    lambda e: failed_after(e[:-1]),
    status="failed",
    changed=False,
)
add(
    "failed-without-error",
    ALL,
    lambda e: [*e[: middle(e)], {"type": "response.failed", "response": response("failed")}],
    status="failed",
)
add(
    "failed-with-an-id-only",
    ALL,
    lambda e: [*e[: middle(e)], {"type": "response.failed", "response": {"id": "other", "status": "failed"}}],
    status="failed",
)
add(
    "failed-then-completed",
    ALL,
    lambda e: [*e[:-1], {"type": "response.failed", "response": response("failed") | {"error": BAD}}, e[-1]],
    status="failed",
)
add(
    "failed-after-a-nested-error",
    ALL,
    lambda e: failed_after(e[: middle(e)], NESTED),
    status="failed",
)
add(
    "failed-after-error",
    ALL,
    lambda e: failed_after(e[: middle(e)], FLAT),
    status="failed",
    changed=False,
)
add(
    "call-ends-inside-its-arguments",
    ("call",),
    lambda e: encoded(e[: middle(e)]) + b"data: [DONE]\n\n",
    status="failed",
)


# Framing


def framed(name: str, change: Callable[[bytes], bytes], **more: Any) -> None:
    """Put a fault of the framing into the table."""
    add(name, ("text", "call", "reasoning"), lambda events: change(encoded(events)), **more)


framed("lines-end-with-crlf", lambda body: body.replace(b"\n", b"\r\n"), changed=False)
framed("lines-end-with-cr", lambda body: body.replace(b"\n", b"\r"))
framed("a-single-newline-between-events", lambda body: body.replace(b"\n\n", b"\n"))
framed("byte-order-mark", lambda body: b"\xef\xbb\xbf" + body)
framed("last-event-without-blank-line", lambda body: body[:-1])
framed("last-event-without-any-newline", lambda body: body[:-2])
framed("no-space-after-the-colon", lambda body: body.replace(b"data: ", b"data:"), changed=False)
framed("no-event-lines", lambda body: re.sub(rb"event: .*\n", b"", body), changed=False)
framed("event-lines-without-types", lambda body: re.sub(rb'"type":"response\.[^"]*",', b"", body))
framed("event-lines-that-disagree", lambda body: re.sub(rb"event: .*\n", b"event: message\n", body))
framed("data-before-event", lambda body: re.sub(rb"(event: .*\n)(data: .*\n)", rb"\2\1", body), changed=False)
framed("several-data-lines", lambda body: re.sub(rb'(data: .*?),"', rb'\1,\ndata: "', body), changed=False)
add(
    "several-data-lines-and-no-output-index",
    ("text", "call", "reasoning"),
    lambda events: re.sub(
        rb'(data: .*?),"',
        rb'\1,\ndata: "',
        encoded({k: v for k, v in e.items() if k != "output_index"} for e in events),
    ),
)
framed("comments-between-events", lambda body: body.replace(b"\n\n", b"\n\n: ping\n\n"), changed=False)
framed("comments-inside-events", lambda body: body.replace(b"\ndata:", b"\n: ping\ndata:"), changed=False)
framed("ids-and-retries", lambda body: body.replace(b"event:", b"id: 7\nretry: 100\nevent:"), changed=False)
framed("pings", lambda body: body.replace(b"\n\n", b'\n\nevent: ping\ndata: {"type":"ping"}\n\n'))
framed(
    "pings-with-numbers", lambda body: body.replace(b"\n\n", b'\n\nevent: ping\ndata: {"type":"ping","cost":"0.1"}\n\n')
)
framed("empty-objects", lambda body: body.replace(b"\n\n", b"\n\ndata: {}\n\n"))
framed("events-without-data", lambda body: body.replace(b"\n\n", b"\n\nevent: ping\n\n"))
framed(
    "keepalive-after-created",
    lambda body: body.replace(b"\n\n", b'\n\nevent: keepalive\ndata: {"type":"keepalive"}\n\n', 1),
    changed=False,
)
framed(
    "frames-of-codex",
    lambda body: body.replace(b"\n\n", b'\n\nevent: codex.rate_limits\ndata: {"type":"codex.rate_limits"}\n\n'),
)
framed(
    "frames-of-chat-completions",
    lambda body: body.replace(b"\n\n", b'\n\ndata: {"id":"c","object":"chat.completion.chunk","choices":[]}\n\n', 2),
)
framed("duplicate-keys", lambda body: body.replace(b'"output_index":', b'"output_index":9,"output_index":'))
framed("not-a-number", lambda body: body.replace(b'"top_p":1.0', b'"top_p":NaN'))


# All together


@dataclass(frozen=True, slots=True)
class Variant:
    """One stream with one fault."""

    name: str
    base: str
    body: bytes = field(repr=False)
    row: Row = field(repr=False)


def variants() -> dict[str, Variant]:
    """Give every stream with every fault that applies to it, by name."""
    made = {}
    for row in ROWS:
        for base in row.bases:
            events = copy.deepcopy(BASES[base])
            result = row.fault(events)
            changed = events if result is None else result
            body = changed if isinstance(changed, bytes) else encoded(changed)
            name = f"{base}.{row.name}"
            made[name] = Variant(name, base, body, row)
    return made


CONFORMANT = {base: encoded(events) for base, events in BASES.items()}
VARIANTS = variants()
