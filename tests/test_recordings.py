"""Recorded streams of real servers, repaired, and read by the OpenAI SDKs.

What the SDKs must see is read off the recordings by `clients/wire.py`, which shares nothing with the engine. The
recordings lie beside the checkout, in ``../shared/captures``; without them these tests are skipped.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pytest
from clients import wire
from clients.reading import Reading
from clients.sdks import NODE, PYTHON, SDKS, missing, read
from halves import passed, touched

from respfix.stream import Ending, Mender

REPOSITORY = Path(__file__).parents[1]
CAPTURES = REPOSITORY.parent / "shared" / "captures"
TABLE = REPOSITORY / "docs" / "recordings.md"
UPDATE = "RESPFIX_UPDATE"

# The server's connection broke here: 14 seconds of silence, and Bun closed the socket inside the chunked body.
CUT = {"opencode-llm-proxy-1.6.1-slow", "opencode-llm-proxy-1.10.0-slow"}

# Where a recording says two things about one value. The deltas are what the model said, as `upstream-inputs` proves: in
# the first three the bridge wrote the arguments of a single chunk twice, in the last it closed the reasoning too early.
CONTRADICTING = {
    "sub2api-0.1.132-cc-reasoning-text-tool",
    "sub2api-0.1.132-cc-text-after-tool",
    "sub2api-0.1.132-cc-tool-singlechunk",
    "sub2api-0.1.179-cc-interleaved-reasoning",
}

# Where the wire does not say what the model said: the bridge drops refusals, and 0.1.179 answers with the reasoning
# where there is no other answer. No repair can know.
DROPPED_BY_THE_SERVER = {
    "sub2api-0.1.132-cc-refusal": "refusal",
    "sub2api-0.1.179-cc-refusal": "refusal",
    "sub2api-0.1.179-cc-reasoning-only": "text",
}


def recorded(*folders: str) -> dict[str, bytes]:
    """Give the recordings of these servers by name; none where the captures are not there."""
    files = chain.from_iterable(sorted((CAPTURES / folder).glob("*.sse")) for folder in folders)
    return {file.stem: file.read_bytes() for file in files}


BROKEN = recorded("sub2api", "opencode-llm-proxy")
ABSENT = pytest.mark.skipif(not BROKEN, reason=f"no recordings: put the captures into {CAPTURES}")


class Mended(NamedTuple):
    """One recording after its repair."""

    body: bytes
    defects: dict[str, int]


@cache
def mended(name: str) -> Mended:
    """Repair one recording as a whole, ended as its connection ended."""
    mender = Mender()
    ending = Ending.CUT if name in CUT else Ending.COMPLETE
    body = mender.feed(BROKEN[name]) + mender.close(ending, 1.0)
    return Mended(body, dict(mender.report.defects))


@cache
def truth(name: str) -> wire.Wire:
    """Read off the wire what a repaired stream must say."""
    return wire.read(BROKEN[name])


@cache
def readings(sdk: str) -> dict[str, Reading]:
    """Let one SDK read every repaired recording."""
    return read(sdk, {name: mended(name).body for name in BROKEN})


@cache
def direct(sdk: str) -> dict[str, Reading]:
    """Let one SDK read every recording as it is."""
    return read(sdk, BROKEN)


def reading(sdk: str, name: str) -> Reading:
    """Give what one SDK saw of one repaired recording; skips where the SDK cannot be had."""
    if reason := missing(sdk):
        pytest.skip(reason)
    return readings(sdk)[name]


def value(values: wire.Values) -> str:
    """Give the one thing that was said: by deltas, or where there are none, at the end."""
    return values.streamed or values.closed or values.final


def arguments(call: wire.Call) -> str:
    """Give what a tool must be called with: never doubled, and `{}` where nothing was said."""
    return call.streamed or call.closed or call.final or "{}"


def fed_to(name: str) -> Path:
    """Give the file with what the bridge was fed; the two long ones are not among the captures."""
    return CAPTURES / "sub2api" / "upstream-inputs" / f"{name.split('-', 2)[2]}.txt"


def is_failure(name: str) -> bool:
    """Say whether the wire tells of a failure, or of no end at all."""
    return truth(name).terminal in {None, "response.failed"}


GOOD = [name for name in BROKEN if not is_failure(name)]
FAILED = [name for name in BROKEN if is_failure(name)]
EITHER_SDK = pytest.mark.parametrize("sdk", [PYTHON, pytest.param(NODE, marks=pytest.mark.clients)], ids=str)
LONG = pytest.mark.timeout(700)  # the first test of an SDK installs it and reads every recording


# What the servers really sent


@ABSENT
@pytest.mark.parametrize("name", BROKEN)
def test_a_recording_says_one_thing_unless_it_is_known_to_contradict_itself(name: str) -> None:
    """The truth that the repaired streams are held against is not a choice of ours."""
    said = truth(name)
    versions = [said.text.known, said.refusal.known, said.summary.known]
    versions += [{value for value in (call.streamed, call.closed, call.final) if value} for call in said.calls]

    assert (name in CONTRADICTING) == any(len(known) > 1 for known in versions)


@ABSENT
@pytest.mark.parametrize("name", [name for name in BROKEN if fed_to(name).exists()])
def test_a_recording_says_what_the_model_said(name: str) -> None:
    """Text, reasoning and calls on the wire are those that the bridge was fed, but for the known losses."""
    said, fed = truth(name), wire.fed(fed_to(name).read_bytes())
    seen = {"text": value(said.text), "refusal": value(said.refusal), "summary": value(said.summary)}
    differing = {kind for kind, words in seen.items() if words != getattr(fed, kind)}

    assert {DROPPED_BY_THE_SERVER[name]} if name in DROPPED_BY_THE_SERVER else set() == differing
    assert fed.calls == [(call.name, call.call_id, arguments(call)) for call in said.calls]


# What the SDKs make of it, repaired


@ABSENT
@LONG
@EITHER_SDK
@pytest.mark.parametrize("name", GOOD)
def test_the_sdk_hands_on_what_the_wire_carried(sdk: str, name: str) -> None:
    """Final text, refusal, reasoning summary and calls of a repaired recording are what the server streamed."""
    said, seen = truth(name), reading(sdk, name)

    assert seen.error is None
    assert (said.status, value(said.text), value(said.refusal), value(said.summary)) == (
        seen.status,
        seen.text,
        seen.refusal,
        "".join(seen.summaries),
    )
    assert [[call.name, call.call_id, arguments(call)] for call in said.calls] == seen.calls


@ABSENT
@LONG
@EITHER_SDK
@pytest.mark.parametrize("name", GOOD)
def test_the_sdk_streams_every_word_once(sdk: str, name: str) -> None:
    """The deltas of a repaired recording join to its final values: nothing missing, nothing twice."""
    said, seen = truth(name), reading(sdk, name)

    assert (value(said.text), value(said.refusal), value(said.summary)) == (
        seen.streamed_text,
        seen.streamed_refusal,
        seen.streamed_reasoning,
    )


@ABSENT
@LONG
@EITHER_SDK
@pytest.mark.parametrize("name", FAILED)
def test_the_sdk_sees_a_failure_as_a_failure(sdk: str, name: str) -> None:
    """A recording that failed, was cut or is empty never ends like a good one, and what it did say still arrives."""
    said, seen = truth(name), reading(sdk, name)

    assert seen.error is not None or seen.status == "failed"
    assert (said.text.streamed, said.summary.streamed) == (seen.streamed_text, seen.streamed_reasoning)


@ABSENT
@pytest.mark.parametrize("name", BROKEN)
def test_repairing_twice_changes_nothing(name: str) -> None:
    """A repaired recording is healthy: it passes a second repair byte for byte."""
    once, again = mended(name).body, Mender()

    assert once == again.feed(once) + again.close(Ending.COMPLETE, 1.0)
    assert not again.report.defects


@ABSENT
@pytest.mark.parametrize("name", [name for name, body in BROKEN.items() if len(body) < 50_000])
def test_the_repair_does_not_depend_on_how_the_bytes_were_cut(name: str) -> None:
    """One byte at a time gives what the whole body gives."""
    mender = Mender()
    fed = b"".join(mender.feed(BROKEN[name][at : at + 1]) for at in range(len(BROKEN[name])))

    assert mended(name).body == fed + mender.close(Ending.CUT if name in CUT else Ending.COMPLETE, 1.0)


# Cut anywhere


class Cut(NamedTuple):
    """The beginning of a recording: whole frames, and what is there of the next one."""

    whole: bytes
    half: bytes


SMALL = [name for name, body in BROKEN.items() if 0 < len(body) < 10_000]


@cache
def cuts(name: str) -> dict[str, Cut]:
    """Cut one recording after every frame and inside every frame that comes before its terminal event."""
    frames = [frame + b"\n\n" for frame in BROKEN[name].split(b"\n\n")[:-1]]
    end = next((at for at, frame in enumerate(frames) if b"event: response.completed" in frame), len(frames) - 1)
    pieces = ((at, b"".join(frames[:at]), frames[at]) for at in range(end + 1))
    return {
        f"{name}+{at}+{part}": Cut(whole, frame[: len(frame) * part // 3])
        for at, whole, frame in pieces
        for part in (0, 2)
    }


@cache
def readings_of_cuts(sdk: str) -> dict[str, Reading]:
    """Let one SDK read every beginning of every small recording, as the repair leaves it when the connection breaks."""
    bodies = {}
    for key, cut in chain.from_iterable(cuts(name).items() for name in SMALL):
        mender = Mender()
        bodies[key] = mender.feed(cut.whole + cut.half) + mender.close(Ending.CUT, 1.0)
    return read(sdk, bodies)


@ABSENT
@LONG
@EITHER_SDK
@pytest.mark.parametrize("name", SMALL)
def test_a_cut_is_told_wherever_it_falls_and_loses_nothing_that_came(sdk: str, name: str) -> None:
    """A recording that is cut before its end is told as a failure, after every word of the frames that were whole."""
    if reason := missing(sdk):
        pytest.skip(reason)
    seen = {key: readings_of_cuts(sdk)[key] for key in cuts(name)}
    came = {key: wire.read(cut.whole) for key, cut in cuts(name).items()}
    untold = [key for key, reading in seen.items() if reading.error is None and reading.status != "failed"]
    lost = {
        key: (said.text.streamed + said.summary.streamed, seen[key].streamed_text + seen[key].streamed_reasoning)
        for key, said in came.items()
        if (said.text.streamed, said.summary.streamed) != (seen[key].streamed_text, seen[key].streamed_reasoning)
    }

    assert not untold
    assert not lost


# The table of all this


def verdict(name: str, seen: Reading) -> str:
    """Say in a few words what a program got."""
    said = truth(name)
    if is_failure(name):
        return "told of the failure" if seen.error or seen.status == "failed" else "**not told of the failure**"
    if seen.error:
        return f"**raises** `{seen.error.split(':')[0]}`"
    wrong = [
        what
        for what, wanted, got in (
            ("text", value(said.text), seen.text),
            ("refusal", value(said.refusal), seen.refusal),
            ("reasoning", value(said.summary), "".join(seen.summaries)),
            ("calls", [[call.name, call.call_id, arguments(call)] for call in said.calls], seen.calls),
        )
        if wanted != got
    ]
    return f"**wrong: {', '.join(wrong)}**" if wrong else "right"


def table() -> Iterator[str]:
    """Write the table: each recording, what was repaired in it, and what the SDKs got without and with the repair."""
    yield from (
        "# Every recording, before and after",
        "",
        "Written by `tests/test_recordings.py` (`RESPFIX_UPDATE=1` writes it anew); do not edit. The recordings are",
        "what Sub2API and opencode-llm-proxy sent. *Direct* is what a program gets from the SDK's `responses.stream()`",
        "without respfix, *repaired* what it gets through it; *right* means that text, refusal, reasoning summary and",
        "tool calls are exactly what the server streamed.",
        "",
    )
    for sdk in SDKS:
        before = [verdict(name, seen) for name, seen in direct(sdk).items()]
        after = [verdict(name, seen) for name, seen in readings(sdk).items()]
        good = ("right", "told of the failure")
        yield (
            f"- {sdk}: {sum(v in good for v in before)} of {len(before)} direct, "
            f"{sum(v in good for v in after)} of {len(after)} repaired."
        )
    yield from ("", "| recording | defects repaired | " + " | ".join(f"{s} direct | {s} repaired" for s in SDKS) + " |")
    yield "|---" * (2 + 2 * len(SDKS)) + "|"
    for name in BROKEN:
        defects = ", ".join(sorted(mended(name).defects)) or "none"
        cells = (verdict(name, source(sdk)[name]) for sdk in SDKS for source in (direct, readings))
        yield f"| {name} | {defects} | {' | '.join(cells)} |"


@ABSENT
@LONG
@pytest.mark.clients
def test_the_table_of_recordings_is_up_to_date() -> None:
    """The page docs/recordings.md says what the repair does today, not what it did once."""
    if reason := missing(PYTHON) or missing(NODE):
        pytest.skip(reason)
    written = "\n".join(table()) + "\n"
    if os.environ.get(UPDATE):
        TABLE.write_text(written)

    is_current = TABLE.exists() and written == TABLE.read_text()

    assert is_current, f"write it anew: {UPDATE}=1 pytest {Path(__file__).name} -k table"


# Healthy streams

# Answers to `GET /responses/{id}?stream=true`: they begin in the middle, and respfix never repairs answers to a GET.
RESUMED = {
    "openai-background-long-resume-starting-after-1": "a GET's answer, passed on by the relay without a Mender",
    "openai-background-resume-starting-after-0": "a GET's answer, passed on by the relay without a Mender",
}

# Streams of other vendors, or rebuilt from JSON, that do not leave as they came: what is repaired in them, and why.
UNHEALTHY: dict[str, tuple[set[str], str]] = {
    "other-copilot-id-rotation-BROKEN": (
        {"changed-item-id", "changed-response-id"},
        "GitHub Copilot gives every event of an item another id",
    ),
    "other-lmstudio-tool-call": (
        {"whole-call"},
        "LM Studio sends a call without a delta, and LangChain runs the tool without its arguments",
    ),
    "other-openrouter-gptoss-reasoning-text": (
        {"changed-item-id", "neutral-keys"},
        "the reasoning item has another id in the terminal event, and only that event is touched",
    ),
}

HEALTHY = {name: body for name, body in recorded("openai").items() if name not in RESUMED}
ROWS = re.compile(r"^\| (\S+)\.sse \| \d+ \| \d+ \| (body|rebuilt) \|", re.MULTILINE)
README = CAPTURES / "openai" / "README.md"
AS_RECORDED = {name for name, how in ROWS.findall(README.read_text() if README.exists() else "") if how == "body"}
BODIES = [name for name in HEALTHY if name.startswith("openai-") and name in AS_RECORDED]
OTHERS = [name for name in HEALTHY if name not in BODIES]
NO_HEALTHY = pytest.mark.skipif(not HEALTHY, reason=f"no recordings: put the captures into {CAPTURES}")
ALL_SPLITS = 50_000  # bytes; larger bodies are split around some line ends and at random places
RANDOM_SPLITS = 60


def splits(body: bytes) -> list[int]:
    """Choose where to split a body in two: everywhere, or in a large one around line ends and at seeded places."""
    if len(body) <= ALL_SPLITS:
        return list(range(len(body) + 1))
    chosen = random.Random(len(body))  # noqa: S311 (a test that fails must fail again)
    ends = [found.end() for found in re.finditer(rb"\n\n", body)]
    near = (end + step for end in chosen.sample(ends, min(len(ends), 30)) for step in (-2, -1, 0, 1))
    return sorted({at for at in chain(near, chosen.sample(range(len(body)), RANDOM_SPLITS)) if at <= len(body)})


@NO_HEALTHY
def test_the_captures_hold_the_bodies_that_their_readme_names() -> None:
    """The tests below judge what they are said to judge: OpenAI's bodies, less the two resumed ones."""
    assert {name for name in AS_RECORDED if name.startswith("openai-")} == {*BODIES, *RESUMED}
    assert RESUMED.keys() == {name for name in recorded("openai") if "resume" in name}


@NO_HEALTHY
@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_openai_leaves_as_it_came(name: str) -> None:
    """A healthy stream is not touched, fed as a whole or one byte at a time."""
    body = HEALTHY[name]

    assert (body, {}) == passed(body)
    assert (body, {}) == passed(*(body[at : at + 1] for at in range(len(body))))


@pytest.fixture(scope="module")
def cores() -> Iterator[ProcessPoolExecutor]:
    """Give a worker for each core: all splits of all bodies are some 300,000 runs of a Mender."""
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        yield pool


@NO_HEALTHY
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BODIES)
def test_a_body_of_openai_leaves_as_it_came_wherever_a_read_ends(name: str, cores: ProcessPoolExecutor) -> None:
    """A healthy stream is not touched, split in two at any place."""
    body, places = HEALTHY[name], splits(HEALTHY[name])
    shares = [places[first :: os.cpu_count() or 1] for first in range(os.cpu_count() or 1)]

    assert [] == [at for share in cores.map(touched, [body] * len(shares), shares) for at in share]


@NO_HEALTHY
@pytest.mark.parametrize("name", OTHERS)
def test_another_stream_leaves_as_it_came_unless_it_is_known_why(name: str) -> None:
    """Other vendors' streams, and those rebuilt from JSON, are touched only for the defects listed above."""
    body = HEALTHY[name]
    defects, _ = UNHEALTHY.get(name, (set(), ""))
    out, found = passed(body)

    assert defects == set(found)
    assert (body == out) == (not defects)


def test_streams_that_are_listed_as_unhealthy_exist() -> None:
    """The list of exceptions names no stream that is gone."""
    if not HEALTHY:
        pytest.skip(f"no recordings: put the captures into {CAPTURES}")

    assert set(UNHEALTHY) <= set(OTHERS)
