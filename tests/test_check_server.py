"""`respfix check URL`: a server is asked once, and whatever it answers is told without its secrets."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from test_check import BROKEN, HEALTHY, run
from upstream import END, STREAM_HEAD, Exchange, Script, Upstream, answer, chunk, serving

from respfix.check.source import Question, shown

KEY, PROMPT = "canary-0123456789", "what is my canary"  # a key that looks like none


async def ask(upstream: Upstream, *words: str, path: str = "/v1") -> subprocess.CompletedProcess[str]:
    """Check a server, beside the loop that serves."""
    arguments = [f"{upstream.url}{path}", "--model", "m", "--prompt", PROMPT, *words]
    return await asyncio.to_thread(run, *arguments, OPENAI_API_KEY=KEY)


async def test_a_server_is_asked_once_and_for_a_stream(tmp_path: Path) -> None:
    """One POST below the base URL, with the key from the environment; what came is saved byte for byte."""
    raw = b"\xef\xbb\xbf" + BROKEN.replace(b"\n", b"\r")
    async with serving(STREAM_HEAD + chunk(raw) + END) as upstream:
        result = await ask(upstream, "--save", str(tmp_path / "raw.sse"), "--format", "json")

    assert len(upstream.exchanges) == 1
    assert upstream.last.head.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}\r\n".encode() in upstream.last.head
    assert json.loads(upstream.last.body) == {"model": "m", "input": PROMPT, "stream": True}
    assert (tmp_path / "raw.sse").read_bytes() == raw
    told = json.loads(result.stdout)
    assert (result.returncode, told["bytes"]) == (1, len(raw))
    assert {"byte-order-mark", "cr-line-ends", "empty-output"} <= {defect["slug"] for defect in told["defects"]}


@pytest.mark.parametrize(
    "words", [[], ["--report"], ["--format", "json"], ["--format", "sarif"], ["--format", "junit"]]
)
async def test_the_key_and_the_prompt_are_never_printed(words: list[str]) -> None:
    """Not even where the server sends them back, and a report names the host alone."""
    echo = BROKEN.replace(b'"model": "m"', f'"model": "m {PROMPT} {KEY}"'.encode())
    async with serving(STREAM_HEAD + chunk(echo) + END) as upstream:
        result = await ask(upstream, *words)

    assert result.returncode == 1
    assert KEY not in result.stdout + result.stderr
    assert PROMPT not in result.stdout + result.stderr
    assert words != ["--report"] or (str(upstream.port) not in result.stdout and "server 127.0.0.1\n" in result.stdout)


def plain(status: bytes, body: bytes, *headers: bytes) -> bytes:
    """An answer that is no stream."""
    return answer(body, *headers, status=status)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            plain(b"401 No", b'{"error":{"message":"bad key %s"}}' % KEY.encode()),
            "answered 401 (bad key ***); check --key",
        ),
        (plain(b"404 No", b"<html>"), "answered 404; check the path of the URL, which usually ends in /v1"),
        (plain(b"502 No", b'{"error":"upstream"}'), "answered 502 (upstream); the server's own log may say why"),
        (plain(b"307 No", b"", b"Location: /x"), "answered 307; redirects are not followed"),
        (plain(b"200 OK", b"<html>"), "this is HTML, not an event stream; check the URL"),
        (plain(b"200 OK", b'{"error":"%s?"}' % PROMPT.encode()), "this is one JSON object, not an event stream (***?)"),
        (plain(b"200 OK", b'{"object":"response"}'), "this is one JSON object, not an event stream"),
        (b"SSH-2.0-x\r\n", "did not answer in HTTP"),
    ],
)
async def test_a_refusal_is_one_line_that_says_what_to_do(data: bytes, expected: str) -> None:
    """Exit code 1, nothing on standard output, no traceback, no secret."""
    async with serving(data) as upstream:
        result = await ask(upstream)

    assert (result.returncode, result.stdout) == (1, "")
    assert expected in result.stderr
    assert result.stderr.count("\n") == 1
    assert KEY not in result.stderr
    assert PROMPT not in result.stderr


async def closes(exchange: Exchange) -> None:
    """Take the request and hang up."""
    exchange.reset()


async def falls_silent(exchange: Exchange) -> None:
    """Never answer."""
    await exchange.gone()


async def is_cut(exchange: Exchange) -> None:
    """Break the connection after a few events."""
    await exchange.send(STREAM_HEAD + chunk(HEALTHY[:700]))
    await asyncio.sleep(0.1)
    exchange.reset()


async def stalls(exchange: Exchange) -> None:
    """Say nothing more after a few events."""
    await exchange.send(STREAM_HEAD + chunk(HEALTHY[:700]))
    await exchange.gone()


async def never_ends(exchange: Exchange) -> None:
    """Say everything, and leave the body open."""
    await exchange.send(STREAM_HEAD + chunk(HEALTHY))
    await exchange.gone()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (closes, "closed the connection without an answer"),
        (falls_silent, "sent no answer within 0.5 s; check the URL, or raise --timeout"),
    ],
)
async def test_a_server_that_does_not_answer_is_said(script: Script, expected: str) -> None:
    """Nobody waits for ever."""
    async with serving(script) as upstream:
        result = await ask(upstream, "--timeout", "0.5")

    assert result.returncode == 1
    assert expected in result.stderr


def test_a_server_that_is_not_there_is_said() -> None:
    """With the address, but without the password in it."""
    result = run("http://user:canary@127.0.0.1:9/v1?key=canary", "--model", "m")

    assert result.returncode == 1
    assert result.stderr.startswith("respfix: error: cannot connect to http://127.0.0.1:9/v1/responses: ")
    assert "canary" not in result.stderr


@pytest.mark.parametrize("script", [is_cut, stalls])
async def test_a_stream_that_breaks_off_on_the_way_is_a_finding(script: Script) -> None:
    """What came is judged, and its end with it."""
    async with serving(script) as upstream:
        result = await ask(upstream, "--timeout", "0.5", "--format", "json")

    assert "truncated-stream" in {defect["slug"] for defect in json.loads(result.stdout)["defects"]}


async def test_a_body_that_stays_open_after_its_last_event_is_not_waited_for() -> None:
    """Some servers do that; everything has been said."""
    async with serving(never_ends) as upstream:
        result = await ask(upstream, "--timeout", "25")

    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://h/v1", "http://h/v1/responses"),
        ("http://h/v1/", "http://h/v1/responses"),
        ("http://h/api/v1?a=b", "http://h/api/v1/responses?a=b"),
        ("http://h/v1/responses", "http://h/v1/responses"),
        ("http://h/backend-api/codex/responses", "http://h/backend-api/codex/responses"),
    ],
)
def test_a_base_url_is_completed(url: str, endpoint: str) -> None:
    """Any other URL is taken as it is; what is shown of either has no query."""
    assert Question(url, "m", "", "", 1).endpoint == endpoint
    assert "?" not in shown(url)


def test_the_key_is_in_no_representation() -> None:
    """A traceback would show it."""
    assert KEY not in repr(Question("http://h/v1", "m", KEY, PROMPT, 1))
