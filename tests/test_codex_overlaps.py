"""Items that overlap: legal, and read by everyone but Codex, which has room for one item at a time.

Another item opens and ends inside a message. Without respfix the rest of the message is lost on the way to a user
interface; through respfix the items come one after the other, and nothing but their order has changed.
"""

from __future__ import annotations

import json
from functools import cache

import pytest
from clients.codex.fronts import APP_SERVER, EXEC, SCREEN
from clients.codex.place import Seen
from clients.codex.runs import ARGUMENTS, FRONTS, TOOL, VERSIONS, Key, missing, perform
from clients.replay import AFTER_TOOL
from clients.variants import WORDS, Event, Events, call, encoded, item, message, reasoning, stream

pytestmark = [pytest.mark.codex, pytest.mark.timeout(900)]

TEXT, AFTER = "".join(WORDS), "Done."
SEARCH: Event = {"id": "ws_1", "type": "web_search_call", "status": "in_progress"}
FOUND = SEARCH | {"status": "completed", "action": {"type": "search", "query": "q"}}
NEWCOMER: Event = {"id": "x_1", "type": "x_call", "status": "completed"}  # of a type that nobody knows


def amid(*others: tuple[Event, Events]) -> bytes:
    """Write a stream of a message and other items, whose events come between the message's first two deltas."""
    events = stream(message(0), *others)
    inside = [event for event in events if event.get("output_index")]
    outside = [event for event in events if event not in inside]
    where = next(place for place, event in enumerate(outside) if event["type"].endswith("text.delta")) + 1
    ordered = [*outside[:where], *inside, *outside[where:]]
    return encoded(event | {"sequence_number": number} for number, event in enumerate(ordered))


STREAMS = {
    "reasoning": amid(reasoning(1)),
    "web-search": amid(item(1, SEARCH, FOUND)),
    "unknown": amid(item(1, NEWCOMER, NEWCOMER)),
    "call": amid(call(1, [json.dumps(ARGUMENTS)], name=TOOL)),
}
BODIES = STREAMS | {"call" + AFTER_TOOL: encoded(stream(message(0, [AFTER])))}
EITHER_VERSION = pytest.mark.parametrize("version", VERSIONS)
EACH_STREAM = pytest.mark.parametrize("name", STREAMS)


@cache
def runs() -> dict[Key, Seen]:
    """Do all runs."""
    places = [(version, front, name) for version in VERSIONS for front in FRONTS for name in STREAMS]
    return perform(BODIES, [Key(*place, relayed=relayed) for place in places for relayed in (True, False)])


def seen(version: str, front: str, name: str, *, relayed: bool = True) -> Seen:
    """Give what one run showed; skips where Codex cannot be had or kept off the network."""
    if reason := missing():
        pytest.skip(reason)
    return runs()[Key(version, front, name, relayed=relayed)]


@EITHER_VERSION
@EACH_STREAM
def test_the_text_is_whole_in_every_front_end(version: str, name: str) -> None:
    """What is streamed and shown is the message, once, and what follows a tool; what is printed is the last of it."""
    printed, embedded, screen = (seen(version, front, name) for front in (EXEC, APP_SERVER, SCREEN))
    texts = [TEXT, AFTER] if name == "call" else [TEXT]

    assert texts[-1] == printed.printed, printed.log
    assert ("".join(texts), texts) == (embedded.streamed, embedded.messages), embedded.log
    assert texts == [line[2:] for line in screen.printed.splitlines() if line[2:] in texts], screen.printed


@EITHER_VERSION
@pytest.mark.parametrize("front", FRONTS)
@EACH_STREAM
def test_codex_asks_and_acts_once_and_does_not_complain(version: str, front: str, name: str) -> None:
    """A step is one request, a call runs once, no delta is without an item, and no error is shown."""
    run = seen(version, front, name)

    assert ((2, 1) if name == "call" else (1, 0)) == (run.posts, run.ran), run.log
    assert (0, []) == (run.inactive, run.errors), run.log


@EITHER_VERSION
@EACH_STREAM
def test_without_respfix_the_rest_of_the_text_is_not_streamed(version: str, name: str) -> None:
    """The other item takes the place of the message, or empties it."""
    run = seen(version, APP_SERVER, name, relayed=False)

    assert TEXT != run.streamed or run.inactive or run.unpaired
