"""What the request said, and what the repair of its answer makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import reader
from corpus import STREAMS, Mended, load, mend

from respfix.stream import Asked, Limits, Mender, Options

REQUEST: dict[str, Any] = {
    "model": "gpt-5.5",
    "stream": True,
    "background": False,
    "input": "Hello",
    "instructions": "Be brief.",
    "tools": [{"type": "custom", "name": "apply_patch"}, {"type": "function", "name": "shell"}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "metadata": {"run": "7"},
    "temperature": None,
    "store": False,
    "text": {"verbosity": "low"},
}
ASKED = Asked.of(json.dumps(REQUEST).encode())
CUSTOM = load(STREAMS / "broken" / "custom-tool-as-function.in.sse")
BARE = b'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n'


def responses(body: bytes) -> list[dict[str, Any]]:
    """The response objects of a stream."""
    return [event["response"] for event in reader.events(body) if "response" in event]


def test_a_request_is_read() -> None:
    """What its answer depends on, and what the response repeats; never its input."""
    assert (True, False, "gpt-5.5") == (ASKED.stream, ASKED.background, ASKED.model)
    assert {"apply_patch"} == ASKED.custom_tools
    assert ASKED.echo.keys() == REQUEST.keys() - {"model", "stream", "input", "temperature"}


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[]", b"\xff", b"[" * 100_000, b'{"stream":1,"tools":7,"model":[]}']
)
def test_a_request_that_cannot_be_read_says_nothing(body: bytes) -> None:
    """No request makes the repair fail; a value of the wrong kind is none."""
    asked = Asked.of(body)

    assert (False, "", frozenset(), {}) == (asked.stream, asked.model, asked.custom_tools, asked.echo)


@pytest.mark.parametrize("value", [b"0,", b"[],", b'{"a":0},'])
def test_a_request_of_a_million_values_is_read_and_a_larger_one_is_not(value: bytes) -> None:
    """A few bytes of gzip could hold everybody up for ten seconds, and take 1.4 GiB."""
    head, end = b'{"model":"gpt-5.5","x":[', b"0]}"
    signs = sum(map(value.count, (b",", b"[", b"{")))
    fits = (2**20 - 3) // signs

    models = [Asked.of(head + value * count + end).model for count in (fits, fits + 1)]

    assert ["gpt-5.5", ""] == models


def test_a_response_that_lacks_its_keys_repeats_the_request() -> None:
    """As OpenAI's does, in every event that carries it; what nobody asked for has its neutral value."""
    for response in responses(mend(BARE, Options(asked=ASKED)).body):
        assert "gpt-5.5" == response["model"]
        assert [] == [key for key, value in ASKED.echo.items() if response[key] != value]
        assert 1.0 == response["temperature"]


def test_what_was_asked_for_in_part_is_repeated_whole() -> None:
    """A response always says a text's format, both halves of reasoning, and all that a function has (openai-python)."""
    function = {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": True}
    request = {**REQUEST, "tools": [*REQUEST["tools"], function, 7], "reasoning": {"effort": "low"}}
    asked = Asked.of(json.dumps(request).encode())

    assert {"format": {"type": "text"}, "verbosity": "low"} == asked.echo["text"]
    assert {"effort": "low", "summary": None} == asked.echo["reasoning"]
    assert [
        {"type": "custom", "name": "apply_patch"},
        {"type": "function", "name": "shell", "description": None, "parameters": None, "strict": None},
        {**function, "description": None},
        7,
    ] == asked.echo["tools"]


def test_a_response_that_lacks_only_newer_keys_is_not_made_newer() -> None:
    """OpenAI's own of March 2025 lacks them; one that lacks what that had gets all, and keeps what was said before."""
    old = responses((STREAMS / "conformant" / "text-2025-03.sse").read_bytes())[0] | {"temperature": 0.3}

    def first_and_last(response: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        begun = json.dumps({"type": "response.created", "response": response})
        last = '{"type":"response.completed","response":{"id":"resp_1","output":[]}}'
        found = responses(mend(f"data: {begun}\n\ndata: {last}\n\n".encode()).body)
        return found[0], found[-1]

    first, last = first_and_last(old)
    assert old == first
    assert (0.3, "disabled") == (last["temperature"], last["truncation"])
    bare, _ = first_and_last({key: value for key, value in old.items() if key not in {"created_at", "tools"}})
    assert ([], "disabled") == (bare["tools"], bare["truncation"])


def test_what_the_server_says_is_not_changed_to_agree() -> None:
    """A model's full name, or tools that the server put in."""
    body = b'data: {"type":"response.created","response":{"id":"resp_1","model":"gpt-5.5-2026-04-23","tools":[]}}\n\n'
    first = responses(mend(body, Options(asked=ASKED)).body)[0]

    assert ("gpt-5.5-2026-04-23", []) == (first["model"], first["tools"])


def test_a_healthy_stream_is_untouched_whatever_was_asked() -> None:
    """Knowing more is no reason to say more."""
    body = (STREAMS / "conformant" / "text-2025-03.sse").read_bytes()

    assert body == mend(body, Options(asked=ASKED)).body


# Custom tools that came back as functions


def mended(asked: Asked = ASKED, **changes: Any) -> Mended:
    """The call of the corpus, for this request."""
    return mend(CUSTOM.body, Options(asked=asked, **changes))


@pytest.mark.parametrize(
    "tools",
    [
        [],
        [{"type": "custom", "name": "other"}],
        [{"type": "function", "name": "apply_patch"}],
        [{"type": "custom", "name": "apply_patch"}, {"type": "function", "name": "apply_patch"}],
    ],
)
def test_only_what_was_declared_is_restored(tools: list[dict[str, str]]) -> None:
    """A name that a function has too proves nothing."""
    assert CUSTOM.body == mended(Asked.in_words({"tools": tools})).body


def test_a_background_response_keeps_its_functions() -> None:
    """Whoever resumes it sends no request, and its numbers must be the same then."""
    assert CUSTOM.body == mended(Asked.in_words({**REQUEST, "background": True})).body


def test_a_call_that_would_fill_the_memory_is_let_go() -> None:
    """Beyond the bound nothing is held, and nothing is lost."""
    for limits in (Limits(held_frames=2), Limits(held_bytes=200)):
        assert CUSTOM.body == mended(limits=limits).body


def test_a_call_that_never_ends_is_let_go_with_the_stream() -> None:
    """As a function, which is what came."""
    cut = CUSTOM.body[: CUSTOM.body.index(b"event: response.function_call_arguments.done")]
    events = reader.events(mend(cut, Options(asked=ASKED)).body)

    assert "response.failed" == events[-1]["type"]
    assert "function_call" == next(event["item"]["type"] for event in events if "item" in event)
    assert [] == reader.complaints(events, is_strict=False)


def test_everything_else_leaves_at_once() -> None:
    """A text in the same stream does not wait, however it is cut into reads."""
    text = (STREAMS / "conformant" / "text-2025-05.sse").read_bytes()
    mender = Mender(Options(asked=ASKED))

    assert text == b"".join(
        out for frame in text.split(b"\n\n") if frame for out in [mender.feed(frame + b"\n\n")] if out
    )


def test_two_calls_in_a_row_are_both_restored() -> None:
    """Numbers stay dense behind each, and the terminal event lists both."""
    one, end = CUSTOM.body.split(b"event: response.completed")
    second = one[one.index(b"event: response.output_item.added") :]
    second = (
        second.replace(b"fc_1", b"fc_2").replace(b"call_1", b"call_2").replace(b'"output_index":0', b'"output_index":1')
    )
    events = reader.events(mend(one + second + b"event: response.completed" + end, Options(asked=ASKED)).body)

    assert list(range(len(events))) == [event["sequence_number"] for event in events]
    assert [("custom_tool_call", "ctc_1"), ("custom_tool_call", "ctc_2")] == [
        (item["type"], item["id"]) for item in events[-1]["response"]["output"]
    ]
    assert [] == reader.complaints(events, is_strict=False)


def test_a_keepalive_does_not_wait_for_a_call() -> None:
    """It shows that the stream lives while nothing else can be shown."""
    head, rest = CUSTOM.body.split(b"event: response.function_call_arguments.delta", 1)
    for dialect, sign in (("default", b": keepalive"), ("codex", b'data: {"type":"keepalive"}')):
        mender = Mender(Options(asked=ASKED, dialect=dialect))
        mender.feed(head)

        assert sign in mender.keepalive()
        assert sign in mender.feed(b'event: ping\ndata: {"type":"ping"}\n\n')
        assert b'"custom_tool_call"' in mender.feed(b"event: response.function_call_arguments.delta" + rest)


def test_a_call_whose_arguments_stand_in_its_done_alone_is_restored() -> None:
    """Also where the closing value that is missing before it is not made up."""
    frames = CUSTOM.body.split(b"\n\n")
    body = b"\n\n".join(frame for frame in frames if b"function_call_arguments" not in frame)
    off = frozenset({"missing-value-done", "whole-call"})
    events = reader.events(mend(body, Options(asked=ASKED, off=off)).body)

    assert ["custom_tool_call"] == [item["type"] for item in events[-1]["response"]["output"]]
    assert ["custom_tool_call"] * 2 == [event["item"]["type"] for event in events if "item" in event]


def test_other_items_of_the_response_stay_what_they_are() -> None:
    """A message beside the call, and a call of another name, leave as they came, but for their numbers."""
    text = reader.events((STREAMS / "conformant" / "text-2026.sse").read_bytes())
    message = next(event for event in text if event["type"] == "response.output_item.done")["item"]
    whole = [
        *reader.events(CUSTOM.body)[:-1],
        *({**event, "output_index": 1} for event in text if "item" in event or "item_id" in event),
    ]
    end = reader.events(CUSTOM.body)[-1]
    end["response"]["output"] = [*end["response"]["output"], message]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in [*whole, end]).encode()
    events = reader.events(mend(body, Options(asked=ASKED)).body)

    assert [] == reader.complaints(events, is_strict=False)
    assert ["custom_tool_call", "message"] == [item["type"] for item in events[-1]["response"]["output"]]
    assert message == events[-1]["response"]["output"][1]


def test_a_response_that_does_not_list_the_call_leaves_as_it_came() -> None:
    """Where its output is not to be repaired."""
    text = reader.events((STREAMS / "conformant" / "text-2026.sse").read_bytes())
    events = reader.events(CUSTOM.body)
    events[-1]["response"]["output"] = text[-1]["response"]["output"]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    last = reader.events(mend(body, Options(asked=ASKED, off=frozenset({"the-terminal-event"}))).body)[-1]

    assert text[-1]["response"]["output"] == last["response"]["output"]


def test_a_call_that_is_not_to_be_restored_does_not_wait() -> None:
    """Where the defect is switched off, every frame leaves with its read."""
    mender = Mender(Options(asked=ASKED, off=frozenset({"custom-tool-as-function"})))
    frames = [frame + b"\n\n" for frame in CUSTOM.body.split(b"\n\n")[:-1]]

    assert frames == [mender.feed(frame) for frame in frames]


def test_everything_that_openai_repeats_of_a_request_is_repeated() -> None:
    """Where a server leaves it out; what has another kind than it should is not."""
    given: dict[str, Any] = {
        "background": False,
        "instructions": "i",
        "max_output_tokens": 1,
        "max_tool_calls": 2,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": None},
        "safety_identifier": "s",
        "store": True,
        "temperature": 0.5,
        "text": {"format": {"type": "json_object"}},
        "tool_choice": "none",
        "tools": [],
        "top_logprobs": 3,
        "top_p": 1,
        "truncation": "auto",
        "user": "u",
    }

    assert given == Asked.in_words(given | {"model": "m", "input": "x"}).echo
    assert {} == Asked.in_words(dict.fromkeys(given, object)).echo
