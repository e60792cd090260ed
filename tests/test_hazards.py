"""What a repair must not do: one test for each hazard that was reported of other repairs, or of the servers themselves.

The letters are the classes of faults: A missing announcements, B missing closings, C closing values, D names,
E numbers, F the terminal event, G framing, H keys, I reasoning, J calls, K errors, L deltas, M repeats, N refusals,
P foreign frames. What concerns the relay (idle connections, status codes, resumed streams) is in its own tests.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import reader
from corpus import CONFORMANT, mend, mend_pieces
from test_mender import (
    HELLO,
    Event,
    added,
    args,
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

from respfix.stream import Ending, Limits, Mender

WHOLE = [*created(), *said("Hello"), completed(message(text="Hello"))]
FAILED = event("response.failed", response=response("failed", error={"code": "x", "message": "y"}))


def left(*events: Event | str, **options: Any) -> list[Event]:
    """Give the events that leave."""
    return reader.events(run(*events, **options).body)


def kinds(*events: Event | str, **options: Any) -> list[str]:
    """Give the types of the items that are announced."""
    return [body["item"]["type"] for body in left(*events, **options) if body["type"].endswith("output_item.added")]


def terminal(*events: Event | str, **options: Any) -> Event:
    """Give the terminal event that leaves."""
    return reader.terminal(left(*events, **options))


# A. Announcements


def test_the_response_has_the_id_that_upstream_will_say() -> None:
    """It is taken from the first event that says it, and not made up (A)."""
    events = [event("response.in_progress", response=response("in_progress", id="theirs")), *WHOLE[2:-1]]
    out = left(*events, completed(message(text="Hello"), id="theirs"))

    assert {"theirs"} == {body["response"]["id"] for body in out if "response" in body}


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("response.output_text", "message"),
        ("response.refusal", "message"),
        ("response.reasoning_summary_text", "reasoning"),
        ("response.reasoning_text", "reasoning"),
        ("response.code_interpreter_call_code", "code_interpreter_call"),
    ],
)
def test_an_item_nobody_announced_has_the_type_of_its_events(family: str, kind: str) -> None:
    """The family of a delta tells it (A)."""
    assert [kind] == kinds(*created(), {"type": f"{family}.delta", "delta": "x", "item_id": "i"})


def test_the_name_of_a_call_is_not_made_up() -> None:
    """A delta does not know it, so it waits (A)."""
    names = [
        body["item"]["name"]
        for body in left(*created(), args("{}"), completed(call(arguments="{}")))
        if body["type"].endswith("output_item.added")
    ]

    assert ["shell"] == names


def test_nothing_is_announced_twice() -> None:
    """An announcement that comes late is dropped (A)."""
    events = [*created(), text("Hel"), added(message()), part("added"), text("lo"), *said("Hello")[3:], WHOLE[-1]]

    assert 1 == len([line for line in mended(*events) if line.startswith("item.added")])
    assert 1 == len([line for line in mended(*events) if line.startswith("part.added")])


def test_a_turn_of_tools_has_no_message() -> None:
    """Not even an empty one (A; LiteLLM 37852)."""
    assert ["function_call"] == kinds(*created(), *called("{}")[1:], completed(call(arguments="{}")))


def test_what_is_announced_is_silent() -> None:
    """Accumulators double text that stands in an announcement (A)."""
    for body in left(*created(), done(message(text="Hello")), completed(message(text="Hello"))):
        if body["type"].endswith(".added"):
            assert "Hello" not in json.dumps(body)


def test_encrypted_reasoning_has_no_summary() -> None:
    """No part is opened where nothing is told (A, I; NeMo Switchyard 671)."""
    secret = reasoning(encrypted_content="abc")
    lines = mended(*created(), added(secret), done(secret), *said("Hello", index=1), completed())

    assert [] == [line for line in lines if line.startswith("summary")]


# B. Closings


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.CLOSED, Ending.IDLE, Ending.COMPLETE], ids=str)
def test_what_is_open_at_a_failure_is_not_closed_as_completed(ending: Ending) -> None:
    """Nor is it at a cut (B)."""
    for events in ([*WHOLE[:6], FAILED], WHOLE[:5]):
        out = left(*events, ending=ending)
        assert [] == [body for body in out if body["type"].endswith("output_item.done")]
        assert "response.failed" == out[-1]["type"]


def test_what_is_open_when_a_response_is_incomplete_is_incomplete() -> None:
    """A cut message is no whole one (B)."""
    end = event("response.incomplete", response=response("incomplete"))
    closed = [body["item"] for body in left(*WHOLE[:6], end) if body["type"].endswith("output_item.done")]

    assert ["incomplete"] == [item["status"] for item in closed]


def test_an_item_is_not_closed_because_the_next_one_opens() -> None:
    """Parallel calls may interleave (B; agenthub 218)."""
    (stream,) = (stream for stream in CONFORMANT if stream.name == "calls-interleaved")

    assert stream.body == mend(stream.body).body


def test_half_a_call_is_not_completed_in_a_stream_that_breaks_off() -> None:
    """Not by [DONE] either (B)."""
    assert "response.failed" == terminal(*created(), added(call()), args('{"a"'), "data: [DONE]\n\n")["type"]


# C. Closing values


def test_a_closing_value_that_differs_is_upstreams() -> None:
    """It was moderated, or trimmed (C)."""
    whole = message(text="Bye")
    events = [*WHOLE[:5], text_done("Bye"), part("done", "Bye"), done(whole), completed(whole)]

    assert encoded(numbered(events)) == run(*numbered(events)).body


def test_an_empty_text_stays_empty() -> None:
    """Where no delta was seen, nothing is missing (C)."""
    assert ["Hello"] == [body["text"] for body in left(*WHOLE) if body["type"].endswith("text.done")]
    assert [""] == [
        body["text"]
        for body in left(*created(), *said(""), completed(message(text="")))
        if body["type"].endswith("text.done")
    ]


# D. Names


def test_an_absent_index_is_not_the_first() -> None:
    """Where several items are open it is unknown (D; maki 514)."""
    calls = [call(name) for name in ("fc", "other")]
    events = [*created(), *(added(one, n) for n, one in enumerate(calls)), args("{}", None, "other")]

    assert ["args.delta 1 other {}"] == [line for line in mended(*events) if line.startswith("args.delta")]


def test_an_id_and_what_is_bound_to_it_come_from_one_event() -> None:
    """GitHub Copilot refuses another pair with 400, and no id is made of another (D)."""
    first, last = (reasoning(name, encrypted_content=f"for {name}") for name in ("first", "last"))
    other = [event("response.in_progress", response=response("in_progress", id="another"))]
    out = left(*created(), *other, added(first), done(last), *said("Hello", index=1), completed())
    pairs = {
        (item["id"], item.get("encrypted_content")) for body in out if (item := body.get("item")) and "rs" not in item
    }

    assert ("last", "for first") not in pairs
    assert ("first", "for last") not in pairs


@pytest.mark.parametrize(
    ("delta", "prefix"), [("response.output_text", "msg_"), ("response.reasoning_summary_text", "rs_")]
)
def test_an_id_that_is_made_up_has_the_right_prefix(delta: str, prefix: str) -> None:
    """CLIProxyAPI 4641, opencodex 938 (D)."""
    ids = [body["item"]["id"] for body in left(*created(), {"type": f"{delta}.delta", "delta": "x"}) if "item" in body]

    assert ids
    assert all(item_id.startswith(prefix) for item_id in ids)


def test_a_call_id_is_never_changed() -> None:
    """The client answers to it (D)."""
    odd = call(arguments="{}") | {"call_id": "odd one/7"}
    out = left(*created(), done(odd), completed(odd))

    assert {"odd one/7"} == {body["item"]["call_id"] for body in out if "item" in body}


def test_the_response_keeps_the_id_that_the_server_stores() -> None:
    """Or previous_response_id finds nothing (D)."""
    out = left(*WHOLE[:-1], completed(message(text="Hello"), id="r"))

    assert {"r"} == {body["response"]["id"] for body in out if "response" in body}


# E. Numbers


def test_numbers_that_resuming_clients_count_by_stay() -> None:
    """Where nothing is inserted they are the server's, whatever they begin with (E)."""
    events = [body | {"sequence_number": 40 + 2 * n} for n, body in enumerate(WHOLE)]

    assert encoded(events) == run(*events).body


def test_no_two_events_have_one_number() -> None:
    """Not those that are made either (E; codex-lb 1479)."""
    for events in (numbered([text("Hello")]), [], numbered([event("error", message="x")])):
        numbers = [body["sequence_number"] for body in left(*events)]
        assert sorted(set(numbers)) == numbers


# F. The terminal event


def test_a_completed_response_is_not_renamed() -> None:
    """Helpers raise and Codex repeats the request where it is (F)."""
    end = completed(message(text="Hello"), status="incomplete")

    assert "response.completed" == terminal(*WHOLE[:-1], end)["type"]


def test_an_output_that_says_something_is_not_overwritten() -> None:
    """Upstream's last word stays (F; Sub2API 5186)."""
    assert "Bye" == terminal(*WHOLE[:-1], completed(message(text="Bye")))["response"]["output"][0]["content"][0]["text"]


@pytest.mark.parametrize("second", [WHOLE[-1], FAILED, event("response.incomplete", response=response("incomplete"))])
@pytest.mark.parametrize("first", [WHOLE[-1], FAILED])
def test_there_are_never_two_terminal_events(first: Event, second: Event) -> None:
    """The first one counts (F)."""
    out = left(*WHOLE[:-1], first, second)

    assert [first["type"]] == [body["type"] for body in out if body["type"] in reader.TERMINALS]


def test_a_body_that_stays_open_after_the_terminal_event_is_over() -> None:
    """The relay ends it (F; ccLoad 81)."""
    mender = Mender()
    mender.feed(encoded(WHOLE))

    assert mender.is_over


def test_half_an_answer_is_no_success() -> None:
    """However the body ended (F; coddy-agent 225)."""
    for ending in Ending:
        assert "response.failed" == terminal(*WHOLE[:5], ending=ending)["type"]


# G. Framing


def test_the_type_counts_more_than_the_name_of_the_frame() -> None:
    """Or the terminal event is lost (G; cc-switch 5083)."""
    frame = encoded(WHOLE[-1:]).replace(b"data:", b"event: response.output_text.done\ndata:")

    assert "response.completed" == run(*WHOLE[:-1], frame.decode()).report.terminal


def test_an_event_of_several_megabytes_is_read() -> None:
    """The bound is far above what servers send (G)."""
    whole = message(text="x" * 5_000_000)

    assert Limits().frame_bytes > 5 * 5_000_000
    assert run(*WHOLE[:2], completed(whole)).report.stopped is None


def test_a_character_that_is_divided_between_reads_is_whole() -> None:
    """Nothing is decoded per read (G; cc-switch 1923)."""
    body = json.dumps(text("né 🙂"), ensure_ascii=False).encode().join((b"data: ", b"\n\n"))

    assert mend(body).body == mend_pieces([body[at : at + 1] for at in range(len(body))]).body
    assert "né 🙂" in mend(body).body.decode()


def test_a_frame_that_needs_no_change_keeps_its_spelling() -> None:
    """In a stream that is repaired, too (G)."""
    odd = 'data:{ "type":"response.output_text.delta","item_id":"msg","output_index":0,"content_index":0,'
    odd += '"delta":"\\u0041","logprobs":[],"sequence_number":4, "x":1.0e0 }\n\n'
    events = numbered([*created(), added(message()), part("added")])

    assert odd.encode() in run(*events, odd, text("!", None, None)).body


# H. Keys


def test_a_key_that_is_there_is_not_filled() -> None:
    """Only what is absent is (H)."""
    other = {"temperature": 0.3, "tools": [{"type": "x"}], "metadata": {"a": "b"}, "parallel_tool_calls": False}
    out = left(*created(**other), text("Hello"), completed(message(text="Hello"), **other))

    assert all(other.items() <= body["response"].items() for body in out if "response" in body)


def test_details_of_usage_are_never_empty() -> None:
    """Codex cannot parse {} (H)."""
    used = terminal(*WHOLE[:-1], completed(message(text="Hello"), usage={"input_tokens": 1, "output_tokens": 2}))

    assert {} not in used["response"]["usage"].values()


def test_there_is_no_null_where_a_list_is_wanted() -> None:
    """Neither in items nor in the response (H); `reasoning.summary` is a word."""
    lists = ("content", "summary", "output", "annotations", "tools")
    nothing = message() | dict.fromkeys(("content",))

    def nulls(value: Any) -> list[str]:
        if isinstance(value, list):
            return [found for one in value for found in nulls(one)]
        if not isinstance(value, dict):
            return []
        here = [key for key in lists if key in value and value[key] is None]
        return here + [found for key, one in value.items() if key != "reasoning" for found in nulls(one)]

    assert [] == nulls(left(*created(output=None), added(nothing), text("Hello"), completed(nothing, output=None)))


def test_the_time_of_a_response_is_one() -> None:
    """In all its events (H)."""
    out = left(*created(), text("Hello"), completed(message(text="Hello"), created_at=99))

    assert {1} == {body["response"]["created_at"] for body in out if "response" in body}


def test_what_a_vendor_adds_stays() -> None:
    """In items, parts and events (H)."""
    vendors = message() | {"phase": "commentary", "mood": 1}
    out = left(*created(), added(vendors), text("Hello", x=1), done(vendors | {"mood": 2}), completed())
    moods = [body["item"].get("mood") for body in out if "item" in body]

    assert [1, 2] == moods
    assert [1] == [body["x"] for body in out if "x" in body]


# I. Reasoning


@pytest.mark.parametrize("family", ["reasoning_text", "reasoning_summary_text"])
def test_raw_reasoning_and_summaries_stay_what_they_are(family: str) -> None:
    """None becomes the other (I)."""
    out = left(*created(), {"type": f"response.{family}.delta", "delta": "Hm."}, completed())
    other = ({"reasoning_text", "reasoning_summary_text"} - {family}).pop()

    assert [] == [body for body in out if other in body["type"]]
    assert [] == [
        body
        for body in out
        if body["type"].endswith("part.added") and ("summary" in family) != ("summary" in body["type"])
    ]


def test_no_empty_part_is_made() -> None:
    """Of what was not told there is none (I)."""
    out = left(*created(), added(reasoning()), done(reasoning()), *said("Hello", index=1), completed())

    assert [] == [body for body in out if "summary_part" in body["type"]]


# J. Calls


def test_a_delta_goes_to_its_own_call() -> None:
    """Not to the one that was opened last (J)."""
    events = [
        *created(),
        added(call()),
        added(call("other"), 1),
        args('{"a":', 0),
        args("{}", 1, "other"),
        args("1}", 0),
    ]
    output = terminal(*events, completed())["response"]["output"]

    assert ['{"a":1}', "{}"] == [item["arguments"] for item in output]


@pytest.mark.parametrize("words", ['{ "a" :1.0 }', "not JSON", "{'a': 1}"])
def test_arguments_are_not_spelled_anew(words: str) -> None:
    """They pass byte for byte (J)."""
    output = terminal(*created(), added(call()), args(words), completed())["response"]["output"]

    assert words == output[0]["arguments"]


def test_unknown_events_of_hosted_tools_pass() -> None:
    """What OpenAI adds tomorrow arrives (J, P)."""
    news = numbered([*WHOLE[:3], event("response.time_travel_call.arriving", item_id="t", output_index=7)])

    assert encoded(news) in run(*news).body


# K. Errors


def test_the_words_and_the_code_of_a_limit_are_kept() -> None:
    """Codex reads when to try again in them (K)."""
    limit = {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 3s."}
    failed = terminal(*created(), event("error", error=limit))

    assert limit == failed["response"]["error"]
    assert limit.items() <= failed["error"].items()


# L, M. Deltas and repeats


def test_text_that_repeats_is_what_the_model_wrote() -> None:
    """No delta is left out because of what it says (L, M; metapi 336, chatlas 435)."""
    words = ["ha", "ha", "haha", "hahahaha", " ", " ", "\n", "\n\n"]
    out = left(*created(), added(message()), part("added"), *map(text, words), completed())

    assert words == [body["delta"] for body in out if body["type"].endswith("delta")]


# N. Refusals


def test_a_refusal_stays_one() -> None:
    """It never becomes text (N)."""
    out = left(*created(), event("response.refusal.delta", delta="No."), completed())

    assert [{"type": "refusal", "refusal": "No."}] == out[-1]["response"]["output"][0]["content"]


def test_a_filtered_answer_is_incomplete() -> None:
    """With upstream's reason (N)."""
    why = {"reason": "content_filter"}
    end = event("response.incomplete", response=response("incomplete", incomplete_details=why))
    filtered = terminal(*WHOLE[:6], end)

    assert ("response.incomplete", why) == (filtered["type"], filtered["response"]["incomplete_details"])


# P. Foreign frames


def test_codex_keeps_what_it_reads() -> None:
    """Its limits come in frames of its own (P)."""
    limits = 'event: codex.rate_limits\ndata: {"type":"codex.rate_limits","limit_reached":true}\n\n'

    assert limits.encode() in run(*WHOLE[:3], limits, *WHOLE[3:], dialect="codex").body


@pytest.mark.parametrize("dialect", ["default", "codex"])
def test_no_foreign_frame_ends_a_stream(dialect: str) -> None:
    """What it says is not acted upon (P; CLIProxyAPI 3798)."""
    limits = 'data: {"type":"codex.rate_limits","limit_reached":true}\n\n'
    lines = [line for line in mended(*WHOLE[:3], limits, *WHOLE[3:], dialect=dialect) if "codex" not in line]

    assert HELLO == lines


def test_thinking_is_told_once() -> None:
    """What an item tells when it is done is not told again (I)."""
    lines = mended(*created(), added(reasoning()), summary("Hm"), done(reasoning(text="Hm")), completed())

    assert 1 == len([line for line in lines if line.startswith("summary.delta")])
