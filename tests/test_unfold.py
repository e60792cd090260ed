"""JSON where a stream was asked for, unfolded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import reader
from corpus import STREAMS, mend

from respfix.stream import Asked, Options, unfolded
from respfix.stream.defects import CLASSES, DEFECTS

FILES = sorted((STREAMS / "unfolded").glob("*.json"))
OPTIONS = Options(seed="made-up", now=1763600000)
TEXT = STREAMS / "unfolded" / "text.json"


def stream_of(body: bytes, options: Options = OPTIONS) -> bytes:
    """The stream that a response becomes."""
    found = unfolded(body, options)
    assert found is not None
    return found[0]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def response(request: pytest.FixtureRequest) -> Path:
    """One response of the corpus."""
    path: Path = request.param
    return path


def test_a_response_leaves_as_its_pair_says(response: Path) -> None:
    """The pair is the specification; `python tests/test_unfold.py` writes it anew."""
    assert response.with_suffix(".sse").read_bytes() == stream_of(response.read_bytes())


def test_what_it_becomes_is_a_correct_stream(response: Path) -> None:
    """An independent checker finds nothing wrong with it, and the repair has nothing to repair in it."""
    stream = stream_of(response.read_bytes())
    again = mend(stream)

    assert [] == reader.complaints(reader.events(stream))
    assert (stream, {}) == (again.body, again.report.defects)


def test_the_last_event_carries_the_response_in_its_own_spelling() -> None:
    """Numbers too: OpenAI writes 1.0."""
    body = TEXT.read_bytes()
    last = stream_of(body).split(b"data: ")[-1]

    assert json.loads(body) == json.loads(last)["response"]
    assert b'"temperature": 1.0' in last


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_response_over_several_lines_is_one_event(line_end: str) -> None:
    """Servers that indent their JSON do it with any of these."""
    body = json.dumps(json.loads(TEXT.read_bytes()), indent=2).replace("\n", line_end).encode()
    name, data = stream_of(body).split(b"\n\n")[-2].splitlines()

    assert b"event: response.completed" == name
    assert json.loads(body) == json.loads(data.removeprefix(b"data: "))["response"]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_response_that_did_not_come_to_its_end_becomes_a_failure(status: str) -> None:
    """One that was cancelled, too: there is no other event for it, and it must not look like a good end."""
    body = json.dumps({**json.loads(TEXT.read_bytes()), "status": status, "error": {"code": "x", "message": "y"}})
    last = reader.events(stream_of(body.encode()))[-1]

    assert ("response.failed", status) == (last["type"], last["response"]["status"])


def test_everything_is_said_once() -> None:
    """Each text and each argument as one delta."""
    events = reader.events(stream_of((STREAMS / "unfolded" / "reasoning-text-calls.json").read_bytes()))

    assert ["First", "then", "I look, ä\u2028ö", '{"cmd":"pwd"}', "*** Begin Patch"] == [
        event["delta"] for event in events if event["type"].endswith(".delta")
    ]


def test_it_counts_as_one_fault() -> None:
    """That a response has no brackets is its nature; what else is wrong with it is counted by its own name."""
    whole, sparse = (
        unfolded((STREAMS / "unfolded" / f"{name}.json").read_bytes(), OPTIONS) for name in ("text", "sparse")
    )
    assert whole is not None
    assert sparse is not None

    assert {"json-for-stream": 1} == whole[1].defects
    assert {"json-for-stream", "missing-usage", "item-without-id"} <= sparse[1].defects.keys()


def test_the_request_fills_in_what_the_response_leaves_out() -> None:
    """Its model, for example."""
    body = (STREAMS / "unfolded" / "sparse.json").read_bytes()
    stream = stream_of(body, Options(asked=Asked.of(b'{"model":"gpt-5.5","instructions":"Be brief."}')))

    assert {("gpt-5.5", "Be brief.")} == {
        (event["response"]["model"], event["response"]["instructions"])
        for event in reader.events(stream)
        if "response" in event
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[1]",
        b"not JSON",
        b'{"error":null}',
        b'{"message":"no"}',
        b'{"object":"response","status":"queued","error":{"message":"no"}}',
        b'{"object":"chat.completion","status":"completed"}',
        b'{"object":"response","status":"queued","output":[]}',
        b'{"object":"response","output":[]}',
        b'{"object":"response","status":["completed"]}',
        b'{"object":"response","status":"completed"',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_left_alone(body: bytes) -> None:
    """A response that is not at its end is no stream either: a background response is polled."""
    assert unfolded(body, OPTIONS) is None


@pytest.mark.parametrize(("name", "slug"), [("text", "json-for-stream"), ("error", "error-for-stream")])
def test_each_has_a_switch_of_its_own(name: str, slug: str) -> None:
    """Other switches, of single faults or of classes, do not take its brackets away; without it the JSON passes."""
    body = (STREAMS / "unfolded" / f"{name}.json").read_bytes()

    assert unfolded(body, Options(off=frozenset({slug}))) is None
    for others in (frozenset(DEFECTS) - {slug}, frozenset(CLASSES) - {"against-the-request"}):
        assert stream_of(body, Options("made-up", now=OPTIONS.now, off=others)) == stream_of(body)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ('{"message":"no","type":"server_error","code":"full"}', "full", "no"),
        (
            '{"type":"overloaded_error","message":""}',
            "overloaded_error",
            "the upstream failed (overloaded_error) and did",
        ),
        ('"busy"', "server_error", "busy"),
        ('{"message":"no","code":429}', "429", "no"),
    ],
)
def test_an_error_becomes_a_failure_in_its_words(error: str, code: str, message: str) -> None:
    """Whatever shape it has; it counts as one fault."""
    found = unfolded(f'{{"error":{error},"status":200}}'.encode(), OPTIONS)
    assert found is not None
    *opened, last = reader.events(found[0])

    assert ["response.created", "response.in_progress", "response.failed"] == [e["type"] for e in (*opened, last)]
    assert code == last["response"]["error"]["code"] == last["error"]["code"]
    assert last["response"]["error"]["message"].startswith(message)
    assert {"error-for-stream": 1} == found[1].defects


if __name__ == "__main__":
    for file in FILES:
        file.with_suffix(".sse").write_bytes(stream_of(file.read_bytes()))
