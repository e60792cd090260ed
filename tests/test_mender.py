"""The rules of the repair, one by one, as transcripts.

A transcript is a list of lines, one for each event: its short name, then what matters of it. `mended` takes events in
the same shorthand, so a test reads like what goes over the wire.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import reader
from corpus import Mended, mend

from respfix.stream import Ending, Limits, Mender, Observer, Options, Sighting

Event = dict[str, Any]

FAMILIES = {
    "text": "response.output_text",
    "refusal": "response.refusal",
    "think": "response.reasoning_text",
    "summary": "response.reasoning_summary_text",
    "args": "response.function_call_arguments",
    "input": "response.custom_tool_call_input",
    "part": "response.content_part",
    "spart": "response.reasoning_summary_part",
    "item": "response.output_item",
}
SHORT = {family: short for short, family in FAMILIES.items()}
PART_TYPES = {"text": "output_text", "refusal": "refusal", "think": "reasoning_text", "summary": "summary_text"}
VALUE = {
    "text": "text",
    "refusal": "refusal",
    "think": "text",
    "summary": "text",
    "args": "arguments",
    "input": "input",
}
USAGE = {
    "input_tokens": 1,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 1,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 2,
}


# Events, in shorthand


def event(name: str, **body: Any) -> Event:
    """Make an event; `text.delta` is short for `response.output_text.delta`."""
    family, _, role = name.partition(".")
    return {"type": f"{FAMILIES.get(family, family)}.{role}" if role else name} | body


def response(state: str, *output: Event, **more: Any) -> Event:
    """Make a response object with the keys that clients need."""
    whole: Event = {"id": "r", "object": "response", "created_at": 1, "status": state, "model": "m"}
    return whole | {"output": list(output)} | ({"usage": USAGE} if state == "completed" else {}) | more


def created(**more: Any) -> list[Event]:
    """Open a response."""
    body = response("in_progress", **more)
    return [event("response.created", response=body), event("response.in_progress", response=body)]


def completed(*output: Event, **more: Any) -> Event:
    """Close a response."""
    return event("response.completed", response=response("completed", *output, **more))


def at(index: int | None, item_id: str | None) -> Event:
    """Name an item."""
    names = {"output_index": index, "item_id": item_id}
    return {key: value for key, value in names.items() if value is not None}


def message(item_id: str = "msg", text: str | None = None, **more: Any) -> Event:
    """Make a message, open or (with a text) done."""
    content = [] if text is None else [{"type": "output_text", "text": text, "annotations": []}]
    status = "in_progress" if text is None else "completed"
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content} | more


def reasoning(item_id: str = "rs", text: str | None = None, **more: Any) -> Event:
    """Make a reasoning item, open or (with a text) done."""
    summary = [] if text is None else [{"type": "summary_text", "text": text}]
    return {"id": item_id, "type": "reasoning", "summary": summary} | more


def call(item_id: str = "fc", arguments: str | None = None, **more: Any) -> Event:
    """Make a function call, open or (with arguments) done."""
    status = "in_progress" if arguments is None else "completed"
    names = {"call_id": f"call_{item_id}", "name": "shell"}
    return {"id": item_id, "type": "function_call", "status": status, "arguments": arguments or ""} | names | more


def added(item: Event, index: int | None = 0) -> Event:
    """Announce an item."""
    return event("item.added", item=item, **at(index, None))


def done(item: Event, index: int | None = 0) -> Event:
    """Close an item."""
    return event("item.done", item=item, **at(index, None))


def part(role: str, text: str = "", index: int | None = 0, item_id: str | None = "msg", **more: Any) -> Event:
    """Open or close a text part."""
    body = {"type": "output_text", "text": text, "annotations": []}
    return event(f"part.{role}", part=body, content_index=0, **at(index, item_id)) | more


def text(delta: str, index: int | None = 0, item_id: str | None = "msg", **more: Any) -> Event:
    """Say something."""
    return event("text.delta", delta=delta, content_index=0, **at(index, item_id)) | more


def text_done(whole: str, index: int | None = 0, item_id: str | None = "msg", **more: Any) -> Event:
    """Close a text."""
    return event("text.done", text=whole, content_index=0, **at(index, item_id)) | more


def args(delta: str, index: int | None = 0, item_id: str | None = "fc", **more: Any) -> Event:
    """Say some arguments."""
    return event("args.delta", delta=delta, **at(index, item_id)) | more


def summary(delta: str, index: int | None = 0, item_id: str | None = "rs", **more: Any) -> Event:
    """Think aloud."""
    return event("summary.delta", delta=delta, summary_index=0, **at(index, item_id)) | more


def said(*words: str, index: int = 0, item_id: str = "msg") -> list[Event]:
    """Say a whole message."""
    whole = "".join(words)
    return [
        added(message(item_id), index),
        part("added", "", index, item_id),
        *(text(word, index, item_id) for word in words),
        text_done(whole, index, item_id),
        part("done", whole, index, item_id),
        done(message(item_id, whole), index),
    ]


def called(*pieces: str, index: int = 0, item_id: str = "fc") -> list[Event]:
    """Make a whole call."""
    whole = "".join(pieces)
    return [
        added(call(item_id), index),
        *(args(piece, index, item_id) for piece in pieces),
        event("args.done", arguments=whole, **at(index, item_id)),
        done(call(item_id, whole), index),
    ]


def numbered(events: list[Event], start: int = 0) -> list[Event]:
    """Count the events."""
    return [body | {"sequence_number": number} for number, body in enumerate(events, start)]


# Transcripts


def encoded(events: Sequence[Event | str]) -> bytes:
    """Write events, and whatever else goes over the wire."""
    frames = [body if isinstance(body, str) else f"data: {json.dumps(body)}\n\n" for body in events]
    return "".join(frames).encode()


def run(*events: Event | str, ending: Ending = Ending.COMPLETE, **options: Any) -> Mended:
    """Repair a stream."""
    return mend(encoded(list(events)), Options(seed="1", now=1, **options), ending)


def transcript(mended: Mended) -> list[str]:
    """Give one line for each event that left."""
    assert mended.report.stopped is None
    return [line(body) for body in reader.events(mended.body)]


def mended(*events: Event | str, ending: Ending = Ending.COMPLETE, **options: Any) -> list[str]:
    """Give the transcript of a repaired stream."""
    return transcript(run(*events, ending=ending, **options))


def line(body: Event) -> str:
    """Give an event in short: its name, the item's index and id, the part's index, what it says."""
    family, _, role = body["type"].rpartition(".")
    short = f"{SHORT[family]}.{role}" if family in SHORT else body["type"].removeprefix("response.")
    if "item" in body:
        item = body["item"]
        return " ".join(map(str, (short, body.get("output_index"), item.get("id"), *_content(item))))
    if "response" in body:
        output = body["response"].get("output") or []
        return " ".join([short, *(f"{item.get('id')}={''.join(_content(item))}" for item in output)])
    where = (body.get("output_index"), body.get("item_id"), body.get("content_index", body.get("summary_index")))
    says = (
        _text(body["part"])
        if "part" in body
        else next((body[key] for key in ("delta", *VALUE.values()) if key in body), None)
    )
    return " ".join(str(word) for word in (short, *where, says) if word not in {None, ""})


def _content(item: Event) -> list[str]:
    parts = [*(item.get("content") or ()), *(item.get("summary") or ())]
    values = [_text(found) for found in parts] or [str(item.get("arguments") or item.get("input") or "")]
    return list(filter(None, values))


def _text(found: Event) -> str:
    return str(found.get("text") or found.get("refusal") or "")


HEAD = ["created", "in_progress"]
HELLO = [
    *HEAD,
    "item.added 0 msg",
    "part.added 0 msg 0",
    "text.delta 0 msg 0 Hello",
    "text.done 0 msg 0 Hello",
    "part.done 0 msg 0 Hello",
    "item.done 0 msg Hello",
    "completed msg=Hello",
]


# Which bracket an event belongs to


def test_an_event_belongs_to_the_item_whose_id_it_has() -> None:
    """The id counts more than the index."""
    assert HELLO == mended(*created(), added(message()), text("Hello", index=7), completed())


def test_an_event_without_a_known_id_belongs_to_the_item_at_its_index() -> None:
    """Sub2API gives its own ids to inner events."""
    assert HELLO == mended(*created(), added(message()), text("Hello", item_id="other"), completed())


def test_an_event_without_id_and_index_belongs_to_its_call() -> None:
    """The chat bridge of Sub2API names calls by their call_id."""
    first, second = call("a"), call("b")
    out = mended(*created(), added(first), added(second, 1), args("{}", None, None, call_id="call_a"), completed())

    assert "args.delta 0 a {}" in out
    assert "args.delta 1 b {}" in out[out.index("args.delta 0 a {}") + 1 :]


def test_an_event_without_any_name_belongs_to_the_only_open_item_that_fits() -> None:
    """An absent index is unknown, not 0."""
    out = mended(*created(), added(call()), added(message(), 1), text("Hi", None, None), completed())

    assert "text.delta 1 msg 0 Hi" in out


def test_the_type_of_the_item_must_fit_the_family_of_the_event() -> None:
    """Reasoning on the index of the message (Sub2API 0.1.132) is an item of its own."""
    out = mended(
        *created(), added(message()), event("summary.delta", delta="Hm.", output_index=0), text("Hi"), completed()
    )

    assert "text.delta 0 msg 0 Hi" in out
    assert "summary.delta 1 rs_r_1 0 Hm." in out


def test_names_of_nobody_are_taken_by_the_only_open_item_until_it_has_names() -> None:
    """Where id and index are both unknown, they may mean the item that no event has named yet."""
    unnamed = {key: value for key, value in message().items() if key != "id"}
    out = mended(*created(), added(unnamed, None), text("Hello", 0, "late"), completed())

    assert [each.replace("msg_r_0", "msg") for each in out] == HELLO


def test_names_of_nobody_open_another_item_once_the_first_has_names() -> None:
    """An event for item 5 is not for item 0."""
    out = mended(*created(), added(message()), text("Hi"), text("Ho", 5, "other"), completed())

    assert "text.delta 1 other 0 Ho" in out


def test_an_added_with_a_known_id_is_a_repeat() -> None:
    """Only one announcement leaves."""
    assert HELLO == mended(*created(), added(message()), added(message()), text("Hello"), completed())


def test_an_item_that_is_announced_late_keeps_its_first_announcement() -> None:
    """A delta has opened it already, with names or without."""
    for late in (text("Hello", None, None), text("Hello", 0, None), text("Hello")):
        out = mended(*created(), late, added(message()), completed(message(text="Hello")))

        assert HELLO == [each.replace("msg_r_0", "msg") for each in out]


def test_an_added_without_an_id_repeats_the_silent_item_at_its_index() -> None:
    """There is nothing else that it can mean."""
    unnamed = {key: value for key, value in message().items() if key != "id"}

    assert HELLO == mended(*created(), added(message()), added(unnamed), text("Hello"), completed())


def test_an_added_with_a_known_call_id_is_a_repeat_while_the_call_is_open() -> None:
    """Unless it has an id of its own, and the other is done."""
    again, anew = (call(other) | {"call_id": "call_fc"} for other in ("again", "anew"))
    out = mended(*created(), added(call()), added(again), args("{}"), done(call(arguments="{}")), added(anew, 1))

    assert ["item.added 0 fc", "item.added 1 anew"] == [each for each in out if each.startswith("item.added")]


def test_a_citation_opens_what_is_missing_around_it() -> None:
    """It is gathered in the part, the item and the output."""
    cited = event("response.output_text.annotation.added", annotation={"type": "x"}, annotation_index=0, **at(0, "msg"))
    out = reader.events(run(*created(), cited, text("Hi"), completed()).body)

    assert [{"type": "x"}] == out[-1]["response"]["output"][0]["content"][0]["annotations"]
    assert [] == reader.complaints(out, is_strict=False)


def test_arguments_that_stand_only_in_an_announcement_are_said() -> None:
    """It is announced without them."""
    out = mended(*created(), added(call(arguments='{"a":1}')), done(call()), completed())

    assert ["item.added 0 fc", 'args.delta 0 fc {"a":1}', 'args.done 0 fc {"a":1}', 'item.done 0 fc {"a":1}'] == out[
        2:6
    ]


def test_an_unknown_event_of_an_item_has_its_outgoing_id() -> None:
    """What has no row in the grammar still belongs to somebody; under a name that nobody has it stays as it is."""
    known, unknown = (
        event("response.tomorrow.delta", output_index=0, item_id=name, x=1) for name in ("other", "nobody")
    )
    out = reader.events(run(*created(), added(message()), text("Hi", 0, "other"), known, unknown, completed()).body)

    assert ["msg", "nobody"] == [body["item_id"] for body in out if "x" in body]


def test_an_added_with_a_new_id_on_the_index_of_an_open_item_closes_it() -> None:
    """opencode-llm-proxy 1.10.0, text and then a tool."""
    out = mended(*created(), *said("Hello")[:3], *called("{}", item_id="fc"), completed())

    assert [*HELLO[:8], "item.added 1 fc", "args.delta 1 fc {}", "args.done 1 fc {}", "item.done 1 fc {}"] == out[:-1]
    assert out[-1] == "completed msg=Hello fc={}"


def test_a_delta_for_a_part_whose_value_is_done_opens_the_next_part() -> None:
    """A second text block of the anthropic bridge, under the index of the first."""
    out = mended(*created(), *said("One")[:5], text("Two"), text_done("Two"), completed())

    assert ["part.added 0 msg 1", "text.delta 0 msg 1 Two", "text.done 0 msg 1 Two", "part.done 0 msg 1 Two"] == out[
        7:11
    ]
    assert out[-1] == "completed msg=OneTwo"


def test_a_delta_that_was_sent_ahead_is_dropped() -> None:
    """A done value that is longer than its deltas is said at once, and its late delta is not said again."""
    out = mended(*created(), added(message()), part("added"), text_done("Hello"), text("Hello"), completed())

    assert HELLO == out


def test_a_delta_for_a_closed_item_opens_a_new_one() -> None:
    """Reasoning that goes on after its item was closed."""
    out = mended(
        *created(), added(reasoning()), summary("Hm."), done(reasoning(text="Hm.")), summary(" Wait."), completed()
    )

    assert "item.done 0 rs Hm." in out
    assert ["item.added 1 rs_r_1", "spart.added 1 rs_r_1 0", "summary.delta 1 rs_r_1 0  Wait."] == out[8:11]
    assert out[-1] == "completed rs=Hm. rs_r_1= Wait."


def test_a_numbered_delta_that_comes_again_is_dropped() -> None:
    """It has a number that was seen, so it was printed already."""
    events = numbered([*created(), *said("Hello")])
    out = mended(*events, events[4], completed())

    assert HELLO == out


# Numbers and names


def test_numbers_are_left_alone_while_nothing_is_inserted() -> None:
    """A stream that begins at 10 and has gaps is healthy."""
    events = [
        body | {"sequence_number": 10 + 3 * n}
        for n, body in enumerate([*created(), *said("Hi"), completed(message(text="Hi"))])
    ]

    assert encoded(events) == run(*events).body


def test_numbers_are_dense_after_the_first_insertion() -> None:
    """Increasing by one, from there on."""
    events = numbered([*created(), *said("Hi"), completed(message(text="Hi"))])
    del events[3]
    out = reader.events(run(*events).body)

    assert list(range(9)) == [body["sequence_number"] for body in out]


def test_absent_numbers_are_counted_after_the_first_defect_only() -> None:
    """OpenAI had none until May 2025: alone they are no defect."""
    out = reader.events(run(*created(), added(message()), text("Hi"), completed()).body)

    assert [None, None, None, 3, 4, 5, 6, 7, 8] == [body.get("sequence_number") for body in out]


def test_an_item_has_one_id_in_all_its_events() -> None:
    """The announced one, in the inner events, the done event and the terminal output."""
    events = [
        *created(),
        added(message()),
        text("Hello", item_id="x"),
        done(message("y", "Hello")),
        completed(message("z", "Hello")),
    ]

    assert HELLO == mended(*events)


def test_a_response_has_one_id_and_one_time() -> None:
    """Those that were announced first."""
    out = reader.events(run(*created(), *said("Hi"), completed(message(text="Hi"), id="other", created_at=9)).body)

    assert {("r", 1)} == {
        (body["response"]["id"], body["response"]["created_at"]) for body in out if "response" in body
    }


def test_a_made_up_id_has_the_prefix_of_its_type() -> None:
    """It is derived from the response and the index, so the same stream gives the same ids."""
    call_without_id = {key: value for key, value in call().items() if key != "id"}
    out = mended(*created(id="resp_7"), text("Hi", 0, None), added(call_without_id, 1), completed())

    assert "item.added 0 msg_7_0" in out
    assert "item.added 1 fc_7_1" in out


def test_the_call_id_is_never_changed() -> None:
    """The client answers to it."""
    out = reader.events(
        run(*created(), added(call()), args("{}"), done(call(arguments="{}") | {"id": "other"}), completed()).body
    )

    assert {"call_fc"} == {body["item"]["call_id"] for body in out if "item" in body}


def test_rotating_ids_wait_for_the_second_one() -> None:
    """GitHub Copilot: the ciphertext comes with the id of the done event, and must not be sent with another."""
    events = [
        event("response.created", response=response("in_progress")),
        event("response.in_progress", response=response("in_progress", id="r2")),
        added(reasoning("a", encrypted_content="A")),
        done(reasoning("b", encrypted_content="B")),
        completed(reasoning("c", encrypted_content="C"), id="r3"),
    ]
    out = reader.events(run(*events).body)

    assert [("b", "B")] == [
        (body["item"]["id"], body["item"]["encrypted_content"]) for body in out if body["type"].endswith("item.done")
    ]
    assert ["b"] == [item["id"] for item in out[-1]["response"]["output"]]


# Opening


def test_what_is_missing_around_an_event_is_opened() -> None:
    """A delta alone opens the response, the item and the part."""
    assert [*HEAD, "item.added 0 msg", "part.added 0 msg 0", "text.delta 0 msg 0 Hello"] == mended(text("Hello"))[:5]


def test_created_is_built_from_the_first_lifecycle_event() -> None:
    """Under its id."""
    out = reader.events(run(event("response.in_progress", response=response("in_progress", id="first"))).body)

    assert ["response.created", "response.in_progress"] == [body["type"] for body in out[:2]]
    assert out[0]["response"] == out[1]["response"] | {"status": "in_progress"}


def test_an_announcement_is_completed_and_emptied() -> None:
    """Keys that clients need are filled; text that is in it already is said once, when it is said."""
    bare = {"id": "msg", "type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
    out = reader.events(run(*created(), added(bare), text("Hello"), completed()).body)

    assert {"id": "msg", "type": "message", "content": [], "role": "assistant", "status": "in_progress"} == out[2][
        "item"
    ]
    assert HELLO == [line(body) for body in out]


def test_text_that_stands_only_in_an_announcement_is_said() -> None:
    """Nothing else says it."""
    assert HELLO == mended(*created(), added(message(text="Hello")), done(message()), completed())


def test_a_call_waits_for_its_name() -> None:
    """Its events leave when the done event has supplied it."""
    nameless = call() | {"name": "", "call_id": None}
    mender = Mender(Options(seed="1"))
    first = mender.feed(encoded([*created(), added(nameless), args('{"a":'), args("1}")]))
    second = mender.feed(encoded([done(call(arguments='{"a":1}'))]))

    assert HEAD == [line(body) for body in reader.events(first)]
    assert [
        "item.added 0 fc",
        'args.delta 0 fc {"a":',
        "args.delta 0 fc 1}",
        'args.done 0 fc {"a":1}',
        'item.done 0 fc {"a":1}',
    ] == [line(body) for body in reader.events(second)]


def test_others_need_not_wait_for_a_call_without_a_name() -> None:
    """And the indices are in the order in which items were announced."""
    nameless = call() | {"name": ""}
    out = mended(*created(), added(nameless), *said("Hello", index=1), done(call(arguments="{}")), completed())

    assert HELLO[:-1] == out[:8]
    assert out[8:] == ["item.added 1 fc", "args.done 1 fc {}", "item.done 1 fc {}", "completed msg=Hello fc={}"] or out[
        8:
    ] == [
        "item.added 1 fc",
        "args.delta 1 fc {}",
        "args.done 1 fc {}",
        "item.done 1 fc {}",
        "completed msg=Hello fc={}",
    ]


# Closing


def test_values_parts_and_items_are_closed_in_this_order() -> None:
    """Before the terminal event, from the inside out."""
    assert HELLO == mended(*created(), added(message()), text("Hello"), completed())


def test_a_value_that_differs_from_its_deltas_is_upstreams() -> None:
    """Moderation rewrites what was streamed, and that is right."""
    events = [
        *created(),
        added(message()),
        part("added"),
        text("Hello"),
        text_done("H***o"),
        part("done", "H***o"),
        done(message(text="H***o")),
        completed(message(text="H***o")),
    ]

    assert encoded(events) == run(*events).body


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_value_is_filled_from_the_deltas(empty: str | None) -> None:
    """Empty, null and absent say nothing where something was streamed."""
    out = mended(
        *created(), added(message()), part("added"), text("Hello"), text_done("") | {"text": empty}, completed()
    )

    assert HELLO == out


def test_a_tail_is_said_before_the_value_is_closed() -> None:
    """The closing value begins with what was streamed and goes on."""
    out = mended(*created(), added(message()), part("added"), text("Hel"), text_done("Hello"), completed())

    assert ["text.delta 0 msg 0 Hel", "text.delta 0 msg 0 lo", "text.done 0 msg 0 Hello"] == out[4:7]


def test_a_late_tail_reaches_codex_as_a_delta() -> None:
    """Its 0.135 shows deltas only; all others find the tail in the item."""
    late = [*created(), *said("Hello")[:-1], done(message(text="Hello!")), completed(message(text="Hello!"))]

    assert "text.delta 0 msg 0 !" not in mended(*late)
    assert "text.delta 0 msg 0 !" in mended(*late, dialect="codex")


def test_a_call_that_comes_whole_is_said() -> None:
    """LM Studio sends no arguments.delta, and LangChain runs the tool without them."""
    events = [*created(), *called('{"a":1}')[:1], *called('{"a":1}')[2:], completed(call(arguments='{"a":1}'))]

    assert mended(*created(), *called('{"a":1}'), completed()) == mended(*events)
    assert 1 == run(*events).report.defects["whole-call"]


def test_reasoning_that_only_the_done_event_has_is_said_only_if_nothing_else_was() -> None:
    """Raw reasoning beside a streamed summary is not said twice."""
    whole = reasoning(text="Hm.") | {"content": [{"type": "reasoning_text", "text": "Long."}]}
    out = mended(*created(), added(reasoning()), summary("Hm."), done(whole), completed())

    assert [each for each in out if each.startswith("think")] == []


@pytest.mark.parametrize("doubled", ['{"a":1}{"a":1}', '{"a":1}'])
def test_arguments_are_never_doubled(doubled: str) -> None:
    """Sub2API 0.1.134 to 0.1.138."""
    out = mended(
        *created(),
        added(call()),
        args('{"a":1}'),
        event("args.done", arguments=doubled, **at(0, "fc")),
        done(call(arguments=doubled)),
        completed(call(arguments=doubled)),
    )

    assert ['args.done 0 fc {"a":1}', 'item.done 0 fc {"a":1}', 'completed fc={"a":1}'] == out[-3:]


def test_doubled_text_that_is_no_json_is_left() -> None:
    """`abcabc` may be what the model wrote."""
    out = mended(
        *created(), added(call()), args("abc"), event("args.done", arguments="abcabc", **at(0, "fc")), completed()
    )

    assert "args.done 0 fc abcabc" in out


@pytest.mark.parametrize(
    "again",
    [added(message()), part("added"), text_done("Hello"), part("done", "Hello"), done(message(text="Hello"))],
    ids=lambda body: body["type"],
)
def test_what_comes_again_at_the_end_is_dropped(again: Event) -> None:
    """Each bracket is opened and closed once."""
    assert HELLO == mended(*created(), *said("Hello"), again, completed(message(text="Hello")))


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_what_is_closed_at_the_end_has_the_status_of_the_response(status: str) -> None:
    """A cut message is incomplete."""
    ended = event(f"response.{status}", response=response(status))
    out = reader.events(run(*created(), added(message()), text("Hello"), ended).body)

    assert [status] == [body["item"]["status"] for body in out if body["type"].endswith("item.done")]


def test_items_that_stand_only_in_the_terminal_are_said() -> None:
    """They are announced, streamed and closed like any other."""
    assert HELLO == mended(*created(), completed(message(text="Hello")))


def test_tool_lists_stay_open_where_nothing_else_is_wrong() -> None:
    """OpenAI never closes some of them; in a broken stream they are closed."""
    tools = {"id": "mcpl", "type": "mcp_list_tools", "server_label": "s", "tools": []}
    healthy = [*created(), added(tools), *said("Hello", index=1), completed(tools, message(text="Hello"))]
    broken = [*created(), added(tools), *said("Hello", index=1)[:-1], completed(tools, message(text="Hello"))]

    assert encoded(healthy) == run(*healthy).body
    assert "item.done 0 mcpl" in mended(*broken)


# Delta events


@pytest.mark.parametrize("nothing", [{}, {"delta": None}, {"delta": 7}], ids=str)
def test_a_delta_without_text_is_dropped_and_opens_nothing(nothing: Event) -> None:
    """Sub2API sends one for each empty chunk."""
    empty = {key: value for key, value in text("").items() if key != "delta"} | nothing

    assert [*HEAD, "completed"] == mended(*created(), empty, completed())


def test_a_delta_that_is_an_object_is_its_text() -> None:
    """better-ccflare."""
    assert HELLO == mended(*created(), *said("Hello")[:2], text("") | {"delta": {"text": "Hello"}}, completed())


def test_a_spliced_delta_keeps_every_other_byte() -> None:
    """Only the missing keys are added."""
    odd = '{"type" : "response.output_text.delta","delta":"caf\\u00e9","x":1.0e0, "item_id":"msg"'
    out = run(*created(), *said("x")[:2], f"data: {odd}}}\n\n").body

    assert f'data: {odd},"'.encode() in out


# The terminal event


def test_the_output_is_rebuilt_where_it_is_empty() -> None:
    """From what was streamed, in the order of the items."""
    events = [*created(), *said("Hello"), *called("{}", index=1), completed()]

    assert "completed msg=Hello fc={}" == mended(*events)[-1]


def test_the_output_is_put_in_order_and_completed() -> None:
    """Entries are aligned by id, call_id, then type and order."""
    other = call("other", "{}") | {"call_id": "call_fc"}
    events = [*created(), *said("Hello"), *called("{}", index=1), completed(other, message("m2", "Hello"))]

    assert "completed msg=Hello fc={}" == mended(*events)[-1]


def test_the_words_of_the_terminal_stay() -> None:
    """A non-empty value of upstream's is not overwritten."""
    events = [*created(), *said("Hello"), completed(message(text="Goodbye"))]

    assert encoded(events) == run(*events).body


def test_nothing_but_comments_and_the_sentinel_follows_the_terminal() -> None:
    """Everything else is dropped."""
    end = completed(message(text="Hello"))
    body = run(*created(), *said("Hello"), end, ": bye\n\n", end, text("x"), "data: [DONE]\n\n").body

    assert body.endswith(encoded([end]) + b": bye\n\ndata: [DONE]\n\n")


def test_an_error_may_follow_a_failure() -> None:
    """Seven set-ups notice only that."""
    failed = event("response.failed", response=response("failed", error={"code": "c", "message": "m"}))
    error = event("error", error={"code": "c", "message": "m"})

    assert encoded([*created(), failed, error]) == run(*created(), failed, error).body


def test_a_completed_response_that_is_incomplete_keeps_its_name() -> None:
    """Renaming it makes SDK helpers raise, so it is done on demand only."""
    end = completed(message(text="Hello"), status="incomplete")

    assert "completed msg=Hello" == mended(*created(), *said("Hello"), end)[-1]
    assert (
        "incomplete msg=Hello" == mended(*created(), *said("Hello"), end, on=frozenset({"incomplete-as-completed"}))[-1]
    )


# No terminal event


@pytest.mark.parametrize("last", [said("Hello"), called("{}")], ids=["message", "call"])
def test_a_body_whose_end_is_proven_is_completed(last: list[Event]) -> None:
    """The framing proves the end, all items are closed, and a turn may end with the last one."""
    assert "response.completed" == run(*created(), *last).report.terminal


@pytest.mark.parametrize(
    ("events", "ending"),
    [
        ([*created(), *said("Hello")], Ending.CUT),
        ([*created(), *said("Hello")], Ending.CLOSED),
        ([*created(), *said("Hello")], Ending.IDLE),
        ([*created(), *said("Hello")[:-1]], Ending.COMPLETE),
        ([*created(), *said("Hello")[:-1], added(message(phase="commentary"), 1)], Ending.COMPLETE),
        (
            [*created(), added(message(phase="commentary")), done(message(text="Hi", phase="commentary"))],
            Ending.COMPLETE,
        ),
        ([*created(), added(reasoning()), done(reasoning(text="Hm."))], Ending.COMPLETE),
        ([*created()], Ending.COMPLETE),
        ([], Ending.COMPLETE),
    ],
    ids=["cut", "closed", "idle", "open", "open-after-closed", "commentary", "reasoning", "no-item", "empty"],
)
def test_everything_else_has_failed(events: list[Event], ending: Ending) -> None:
    """A stream without an ending never ends like a good one."""
    last = reader.events(run(*events, ending=ending).body)[-1]

    assert last["type"] == "response.failed"
    assert last["response"]["error"] == {"code": "server_error", "message": last["error"]["message"]}


def test_the_sentinel_vouches_for_an_open_message() -> None:
    """But never for half a call."""
    assert "completed msg=Hello" == mended(*created(), *said("Hello")[:3], "data: [DONE]\n\n")[-1]
    assert "failed" == mended(*created(), *called('{"a":', "1}")[:2], "data: [DONE]\n\n")[-1]
    assert 'completed fc={"a":1}' == mended(*created(), *called('{"a":', "1}")[:3], "data: [DONE]\n\n")[-1]


def test_an_error_wins() -> None:
    """Over a completed response, over [DONE], over an end that is proven; its code and words are kept."""
    error = event("error", error={"code": "overloaded", "message": "Try again in 3s."})
    for rest in ([completed(message(text="Hello"))], ["data: [DONE]\n\n"], []):
        last = reader.events(run(*created(), *said("Hello"), error, *rest).body)[-1]

        assert ("response.failed", "overloaded", "Try again in 3s.") == (
            last["type"],
            last["error"]["code"],
            last["error"]["message"],
        )


def test_the_failure_says_who_ended_the_stream_and_when() -> None:
    """After how many events and seconds."""
    mender = Mender(Options(seed="1"))
    body = mender.feed(encoded(created())) + mender.close(Ending.IDLE, 12.34)

    assert (
        "fell silent and respfix gave up waiting after 2 events and 12.3 s"
        in reader.events(body)[-1]["error"]["message"]
    )


def test_a_stream_is_over_once_it_has_ended_or_failed() -> None:
    """The relay ends the body then."""
    good, bad = Mender(), Mender()
    assert not good.is_over
    good.feed(encoded([*created(), completed()]))
    bad.feed(encoded([*created(), event("error", message="no")]))

    assert good.is_over
    assert bad.is_over


# Codex


def overlapping() -> list[Event]:
    """Give a message in which a call speaks."""
    first = said("Hel", "lo")
    return [
        *created(),
        *first[:3],
        *called("{}", index=1),
        *first[3:],
        completed(message(text="Hello"), call(arguments="{}")),
    ]


def test_overlapping_items_are_legal() -> None:
    """For everybody but Codex."""
    assert encoded(overlapping()) == run(*overlapping()).body


def test_for_codex_nobody_speaks_inside_a_message() -> None:
    """What others want to say follows in order, and the output is in the order in which the items left."""
    out = mended(*overlapping(), dialect="codex")

    assert [
        "item.done 0 msg Hello",
        "item.added 1 fc",
        "args.delta 1 fc {}",
        "args.done 1 fc {}",
        "item.done 1 fc {}",
    ] == out[8:13]
    assert "completed msg=Hello fc={}" == out[13]


def test_for_codex_a_message_is_announced_when_it_speaks() -> None:
    """An `added` takes Codex's only slot, so it waits for the first word."""
    mender = Mender(Options(dialect="codex"))

    assert b"output_item.added" not in mender.feed(encoded([*created(), added(message()), part("added")]))
    assert b"output_item.added" in mender.feed(encoded([text("Hello")]))


def test_before_a_failure_codex_gets_what_waited() -> None:
    """Nothing that was received is lost."""
    failed = event("response.failed", response=response("failed", error={"code": "c", "message": "m"}))
    out = mended(*overlapping()[:8], failed, dialect="codex")

    assert ["item.added 1 fc", "args.delta 1 fc {}", "args.done 1 fc {}"] == out[5:8]
    assert "failed" == out[-1]


@pytest.mark.parametrize("phase", ["commentary", "final_answer", "partial_answer", None])
def test_codex_gets_the_phases_it_knows(phase: str | None) -> None:
    """And no others."""
    known, unknown = (
        [*created(), added(message(phase=each)), *said("Hello")[1:-1], done(final), completed(final)]
        for each in (phase, "thinking")
        for final in [message(text="Hello", phase=each)]
    )

    assert encoded(known) == run(*known, dialect="codex").body
    assert b"thinking" not in run(*unknown, dialect="codex").body
    assert b"thinking" in run(*unknown).body


# Foreign frames


@pytest.mark.parametrize(
    "foreign",
    [
        'data: {"type":"ping"}\n\n',
        "event: ping\ndata: {}\n\n",
        "data: {}\n\n",
        "event: x\n\n",
        'data: {"type":"codex.x"}\n\n',
    ],
)
def test_foreign_frames_become_comments(foreign: str) -> None:
    """No client can read them."""
    out = run(*created(), foreign, completed()).body

    assert [*HEAD, "completed"] == [line(body) for body in reader.events(out)]
    assert b"\n: " in out


def test_a_ping_is_a_keepalive_for_codex() -> None:
    """Comments do not reset its idle timer; before response.created nothing else is possible."""
    out = run('data: {"type":"ping"}\n\n', *created(), 'data: {"type":"ping"}\n\n', completed(), dialect="codex").body

    assert out.startswith(b": ")
    assert [*HEAD, "keepalive", "completed"] == [line(body) for body in reader.events(out)]


@pytest.mark.parametrize("frame", ['data: {"type":"keepalive"}\n\n', 'data: {"type":"response.tomorrow","x":1}\n\n'])
def test_what_openai_sends_or_may_send_passes(frame: str) -> None:
    """A keepalive, and events that nobody knows yet."""
    body = encoded([*created(), frame, completed()])

    assert body == mend(body).body


def test_codex_keeps_its_own_frames() -> None:
    """They are comments for others."""
    body = encoded([*created(), 'data: {"type":"codex.rate_limits"}\n\n', completed()])

    assert body == mend(body, Options(dialect="codex")).body


# Keep-alive


@pytest.mark.parametrize(
    ("dialect", "expected"), [("default", b": keepalive\n\n"), ("codex", b'data: {"type":"keepalive"}\n\n')]
)
def test_a_keepalive_is_given_between_frames_only(dialect: str, expected: bytes) -> None:
    """Never inside a frame, and never after the end."""
    mender = Mender(Options(dialect=dialect))
    mender.feed(encoded(created()))

    assert expected == mender.keepalive()
    mender.feed(b"data: {")
    assert mender.keepalive() == b""
    mender.feed(b"}\n\n" + encoded([completed()]))
    assert mender.keepalive() == b""


def test_an_observer_says_nothing_of_its_own() -> None:
    """It gives back what it was given, and nothing at the end."""
    observer = Observer(Options())
    body = encoded([text("Hello")])

    assert body == observer.feed(body)
    assert (b"", b"", False, None) == (
        observer.keepalive(),
        observer.close(),
        observer.is_over,
        observer.report.terminal,
    )
    assert observer.report.defects["missing-output-item-added"] == 1


def test_limits_can_be_narrowed() -> None:
    """Beyond one, the report says which."""
    assert run(*created(), *said("Hello"), limits=Limits(text_bytes=2)).report.stopped == "too-much-text"


def test_a_limit_that_the_last_event_exceeds_leaves_nothing_owed() -> None:
    """The event that no blank line ended is let go as it is, and no end is made up behind it."""
    body = encoded([*created(), *said("Hello")[:3]])
    announced = next(line for line in body.splitlines() if b'"response.output_item.added"' in line)
    out = mend(body[:-1], Options(limits=Limits(text_bytes=len(announced.removeprefix(b"data: ")) + 2)))

    assert ("too-much-text", None) == (out.report.stopped, out.report.terminal)
    assert body.splitlines()[-2] == out.body.splitlines()[-2]


# What is heard too late, or says nothing


def test_a_note_on_a_text_whose_item_is_done_is_late() -> None:
    """Nobody can put an annotation into a message that was handed over."""
    note = event("response.output_text.annotation.added", annotation={"type": "x"}, content_index=0, **at(0, "msg"))
    out = run(*created(), *said("Hello"), note, completed(message(text="Hello")))

    assert HELLO == transcript(out)
    assert 1 == out.report.defects["event-after-done"]


def test_the_progress_of_a_tool_that_is_done_is_late() -> None:
    """A search that has ended is not heard of again."""
    search = {"id": "ws", "type": "web_search_call", "status": "completed"}
    progress = event("response.web_search_call.completed", **at(0, "ws"))
    out = run(*created(), added(search), done(search), progress, completed(search))

    assert [*HEAD, "item.added 0 ws", "item.done 0 ws", "completed ws="] == transcript(out)
    assert 1 == out.report.defects["event-after-done"]


def test_a_hosted_tool_may_have_nothing_to_say() -> None:
    """A patch that deletes a file has no diff, and gets none."""
    patch = {"id": "ap", "type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file", "path": "a"}}
    doing, finished = patch | {"status": "in_progress"}, patch | {"status": "completed"}
    stream = [*created(), added(doing), done(finished), completed(finished)]

    assert encoded(stream) == run(*stream).body
    assert {} == run(*stream).report.defects


def test_a_call_without_arguments_stays_without_them_if_nobody_minds() -> None:
    """Switched off, `empty-arguments` makes up no object, and says nothing in a delta."""
    stream = [*created(), added(call()), done(call(arguments=""))]

    assert [*HEAD, "item.added 0 fc", "args.delta 0 fc {}", "args.done 0 fc {}"] == mended(*stream)[:5]
    assert [*HEAD, "item.added 0 fc", "args.done 0 fc", "item.done 0 fc", "completed fc="] == mended(
        *stream, off=frozenset({"empty-arguments"})
    )


def test_a_call_without_id_on_the_index_of_one_that_spoke_is_another() -> None:
    """A repeated announcement would come before the first word."""
    nameless = [{key: value for key, value in call(name).items() if key != "id"} for name in ("a", "b")]
    first, second = nameless
    stream = [*created(), added(first), args("{}", 0, None), added(second), args("[]", 0, None)]

    assert ["item.added 0 fc_r_0", "item.added 1 fc_r_1"] == [word for word in mended(*stream) if "added" in word]
    assert ["args.delta 0 fc_r_0 {}", "args.delta 1 fc_r_1 []"] == [word for word in mended(*stream) if "delta" in word]


def test_a_call_that_stands_only_in_the_terminal_and_has_no_name_is_not_announced() -> None:
    """Nobody can call a function without a name: the terminal says what it said, and the report says why."""
    nameless = {key: value for key, value in call(arguments="{}").items() if key != "name"}
    out = run(*created(), completed(nameless))

    assert [*HEAD, "completed fc={}"] == transcript(out)
    assert 1 == out.report.defects["unannounceable-call"]


def test_a_type_that_is_no_text_still_names_its_event() -> None:
    """Half a surrogate pair can be escaped in JSON, but not written in UTF-8."""
    body = b'event: other\ndata: {"type":"response.\\ud800","sequence_number":0}\n\n'
    out = run(*numbered(created()), body.decode())

    assert b'event: response.?\ndata: {"type":"response.\\ud800"' in out.body
    assert 1 == out.report.defects["wrong-event-name"]


# Who looks on


def test_a_witness_hears_of_every_defect_where_it_stands() -> None:
    """In the order of the stream: the defect, the number of the event, and where its bytes began."""
    heard: list[Sighting] = []
    head, rest = (
        encoded([*numbered(created()), *numbered([added(message())], 2)]),
        encoded(numbered([text("Hello")], 3)),
    )
    mender = Mender(Options(seed="1"), heard.append)
    mender.feed(head + rest)

    assert Sighting("missing-part-added", 4, len(head)) in heard
    assert mender.report.defects == {
        slug: sum(seen.slug == slug for seen in heard) for slug in {seen.slug for seen in heard}
    }
    assert sorted(heard, key=lambda seen: seen.offset) == heard


def test_a_fault_inside_stops_the_repair_and_not_the_stream() -> None:
    """Where the repair breaks, here by its witness, every byte from there on is passed as it came."""

    def breaks(_: Sighting) -> None:
        raise RuntimeError

    body = encoded([*created(), added(message()), text("Hello")])
    mender = Mender(Options(seed="1"), breaks)
    out = mender.feed(body) + mender.feed(b"data: {") + mender.close()

    assert (body + b"data: {", "internal-fault") == (out, mender.report.stopped)
