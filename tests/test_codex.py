"""The real Codex, through respfix: it prints what it lost, runs the tools it ignored, and logs no complaint.

Its three front ends, of which one is read off a screen. Two releases of the binary, with streams as Sub2API 0.1.132 and
opencode-llm-proxy 1.6.1 send them, in a network namespace in which there is nothing but loopback. `docs/codex.md` says
how to do the same by hand.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from functools import cache
from typing import NamedTuple

import pytest
from clients import wire
from clients.codex.fronts import APP_SERVER, EXEC, SCREEN
from clients.codex.place import Seen
from clients.codex.runs import ARGUMENTS, COMMAND, FRONTS, TOOL, VERSIONS, Key, missing, perform
from clients.codex.screen import PROMPT
from clients.install import HERE
from clients.replay import AFTER_TOOL
from clients.variants import BASES, ROWS, VARIANTS, encoded

from respfix.demo.streams import STREAMS

pytestmark = [pytest.mark.codex, pytest.mark.timeout(900)]  # the first test fetches both binaries and runs everything

TURNS = {EXEC: 1, APP_SERVER: 2, SCREEN: 2}


class Case(NamedTuple):
    """One model's answer as a server sends it; with a tool call, the answer after it is a stream of its own."""

    stream: bytes
    after: bytes | None = None


def recorded(name: str) -> bytes:
    """Give a recording that lies beside the harness."""
    return (HERE / "streams" / f"{name}.sse").read_bytes()


def retooled(stream: bytes) -> bytes:
    """Let the only call in a recording call Codex's own tool; the shape of every event stays, doubled arguments too."""
    said = wire.read(stream).calls[0].streamed
    arguments = json.dumps(ARGUMENTS, separators=(",", ":"))
    deltas = iter([arguments])

    def changed(value: object) -> object:
        if isinstance(value, list):
            return [changed(each) for each in value]
        if not isinstance(value, dict):
            return value
        new = {key: changed(each) for key, each in value.items()}
        if "call_id" in new and "name" in new:
            new["name"] = TOOL
        if "arguments" in new:
            new["arguments"] = str(new["arguments"]).replace(said, arguments)
        if new.get("type") == "response.function_call_arguments.delta":
            new["delta"] = next(deltas, "")
        return new

    frames = (frame.partition("data: ") for frame in stream.decode().split("\n\n"))
    return "\n\n".join(
        head + mark + json.dumps(changed(json.loads(data)), separators=(",", ":"))
        if data[:1] == "{"
        else head + mark + data
        for head, mark, data in frames
    ).encode()


CASES = {
    "anthropic-text": Case(recorded("sub2api-0.1.132-an-text")),
    "anthropic-reasoning-text": Case(recorded("sub2api-0.1.132-an-thinking-text")),
    "anthropic-reasoning-text-tool": Case(
        retooled(recorded("sub2api-0.1.132-an-thinking-text-tool")), recorded("sub2api-0.1.132-an-text")
    ),
    "chat-text": Case(recorded("sub2api-0.1.132-cc-text")),
    "chat-reasoning-text": Case(recorded("sub2api-0.1.132-cc-reasoning-text-deepseek")),
    "chat-reasoning-among-text": Case(recorded("sub2api-0.1.132-cc-reasoning-text-glm")),
    "chat-tool": Case(retooled(recorded("sub2api-0.1.132-cc-tool-only")), recorded("sub2api-0.1.132-cc-text")),
    "chat-reasoning-text-tool-doubled": Case(
        retooled(recorded("sub2api-0.1.132-cc-reasoning-text-tool")), recorded("sub2api-0.1.132-cc-text")
    ),
    "opencode-text": Case(recorded("opencode-llm-proxy-1.6.1-text")),
}
CASES |= {
    f"demo-{name}": Case(retooled(stream), STREAMS[name.replace("tool", "text")])
    if name.endswith("tool")
    else Case(stream)
    for name, stream in STREAMS.items()
}
TOOLS = [name for name, case in CASES.items() if case.after]
ON_SCREEN = ["anthropic-text", "anthropic-reasoning-text-tool", "opencode-text"]  # a run takes two seconds
BODIES = {name: case.stream for name, case in CASES.items()} | {
    name + AFTER_TOOL: case.after for name, case in CASES.items() if case.after
}


def texts(name: str) -> list[str]:
    """Give the messages of a case, the one after the tool last."""
    case = CASES[name]
    said = [wire.read(stream).text.streamed for stream in (case.stream, case.after) if stream]
    return [text for text in said if text]


def is_unread(name: str) -> bool:
    """Say whether a case opens a message that Codex cannot parse, and then writes into it."""
    opened = [event["item"] for event in wire.events(CASES[name].stream) if event["type"].endswith("item.added")]
    broken = [item for item in opened if item["type"] == "message" and "content" not in item]
    return bool(broken and wire.read(CASES[name].stream).text.streamed)


# Where a recording is read.
PLACES = [(front, name) for front in FRONTS for name in (ON_SCREEN if front == SCREEN else CASES)]


@cache
def runs() -> dict[Key, Seen]:
    """Do all runs on the recordings, through respfix and straight."""
    wanted = itertools.product(VERSIONS, PLACES, (True, False))
    return perform(BODIES, (key(version, *place, relayed) for version, place, relayed in wanted))


def key(version: str, front: str, name: str, relayed: bool = True) -> Key:  # noqa: FBT001, FBT002 (one of a product)
    """Name a run on a recording; where there is a second turn, it shows what the first left in the history."""
    return Key(version, front, name, TURNS[front], relayed)


def seen(version: str, front: str, name: str, *, relayed: bool = True) -> Seen:
    """Give what one run showed; skips where Codex cannot be had or kept off the network."""
    if reason := missing():
        pytest.skip(reason)
    return runs()[key(version, front, name, relayed)]


EITHER_VERSION = pytest.mark.parametrize("version", VERSIONS)
EACH_PLACE = pytest.mark.parametrize(("front", "name"), PLACES, ids="-".join)
EACH_CASE = pytest.mark.parametrize("name", CASES)


# Through respfix


@EITHER_VERSION
@EACH_CASE
def test_exec_prints_the_whole_answer(version: str, name: str) -> None:
    """`codex exec` prints the last message, and nothing else."""
    run = seen(version, "exec", name)

    assert (texts(name)[-1], 0) == (run.printed, run.exit), run.log


def on_screen(name: str) -> list[str]:
    """Give the lines that one turn leaves on the screen."""
    tool = [f"• Ran {COMMAND}", "└ (no output)"]
    said = [[f"• {text}"] for text in texts(name)]
    if CASES[name].after:
        said.insert(len(said) - 1, tool)
    return [line for lines in said for line in lines]


@EITHER_VERSION
@pytest.mark.parametrize("name", ON_SCREEN)
def test_the_screen_shows_the_whole_answer(version: str, name: str) -> None:
    """Whoever types the prompt twice reads the answer twice, with the tool's run in between and no error."""
    run = seen(version, SCREEN, name)
    lines = run.printed.splitlines()
    again = next((number for number, line in enumerate(lines) if line.startswith(PROMPT)), len(lines))

    assert (on_screen(name), on_screen(name)) == (lines[:again], lines[again + 1 :]), run.errors
    assert run.errors == []


@EITHER_VERSION
@EACH_CASE
def test_the_app_server_streams_the_whole_answer(version: str, name: str) -> None:
    """Every delta reaches the user interface under an item that was started, and the final texts agree with them."""
    run = seen(version, "app-server", name)

    assert texts(name) * 2 == run.messages, run.log
    assert "".join(texts(name)) * 2 == run.streamed
    assert (run.unpaired, run.errors, run.exit) == ([], [], 0)


@EITHER_VERSION
@EACH_CASE
def test_the_app_server_shows_the_reasoning(version: str, name: str) -> None:
    """Reasoning arrives as an item with its whole summary."""
    run = seen(version, "app-server", name)

    assert wire.read(CASES[name].stream).summary.streamed * 2 == "".join(run.thoughts), run.log


@EITHER_VERSION
@EACH_CASE
def test_the_next_turn_remembers_the_answer(version: str, name: str) -> None:
    """What the assistant said goes back to the model, each message once."""
    run = seen(version, "app-server", name)
    steps = len(texts(name)) if CASES[name].after else 1

    assert (texts(name) * 2)[: -1 if steps else None] == run.history, run.log


@EITHER_VERSION
@EACH_PLACE
def test_codex_does_not_complain(version: str, front: str, name: str) -> None:
    """No delta arrives without an active item."""
    run = seen(version, front, name)

    assert run.inactive == 0, run.log


@EITHER_VERSION
@EACH_PLACE
def test_codex_asks_once_for_each_step(version: str, front: str, name: str) -> None:
    """Nothing is retried: one request for each step of each turn."""
    run = seen(version, front, name)

    assert TURNS[front] * (2 if CASES[name].after else 1) == run.posts, run.log


@EITHER_VERSION
@EACH_PLACE
def test_codex_runs_the_tool_once(version: str, front: str, name: str) -> None:
    """A tool call runs exactly once in each turn, and no call is made up."""
    run = seen(version, front, name)

    assert TURNS[front] * (1 if CASES[name].after else 0) == run.ran, run.log


# Straight from the upstream: what was reported, so that the tests above prove something


@EITHER_VERSION
@EACH_CASE
def test_without_respfix_exec_prints_nothing_and_calls_it_a_success(version: str, name: str) -> None:
    """The answer is lost and the exit code is 0."""
    run = seen(version, "exec", name, relayed=False)

    assert (run.printed, run.exit) == ("", 0), run.log


@EITHER_VERSION
@pytest.mark.parametrize("name", [name for name in ON_SCREEN if is_unread(name)])
def test_without_respfix_the_screen_stays_blank(version: str, name: str) -> None:
    """Nothing follows the prompt, not even an error."""
    run = seen(version, SCREEN, name, relayed=False)

    assert [PROMPT] == [line[:1] for line in run.printed.splitlines()], run.printed
    assert run.errors == []


@EITHER_VERSION
@pytest.mark.parametrize("name", [name for name in CASES if is_unread(name)])
def test_without_respfix_codex_complains_about_deltas(version: str, name: str) -> None:
    """`OutputTextDelta without active item`, and no user interface shows a word."""
    run = seen(version, "app-server", name, relayed=False)

    assert run.inactive > 0
    assert (run.streamed, run.messages) == ("", [])


@EITHER_VERSION
@pytest.mark.parametrize(("front", "name"), [place for place in PLACES if place[1] in TOOLS], ids="-".join)
def test_without_respfix_the_tool_never_runs(version: str, front: str, name: str) -> None:
    """The call vanishes, and with it the step after it."""
    run = seen(version, front, name, relayed=False)

    assert (0, TURNS[front]) == (run.ran, run.posts), run.log


def test_the_streams_are_told_apart_by_what_they_call() -> None:
    """A retooled recording still has one call, with the arguments that leave a line for each run."""
    calls = {name: wire.read(CASES[name].stream).calls for name in TOOLS}

    assert dict.fromkeys(TOOLS, 1) == {name: len(found) for name, found in calls.items()}
    assert {TOOL} == {found[0].name for found in calls.values()}
    assert [ARGUMENTS] * len(TOOLS) == [json.loads(found[0].streamed) for found in calls.values()]


# One fault at a time, through respfix


def reader(version: str, name: str, *, at_screen: bool = False) -> Key:
    """Choose who reads a stream: `all` shows its reasoning, text and call to user interfaces, a text is printed."""
    return Key(version, SCREEN if at_screen else APP_SERVER if name.startswith("all") else EXEC, name)


# Each fault is read once, in the richest stream that can have it; the releases take turns, and some are read off the
# screen. `make test-clients` reads each with both, in all front ends.
WITH_FAULT = {
    reader(VERSIONS[number % len(VERSIONS)], f"{base}.{row.name}", at_screen=number % 15 in (3, 4)): row
    for number, row in enumerate(ROWS)
    for base in ("all", "text")
    if base in row.bases and (base == "all" or "all" not in row.bases)
}
WITHOUT_FAULT = [
    reader(version, base, at_screen=at_screen)
    for version in VERSIONS
    for base in ("all", "text")
    for at_screen in (False, True)
]


def for_codex(body: bytes) -> bytes:
    """Let the call in a variant call Codex's own tool."""
    return body.replace(b'"shell"', f'"{TOOL}"'.encode()).replace(b"pwd", COMMAND.encode())


@cache
def faulty() -> dict[Key, Seen]:
    """Do one run for each fault, and one for each stream without a fault with each release."""
    bodies = {key.name: VARIANTS[key.name].body for key in WITH_FAULT}
    bodies |= {key.name: encoded(BASES[key.name]) for key in WITHOUT_FAULT}
    after = {name + AFTER_TOOL: encoded(BASES["text"]) for name in bodies if name.startswith("all")}
    return perform(
        {name: for_codex(body) for name, body in bodies.items()} | after,
        [*WITH_FAULT, *WITHOUT_FAULT],
        cut=(key.name for key, row in WITH_FAULT.items() if row.cut),
    )


@pytest.mark.parametrize("key", WITH_FAULT, ids=lambda key: f"{key.name}-{key.version}")
def test_codex_sees_no_fault(key: Key) -> None:
    """A repaired fault shows nowhere; a failure is told, and no tool runs twice because of it."""
    if reason := missing():
        pytest.skip(reason)
    row, wanted, got = WITH_FAULT[key], faulty()[key._replace(name=key.name.partition(".")[0])], faulty()[key]

    assert got.inactive == 0, got.log
    if row.status == "failed" or row.name == "terminal-incomplete":
        # Where all items were whole, what is tried again is the next step, and succeeds.
        assert got.exit != 0 or got.errors
        assert got.ran <= wanted.ran
    else:
        assert shown(wanted) == shown(got), got.log


def shown(run: Seen) -> dict[str, object]:
    """Give everything that a run showed but its log."""
    return {name: value for name, value in asdict(run).items() if name != "log"}
