"""Deltas that say again what was said: with the switches on, a repeat is taken for one on proof alone."""

from __future__ import annotations

import pytest
import reader
from test_mender import (
    Event,
    added,
    args,
    call,
    completed,
    created,
    done,
    encoded,
    event,
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

from respfix.stream import Limits

BOTH = frozenset({"cumulative-deltas", "replayed-prefix"})


def deltas(*events: Event | str, on: frozenset[str] = BOTH) -> list[str]:
    """Give what the deltas that leave say."""
    out = reader.events(run(*events, on=on).body)
    return [body["delta"] for body in out if str(body["type"]).endswith(".delta")]


def opened(*words: str) -> list[Event]:
    """Open a message and say something in it."""
    return [*created(), added(message()), part("added"), *map(text, words)]


def closed(whole: str) -> list[Event]:
    """Close the message."""
    return [*said(whole)[3:], completed(message(text=whole))]


def later(index: int, *words: str, whole: str | None = None) -> list[Event]:
    """Say another message in these deltas."""
    name = f"msg{index}"
    names = {"item_id": name, "output_index": index, "content_index": 0}
    ends = "".join(words) if whole is None else whole
    return [
        added(message(name), index),
        event("part.added", part={"type": "output_text", "text": "", "annotations": []}, **names),
        *(event("text.delta", delta=word, **names) for word in words),
        event("text.done", text=ends, **names),
        event("part.done", part={"type": "output_text", "text": ends, "annotations": []}, **names),
        done(message(name, ends), index),
    ]


# Each delta repeats the text so far


@pytest.mark.parametrize("on", [frozenset[str](), BOTH], ids=["off", "on"])
@pytest.mark.parametrize(
    "words",
    [("ha", "ha", "ha"), ("ha", "haha", "!"), ("a", "ab", "abc"[:2]), ("\n", "\n\n", " x"), ("a", "", "b")],
    ids=repr,
)
def test_a_model_may_repeat_itself(words: tuple[str, ...], on: frozenset[str]) -> None:
    """What is no proof of a server that repeats leaves as it came, byte for byte, switched on or not."""
    events = numbered([*opened(*words), *closed("".join(words))])

    assert encoded(events) == run(*events, on=on).body


def test_three_deltas_that_grow_are_proof() -> None:
    """From there on only what is new is said, and what is not new is not."""
    words = ("He", "Hello", "Hello wor", "Hello wor", "Hello world")

    assert ["He", "llo wor", "ld"] == deltas(*opened(*words), *closed("Hello world"))


def test_two_deltas_that_grow_and_the_closing_value_are_proof() -> None:
    """The value is the second delta, and not both of them."""
    assert ["He", "llo"] == deltas(*opened("He", "Hello"), *closed("Hello"))


@pytest.mark.parametrize("ending", ["HeHello", ""], ids=["closing", "silent"])
def test_two_deltas_that_grow_are_no_proof(ending: str) -> None:
    """The closing value has both of them, or is none."""
    events = [*opened("He", "Hello"), text_done(ending), *said("HeHello")[4:], completed(message(text="HeHello"))]

    assert ["He", "Hello"] == deltas(*events)


def test_by_default_no_delta_is_ever_left_out() -> None:
    """Only who runs a server that repeats can know."""
    words = ["He", "Hello", "Hello world"]

    assert words == deltas(*opened(*words), *closed("".join(words)), on=frozenset())


def test_what_breaks_off_after_a_proof_is_new() -> None:
    """A delta that does not begin with what was said is said."""
    assert ["He", "llo", "Bye"] == deltas(*opened("He", "Hel", "Hello", "Bye"), completed())


def test_arguments_may_be_cumulative() -> None:
    """Every value that is said in deltas."""
    pieces = [args(piece) for piece in ("{", '{"a":', '{"a":1}')]

    assert ["{", '"a":1}'] == deltas(*created(), added(call()), *pieces, completed(call(arguments='{"a":1}')))


# Each item says again what the ones before it said


def test_an_item_that_goes_on_is_a_replay() -> None:
    """Only what is new in it is said, in its deltas and in all its closing values."""
    events = [*created(), *later(0, "Hello"), *later(1, "Hel", "lo", " world"), *later(2, "Hello world", "!")]
    out = reader.events(run(*events, completed(), on=BOTH).body)

    assert ["Hello", " world", "!"] == deltas(*events, completed())
    assert ["Hello", " world", "!"] == [
        item["content"][0]["text"] for item in reader.terminal(out)["response"]["output"]
    ]
    assert [] == reader.complaints(out, is_strict=False)


def test_an_item_that_says_the_same_has_said_it_twice() -> None:
    """Two messages of one text are two; nothing proves that the second was not meant."""
    events = numbered(
        [
            *created(),
            *later(0, "Done."),
            *later(1, "Do", "ne."),
            completed(*map(message, ("msg0", "msg1"), ("Done.", "Done."))),
        ]
    )

    assert encoded(events) == run(*events, on=BOTH).body


def test_an_item_that_says_the_same_as_a_replay_is_one() -> None:
    """Where the one before it was a replay, it says nothing new."""
    assert ["A", "B"] == deltas(*created(), *later(0, "A"), *later(1, "AB"), *later(2, "AB"), completed())


def test_an_item_that_only_begins_alike_is_none() -> None:
    """Its first words wait until it says something else, and leave as they came."""
    events = [*created(), *later(0, "I see. So"), *later(1, "I", " see", "? No.")]

    assert ["I see. So", "I", " see", "? No."] == deltas(*events, completed())


def test_an_item_that_ends_where_it_might_still_be_a_replay_is_none() -> None:
    """It is shorter than the one before."""
    assert ["Hello world", "Hello"] == deltas(*created(), *later(0, "Hello world"), *later(1, "Hello"), completed())


def test_a_replay_without_deltas_says_what_is_new() -> None:
    """Its closing value is proof enough."""
    assert ["Hello", " world"] == deltas(*created(), *later(0, "Hello"), *later(1, whole="Hello world"), completed())


def test_reasoning_and_text_are_no_replays_of_each_other() -> None:
    """A message may begin with what was thought."""
    thought = [added(reasoning()), summary("Hello"), done(reasoning(text="Hello"))]

    assert ["Hello", "Hello world"] == deltas(*created(), *thought, *said("Hello world", index=1), completed())


def test_calls_are_no_replays_of_each_other() -> None:
    """Two calls with the same beginning are two calls."""
    whole = ['{"a":1', '{"a":1}']
    calls = [piece for n, words in enumerate(whole) for piece in (added(call(f"fc{n}"), n), args(words, n, f"fc{n}"))]

    assert whole == deltas(*created(), *calls, on=frozenset({"replayed-prefix"}))[:2]


# What waits


@pytest.mark.parametrize(
    "end",
    [event("response.failed", response=response("failed", error={"code": "x", "message": "y"})), None],
    ids=["failed", "cut"],
)
def test_what_waits_leaves_before_a_failure(end: Event | None) -> None:
    """Nothing that was received is lost."""
    events = [*created(), *later(0, "Hello"), *later(1, "He", "l")[:4], *([end] if end else [])]

    assert ["Hello", "He", "l"] == deltas(*events)


def test_what_waits_leaves_as_it_came_where_the_repair_stops() -> None:
    """Beyond a bound the bytes flow on."""
    events = [*created(), *later(0, "Hello"), *later(1, *"Hell")[:6]]
    repaired = run(*events, on=BOTH, limits=Limits(held_frames=3))

    assert "too-much-held" == repaired.report.stopped
    assert encoded(events) == repaired.body


def test_what_waited_and_left_makes_room() -> None:
    """The bound is one of what waits at a time."""
    events = [*created(), *later(0, "Hello"), *(one for n in (1, 2, 3) for one in later(n, "H", "e", str(n)))]

    assert run(*events, completed(), on=BOTH, limits=Limits(held_frames=2)).report.stopped is None


def test_numbers_rise_where_others_speak_while_something_waits() -> None:
    """A delta that has waited leaves with the number that is due then."""
    second = later(1, "He", "y")
    events = numbered(
        [*created(), *later(0, "Hello"), *second[:3], event("response.tomorrow"), *second[3:], completed()]
    )
    repaired = run(*events, on=BOTH)
    numbers = [body["sequence_number"] for body in reader.events(repaired.body)]

    assert sorted(set(numbers)) == numbers
    assert "sequence-number-not-rising" not in repaired.report.defects
