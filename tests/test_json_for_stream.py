"""Real clients that ask for a stream and get JSON: nothing directly, everything through respfix."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache

import pytest
from clients import whole
from clients.codex.fronts import APP_SERVER, EXEC
from clients.codex.place import Seen
from clients.codex.runs import COMMAND, TOOL, VERSIONS, Key, missing, perform
from clients.install import UnavailableError, codex
from clients.whole import ERROR, NAMES, RELAYED, STRAIGHT, STREAMED, WORDS, Readings, bodies

CLIENTS = (
    "openai-python-stream",
    "openai-python-create",
    "openai-node-7-stream",
    "openai-node-7-create",
    "ai-sdk-7",
    "ai-sdk-7-open-responses",
)


@cache
def readings() -> dict[str, Readings] | str:
    """What the clients read, or why they cannot be had."""
    try:
        return whole.read(CLIENTS)
    except UnavailableError as reason:
        return str(reason)


@pytest.mark.clients
@pytest.mark.timeout(600)  # the first installs what is not there
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_reads_json_as_if_it_had_been_streamed(name: str) -> None:
    """Text, reasoning, calls and usage; directly it gets not a word, and some do not even say that it failed."""
    found = readings()
    if isinstance(found, str):
        pytest.skip(found)
    ways = found[name]

    for answer in NAMES:
        straight, streamed = ways[STRAIGHT][answer], ways[STREAMED][answer]
        assert (False, False) == (straight.is_good, straight.says_something)
        assert streamed.says_something
        assert streamed == ways[RELAYED][answer]


@pytest.mark.clients
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_learns_of_an_error_in_json(name: str) -> None:
    """In the server's words; directly it is told at most that something was missing."""
    found = readings()
    if isinstance(found, str):
        pytest.skip(found)
    straight, relayed = (found[name][way][ERROR] for way in (STRAIGHT, RELAYED))

    assert WORDS not in f"{straight.error} {straight.status}"
    assert not relayed.is_good
    assert WORDS in f"{relayed.error}"


STREAMING = "-streamed"
RUNS = [(version, front, name) for version in VERSIONS for front, name in ((EXEC, "text"), (APP_SERVER, "all"))]


@cache
def runs() -> dict[Key, Seen]:
    """What Codex showed: of JSON on both ways, and of the same as a stream."""
    said = bodies(are_whole=True)
    for name, body in bodies(are_whole=False).items():
        base, dot, rest = name.partition(".")
        said[base + STREAMING + dot + rest] = body
    ours = {
        name: body.replace(b'"shell"', f'"{TOOL}"'.encode()).replace(b"pwd", COMMAND.encode())
        for name, body in said.items()
    }
    wanted = [
        Key(version, front, name + ending, relayed=relayed)
        for version, front, name in RUNS
        for ending, relayed in (("", True), ("", False), (STREAMING, False))
    ]
    errors = [Key(version, EXEC, ERROR, relayed=relayed) for version in VERSIONS for relayed in (False, True)]
    return perform(ours, wanted + errors)


@pytest.mark.codex
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("version", "front", "name"), RUNS)
def test_codex_reads_json_as_if_it_had_been_streamed(version: str, front: str, name: str) -> None:
    """It prints the text, runs the tool once and asks once for each step; directly it tries again and gives up."""
    if reason := missing():
        pytest.skip(reason)
    relayed, straight, streamed = (
        runs()[Key(version, front, name + ending, relayed=way)]
        for ending, way in (("", True), ("", False), (STREAMING, False))
    )

    assert shown(streamed) == shown(relayed), relayed.log
    assert (streamed.printed + streamed.streamed, streamed.exit) != ("", 1)
    assert ("", 0, 2) == (straight.printed + straight.streamed, straight.ran, straight.posts)  # it may try again once
    assert straight.exit or straight.errors


@pytest.mark.codex
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", VERSIONS)
def test_codex_shows_an_error_in_json(version: str) -> None:
    """Directly it says that the stream was closed; it does not ask more often than directly."""
    if reason := missing():
        pytest.skip(reason)
    straight, relayed = (runs()[Key(version, EXEC, ERROR, relayed=way)] for way in (False, True))

    assert (False, True) == (WORDS in straight.log, WORDS in relayed.log)
    assert 1 == straight.exit == relayed.exit
    assert relayed.posts <= straight.posts


def shown(run: Seen) -> dict[str, object]:
    """Give everything that a run showed but its log."""
    return {name: value for name, value in asdict(run).items() if name != "log"}


def test_codex_is_there_in_two_releases() -> None:
    """Those that are pinned; the runs above are of both."""
    if reason := missing():
        pytest.skip(reason)

    assert 2 == len({codex(version) for version in VERSIONS})
