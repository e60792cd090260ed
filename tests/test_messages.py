"""What is said over one WebSocket, message by message and without a socket: lanes, turns, bounds and ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import reader
from corpus import STREAMS, load

from respfix.stream import Conversation, Ending, Limits, Options

OPTIONS = Options(seed="made-up", now=1763600000)
HEALTHY = load(STREAMS / "conformant" / "text-2025-05.sse").body
BROKEN = load(STREAMS / "recorded" / "sub2api-0.1.132-an-text.sse").body
ASK: dict[str, Any] = {"type": "response.create", "model": "gpt-5.5", "input": "Hello"}


def messages(stream: bytes, **more: str) -> list[bytes]:
    """The events of a stream, a message each."""
    return [json.dumps(json.loads(data) | more).encode() for _, data in reader.blocks(stream) if data]


def asked(conversation: Conversation, **more: Any) -> None:
    """The client asks for a response."""
    conversation.hear(json.dumps(ASK | more).encode(), 1763600000)


def answered(conversation: Conversation, sent: list[bytes]) -> list[bytes]:
    """What leaves for these messages of the server's."""
    return [left for message in sent for left in conversation.mend(message)]


def told(left: list[bytes]) -> list[dict[str, Any]]:
    """What was said."""
    return [json.loads(message) for message in left]


@pytest.fixture
def conversation() -> Conversation:
    """One in which nothing was said yet."""
    return Conversation(OPTIONS)


class Seer:
    """Sees one response pass."""

    def __init__(self, all_of_them: list[Seer]) -> None:
        all_of_them.append(self)
        self.seen: list[tuple[bytes, list[bytes]]] = []
        self.is_over = False

    def see(self, came: bytes, left: list[bytes]) -> None:
        """Note it."""
        assert not self.is_over
        self.seen.append((came, left))

    def end(self) -> None:
        """Note that, too."""
        self.is_over = True


@pytest.mark.parametrize("changes", [True, False], ids=["mended", "observed"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
def test_every_response_has_a_witness_of_its_own(*, changes: bool, whole: bool) -> None:
    """It sees what came and what left for it, to what is owed at a cut, and is told when it is over."""
    seers: list[Seer] = []
    conversation = Conversation(OPTIONS, changes=changes, witness=lambda _: Seer(seers))
    left: list[bytes] = []
    sent = messages(BROKEN)[: None if whole else -2]
    for _ in range(2):
        asked(conversation)
        left += answered(conversation, messages(HEALTHY))
        asked(conversation)
        left += answered(conversation, sent)
        left += conversation.close(Ending.CUT, 1.0)

    assert [True] * 4 == [seer.is_over for seer in seers]
    assert [came for seer in seers for came, _ in seer.seen if came] == [*messages(HEALTHY), *sent] * 2
    assert left == [one for seer in seers for _, several in seer.seen for one in several]


# Turns


def test_a_healthy_answer_is_the_very_messages_that_came(conversation: Conversation) -> None:
    """In every turn, and nothing is counted."""
    for _ in range(2):
        asked(conversation)
        sent = messages(HEALTHY)
        assert sent == answered(conversation, sent)

    assert not conversation.is_waiting
    conversation.leave()
    assert not conversation.report.defects
    assert 2 * len(messages(HEALTHY)) == conversation.report.events_in == conversation.report.events_out


def test_every_answer_is_mended_and_counted(conversation: Conversation) -> None:
    """Each by a repair of its own, so that the second has an id of its own too."""
    turns = []
    for _ in range(2):
        asked(conversation)
        assert conversation.is_waiting
        turns.append(told(answered(conversation, messages(BROKEN))))

    assert [[], []] == [reader.complaints(turn) for turn in turns]
    conversation.leave()
    assert conversation.report.inserted > 0
    assert "response.completed" == conversation.report.terminal
    assert conversation.report.events_out == sum(map(len, turns))


def test_no_two_answers_have_the_id_that_respfix_makes_up(conversation: Conversation) -> None:
    """Where the server says none."""
    nameless = [
        b'{"type":"response.output_text.delta","delta":"Hello"}',
        b'{"type":"response.completed","response":{}}',
    ]
    turns = []
    for _ in range(3):
        asked(conversation)
        turns.append(told(answered(conversation, nameless))[-1]["response"]["id"])

    assert 3 == len(set(turns))


def test_who_only_looks_changes_nothing_and_counts_the_same() -> None:
    """`repair: observe`."""
    mending, looking = Conversation(OPTIONS), Conversation(OPTIONS, changes=False)
    for conversation in (mending, looking):
        asked(conversation)
    answered(mending, messages(BROKEN))

    assert messages(BROKEN) == answered(looking, messages(BROKEN))
    assert mending.report == looking.report


def test_an_answer_that_nobody_asked_for_here_is_mended(conversation: Conversation) -> None:
    """The request may have come in a shape that is not known yet."""
    assert [] == reader.complaints(told(answered(conversation, messages(BROKEN))))


def test_a_warm_up_is_left_as_it_is(conversation: Conversation) -> None:
    """`generate: false` brings a response without anything in it."""
    asked(conversation, generate=False)
    first, *_, last = messages(BROKEN)

    assert [first, last] == answered(conversation, [first, last])


def test_the_next_answer_ends_one_that_never_ended(conversation: Conversation) -> None:
    """Whoever waits for the first is told, before the second begins."""
    first, *rest = messages(HEALTHY)
    asked(conversation)
    asked(conversation)
    cut = answered(conversation, [first, *rest[:4]])
    owed = told(conversation.mend(first.replace(b"resp_", b"resp_2")))

    assert messages(HEALTHY)[:5] == cut
    assert ["response.failed", "response.created"] == [event["type"] for event in owed]


# Lanes


def test_lanes_do_not_feel_each_other(conversation: Conversation) -> None:
    """What is inserted says which lane it is for."""
    lanes = {name: messages(BROKEN, stream_id=name) for name in ("a", "b")}
    for name in lanes:
        asked(conversation, stream_id=name)
    left = told(answered(conversation, [message for pair in zip(*lanes.values(), strict=True) for message in pair]))

    for name in lanes:
        assert [] == reader.complaints([event for event in left if event["stream_id"] == name])


def test_more_lanes_than_are_remembered_pass_unmended() -> None:
    """Nobody fills the memory with names."""
    conversation = Conversation(replace(OPTIONS, limits=Limits(items=1)))
    asked(conversation, stream_id="a")
    asked(conversation, stream_id="b")
    sent = messages(BROKEN, stream_id="b")

    assert sent == answered(conversation, sent)


def test_more_requests_than_are_remembered_are_not() -> None:
    """A client that asks and asks takes no memory; what is answered all the same is mended."""
    conversation = Conversation(replace(OPTIONS, limits=Limits(items=1)))
    asked(conversation, model="first")
    asked(conversation, model="second")
    unnamed = [message.replace(b'"model"', b'"x"') for message in messages(BROKEN)]
    models = [told(answered(conversation, unnamed))[0]["response"]["model"] for _ in range(2)]

    assert ["first", ""] == models


@pytest.mark.parametrize("stream_id", [7, None, ["a"]])
def test_a_lane_without_a_name_is_none(conversation: Conversation, stream_id: object) -> None:
    """The message passes as it came."""
    asked(conversation, stream_id=stream_id)
    message = json.dumps({"type": "response.output_text.delta", "stream_id": stream_id}).encode()

    assert not conversation.is_waiting
    assert [message] == conversation.mend(message)


# What is not understood


@pytest.mark.parametrize(
    "message",
    [
        b"not JSON",
        b"[1]",
        b'{"type":"session.update"}',
        b"[" * 9000,
        b'{"type":"response.create","x":[%s0]}' % (b"0," * 2**20),
    ],
    ids=["text", "list", "another type", "too deep", "too many values"],
)
def test_what_is_no_request_is_not_heard(conversation: Conversation, message: bytes) -> None:
    """Nobody waits for an answer to it."""
    conversation.hear(message, 1)

    assert not conversation.is_waiting


@pytest.mark.parametrize(("more", "is_heard"), [(0, True), (1, False)])
def test_a_request_of_64_mib_is_heard_and_a_larger_one_is_not(
    conversation: Conversation, more: int, *, is_heard: bool
) -> None:
    """A larger one is relayed, and its answer mended without knowing what was asked."""
    conversation.hear(json.dumps(ASK).encode().ljust(64 * 2**20 + more), 1)

    assert is_heard == conversation.is_waiting


@pytest.mark.parametrize("message", [b"not JSON", b"[1]", b'{"type":"session.updated"}', b'{"type":"error"}'])
def test_what_is_no_response_passes(conversation: Conversation, message: bytes) -> None:
    """Before an answer and after it."""
    assert [message] == conversation.mend(message)
    asked(conversation)
    answered(conversation, messages(HEALTHY))
    assert [message] == conversation.mend(message)


def test_an_error_ends_an_answer(conversation: Conversation) -> None:
    """The next turn is a new one."""
    asked(conversation)
    error = b'{"type":"error","error":{"code":"x","message":"y"}}'
    sent = [*messages(HEALTHY)[:3], error]

    assert sent == answered(conversation, sent)
    assert not conversation.is_waiting
    asked(conversation)
    assert messages(HEALTHY) == answered(conversation, messages(HEALTHY))


# Bounds and faults


def test_beyond_a_bound_the_answer_flows_on_and_still_ends() -> None:
    """What was held leaves; the next answer is mended again."""
    conversation = Conversation(replace(OPTIONS, limits=Limits(text_bytes=8)))
    sent = messages(HEALTHY)
    asked(conversation)

    assert sent == answered(conversation, sent)
    assert not conversation.is_waiting
    conversation.leave()
    assert "too-much-text" == conversation.report.stopped


def test_an_answer_beyond_a_bound_ends_with_an_error_too() -> None:
    """A failure that comes as an event of its own is an end."""
    conversation = Conversation(replace(OPTIONS, limits=Limits(text_bytes=8)))
    asked(conversation)
    answered(conversation, messages(HEALTHY)[:-1])
    assert conversation.is_waiting
    conversation.mend(b'{"type":"error","message":"x"}')

    assert not conversation.is_waiting


def test_a_fault_of_the_repair_loses_nothing(conversation: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops the repair of one answer, and no stream."""
    asked(conversation)
    sent = messages(HEALTHY)
    conversation.mend(sent[0])
    monkeypatch.setattr("respfix.stream.engine.Engine.take", None)

    assert sent[1:] == answered(conversation, sent[1:])
    conversation.leave()
    assert "internal-fault" == conversation.report.stopped


# Ends


@pytest.mark.parametrize("ending", [Ending.CLOSED, Ending.CUT, Ending.SHUTDOWN])
def test_an_answer_that_breaks_off_has_failed(conversation: Conversation, ending: Ending) -> None:
    """Who waits is told so, on the lane it waits on; who waits for nothing is told nothing."""
    for name in ("a", "b", "c"):
        asked(conversation, stream_id=name)
    answered(conversation, messages(HEALTHY, stream_id="a"))
    answered(conversation, messages(HEALTHY, stream_id="b")[:5])
    (failed,) = told(conversation.close(ending, 1.0))

    assert ("response.failed", "b") == (failed["type"], failed["stream_id"])
    assert not conversation.is_waiting


def test_an_answer_that_is_only_watched_ends_as_it_ends() -> None:
    """Nothing is added to it."""
    conversation = Conversation(OPTIONS, changes=False)
    asked(conversation)
    answered(conversation, messages(HEALTHY)[:5])

    assert [] == conversation.close(Ending.CUT, 1.0)


def test_an_answer_beyond_a_bound_is_not_ended_by_respfix() -> None:
    """It was given up: what it says at its end is the upstream's."""
    conversation = Conversation(replace(OPTIONS, limits=Limits(text_bytes=8)))
    asked(conversation)
    answered(conversation, messages(HEALTHY)[:-1])

    assert [] == conversation.close(Ending.CUT, 1.0)
    assert "too-much-text" == conversation.report.stopped
