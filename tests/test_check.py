"""`respfix check`, run as users run it: what it finds, and how it tells it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from corpus import BROKEN as FAULTY, CONFORMANT, Stream

from respfix.check.excerpt import excerpt, masked
from respfix.check.findings import Judgement, judge
from respfix.check.formats import as_json
from respfix.check.page import Page, show
from respfix.check.source import SourceError, refuse_what_is_no_stream
from respfix.stream import Ending
from respfix.stream.defects import DEFECTS, Family

CHECK = [sys.executable, "-m", "respfix", "check"]


def event(kind: str, **body: object) -> bytes:
    """One event as a server sends it."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()


def stream(*, item: Mapping[str, object] | None = None, output: object = None) -> bytes:
    """A short answer, healthy unless told otherwise."""
    part = {"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}
    whole = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    response = {
        "id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "error": None,
        "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True,
        "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": None,
    }  # fmt: skip
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    usage = {
        "input_tokens": 1, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 2,
    }  # fmt: skip
    done = {"status": "completed", "usage": usage, "output": [whole] if output is None else output}
    events: list[tuple[str, dict[str, object]]] = [
        ("response.created", {"response": {**response, "output": []}}),
        ("response.in_progress", {"response": {**response, "output": []}}),
        ("response.output_item.added", {"output_index": 0, "item": {**whole, "status": "in_progress", "content": []}}),
        ("response.content_part.added", {**at, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**at, "delta": "Hi", "logprobs": []}),
        ("response.output_text.done", {**at, "text": "Hi", "logprobs": []}),
        ("response.content_part.done", {**at, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": whole if item is None else item}),
        ("response.completed", {"response": {**response, **done}}),
    ]
    return b"".join(event(kind, **body, sequence_number=at) for at, (kind, body) in enumerate(events))


HEALTHY = stream()
CONTENTLESS = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
BROKEN = stream(item=CONTENTLESS, output=[])  # what opencode-llm-proxy does: no content, no output


def slugs(judgement: Judgement) -> list[str]:
    """What is wrong, by name."""
    return [finding.defect.slug for finding in judgement.defects]


def run(*words: str | Path, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
    """What the command prints, and its exit code."""
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    done = subprocess.run(
        [*CHECK, *words], input=stdin, capture_output=True, check=False, timeout=30,
        env={**environment, "COLUMNS": "80", **variables},
    )  # fmt: skip
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


# What is found


def test_a_healthy_stream_is_clean() -> None:
    """Exit code 0, no defect, no note, and every family works."""
    result = run("-", stdin=HEALTHY)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "Nothing to repair."
    assert {"works"} == {verdict.word for verdict in judge(HEALTHY).verdicts}
    assert judge(HEALTHY).findings == ()


def test_a_defect_is_told_with_its_place() -> None:
    """Event number, byte offset and type are those of the event as it came."""
    judgement = judge(BROKEN)
    first = next(finding for finding in judgement.defects if finding.defect.slug == "incomplete-item").first

    assert (first.event, first.type) == (8, "response.output_item.done")
    assert BROKEN[first.offset :].startswith(b"event: response.output_item.done\n")
    assert ["incomplete-item", "empty-output"] == [slug for slug in slugs(judgement) if slug != "missing-item-keys"]


def test_bytes_before_the_first_event_count() -> None:
    """Offsets are in the bytes as they came, a byte order mark and comments included."""
    judgement = judge(b"\xef\xbb\xbf: hello\n\n" + BROKEN)

    assert "byte-order-mark" in slugs(judgement)
    assert b"\xef\xbb\xbf: hello\n\n" + BROKEN == judgement.body
    place = next(finding for finding in judgement.defects if finding.defect.slug == "empty-output").first
    assert judgement.body[place.offset :].startswith(b"event: response.completed\n")


def test_repeated_sightings_are_folded_unless_all_are_wanted() -> None:
    """The first place and the number; with `--all` every place."""
    pings = BROKEN.replace(b"event: response.output_text.delta", b'data: {"type":"ping"}\n\n' * 3 + b"event: x", 1)
    folded, every = (run("-", *words, stdin=pings).stdout for words in ([], ["--all"]))

    assert "event 5 (ping), byte" in folded
    assert "; 3 times" in folded
    assert "event 6 (ping)" not in folded
    assert "event 7 (ping)" in every


def test_a_companion_is_a_note_and_no_defect() -> None:
    """OpenAI itself left such keys out: it is told beside the defects, and never counted as one."""
    numberless = re.sub(rb', "sequence_number": \d+', b"", BROKEN)
    judgement = judge(numberless)

    assert "missing-sequence-number" in [note.defect.slug for note in judgement.notes]
    assert "missing-sequence-number" not in slugs(judgement)


@pytest.mark.parametrize("lead", [b"", b": hello\n\n"])
def test_a_companion_alone_leaves_a_stream_clean(lead: bytes) -> None:
    """It is noted from the first event on, and those who cannot do without it are named; the exit code is 0."""
    result = run("-", stdin=re.sub(rb', "sequence_number": \d+', b"", lead + HEALTHY))
    judgement = judge(re.sub(rb', "sequence_number": \d+', b"", lead + HEALTHY))
    (note,) = judgement.notes

    assert (result.returncode, judgement.is_clean, slugs(judgement)) == (0, True, [])
    assert note.defect.slug == "missing-sequence-number"
    assert [place.event for place in note.places] == list(range(1, 10))
    assert (note.first.offset, note.first.type) == (len(lead), "response.created")
    assert {"typed clients"} == {verdict.family for verdict in judgement.verdicts if verdict.word != "works"}


@pytest.mark.parametrize("ending", [Ending.COMPLETE, Ending.CUT, Ending.IDLE])
def test_a_stream_that_breaks_off_breaks_everybody(ending: Ending) -> None:
    """However it ended, it is said to have ended after its last event."""
    judgement = judge(HEALTHY[: HEALTHY.index(b"event: response.output_text.done")], ending)

    assert ["truncated-stream"] == slugs(judgement)
    assert judgement.defects[0].first.is_end
    assert judgement.defects[0].first.event == 5
    assert {"breaks"} == {verdict.word for verdict in judgement.verdicts}


def test_an_empty_body_is_a_stream_that_breaks_off() -> None:
    """Sub2API answers so when its upstream fails at once."""
    assert "truncated-stream" in slugs(judge(b""))


def test_a_stream_that_cannot_be_judged_to_its_end_is_not_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound, or a fault of the repair, is told as such."""
    monkeypatch.setattr("respfix.stream.engine.Terminal.take", None)
    judgement = judge(HEALTHY)

    assert (judgement.stopped, judgement.is_clean) == ("internal-fault", False)
    assert json.loads(as_json(judgement, "x", every=False))["stopped"] == "internal-fault"


def test_what_is_not_repaired_by_default_is_found_all_the_same() -> None:
    """A switch of the repair is no opinion about the stream."""
    cut = HEALTHY.replace(b'"status": "completed", "error"', b'"status": "incomplete", "error"')

    assert not DEFECTS["incomplete-as-completed"].is_on
    assert ["incomplete-as-completed"] == slugs(judge(cut))


def test_the_verdict_on_codex_knows_what_codex_needs(shared: Path) -> None:
    """A legal overlap is no defect of the stream, but Codex breaks on it; with its dialect it is told as a defect."""
    body = (shared / "captures/openai/other-openrouter-gptoss-reasoning-text.sse").read_bytes()
    default, codex = judge(body), judge(body, dialect="codex")

    assert "interrupted-message" not in slugs(default)
    assert "interrupted-message" in slugs(codex)
    assert all("interrupted-message" in judgement.verdicts[0].breaks for judgement in (default, codex))
    assert default.verdicts[0].family is Family.CODEX


def test_what_should_have_come_is_what_the_repair_sends() -> None:
    """Frame by frame: together they are the repaired stream."""
    judgement = judge(BROKEN)
    came = b"".join(exchange.came for exchange in judgement.exchanges.values())
    due = b"".join(exchange.due for exchange in judgement.exchanges.values())

    assert came == BROKEN
    assert judge(due).is_clean


@pytest.mark.parametrize("faulty", [stream for stream in FAULTY if not stream.request], ids=str)
def test_whatever_is_repaired_is_found(faulty: Stream) -> None:
    """In every broken stream whose body alone shows it, and each place is one in the stream."""
    judgement = judge(faulty.body, faulty.ending, faulty.dialect)
    repaired = {slug for slug in faulty.defects if not DEFECTS[slug].is_companion}

    assert repaired <= set(slugs(judgement))
    assert b"".join(exchange.came for exchange in judgement.exchanges.values()) == faulty.body
    for place in (place for finding in judgement.findings for place in finding.places):
        assert 0 <= place.event <= judgement.events
        assert place.offset in judgement.exchanges or place.offset in {0, 3}


@pytest.mark.parametrize("healthy", CONFORMANT, ids=str)
def test_what_is_left_alone_is_clean(healthy: Stream) -> None:
    """In every conformant stream of the corpus nothing is found but notes."""
    assert [] == slugs(judge(healthy.body, healthy.ending, healthy.dialect))


# How it is told


def test_the_page_is_readable_at_80_columns() -> None:
    """No line is longer, and each defect has its place, what is wrong, the remedy and who breaks."""
    page = run("-", stdin=BROKEN).stdout

    assert max(map(len, page.splitlines())) <= 80
    for words in ("empty-output", "event 9 (response.completed), byte", "  wrong ", "  remedy", "  breaks", "Verdict"):
        assert words in page
    assert re.search(r"^  openai-python +breaks +empty-output$", page, re.MULTILINE)
    assert re.search(r"^  AI SDK +(works|may break)", page, re.MULTILINE)


class Terminal:
    """What a page is written to when somebody looks."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        """Keep it."""
        self.text += text
        return len(text)

    def isatty(self) -> bool:
        """Somebody looks."""
        return True


@pytest.mark.parametrize(("variable", "is_coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_that_want_them(
    monkeypatch: pytest.MonkeyPatch, variable: str, *, is_coloured: bool
) -> None:
    """NO_COLOR is honoured, and a pipe gets none."""
    monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setenv("TERM", "xterm")
    terminal: Any = Terminal()
    show(judge(BROKEN), "x", Page(terminal))

    assert is_coloured == ("\x1b[" in terminal.text)
    assert "\x1b[" not in run("-", stdin=BROKEN).stdout


def test_a_hostile_type_cannot_speak_to_the_terminal() -> None:
    """Signs that a terminal obeys are not printed, in no format."""
    hostile = BROKEN + b'event: \x1b[2J\x07\ndata: {"type":"\\u001b[2J\\u0000"}\n\n'

    for words in ([], ["--format", "junit"], ["--report"], ["--format", "sarif"]):
        result = run("-", *words, "--all", stdin=hostile)
        assert result.returncode == 1, result.stderr
        assert not re.search(r"[\x00-\x08\x0b-\x1f]", result.stdout)


def test_json_tells_everything() -> None:
    """Defects, notes, places and verdicts, by names that stay."""
    told = json.loads(run("-", "--format", "json", stdin=BROKEN).stdout)

    assert (told["clean"], told["events"], told["bytes"], told["stopped"]) == (False, 9, len(BROKEN), None)
    found = {defect["slug"]: defect for defect in told["defects"]}
    assert found["empty-output"]["places"] == [
        {"event": 9, "offset": BROKEN.rindex(b"event: "), "type": "response.completed", "at_end": False}
    ]
    assert told["verdicts"]["openai-python"]["verdict"] == "breaks"
    assert set(told["verdicts"]) == set(Family)


def test_sarif_has_the_structure_that_the_standard_asks_for() -> None:
    """Every result points at its rule and at bytes of the recording."""
    told = json.loads(run("-", "--format", "sarif", "--all", stdin=BROKEN).stdout)
    (only,) = told["runs"]
    rules = only["tool"]["driver"]["rules"]

    assert (told["version"], only["tool"]["driver"]["name"]) == ("2.1.0", "respfix")
    assert only["invocations"] == [{"executionSuccessful": True}]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert only["results"]
    for result in only["results"]:
        (location,) = result["locations"]
        region = location["physicalLocation"]["region"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "note"}
        assert result["message"]["text"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "standard%20input"
        assert BROKEN.splitlines()[region["startLine"] - 1].startswith(b"event: ")
        assert 0 < region["byteOffset"] + region["byteLength"] <= len(BROKEN)


def test_junit_is_a_test_for_each_defect() -> None:
    """Those that were found have failed, and the numbers at the top are those below."""
    suite = ET.fromstring(run("-", "--format", "junit", stdin=BROKEN).stdout.encode())  # noqa: S314 (our own words)
    failed = [case.get("name") for case in suite if case.find("failure") is not None]

    assert suite.tag == "testsuite"
    assert (suite.get("tests"), suite.get("failures")) == (str(len(suite)), str(len(failed)))
    assert set(slugs(judge(BROKEN))) == set(failed)
    assert set(DEFECTS) < {case.get("name") for case in suite}


def test_the_report_shows_what_came_and_what_should_have_come() -> None:
    """The offending frame, the frame that was due, who breaks, what was checked; no link anywhere."""
    report = run("-", "--report", stdin=BROKEN).stdout

    assert report.startswith(
        "# Defects of a Responses API event stream\n\n- checked: a recording from standard input\n"
    )
    assert "## Event 9 (response.completed), byte" in report
    came, due = report.partition("## Event 9")[2].split("Should have been sent:")
    assert '"output":[]' in came
    assert '"content":[{"type":"output_text","text":"Hi"' in due
    assert re.search(r"^\| openai-python \| breaks \| .*`empty-output`", report, re.MULTILINE)
    assert not re.search(r"https?://|\]\(", report)


def test_the_report_keeps_what_should_stay_private() -> None:
    """Keys, tokens, mail addresses, long texts and what the request carried; ids stay."""
    secret = json.dumps(
        {
            "type": "response.output_item.added",
            "item_id": "msg_" + "0" * 60,
            "instructions": "You are the canary bank's assistant",
            "text": "tell nobody " * 20,
            "note": "Bearer canary.token-12345 and sk-proj-canary_123456789 from me.canary@example.org",
            "list": ["canary"[:2] + str(at) for at in range(50)],
        }
    )
    told = excerpt(f"event: x\ndata: {secret}\n\n: api_key=canary12345\n".encode())

    assert "canary" not in told
    assert "msg_" + "0" * 60 in told
    assert "tell nobody tell nobody … (240 characters)" in told
    assert "… 48 more" in told
    assert len(told) < 500


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-abcdefghijk", "Bearer abcdef.123456", "ghp_abcdefghijklmnop", "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", "password=hunter22", '"api_key": "0123456789"', "a.b@example.com",
        "https://user:secret@host/", "AIzaSyA-abcdefghijklmnopqrstu",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(secret: str) -> None:
    """In the forms in which they end up in error messages."""
    told = masked(f"before {secret} after")

    assert told.startswith("before ")
    assert told.endswith(" after")
    assert "***" in told
    assert not any(word in told for word in re.findall(r"\w{7,}", secret) if word not in {"password", "api_key"})


@pytest.mark.parametrize(
    "word", ["a", "a.", "a@", "-eyJ", "sk-", "bearer ", "secret", "://a:", "AKIA", "eyJaaaaaaaaa."]
)
def test_a_word_of_any_length_is_masked_at_once(word: str) -> None:
    """A picture is one word of a megabyte: every sign is looked at once, not once for each sign before it."""
    begin = time.process_time()
    masked(word * (400_000 // len(word)))

    assert time.process_time() - begin < 2  # 0.1 s; minutes, where the cost is quadratic


# Where it comes from


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    """Exit code 1 and the file's name; nothing on stderr."""
    file = tmp_path / "broken.sse"
    file.write_bytes(BROKEN)
    result = run(file)

    assert (result.returncode, result.stderr) == (1, "")
    assert "broken.sse" in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["/absent.sse"], 1, "/absent.sse: No such file or directory"),
        (["-", "--save", "x"], 2, "--save: only what a server sends is saved; give a URL"),
        (["http://h/v1"], 2, "a server has to be asked for a model: give --model, or set RESPFIX_CHECK_MODEL"),
        (["-", "--timeout", "never"], 2, "argument --timeout: expected seconds, such as 60, not 'never'"),
        (["-", "--timeout", "-1"], 2, "argument --timeout: expected seconds, such as 60, not '-1'"),
        (["-", "--format", "xml"], 2, "argument --format: invalid choice: 'xml'"),
        (["-", "--report", "--format", "json"], 2, "argument --format: not allowed with argument --report"),
        ([], 2, "the following arguments are required: FILE|-|URL"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(words: list[str], code: int, expected: str) -> None:
    """With the exit code for wrong usage, or for what failed."""
    result = run(*words)

    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith(f"respfix: error: {expected}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<!doctype html><p>hello", "this is HTML, not an event stream"),
        (b'{"error": {"message": "no such model"}}', "this is one JSON object, not an event stream (no such model)"),
        (b'{"object": "response"}\n', "this is one JSON object, not an event stream; record one"),
        (b"hello\nworld\n", "this is not an event stream; record one"),
    ],
)
def test_what_is_no_stream_is_refused(body: bytes, expected: str) -> None:
    """Instead of a list of everything that it lacks."""
    result = run("-", stdin=body)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"respfix: error: {expected}")


@pytest.mark.parametrize("body", [b"", b": comment\n\n", b"data: [DONE]\n\n", b'{"error": {}}data: {}\n\n'])
def test_a_poor_stream_is_a_stream(body: bytes) -> None:
    """Nothing, comments, JSON glued to events: servers do that, and it is judged."""
    refuse_what_is_no_stream(body)

    assert not judge(body).is_clean


def test_an_error_inside_the_stream_is_no_refusal() -> None:
    """A 200 with an error event is a stream with a defect."""
    refuse_what_is_no_stream(event("error", message="no", code="x"))

    with pytest.raises(SourceError, match="one JSON object"):
        refuse_what_is_no_stream(b'{"detail": "no"}')
