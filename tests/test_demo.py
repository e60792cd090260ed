"""`respfix demo`: what it shows is true, and it notices when it is not."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from clients.sdks import PYTHON, missing, read
from readme import events_of

from respfix.cli import main
from respfix.demo import STREAMS, client, run, upstream
from respfix.demo.answer import Answer
from respfix.demo.comparison import TIMES, rows
from respfix.demo.readers import codex, openai_python
from respfix.demo.screen import Screen, comparison
from respfix.demo.stage import staged
from respfix.demo.streams import Event, answer_of, bytes_of, chosen
from respfix.stream import Mender
from respfix.stream.defects import DEFECTS

DEMO = [sys.executable, "-m", "respfix", "demo"]
TOOLS = [name for name in STREAMS if name.endswith("tool")]
EACH = pytest.mark.parametrize("name", STREAMS)


def mended(stream: bytes) -> bytes:
    """What respfix makes of a stream."""
    mender = Mender()
    return mender.feed(stream) + mender.close()


def answer(name: str) -> Answer:
    """An answer of the demo, without its servers."""
    return Answer(name, events_of(STREAMS[name]), events_of(mended(STREAMS[name])))


@pytest.fixture(scope="module")
def shown() -> subprocess.CompletedProcess[str]:
    """What `respfix demo` prints into a pipe."""
    environ = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(DEMO, capture_output=True, text=True, check=False, env=environ, timeout=30)


# What it prints


def test_it_ends_well_and_says_nothing_on_stderr(shown: subprocess.CompletedProcess[str]) -> None:
    """Exit code 0, and no warning of anybody's."""
    assert (shown.returncode, shown.stderr) == (0, "")


def test_it_shows_both_servers(shown: subprocess.CompletedProcess[str]) -> None:
    """All versions and both bridges, each under its name."""
    titles = re.findall(r"^\d/\d  (.*)$", shown.stdout, re.MULTILINE)

    assert [title.partition(" ")[0] for title in titles] == ["Sub2API"] * 5 + ["opencode-llm-proxy"]


def test_it_shows_what_was_put_in_and_what_was_changed(shown: subprocess.CompletedProcess[str]) -> None:
    """The events that the reports are about, beside those that came."""
    assert shown.stdout.count("+ content_part.added") == 3
    assert shown.stdout.count("+ content_part.done") == 4
    assert re.search(r"output_text.done +~ output_text.done +text$", shown.stdout, re.MULTILINE)
    assert re.search(rf"output_text.delta {TIMES} 11 +~ output_text.delta {TIMES} 11$", shown.stdout, re.MULTILINE)


def test_it_shows_the_errors_that_people_search_for(shown: subprocess.CompletedProcess[str]) -> None:
    """In the words of the clients."""
    for words in (
        'blank reply; 11 x "OutputTextDelta without active item"',
        "IndexError: list index out of range",
        "TypeError: 'NoneType' object is not subscriptable",
        "runs no tool",
    ):
        assert words in shown.stdout


def test_it_explains_every_defect_that_it_names(shown: subprocess.CompletedProcess[str]) -> None:
    """A line of the table for each."""
    sections, _, glossary = shown.stdout.partition("\nWhat was repaired\n")
    named = {word for word in re.findall(r"[a-z]+(?:-[a-z]+)+", sections) if word in DEFECTS}

    assert named == set(re.findall(r"^  ([a-z-]+)  ", glossary, re.MULTILINE))
    assert len(named) > 15


def test_it_fits_the_page(shown: subprocess.CompletedProcess[str]) -> None:
    """80 columns, and no colours in a pipe."""
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert "\x1b" not in shown.stdout


class Terminal(io.StringIO):
    """A terminal, as far as a program can tell."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


@pytest.mark.parametrize(("variable", "value", "has_colours"), [("TERM", "xterm", True), ("NO_COLOR", "1", False)])
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    has_colours: bool,  # noqa: FBT001 (a parameter)
) -> None:
    """NO_COLOR is honoured."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(variable, value)
    page = Terminal()

    Screen(page, 80).compare(rows(answer("anthropic-text").straight, answer("anthropic-text").repaired))

    assert has_colours == ("\x1b[32m" in page.getvalue())


@EACH
@pytest.mark.parametrize("width", [80, 99, 100, 120])
def test_no_line_is_wider_than_the_page(name: str, width: int) -> None:
    """Names lose what they all begin with before they break."""
    lines = comparison(rows(answer(name).straight, answer(name).repaired), width)

    assert max(len(left + right.rstrip()) for _, left, right in lines) <= width


def test_a_terminal_without_the_signs_does_not_end_the_demo() -> None:
    """An ASCII terminal gets question marks."""
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(DEMO, capture_output=True, check=False, env=environ, timeout=30)

    assert (result.returncode, result.stderr) == (0, b"")
    assert b"output_text.delta ? 11" in result.stdout


# What it proves


def test_it_fails_if_nothing_is_repaired(capsys: pytest.CaptureFixture[str]) -> None:
    """Its judgement is its own: with the repair off it says what each client lacks, and the exit code is 1."""
    code = run(repair="off", out=io.StringIO())

    assert code == 1
    assert "respfix: error: anthropic-text: missing-part-added is left\n" in capsys.readouterr().err


@EACH
def test_both_readers_need_the_repair_and_are_right_with_it(name: str) -> None:
    """What the demo claims in its last line."""
    assert answer(name).problems() == []


def test_a_stream_that_is_not_broken_is_called_that() -> None:
    """Else the demo could show healthy streams and claim to have repaired them."""
    whole = events_of(mended(STREAMS["chat-text"]))

    assert Answer("", whole, whole).problems() == ["Codex is right without it", "openai-python is right without it"]


@EACH
def test_a_repaired_answer_is_left_alone(name: str) -> None:
    """Repairing twice changes nothing."""
    once = mended(STREAMS[name])

    assert once == mended(once)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("repaired", [False, True])
def test_its_openai_python_says_what_the_real_one_says(repaired: bool) -> None:  # noqa: FBT001 (a parameter)
    """Word for word, on all streams."""
    if reason := missing(PYTHON):
        pytest.skip(reason)
    streams = {name: mended(stream) if repaired else stream for name, stream in STREAMS.items()}
    real = {name: (seen.error, seen.text, seen.calls) for name, seen in read(PYTHON, streams).items()}
    own = {name: openai_python(events_of(stream)) for name, stream in streams.items()}

    assert {name: error for name, (error, _, _) in real.items()} == {
        name: reading.complaint or None for name, reading in own.items()
    }
    assert {
        name: text or "".join(f"{call[0]}({call[2]})" for call in calls) for name, (_, text, calls) in real.items()
    } == {name: reading.shown for name, reading in own.items()}


def test_its_codex_asks_again_without_an_end() -> None:
    """A stream without response.completed is not an answer to Codex."""
    events = events_of(mended(STREAMS["chat-text"]))[:-1]

    assert codex(events).complaint == "stream closed before response.completed"
    assert openai_python(events).complaint == "RuntimeError: Didn't receive a `response.completed` event."


@EACH
def test_a_stream_survives_being_taken_apart(name: str) -> None:
    """What the demo judges is what was on the wire."""
    assert STREAMS[name].removesuffix(b"data: [DONE]\n\n") == bytes_of(events_of(STREAMS[name]))


@EACH
def test_the_model_said_something_worth_reading(name: str) -> None:
    """A text, or a call of the shell tool that Codex has."""
    said = answer_of(events_of(STREAMS[name]))

    assert said.startswith('exec_command({"cmd":"echo') if name in TOOLS else said.endswith(".")


# What is asked, and how often


async def test_a_client_asks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that reads would send the request again at the end of a stream."""
    asked: list[str] = []

    def cut(request: dict[str, Any]) -> str:
        asked.append(chosen(request))
        return "cut"

    monkeypatch.setattr(upstream, "chosen", cut)
    monkeypatch.setattr(upstream, "STREAMS", {"cut": STREAMS["chat-text"][:500]})
    async with staged(pace=0) as urls, client.connected() as session:
        with pytest.raises(client.StreamError, match="ended without its last event"):
            await client.ask(session, urls[0], "chat-text")

    assert asked == ["chat-text"]


async def test_a_server_that_refuses_is_quoted() -> None:
    """The library would keep the status only."""
    async with staged(pace=0) as urls, client.connected() as session:
        with pytest.raises(client.StreamError, match=r"404: .*try POST /v1/responses"):
            await client.ask(session, f"{urls[0]}/nowhere/x?", "chat-text")


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"model": "chat-tool", "input": "hello"}, "chat-tool"),
        ({"model": "gpt-5.5", "input": "hello"}, "anthropic-text"),
        ({"model": "gpt-5.5", "input": "please run a tool"}, "anthropic-tool"),
        ({"model": "gpt-5.5", "input": [{"role": "user", "content": "opencode-text"}]}, "opencode-text"),
        ({"input": [{"role": "user", "content": "a tool"}, {"role": "user", "content": "hello"}]}, "anthropic-text"),
        ({"input": [{"role": "user", "content": "chat-tool"}, {"type": "function_call_output"}]}, "chat-text"),
        (
            {"model": "chat-tool", "input": [{"type": "function_call_output"}, {"role": "user", "content": "go on"}]},
            "chat-tool",
        ),
        ({"input": None}, "anthropic-text"),
    ],
)
def test_the_request_chooses_the_answer(request_: dict[str, Any], name: str) -> None:
    """By model or by what the user said last; the result of a tool is answered with a text, so that an agent ends."""
    assert chosen(request_) == name


def test_an_event_without_a_type_is_shown_as_it_is() -> None:
    """[DONE] is an event too."""
    assert (Event("[DONE]").kind, Event("[DONE]").is_last) == ("[DONE]", True)


# Kept running


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A `respfix demo --serve`: the process, and its two base URLs by name."""
    command = [*DEMO, "--serve", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            page = ""
            while "opencode-text" not in page:
                line = process.stdout.readline()
                assert line, process.communicate()
                page += line
            yield process, dict(re.findall(r"^  (broken|respfix)\b[ a-z]* (http://\S+)$", page, re.MULTILINE))
        finally:
            process.kill()


def post(url: str, body: bytes) -> bytes:
    """What a plain HTTP client gets."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 (http)
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 (http)
        return bytes(response.read())


def test_both_ports_can_be_asked_until_they_are_stopped() -> None:
    """One gives the broken stream byte for byte, the other the repaired one; SIGTERM ends both, which is no error."""
    question = json.dumps({"model": "opencode-text", "input": "hello", "stream": True}).encode()
    with serving() as (process, urls):
        broken, repaired = (post(f"{urls[name]}/responses", question) for name in ("broken", "respfix"))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)

    assert broken == STREAMS["opencode-text"]
    assert repaired == mended(broken)
    assert process.returncode == 0
    assert "POST /v1/responses 200" in log


def two_free_ports() -> int:
    """Give the first of two neighbours that nobody uses, below those that the system gives to connections."""
    for port in range(20_000, 30_000, 2):
        with (
            suppress(OSError),
            socket.create_server(("127.0.0.1", port)),
            socket.create_server(("127.0.0.1", port + 1)),
        ):
            return port
    raise AssertionError("10,000 ports are in use")


def test_the_ports_can_be_chosen() -> None:
    """The server's and the next one."""
    port = two_free_ports()
    with serving("--port", str(port)) as (_, urls):
        assert urls == {"broken": f"http://127.0.0.1:{port}/v1", "respfix": f"http://127.0.0.1:{port + 1}/v1"}


def test_a_port_in_use_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """And with it what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        assert main(["demo", "--serve", "--port", str(port)]) == 1

    assert capsys.readouterr().err.startswith(f"respfix: error: 127.0.0.1:{port} is in use; ")


@pytest.mark.parametrize("word", ["0", "65535", "http", "-1"])
def test_a_port_that_is_none_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The second one has to exist as well."""
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--serve", f"--port={word}"])

    assert "expected a port from 1 to 65534" in capsys.readouterr().err


def test_what_the_server_does_not_have_is_refused() -> None:
    """In the shape in which such servers refuse."""
    with serving() as (_, urls):
        with pytest.raises(urllib.error.HTTPError, match="404") as unknown:
            post(f"{urls['broken']}/chat/completions", b"{}")
        with pytest.raises(urllib.error.HTTPError, match="400") as malformed:
            post(f"{urls['broken']}/responses", b"{")

        assert b"try POST /v1/responses" in unknown.value.read()
        assert b"not a JSON object" in malformed.value.read()
