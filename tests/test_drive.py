"""A client that misbehaves costs one reading, and is never taken for one that works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from clients import drive, install
from clients.cases import CASES
from clients.drive import Session, read_all
from clients.install import UnavailableError, installed
from clients.measure import Seen
from clients.reading import Reading
from clients.replay import STORM, Upstream
from clients.table import Client
from clients.verdicts import Verdict, judge

RUNNER = """\
import json, os, sys, time
print(json.dumps({"version": "1.0"}), flush=True)
for line in sys.stdin:
    name = line.strip()
    if name.startswith("hangs") or name == "stumbles":
        time.sleep(3600)
    if name == "dies":
        print("Segmentation fault", file=sys.stderr, flush=True)
        os._exit(139)
    print(json.dumps({"name": name, "reading": {"texts": [name], "usage": {"process": os.getpid()}}}), flush=True)
"""
SHAKY = Client("shaky", "a client that misbehaves", "none", "none.py", patience=2.0)


@pytest.fixture(autouse=True)
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every client be the one above."""
    script = tmp_path / "runner.py"
    script.write_text(RUNNER)
    monkeypatch.setattr(drive, "command", lambda _client, url: [sys.executable, str(script), "folder", url, ""])


def is_alive(process: int) -> bool:
    """Say whether a process is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_client_that_hangs_is_killed_and_costs_one_reading() -> None:
    """It is counted as a hang; a new process reads the rest."""
    with Session(SHAKY, "") as session:
        first, hung, last = (session.read(name) for name in ("first", "hangs", "last"))

    assert (False, True, False) == (first.hung, hung.hung, last.hung)
    assert [["first"], [], ["last"]] == [seen.reading.texts for seen in (first, hung, last)]
    assert first.reading.usage != last.reading.usage
    assert not is_alive((first.reading.usage or {})["process"])


def test_a_client_that_hangs_once_and_not_again_is_not_said_to_hang() -> None:
    """It is asked a second time, under another name, so that its requests are told apart."""
    with Session(SHAKY, "") as session:
        seen = session.read("stumbles")

    assert (False, ["stumbles@again"]) == (seen.hung, seen.reading.texts)


def test_a_client_that_dies_costs_one_reading_and_its_last_words_are_kept() -> None:
    """What it wrote to standard error says why."""
    outcomes = read_all(SHAKY, "", ["first", "dies", "last"]).by_name

    assert [["first"], [], ["last"]] == [outcomes[name].reading.texts for name in ("first", "dies", "last")]
    assert "Segmentation fault" in str(outcomes["dies"].reading.error)


def test_no_process_is_left_behind() -> None:
    """However the reading ended."""
    with Session(SHAKY, "") as session:
        seen = session.read("first")

    assert not is_alive((seen.reading.usage or {})["process"])


def test_a_client_that_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing half-made is left, and nothing is counted."""
    pins, cache = tmp_path / "pins", tmp_path / "cache"
    (pins / "absent").mkdir(parents=True)
    (pins / "absent" / "requirements.txt").write_text("no-such-package @ file:///nowhere/no.whl\n")
    monkeypatch.setattr(install, "PINS", pins)
    monkeypatch.setattr(install, "CACHE", cache)

    with pytest.raises(UnavailableError, match="pins/absent failed"):
        installed("absent")
    assert [] == list(cache.iterdir())


def test_a_storm_of_requests_is_answered_to_a_bound_and_then_refused() -> None:
    """So that a client that asks for ever comes to an end, and is counted."""
    upstream = Upstream({"text": b""})
    asked = [upstream.recording(b'{"input": "recording=text"}') for _ in range(STORM + 2)]

    assert ["text"] * STORM + [None] * 2 == asked
    assert STORM + 2 == len(upstream.received["text"])


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (Seen(Reading(texts=["Hello"], streamed_text="Hello"), 1), Verdict.SAME),
        (Seen(Reading(texts=["Hello"], streamed_text="Hell"), 1), Verdict.TEXT),
        (Seen(Reading(error="Error: no"), 1), Verdict.ERROR),
        (Seen(Reading(texts=["Hello"], streamed_text="Hello", calls=[["a", "b", "{}"]]), 1), Verdict.CALL),
        (Seen(Reading(texts=["Hello"], streamed_text="Hello"), 2), Verdict.STORM),
        (Seen(Reading(), 1, hung=True), Verdict.HANG),
    ],
    ids=lambda value: value.name if isinstance(value, Verdict) else "",
)
def test_a_reading_is_held_against_openai_s_own_stream(seen: Seen, verdict: Verdict) -> None:
    """Each kind of harm has its letter."""
    straight = {"text": Seen(Reading(texts=["Hello"], streamed_text="Hello"), 1)}

    assert verdict is judge(CASES["text.parts-missing"], seen, straight)


@pytest.mark.parametrize(
    ("usual", "verdicts"), [("call_0", [Verdict.SAME, Verdict.CALL]), ("fc_0", [Verdict.SAME, Verdict.SAME])]
)
def test_a_call_s_id_counts_where_the_client_hands_it_on(usual: str, verdicts: list[Verdict]) -> None:
    """A client that names calls by something else does so with OpenAI's own stream, too."""
    readings = [Reading(calls=[["shell", name, "{}"]]) for name in (usual, "other")]
    straight = {"call": Seen(readings[0], 1)}

    assert verdicts == [judge(CASES["call.created-missing"], Seen(one, 1), straight) for one in readings]


def test_a_failure_that_is_not_told_is_no_success() -> None:
    """The program must learn of it, by whatever its client has for that."""
    case = CASES["text.ends-in-the-middle"]
    healthy = Seen(Reading(texts=["Hello"], streamed_text="Hello"), 1)
    silent, told = Seen(Reading(streamed_text="He"), 1), Seen(Reading(streamed_text="He", error="Error: cut"), 1)
    straight = {"text": healthy, "text.failed-in-the-middle": told, case.name: silent}

    assert (Verdict.SILENT, Verdict.SAME) == (judge(case, silent, straight), judge(case, told, straight))
