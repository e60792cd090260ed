"""The finer points of the rules, as transcripts: what a small change to the repair would get wrong."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import reader
from corpus import mend
from openai.types.responses import ResponseOutputItem, ResponseStreamEvent
from test_mender import (
    HEAD,
    HELLO,
    Event,
    added,
    args,
    at,
    call,
    called,
    completed,
    created,
    done,
    encoded,
    event,
    mended,
    message,
    numbered,
    part,
    reasoning,
    response,
    run,
    said,
    summary,
    text,
    text_done,
)

from respfix.stream import Ending, Limits, Options
from respfix.stream.defects import by_weight
from respfix.stream.grammar import KINDS, PLACES
from respfix.stream.values import whole_number

DONE = "response.output_item.done"
NAMES = {"item_id": "msg", "output_index": 0, "content_index": 0}
WHOLE = [*created(), *said("Hello"), completed(message(text="Hello"))]


def left(*events: Event | str, **options: Any) -> list[Event]:
    """Give the events that leave."""
    return reader.events(run(*events, **options).body)


def ended(*events: Event | str, **options: Any) -> Any:
    """Give the response that the terminal event carries."""
    return reader.terminal(left(*events, **options))["response"]


# Values of the wrong kind


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *((3, 3), (3.0, 3), ("3", 3), ("9" * 19, int("9" * 19))),
        *((True, None), (3.5, None), (float("inf"), None), ("9" * 20, None), ("²", None), ("", None), (None, None)),
    ],
    ids=repr,
)
def test_a_whole_number_is_read_from_what_is_one(value: object, number: int | None) -> None:
    """A number may come as text or as a float; what is none, and more digits than 64 bits have, is unknown."""
    assert number == whole_number(value)


def test_a_part_whose_text_is_a_list_says_its_texts() -> None:
    """The pieces are joined."""
    whole = part("done") | {"part": {"type": "output_text", "text": ["Hel", "lo"], "annotations": []}}
    closing = [body for body in left(*created(), *said("Hello")[:4], whole) if "part" in body][-1]

    assert "Hello" == closing["part"]["text"]


def test_a_part_whose_text_is_a_number_is_announced_silent() -> None:
    """What cannot be read as text says nothing."""
    opening = part("added") | {"part": {"type": "output_text", "text": 7, "annotations": []}}
    (announced,) = (
        body for body in left(*created(), added(message()), opening, text("Hello")) if "part.added" in str(body)
    )

    assert "" == announced["part"]["text"]


def test_content_that_is_an_empty_text_is_no_part() -> None:
    """There is nothing in it to be announced."""
    empty = message() | {"content": "", "status": "completed"}

    assert [*HEAD, "item.added 0 msg", "item.done 0 msg", "completed msg="] == mended(
        *created(), added(message()), done(empty), completed(empty)
    )


def test_an_unknown_item_of_the_assistant_keeps_its_type() -> None:
    """Only a list of parts makes it a message."""
    vendor = {"id": "v", "type": "vendor", "role": "assistant", "content": "Hello"}

    assert ["vendor"] == [
        body["item"]["type"] for body in left(*created(), done(vendor)) if "item.done" in body["type"]
    ]


def test_a_response_id_that_is_a_number_is_of_the_wrong_kind() -> None:
    """It becomes text, everywhere the same, and is not counted as a change."""
    events = [*created(id=7), *said("Hello"), completed(message(text="Hello"), id=7)]

    assert {"7"} == {body["response"]["id"] for body in left(*events) if "response" in body}
    assert {"wrong-kind"} == run(*events).report.defects.keys() & {"wrong-kind", "changed-response-id"}


def test_counts_that_are_text_are_numbers() -> None:
    """Usage is counted in whole numbers, and its total is the sum only where there is none."""
    usage = {
        "input_tokens": "3",
        "input_tokens_details": {"cached_tokens": "1"},
        "output_tokens": 2.0,
        "output_tokens_details": {"reasoning_tokens": None},
        "total_tokens": "9",
    }

    assert {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 9,
    } == ended(*WHOLE[:-1], completed(message(text="Hello"), usage=usage))["usage"]


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"input_tokens": None, "output_tokens": 5, "total_tokens": 12}, (7, 5, 12)),
        ({"input_tokens": 7, "total_tokens": 12}, (7, 5, 12)),
        ({"input_tokens": 7, "total_tokens": 3}, (7, 0, 3)),
        ({"total_tokens": 12}, (0, 0, 12)),
        ({"input_tokens": 7}, (7, 0, 7)),
    ],
    ids=str,
)
def test_a_count_that_is_missing_is_the_rest_of_the_total(usage: Event, counts: tuple[int, int, int]) -> None:
    """Where two of the three numbers are known; what nobody can know is nothing."""
    whole = ended(*WHOLE[:-1], completed(message(text="Hello"), usage=usage))["usage"]

    assert counts == (whole["input_tokens"], whole["output_tokens"], whole["total_tokens"])


@pytest.mark.parametrize("output", [[[None]], ["Hello"], [None, message(text="Hello")]], ids=repr)
def test_an_entry_that_is_no_item_is_replaced(output: list[Any]) -> None:
    """It is counted, like everything that is repaired."""
    end = event("response.completed", response=response("completed") | {"output": output})
    repaired = run(*WHOLE[:-1], end)

    assert [["msg"]] == [[item["id"] for item in ended(*WHOLE[:-1], end)["output"]]]
    assert {"wrong-output", "empty-output"} & repaired.report.defects.keys()


def test_a_call_at_a_place_of_its_own_is_another_call() -> None:
    """Although its call_id is one that is open: both its id and its index are new."""
    events = [*created(), *called("{}")[:2], added(call("other") | {"call_id": "call_fc"}, 1), completed()]

    assert 2 == len([line for line in mended(*events) if line.startswith("item.added")])


def test_an_item_keeps_the_type_that_it_was_announced_with() -> None:
    """A vendor's item that is closed with content is the one that was announced, and no message."""
    vendor: Event = {"id": "v", "type": "vendor", "role": "assistant"}
    said_last = vendor | {"content": [{"type": "output_text", "text": "Hello", "annotations": []}]}
    lines = mended(*created(), added(vendor), done(said_last), completed(said_last))

    assert ["item.added 0 v", "item.done 0 v Hello"] == [line for line in lines if line.startswith("item.")]


def test_a_terminal_event_whose_response_is_null_has_one() -> None:
    """It is made of what was said."""
    assert HELLO == mended(*WHOLE[:-1], event("response.completed", response=None))


# Names


def test_an_item_that_is_known_by_its_id_is_named() -> None:
    """An event with an id and an index that nobody has opens another item."""
    lines = mended(*created(), added(message(), None), text("Hello", None), text("world", 3, "other"), completed())

    assert ["item.added 0 msg", "item.added 1 other"] == [line for line in lines if line.startswith("item.added")]


def test_an_index_of_nobody_alone_is_the_only_open_items() -> None:
    """Whoever leaves out the id and counts wrong means the only one there is."""
    assert HELLO == mended(*created(), added(message()), text("Hello", 7, None), completed())


def test_another_index_is_another_call_where_nothing_is_announced() -> None:
    """Each gets its own arguments; whoever announces its calls and counts wrong means the only one there is."""
    pieces = [args('{"a"', 0, None), args('{"b"', 1, None), args(":1}", 0, None), args(":2}", 1, None)]
    dones = [done(call("fa", '{"a":1}'), 0), done(call("fb", '{"b":2}'), 1)]
    output = ended(*created(), *pieces, *dones, completed())["output"]

    assert ['{"a":1}', '{"b":2}'] == [item["arguments"] for item in output]
    assert "args.delta 0 fc {}" in mended(*created(), added(call()), args("{}", 7, None), completed())


def test_a_call_that_waits_for_its_arguments_is_not_closed_by_another_on_its_index() -> None:
    """One whose arguments are whole is, as a text is."""
    first, second = added(call("fa"), 0), added(call("fb"), 0)
    waiting = mended(*created(), first, second, args('{"b":2}', 0, "fb"), args('{"a":1}', 0, "fa"), completed())
    whole = mended(*created(), first, args('{"a":1}', 0, "fa"), second, args('{"b":2}', 0, "fb"), completed())

    assert 'completed fa={"a":1} fb={"b":2}' == waiting[-1] == whole[-1]
    assert 'args.delta 0 fa {"a":1}' in waiting
    assert whole.index('item.done 0 fa {"a":1}') < whole.index("item.added 1 fb")


def test_entries_of_the_output_without_ids_are_told_apart_by_their_types() -> None:
    """The order of the entries may be another than that of the items."""
    nameless = [
        {key: value for key, value in body.items() if key != "id"}
        for body in (message(text="Hello"), reasoning(text="Hm"))
    ]
    events = [*created(), added(reasoning()), summary("Hm"), done(reasoning(text="Hm")), *said("Hello", index=1)]

    assert ["rs", "msg"] == [item["id"] for item in ended(*events, completed(*nameless))["output"]]


def test_a_ciphertext_goes_with_the_id_of_its_done_event() -> None:
    """An entry of the output with another id gets both as they were when the item was done."""
    thought, other = (reasoning(item_id, "Hm", encrypted_content=item_id) for item_id in ("rs", "other"))
    output = ended(*created(), added(reasoning()), summary("Hm"), done(thought), completed(other))["output"]

    assert [("rs", "rs")] == [(item["id"], item["encrypted_content"]) for item in output]


def test_a_part_of_reasoning_opens_reasoning() -> None:
    """A part belongs to the kind of item that has such parts."""
    opening = part("added", item_id="rs") | {"part": {"type": "reasoning_text", "text": ""}}

    assert ["reasoning"] == [body["item"]["type"] for body in left(*created(), opening) if "item.added" in body["type"]]


@pytest.mark.parametrize("sentinel", ["event: done\ndata: [DONE]\n\n", "event: x\ndata: [DONE]\n\n"])
def test_a_sentinel_with_a_name_is_the_sentinel(sentinel: str) -> None:
    """Its name is nobody's business."""
    body = encoded([*WHOLE, sentinel])

    assert body == run(*WHOLE, sentinel).body


# Parts


def test_one_part_in_the_done_event_may_stand_for_several() -> None:
    """Where upstream joined what it said in parts, no part says more than it said."""
    events = [*created(), *said("Hel")[:3], text("lo", content_index=1)]
    lines = mended(*events, done(message(text="Hello")))

    assert ["text.done 0 msg 0 Hel", "text.done 0 msg 1 lo"] == [line for line in lines if line.startswith("text.done")]
    assert not [line for line in lines if line.startswith("text.delta 0 msg 1") and not line.endswith("lo")]


def test_as_many_parts_in_the_done_event_say_what_they_say() -> None:
    """Each is upstream's last word, also where all together they say the same."""
    whole = message(text="He")
    whole["content"] = [{"type": "output_text", "text": words, "annotations": []} for words in ("He", "llo")]
    lines = mended(*created(), *said("Hel")[:3], text("lo", content_index=1), done(whole))

    assert "text.done 0 msg 1 llo" in lines


def test_a_part_is_closed_before_the_next_is_announced() -> None:
    """Parts follow one another."""
    events = [*created(), *said("Hello")[:3], part("added", content_index=1), text("world", content_index=1)]
    lines = mended(*events)

    assert lines.index("part.done 0 msg 0 Hello") < lines.index("part.added 0 msg 1")


def test_a_part_that_is_only_closed_is_opened_and_said() -> None:
    """Its closing says all there is to know."""
    assert HELLO == mended(*created(), added(message()), part("done", "Hello"), completed())


def test_text_in_an_announcement_is_said_in_the_part_that_follows() -> None:
    """The item was announced with its text, its part without."""
    opening = added(message(text="Hello") | {"status": "in_progress"})

    assert HELLO == mended(*created(), opening, part("added"), completed())


def test_for_codex_a_delta_opens_its_part() -> None:
    """As for anybody else."""
    assert HELLO == mended(*created(), text("Hello"), completed(), dialect="codex")


def test_the_probabilities_of_the_deltas_stand_in_the_done_event() -> None:
    """What respfix closes says what was said, and how likely it was."""
    likely: list[list[Event]] = [[{"token": "Hel", "logprob": -1}], [{"token": "lo", "logprob": -2}]]
    events = [*created(), *said()[:2], *(text(odds[0]["token"], logprobs=odds) for odds in likely), completed()]
    (closing,) = (body for body in left(*events) if body["type"] == "response.output_text.done")

    assert [odds[0] for odds in likely] == closing["logprobs"]


def test_arguments_that_may_stay_empty_are_closed_empty() -> None:
    """Without the defect `empty-arguments`, nothing is put in their place."""
    events = [*created(), added(call()), done(call(arguments=""))]
    lines = mended(*events, completed(call(arguments="")), off=frozenset({"empty-arguments"}))

    assert {"args.done 0 fc", "item.done 0 fc"} <= {line.strip() for line in lines}
    assert not [line for line in lines if line.startswith("args.delta")]


def test_an_item_that_was_never_announced_is_announced_silent() -> None:
    """What its done event says is said afterwards."""
    (announced,) = (
        body["item"]
        for body in left(*created(), done(message(text="Hello")))
        if "added" in body["type"] and "item" in body
    )

    assert ([], "in_progress") == (announced["content"], announced["status"])


def test_an_item_that_has_no_status_gets_none() -> None:
    """Reasoning is closed as it was opened."""
    events = [*created(), added(reasoning()), summary("Hm")]
    (closed,) = (body["item"] for body in left(*events, completed()) if body["type"] == "response.output_item.done")

    assert "status" not in closed


def test_a_vendors_part_that_is_only_announced_passes_as_it_is() -> None:
    """What has no row is bracketed, and its body is upstream's."""
    vendors = {"type": "vendor", "mood": 1}
    events = [*created(), added(message()), part("added") | {"part": vendors}, text("Hello", content_index=1)]
    closing = [body["part"] for body in left(*events, completed()) if body["type"] == "response.content_part.done"]

    assert vendors == closing[0]


# Repeats, and continuations


def test_numbers_that_do_not_rise_prove_no_repeat() -> None:
    """A server that numbers everything 0 says something new after a done event, too."""
    events = [*created(), *said("Hello")[:4], text(" world")]
    lines = mended(*(body | {"sequence_number": 0} for body in events), completed())

    assert "text.delta 0 msg 1  world" in lines


def test_one_entry_may_stand_for_an_item_and_its_continuation() -> None:
    """The output has the items that left."""
    events = [*WHOLE[:-1], text(" world"), completed(message(text="Hello world"))]

    assert ["Hello", " world"] == [item["content"][0]["text"] for item in ended(*events)["output"]]


def test_an_entry_for_an_item_and_its_continuation_is_not_said_again() -> None:
    """Upstream's own closing of the continuation repeats what was closed before it."""
    lines = mended(*WHOLE[:-1], text(" world"), text_done("Hello world"), completed(message(text="Hello world")))

    assert ["text.done 0 msg 0 Hello", "text.done 1 msg_r_1 0  world"] == [
        line for line in lines if line.startswith("text.done")
    ]


def test_an_entry_that_says_something_else_is_upstreams() -> None:
    """An item that was continued is no reason to ignore what the output says of it."""
    events = [*WHOLE[:-1], text(" world"), completed(message(text="Hallo"))]

    assert "Hallo" == ended(*events)["output"][0]["content"][0]["text"]


# The end


def test_an_entry_without_a_status_has_that_of_its_item() -> None:
    """A call that was done as incomplete stays so."""
    whole = call(arguments="{}")
    bare = {key: value for key, value in whole.items() if key != "status"}
    end = event("response.incomplete", response=response("incomplete", bare))
    output = ended(*created(), *called("{}")[:-1], done(whole | {"status": "incomplete"}), end)["output"]

    assert ["incomplete"] == [item["status"] for item in output]


def test_nothing_but_an_error_follows_a_failure() -> None:
    """What is said after the end is not heard."""
    failed = event("response.failed", response=response("failed", error={"code": "x", "message": "y"}))

    assert mended(*created(), failed) == mended(*created(), failed, text("Hello"))


def test_a_call_that_nobody_named_is_lost_in_a_failure() -> None:
    """No client could do anything with it, and some would break on it."""
    failed = event("response.failed", response=response("failed", error={"code": "x", "message": "y"}), error={"a": 1})

    assert [*HEAD, "failed"] == mended(*created(), args("{}"), failed)
    assert 1 == run(*created(), args("{}"), failed).report.defects["unannounceable-call"]


@pytest.mark.parametrize(
    ("error", "code", "said_why"),
    [
        ({"error": {"detail": "it broke"}}, "server_error", "it broke"),
        ({"message": "it broke"}, "server_error", "it broke"),
        ({"error": "it broke"}, "server_error", "it broke"),
        ({"error": {"type": "overloaded", "message": "it broke"}}, "overloaded", "it broke"),
        ({}, "server_error", "the upstream failed (server_error) and did not say why"),
    ],
    ids=["detail", "flat", "text", "type", "nothing"],
)
def test_an_error_in_any_form_is_told_in_one(error: Event, code: str, said_why: str) -> None:
    """The failure after it has the code and the words."""
    whole = ended(*created(), event("error", **error))

    assert {"code": code, "message": said_why} == whole["error"]


def test_a_failure_whose_error_is_a_text_has_an_object() -> None:
    """The words are upstream's."""
    failed = event("response.failed", response=response("failed", error="it broke"))

    assert {"code": "server_error", "message": "it broke"}.items() <= ended(*created(), failed)["error"].items()


def test_an_announcement_that_was_missing_says_in_progress() -> None:
    """Whatever the event says that came instead, unless the response is queued."""
    first, *_ = left(event("response.in_progress", response=response("completed")), *WHOLE[2:])

    assert ("response.created", "in_progress") == (first["type"], first["response"]["status"])


def test_the_model_of_the_announcement_is_that_of_the_end() -> None:
    """Where upstream leaves it out there, it is what was said before."""
    whole = {key: value for key, value in response("completed", message(text="Hello")).items() if key != "model"}

    assert "m" == ended(*WHOLE[:-1], event("response.completed", response=whole))["model"]


def test_a_queued_response_is_announced_as_queued() -> None:
    """The announcement that was missing says what was known then."""
    first, *_ = left(event("response.queued", response=response("queued")), *WHOLE[1:])

    assert ("response.created", "queued") == (first["type"], first["response"]["status"])


# Foreign and odd events


def test_an_event_with_a_type_is_an_event() -> None:
    """Whatever object it says it is besides."""
    odd = event("response.tomorrow", object="chat.completion.chunk")

    assert ["tomorrow"] == [line for line in mended(*WHOLE[:-1], odd, WHOLE[-1]) if line not in HELLO]


@pytest.mark.parametrize("kind", [7, "vendor.chunk", None], ids=repr)
def test_an_object_without_a_type_passes(kind: object) -> None:
    """Only a chunk of Chat Completions is known to be foreign."""
    frame = encoded([{"object": kind, "x": 1}])

    assert frame in run(*WHOLE[:-1], frame.decode(), WHOLE[-1]).body


def test_every_event_that_openai_documents_has_a_row() -> None:
    """Its SDK knows them all; an error has a rule of its own, and a row with another name is not made up."""
    union = get_args(get_args(ResponseStreamEvent)[0])
    documented = {get_args(one.model_fields["type"].annotation)[0] for one in union}

    assert {"error"} == documented - PLACES.keys()
    assert {
        f"response.apply_patch_call_operation_diff.{role}" for role in ("delta", "done")
    } == PLACES.keys() - documented


# The way out


def test_what_was_rewritten_is_counted() -> None:
    """Events that left with other data than they came with; what was added is counted elsewhere."""
    events = [*created(), added(message()), part("added"), text("Hello", 7), *said("Hello")[3:], WHOLE[-1]]
    repaired = run(*events)
    others = [body for body in reader.events(repaired.body) if body not in events]

    assert (len(others), 0) == (repaired.report.rewritten, repaired.report.inserted)


def test_for_codex_numbers_rise_although_a_message_waits() -> None:
    """A message is announced when it speaks, with a number that fits there."""
    events = [
        *created(),
        added(message(), 0),
        *called("{}", index=1),
        *said("Hello")[1:],
        completed(message(text="Hello"), call(arguments="{}")),
    ]
    repaired = run(*numbered(events), dialect="codex")
    numbers = [body["sequence_number"] for body in reader.events(repaired.body)]

    assert sorted(set(numbers)) == numbers
    assert "sequence-number-not-rising" not in repaired.report.defects


def test_for_codex_what_waited_and_left_makes_room() -> None:
    """The bound is one of what waits at a time."""
    turns = [
        one
        for n in (0, 2, 4)
        for one in (
            *said("Hello", index=n, item_id=f"m{n}")[:3],
            *called("{}", index=n + 1, item_id=f"f{n}"),
            *said("Hello", index=n, item_id=f"m{n}")[3:],
        )
    ]
    repaired = run(*created(), *turns, completed(), dialect="codex", limits=Limits(held_frames=5))

    assert repaired.report.stopped is None
    assert 0 == repaired.report.held


def test_what_was_inserted_and_dropped_is_counted() -> None:
    """Each event that came and did not leave, and each that left and did not come."""
    events = [*created(), added(message()), added(message()), *said("Hello")[1:5], WHOLE[-1]]
    repaired = run(*events)
    made = [body for body in reader.events(repaired.body) if body["type"] not in {one["type"] for one in events}]

    assert (1, len(made)) == (repaired.report.dropped, repaired.report.inserted)
    assert repaired.report.events_out == repaired.report.events_in - 1 + repaired.report.inserted


def test_a_number_that_is_text_is_a_number() -> None:
    """It is of the wrong kind, and the next one counts from it."""
    events: list[Event] = numbered(WHOLE)
    events[4] |= {"sequence_number": "4"}
    repaired = run(*events)

    assert list(range(len(events))) == [body["sequence_number"] for body in reader.events(repaired.body)]
    assert 1 == repaired.report.defects["wrong-kind"]
    assert "sequence-number-not-rising" not in repaired.report.defects


def test_a_call_that_nobody_can_name_keeps_its_index() -> None:
    """It leaves as it came."""
    orphan = args("{}", 5, "f5")
    out = left(*created(), orphan, *said("Hello"), completed(message(text="Hello")))

    assert orphan.items() <= next(body for body in out if body["type"] == orphan["type"]).items()


def test_for_codex_numbers_rise_where_others_overtake_a_message() -> None:
    """What belongs to nobody does not wait for the message, and has its number."""
    events = [*created(), added(message()), event("response.tomorrow"), *said("Hello")[1:], WHOLE[-1]]
    out = left(*numbered(events), dialect="codex")
    numbers = [body["sequence_number"] for body in out]

    assert "response.tomorrow" == out[2]["type"]
    assert sorted(set(numbers)) == numbers


def test_a_vendors_event_is_numbered_only_if_it_was() -> None:
    """A number is nothing that a foreign event must have."""
    vendors: list[Event] = [{"type": "vendor.x", "sequence_number": 4}, {"type": "vendor.y"}]
    events = [*numbered([*created(), *said("Hello")[1:]]), *vendors, WHOLE[-1] | {"sequence_number": 9}]
    out = [body for body in left(*events) if body["type"].startswith("vendor")]

    assert [True, False] == ["sequence_number" in body for body in out]


def test_text_in_the_announcement_of_a_part_is_said() -> None:
    """It is announced silent, and says it where nothing else does."""
    opening = part("added", "Hello")

    assert HELLO == mended(*created(), added(message()), opening, completed())


def test_reasoning_that_stands_only_in_its_done_event_is_said() -> None:
    """Nothing else told it."""
    lines = mended(*created(), added(reasoning()), done(reasoning(text="Hm")), completed(reasoning(text="Hm")))

    assert "summary.delta 0 rs 0 Hm" in lines


@pytest.mark.parametrize("nothing", [None, [], 7, {"status": "failed"}], ids=repr)
def test_a_terminal_event_has_a_response_whatever_came(nothing: object) -> None:
    """What is no response is none, and what says that it failed has failed."""
    end = event("response.completed", response=nothing)

    assert ("failed" if isinstance(nothing, dict) else "completed") == ended(*WHOLE[:-1], end)["status"]


def test_an_item_that_is_known_by_its_index_is_named() -> None:
    """As with an id: names that nobody has are another item's."""
    lines = mended(*created(), text("Hello", 0, None), text("world", 3, "other"), completed())

    assert 2 == len([line for line in lines if line.startswith("item.added")])


def test_what_an_incomplete_response_closes_is_incomplete() -> None:
    """Also where the event says that it is completed, which is left to upstream."""
    end = event("response.completed", response=response("incomplete", usage=None))
    closed = [body["item"] for body in left(*WHOLE[:5], end) if body["type"] == "response.output_item.done"]

    assert ["incomplete"] == [item["status"] for item in closed]


def test_a_failure_without_a_status_has_failed() -> None:
    """The name of the event says it."""
    bare = {
        key: value for key, value in response("failed", error={"code": "x", "message": "y"}).items() if key != "status"
    }

    assert "failed" == ended(*created(), event("response.failed", response=bare))["status"]


@pytest.mark.parametrize("role", ["added", "done"])
def test_an_event_on_an_item_that_is_none_is_dropped(role: str) -> None:
    """It says nothing, and opens nothing."""
    events = [*WHOLE[:3], event(f"item.{role}", item=None, output_index=0), *WHOLE[3:]]

    assert HELLO == mended(*events)
    assert 1 == run(*events).report.defects["event-without-item"]


def test_an_item_that_was_never_announced_was_not_announced_full() -> None:
    """The report names what was missing, and no fault that respfix would have made itself."""
    defects = run(*created(), done(message(text="Hello")), WHOLE[-1]).report.defects

    assert "missing-output-item-added" in defects
    assert "filled-snapshot" not in defects


def test_a_value_that_is_closed_without_one_is_empty() -> None:
    """Where nothing was said, nothing is closed, and that is told."""
    silent = {key: value for key, value in text_done("").items() if key != "text"}
    repaired = run(*created(), *said("")[:2], silent, *said("")[4:], completed(message(text="")))
    (closing,) = (body for body in reader.events(repaired.body) if body["type"] == "response.output_text.done")

    assert "" == closing["text"]
    assert 1 == repaired.report.defects["empty-value-done"]


def test_a_call_without_a_status_is_announced_with_one() -> None:
    """A client that cannot do without the status finds it."""
    bare = {key: value for key, value in call().items() if key != "status"}
    events = [*created(), added(bare), *called("{}")[1:], completed(call(arguments="{}"))]
    (announced,) = (body["item"] for body in left(*events) if body["type"] == "response.output_item.added")

    assert "in_progress" == announced["status"]
    assert "missing-item-keys" in run(*events).report.defects


def test_a_cut_in_the_middle_of_an_item_is_a_failure() -> None:
    """With all that was done in its output, and nothing that was not."""
    events = [*created(), *called("{}"), *said("Hello", index=1)[:3]]

    assert ["fc"] == [item["id"] for item in ended(*events, ending=Ending.CUT)["output"]]


def test_one_text_for_two_parts_is_told_as_two() -> None:
    """What left as two parts stands as two parts in the item and in the output, not as one and a half."""
    second = text("lo") | {"content_index": 1}
    events = [*created(), added(message()), part("added"), text("Hel"), second, done(message(text="Hello"))]
    response_left = ended(*events, completed(message(text="Hello")))

    assert ["Hel", "lo"] == [each["text"] for each in response_left["output"][0]["content"]]


def test_a_name_that_is_no_text_gives_way_to_one_that_is() -> None:
    """The announcement leaves with the name that the deltas know."""
    named = args("{}") | {"name": "run", "call_id": "call_fc"}
    events = [*created(), added(call() | {"name": True}), named, completed(call(arguments="{}"))]
    (announced,) = (body["item"] for body in left(*events) if body["type"] == "response.output_item.added")

    assert "run" == announced["name"]


def test_nothing_said_after_a_value_is_closed_is_dropped() -> None:
    """An empty delta opens no second part."""
    events = [*WHOLE[:6], text(""), *WHOLE[6:]]

    assert HELLO == mended(*events)
    assert 1 == run(*events).report.defects["delta-without-text"]


def test_raw_reasoning_may_come_whole() -> None:
    """Healthy servers send it without a delta; it is said only in a stream that is repaired anyway."""
    names = {"item_id": "rs", "output_index": 0, "content_index": 0}
    told: Event = {"type": "reasoning_text", "text": "Long."}
    whole = reasoning() | {"content": [told]}
    events = [
        *created(),
        added(reasoning()),
        event("part.added", part=told | {"text": ""}, **names),
        event("response.reasoning_text.done", text="Long.", **names),
        event("part.done", part=told, **names),
        done(whole),
        *said("Hello", index=1),
    ]
    healthy = [*events, completed(whole, message(text="Hello"))]

    assert encoded(healthy) == run(*healthy).body
    assert ["reasoning_text.delta"] == [
        body["type"].removeprefix("response.")
        for body in left(*events[:2], text("Hi", None, "other"), *events[2:])
        if body["type"].endswith("reasoning_text.delta")
    ]


def test_an_item_that_was_announced_with_an_empty_part_and_said_nothing_is_closed_empty() -> None:
    """A part that never opened is not closed either, and repairing again changes nothing."""
    snapshot = message() | {"content": [{"type": "output_text", "text": "", "annotations": []}]}
    once = run(*created(), added(snapshot), "data: [DONE]\n\n")

    assert [] == reader.terminal(reader.events(once.body))["response"]["output"][0]["content"]
    assert once.body == mend(once.body, Options(seed="1")).body


def test_a_text_does_not_go_into_a_part_of_an_unknown_type() -> None:
    """It gets a part of its own, and no event without a type is ever made."""
    vendor = part("added") | {"part": {"type": "vendor"}}
    events = left(*created(), added(message()), vendor, text_done("Hello"), completed(message(text="Hello")))

    assert all(body["type"] for body in events)
    assert "Hello" in {body.get("delta") for body in events}


def test_an_annotation_is_said_once_and_under_its_place() -> None:
    """The same one twice is one; one whose elder was lost takes the elder's place (openai-node refuses a gap)."""
    first, later = (
        event("response.output_text.annotation.added", annotation={"type": kind}, annotation_index=index, **NAMES)
        for kind, index in (("x", 1), ("y", 2))
    )
    events = [*created(), *said("Hello")[:3], first, {**first, "annotation_index": 0}, later, completed()]
    placed = [body["annotation_index"] for body in left(*events) if "annotation" in body]

    assert [0, 1] == placed


def test_a_call_that_is_announced_after_its_arguments_is_announced_by_that() -> None:
    """What came before waited for its name; the announcement that leaves is upstream's own."""
    late = added(call()) | {"vendor": 1}
    events = left(*created(), args('{"a":'), args("1}"), late, done(call(arguments='{"a":1}')), completed())

    assert ["added", "delta", "delta", "done", "done"] == [event["type"].rpartition(".")[2] for event in events[2:-1]]
    assert late.items() <= events[2].items()
    assert ['{"a":', "1}"] == [event["delta"] for event in events if "delta" in event]


@pytest.mark.parametrize("kind", [None, "", 7], ids=repr)
def test_an_item_that_says_no_type_is_what_its_keys_say(kind: object) -> None:
    """Summaries are what reasoning has, arguments what calls have; who has neither is a message."""
    bodies = (reasoning(text="Hm."), call(arguments="{}"), {"id": "msg"})
    events = left(*created(), *(done(body | {"type": kind}, index) for index, body in enumerate(bodies)))

    assert ["reasoning", "function_call", "message"] == [
        body["item"]["type"] for body in events if body["type"] == "response.output_item.done"
    ]


def test_content_that_is_one_part_without_its_list_is_that_part() -> None:
    """And what stands in a list of parts and is none says nothing."""
    one = {"type": "output_text", "text": "Hello", "annotations": []}
    for content in (one, [one, 7, None], "Hello", ["Hello"]):
        whole = ended(*created(), done(message(content=content)), completed())

        assert [one] == [{key: part[key] for key in one} for part in whole["output"][0]["content"]]


def test_a_citation_of_nothing_cites_nothing() -> None:
    """The event passes, and no annotation is gathered."""
    empty = event("response.output_text.annotation.added", content_index=0, annotation_index=0, **at(0, "msg"))
    whole = ended(*created(), *said("Hello")[:3], empty, completed())

    assert [] == whole["output"][0]["content"][0]["annotations"]


def test_the_defects_that_break_most_clients_are_named_first() -> None:
    """Then those that are seen most often, then by name."""
    seen = {"wrong-role": 9, "missing-type": 1, "missing-tail": 1, "late-tail": 1, "repeated-delta": 5}

    assert ["missing-type", "late-tail", "missing-tail", "wrong-role", "repeated-delta"] == by_weight(seen)


# The table


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        *(("message", "msg_"), ("reasoning", "rs_"), ("function_call", "fc_"), ("custom_tool_call", "ctc_")),
        *(("mcp_list_tools", "mcpl_"), ("mcp_call", "mcp_"), ("mcp_approval_request", "mcpr_")),
        *(("web_search_call", "ws_"), ("file_search_call", "fs_"), ("code_interpreter_call", "ci_")),
        *(("image_generation_call", "ig_"), ("shell_call", "sh_"), ("shell_call_output", "sho_")),
        *(("local_shell_call", "lsh_"), ("apply_patch_call", "apc_"), ("tool_search_call", "tsc_")),
        *(("tool_search_output", "tso_"), ("computer_call", "cu_"), ("program", "prog_"), ("program_output", "prgo_")),
        *(("compaction", "cmp_"), ("vendor_call", "item_")),
    ],
)
def test_an_item_that_respfix_names_and_closes_looks_like_its_kind(kind: str, prefix: str) -> None:
    """Its id begins as OpenAI's do, and it has a status where OpenAI's has one."""
    stateless = {"reasoning", "mcp_list_tools", "mcp_call", "mcp_approval_request", "program", "compaction"}
    names = {"name": "x", "call_id": "c", "server_label": "s"}
    events = left(*created(), added({"type": kind, **names}), *said("Hello", index=1), completed())
    (closing,) = (body["item"] for body in events if body["type"] == DONE and body["output_index"] == 0)

    assert closing["id"] == f"{prefix}r_0"
    assert (kind not in stateless | {"vendor_call"}) == ("status" in closing)


def test_every_type_of_item_that_a_server_sends_has_its_row() -> None:
    """What only clients send, and outputs that a server merely repeats, pass like any unknown item."""
    union = get_args(get_args(ResponseOutputItem)[0])
    unknown = {get_args(one.model_fields["type"].annotation)[0] for one in union} - KINDS.keys()

    assert {"additional_tools", "mcp_approval_response"} == {kind for kind in unknown if not kind.endswith("_output")}
    assert KINDS.keys() - unknown >= {"shell_call_output", "tool_search_output", "program_output"}


@pytest.mark.parametrize(
    ("status", "name"),
    [
        *(("completed", "completed"), ("incomplete", "incomplete"), ("failed", "failed"), ("cancelled", "failed")),
        ("odd", "completed"),
    ],
)
def test_a_response_that_is_done_is_named_by_its_status(status: str, name: str) -> None:
    """A client asks the name of the event how it ended."""
    last = completed(message(text="Hello"), error={"code": "x", "message": "y"})
    last = {"type": "response.done", "response": last["response"] | {"status": status}}

    assert f"response.{name}" == left(*created(), *said("Hello"), last)[-1]["type"]


# Names, once more


def test_an_entry_is_the_item_that_upstream_calls_so() -> None:
    """By any id that it had in the stream, also where the order is another."""
    events = [*created(), added(message("a")), *said("Hello")[1:3], added(message("b"), 1)]
    renamed = [text("One", 0, "a2"), text("Two", 1, "b2")]
    output = ended(*events[:-1], events[-1], *renamed, completed(message("b2", "Two"), message("a2", "One")))["output"]

    assert [("a", "One"), ("b", "Two")] == [(item["id"], item["content"][0]["text"]) for item in output]


def test_two_entries_of_one_id_that_say_different_things_are_two() -> None:
    """Nothing that was said is lost."""
    output = ended(*created(), *said("One"), completed(message(text="One"), message(text="Two")))["output"]

    assert ["One", "Two"] == [item["content"][0]["text"] for item in output]


def test_an_entry_is_the_call_that_it_answers_to() -> None:
    """Where its id is another, and the order too."""
    calls = [*called('{"a":1}'), *called('{"b":2}', index=1, item_id="fd")]
    names = [{"call_id": "call_fd"}, {"call_id": "call_fc"}]
    entries = [call("x", '{"b":2}') | names[0], call("y", '{"a":1}') | names[1]]
    output = ended(*created(), *calls, completed(*entries))["output"]

    assert [("fc", '{"a":1}'), ("fd", '{"b":2}')] == [(item["id"], item["arguments"]) for item in output]


# Numbers, once more


def test_two_events_with_one_number_are_two() -> None:
    """Each gets the next."""
    events = numbered(WHOLE)
    events[1]["sequence_number"] = 0

    assert list(range(len(events))) == [body["sequence_number"] for body in left(*events)]


def test_numbers_that_once_fell_prove_no_repeat() -> None:
    """Also where they fell among deltas that were taken together."""
    deltas = numbered([text(word) for word in "abc"], 5) + numbered([text(word) for word in "def"], 3)
    opened = numbered([*created(), added(message())])  # the part is inserted, so that respfix counts by itself
    events = [*opened, *deltas, *numbered([text_done("abcdef"), text("g")], 8)]
    events[-1]["sequence_number"] = 4

    assert "abcdefg" == "".join(body.get("delta", "") for body in left(*events, completed()))


# Switches, once more


def test_a_citation_that_is_repeated_passes_where_that_is_switched_off() -> None:
    """As it came."""
    cited = event("response.output_text.annotation.added", annotation={"type": "x"}, annotation_index=0, **NAMES)
    events = [*created(), *said("Hello")[:3], cited, cited]

    assert run(*events, off=frozenset({"repeated-delta"})).report.stopped is None
    assert 2 == sum("annotation" in body for body in left(*events, off=frozenset({"repeated-delta"})))
    assert 1 == sum("annotation" in body for body in left(*events))


@pytest.mark.parametrize("name", ["ping", "response.in_progress"])
def test_a_keepalive_of_respfix_has_no_number(name: str) -> None:
    """It stands beside the response, so that the numbers of the response are dense without it."""
    events = numbered([*WHOLE[:4], {"type": name}, *WHOLE[4:]])
    out = left(*events, dialect="codex")

    assert {"type": "keepalive"} in out
    assert list(range(len(WHOLE))) == [body["sequence_number"] for body in out if body["type"] != "keepalive"]


def test_a_patch_that_respfix_announces_is_silent() -> None:
    """Its text stands two levels deep, and is said by its deltas; what stands beside it stays."""
    operation = {"type": "update_file", "path": "a", "diff": "+x"}
    patch = {"id": "apc", "type": "apply_patch_call", "call_id": "c", "status": "completed", "operation": operation}
    grows = event("response.apply_patch_call_operation_diff.delta", delta="+x", **at(0, "apc"))
    events = left(*created(), grows, done(patch), completed(patch))
    announced = next(body["item"] for body in events if body["type"] == "response.output_item.added")

    assert ("apply_patch_call", operation | {"diff": ""}) == (announced["type"], announced["operation"])
    assert [operation] == [item["operation"] for item in events[-1]["response"]["output"]]


def test_an_item_that_may_stay_empty_stops_no_repair() -> None:
    """For Codex, which is told the end of a text before its item is closed."""
    events = [*created(), *said("Hello")[:-1], done(message(content=[])), completed(message(text="Hello"))]
    lines = mended(*events, dialect="codex", off=frozenset({"incomplete-item"}))

    assert ["item.done 0 msg", "completed msg=Hello"] == lines[-2:]


def test_code_that_was_streamed_stands_in_what_closes_it() -> None:
    """A hosted tool's value is filled like any other, once it was said."""
    tool = {"id": "ci", "type": "code_interpreter_call", "status": "in_progress", "code": ""}
    family = "response.code_interpreter_call_code"
    grows, closes = event(f"{family}.delta", delta="x = 1", **at(0, "ci")), event(f"{family}.done", **at(0, "ci"))
    events = left(*created(), added(tool), grows, closes, done(tool | {"status": "completed"}), completed())

    assert ["x = 1"] == [body["code"] for body in events if body["type"] == f"{family}.done"]
    assert ["x = 1"] == [item["code"] for item in events[-1]["response"]["output"]]
