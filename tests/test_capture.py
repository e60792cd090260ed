"""What is kept of the streams for a bug report: which, where, how much, and what never."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest
import reader
from downstream import config_for, connected, request
from upstream import END, STREAM_HEAD, Exchange, Script, chunk, serving
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from respfix.app import Service
from respfix.capture import WAITING, Capture
from respfix.capture.folder import CAME, FACTS, LEFT, Folder, FolderError
from respfix.capture.masking import PIECE, masked, secrets_of
from respfix.capture.recording import MEMORY, Memory, Recording, framed
from respfix.config import Capture as Settings, ConfigError
from respfix.config.kinds import NamedFile
from respfix.journal import Entry, Journal, Kind
from respfix.stream import Ending, Mender, Options

BROKEN = (Path(__file__).parent / "clients/streams/sub2api-0.1.132-an-text.sse").read_bytes()
WAIT = 5.0


def healthy() -> bytes:
    """A stream that needs nothing: what the repair makes of a broken one."""
    mender = Mender(Options())
    return mender.feed(BROKEN) + mender.close()


def settings(folder: Path, **changes: Any) -> Settings:
    """Keep everything there."""
    return Settings(folder=NamedFile(folder, "config.yaml:7: capture.folder"), **{"every": 0.0, **changes})


async def kept(folder: Path, script: Script | bytes, *asked: bytes, **changes: Any) -> Service:
    """Ask these, one after the other, through a respfix that keeps streams there, and stop it."""
    at_once = changes.pop("at_once", settings(folder))
    async with serving(script) as upstream:
        service = Service(config_for(upstream, capture=at_once, **changes))
        await service.start()
        for each in asked or (request(),):
            async with connected(service.address) as client:
                await client.ask(each)
        await service.stop(0.2)
    return service


def streamed(body: bytes) -> bytes:
    """An answer with this stream."""
    return STREAM_HEAD + chunk(body) + END


def names(folder: Path, ending: str = CAME) -> list[str]:
    """What lies there, without that ending."""
    return sorted(each.name.removesuffix(ending) for each in folder.iterdir() if each.name.endswith(ending))


async def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    """Conversations are private."""
    journal = Journal()
    capture, mender = Capture(journal), Mender()

    assert capture.record(Entry("POST", "/"), mender) is mender


async def test_a_repaired_stream_is_kept_as_it_came_and_as_it_left(tmp_path: Path) -> None:
    """Three files that only their owner can read, with the facts of the log."""
    folder = tmp_path / "deep/captures"
    await kept(folder, streamed(BROKEN))

    (name,) = names(folder)
    assert {name + CAME, name + LEFT, name + FACTS} == {each.name for each in folder.iterdir()}
    assert BROKEN == (folder / (name + CAME)).read_bytes()
    left = (folder / (name + LEFT)).read_bytes()
    assert b"response.content_part.added" in left
    again = Mender()
    assert left == again.feed(left) + again.close()
    assert not again.report.defects
    facts = json.loads((folder / (name + FACTS)).read_text())
    assert ("POST", "/v1/responses", 200, "repaired", True) == (
        *(facts[key] for key in ("method", "path", "status", "outcome")),
        facts["came_is_whole"] and facts["left_is_whole"],
    )
    assert facts["repairs"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())]
    assert [0o700, 0o600, 0o600, 0o600] == modes


async def test_what_is_kept_can_be_checked(tmp_path: Path) -> None:
    """The raw one says what is wrong, the repaired one says nothing is."""
    await kept(tmp_path / "kept", streamed(BROKEN))
    (name,) = names(tmp_path / "kept")
    codes = {}
    for ending in (CAME, LEFT):
        command = [sys.executable, "-m", "respfix", "check", str(tmp_path / "kept" / (name + ending))]
        codes[ending] = (await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)).returncode

    assert {CAME: 1, LEFT: 0} == codes


async def test_a_healthy_stream_is_not_kept(tmp_path: Path) -> None:
    """There is nothing to report."""
    await kept(tmp_path / "kept", streamed(healthy()))

    assert [] == names(tmp_path / "kept", "")


async def test_a_stream_that_failed_is_kept(tmp_path: Path) -> None:
    """Broken off in the middle, although nothing else was wrong with it."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(healthy()[:600]))
        await asyncio.sleep(0.02)
        exchange.reset()

    await kept(tmp_path / "kept", script)
    (name,) = names(tmp_path / "kept")

    assert healthy()[:600] == (tmp_path / "kept" / (name + CAME)).read_bytes()
    assert b"response.failed" in (tmp_path / "kept" / (name + LEFT)).read_bytes()


async def test_a_stream_that_its_client_gave_up_is_kept(tmp_path: Path) -> None:
    """It may have given up because of what it could not read."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(BROKEN[: BROKEN.index(b"\n\n", 900) + 2]))
        await exchange.gone()

    async with serving(script) as upstream:
        service = Service(config_for(upstream, capture=settings(tmp_path / "kept")))
        await service.start()
        async with connected(service.address) as client:
            await client.send(request())
            await client.head()
            await client.chunk()
            client.leave()
        await asyncio.sleep(0.05)
        await service.stop(0.2)
    (name,) = names(tmp_path / "kept")

    assert "left" == json.loads((tmp_path / "kept" / (name + FACTS)).read_text())["outcome"]


async def test_an_observed_stream_is_kept_as_it_came(tmp_path: Path) -> None:
    """What left is the same."""
    await kept(tmp_path / "kept", streamed(BROKEN), repair="observe")
    (name,) = names(tmp_path / "kept")

    assert {name + CAME, name + FACTS} == {each.name for each in (tmp_path / "kept").iterdir()}


async def test_of_streams_with_the_same_faults_one_is_kept_in_a_while(tmp_path: Path) -> None:
    """A rare fault is not pushed out by the common one; the others are counted."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(streamed(BROKEN if b"a" in exchange.target else BROKEN[: len(BROKEN) // 2]))

    asked = [request(path) for path in ("/a/responses", "/a/responses", "/b/responses", "/b/responses")]
    service = await kept(tmp_path / "kept", script, *asked, at_once=settings(tmp_path / "kept", every=600.0))

    assert 2 == len(names(tmp_path / "kept"))
    assert {("kept",): 2, ("alike",): 2} == service.journal.tally.captures


class ClockSetBack(datetime):
    """It is an hour earlier at each look."""

    hours = 0

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The time, as such a clock shows it."""
        cls.hours += 1
        return super().now(tz) - timedelta(hours=cls.hours)


@pytest.mark.parametrize("clock", [datetime, ClockSetBack])
async def test_the_oldest_make_room_for_the_newest(
    tmp_path: Path, clock: type[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many and no more, whatever the clock does; what is not respfix's own stays."""
    monkeypatch.setattr("respfix.capture.datetime", clock)
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    (folder / "notes.in.sse").write_text("mine")
    await kept(folder, streamed(BROKEN), *([request()] * WAITING), at_once=settings(folder, streams=2))

    assert 3 == len(names(folder))
    assert {"0003", "0004"} == {name.split("-")[1] for name in names(folder) if name != "notes"}
    assert 7 == len(list(folder.iterdir()))


async def test_a_long_stream_is_kept_to_the_last_whole_event_that_fits(tmp_path: Path) -> None:
    """And its facts say so."""
    body = healthy()[: healthy().index(b"\n\n") + 2] + b'data: {"type":"unknown"}\n\n' * 2000

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for start in range(0, len(body), 1000):
            await exchange.send(chunk(body[start : start + 1000]))
            await asyncio.sleep(0)
        await exchange.send(END)

    await kept(tmp_path / "kept", script, at_once=settings(tmp_path / "kept", stream_bytes=20_000))
    (name,) = names(tmp_path / "kept")
    came = (tmp_path / "kept" / (name + CAME)).read_bytes()

    assert 1_000 < len(came) <= 20_000
    assert body.startswith(came)
    assert came.endswith(b"\n\n")
    assert not json.loads((tmp_path / "kept" / (name + FACTS)).read_text())["came_is_whole"]


def test_all_streams_together_remember_no_more_than_the_bound() -> None:
    """Whatever is configured; what is over gives its room back."""
    memory = Memory(100)
    recordings = [Recording(Mender(), 80, memory) for _ in range(3)]
    for each in recordings:
        each.feed(b": " + b"x" * 28 + b"\n\n")

    assert [True, True, False] == [each.came.is_whole for each in recordings]
    assert memory.left == 4
    for each in recordings:
        each.forget()
    assert memory.left == 100
    assert MEMORY == 128 * 2**20


async def test_a_disk_that_fails_is_logged_once_and_forgotten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams go on, and nothing half is left there."""

    def full(_self: Folder, path: Path, _pieces: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "_write", full)
    service = await kept(tmp_path / "kept", streamed(BROKEN), *([request()] * 3))

    assert {("failed",): 3} == service.journal.tally.captures
    assert 1 == caplog.text.count("could not be kept (No space left on device)")
    assert [] == list((tmp_path / "kept").iterdir())


async def test_a_disk_that_hangs_holds_no_stream_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much is dropped and counted; its memory is free again."""
    monkeypatch.setattr("respfix.capture.LAST_WORDS", 0.1)
    monkeypatch.setattr(Folder, "keep", lambda *_: time.sleep(3))
    started = time.monotonic()
    service = await kept(tmp_path / "kept", streamed(BROKEN), *([request()] * 10))

    assert time.monotonic() - started < 2.5
    assert service.journal.tally.captures["dropped",] >= 4
    assert service._capture._memory.left > MEMORY - 7 * 3 * len(BROKEN)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.mkdir(mode=0o755), "can be read by others; what is kept there is private: chmod 700"),
        (lambda path: path.write_text("x"), "cannot be used: it is no folder"),
        (lambda path: path.symlink_to(path), "cannot be used: "),
    ],
)
def test_a_folder_that_cannot_be_used_is_a_wrong_configuration(tmp_path: Path, make: Any, why: str) -> None:
    """Said at the start, with file, line and key; a folder of others is never changed."""
    path = tmp_path / "kept"
    make(path)

    for use in (Capture.look_at_folder, Capture.folder_for):
        with pytest.raises(ConfigError) as caught:
            use(settings(path))
        assert str(caught.value).startswith(f"config.yaml:7: capture.folder: {path} {why}")


@pytest.mark.parametrize("name", ["there", "kept", "deep/kept"])
def test_a_folder_is_looked_at_without_making_it(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--check-config` runs before the service, perhaps as somebody else, and says what the start would say."""
    path = tmp_path / name
    (tmp_path / "there").mkdir(mode=0o700)
    Capture.look_at_folder(settings(path))

    assert ["there"] == [each.name for each in tmp_path.iterdir()]
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, who may everything, runs these tests, too
    with pytest.raises(ConfigError, match=r"^config\.yaml:7: capture\.folder: .* respfix's user may not write in "):
        Capture.look_at_folder(settings(path))


def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They could read what is in it."""
    user = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: user)

    with pytest.raises(FolderError, match="belongs to somebody else"):
        Folder(tmp_path, 5)


def test_what_a_crash_left_half_is_tidied_away(tmp_path: Path) -> None:
    """And only that."""
    tmp_path.chmod(0o700)
    half, mine = "20261120T140000123Z-0001-empty-part.in.sse.part", "mine.part"
    for name in (half, mine):
        (tmp_path / name).write_text("x")
    Folder(tmp_path, 5)

    assert [mine] == [each.name for each in tmp_path.iterdir()]


def test_a_file_that_somebody_put_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """A link planted under the name would be written through."""
    folder = Folder(_private(tmp_path), 5)
    target = tmp_path / "target"
    target.write_text("precious")
    name = "20261120T140000123Z-0001-empty-part"
    (tmp_path / f"{name}{CAME}.part").symlink_to(target)

    with pytest.raises(FileExistsError):
        folder.keep(name, {CAME: [b"x"]})
    assert "precious" == target.read_text()


TOKEN = "sk-canary/0123+456=789"


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ([("Authorization", f"Bearer {TOKEN}")], "/"),
        ([("X-Api-Key", TOKEN)], "/"),
        ([("Cookie", f"theme=dark; session={TOKEN}; x=1")], "/"),
        ([("X-Whatever", TOKEN)], "/"),
        ([("Authorization", "Basic " + base64.b64encode(f"bob:{TOKEN}".encode()).decode())], "/"),
        ([], f"/v1/responses?a=1&key={TOKEN}"),
        ([], "/v1/responses?key=sk-canary%2F0123%2B456%3D789"),
        ([], f"/v1/responses?{TOKEN}"),
    ],
)
@pytest.mark.parametrize(
    "spelled",
    [
        TOKEN,
        json.dumps(TOKEN).replace("/", "\\/"),
        "sk-canary%2F0123%2B456%3D789",
        f"Bearer {TOKEN}",
    ],
)
def test_what_the_request_carried_is_not_kept(headers: list[tuple[str, str]], target: str, spelled: str) -> None:
    """However the server spells it when it repeats it."""
    said = b"".join(masked(f'data: {{"message":"wrong key {spelled}!"}}\n\n'.encode(), secrets_of(headers, target)))

    assert b"0123" not in said
    assert b"wrong key " in said


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdefghijkl0123",
        "ghp_abcdefghijklmnop0123",
        "github_pat_abcdefghijklmnop0123",
        "AIzaSyAbcdefghijklmnopqrstu0123",
        "AKIAABCDEFGHIJKL0123",
        "xoxb-0123456789-abc",
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl0123",
        "Bearer abcdefghijklmnop0123",
        "https://bob:abcdefgh0123@host/",
    ],
)
def test_what_looks_like_a_key_is_not_kept(key: str) -> None:
    """It may be the server's own."""
    said = b"".join(masked(f'data: {{"message":"see {key} there"}}\n\n'.encode(), []))

    assert b"0123" not in said
    json.loads(said.removeprefix(b"data: "))


def test_what_a_tool_carries_is_not_kept_when_the_server_repeats_it() -> None:
    """Every response object has the request's tools in it."""
    tools = {"tools": [{"type": "mcp", "headers": {"Authorization": "0123", "X-API-Key": '01"23'}, "api_key": "0123"}]}
    said = b"".join(masked(json.dumps(tools).encode(), []))

    assert b"01" not in said
    assert {"Authorization": "***", "X-API-Key": "***"} == json.loads(said)["tools"][0]["headers"]


def test_what_a_response_repeats_of_its_request_is_blanked() -> None:
    """It is not what went wrong, and it is private; the shape stays, and so does the spelling of everything else."""
    asked = {
        **dict.fromkeys(("instructions", "user", "safety_identifier", "prompt_cache_key"), "0123"),
        "metadata": {"ticket": "0123"},
        "input": [{"role": "user", "content": "0123"}],
        "prompt": {"id": "0123"},
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"0123": "0123"}}, "verbosity": "low"},
        "reasoning": {"effort": "high", "note": "01 23"},
        "tools": [{"type": "function", "name": "shell", "description": "0123", "parameters": {"0123": {}}}],
    }
    rest = '"id" : "resp_1","temperature":1.00,"output":[{"content":[{"text":"said","type":"output_text"}]}]'
    line = 'data:  {"type": "response.completed", "response":{' + rest + "," + json.dumps(asked)[1:-1] + "}}\r\n\r\n"
    said = b"".join(masked(line.encode(), [])).decode()

    assert "0123" not in said
    assert said.startswith('data:  {"type": "response.completed", "response":{' + rest + ",")
    assert said.endswith("}}\r\n\r\n")
    response = json.loads(said.removeprefix("data:"))["response"]
    assert [{"type": "function", "name": "shell"}] == response["tools"]
    assert {"format": {"type": "json_schema", "name": "answer"}, "verbosity": "low"} == response["text"]
    assert ("***", {}, {"effort": "high"}) == tuple(response[key] for key in ("user", "metadata", "reasoning"))


@pytest.mark.parametrize(
    "line", [b'data: {"tools":', b'data: ["tools"]', b'"tools"', b'data: {"tools":1}', b'x\xff"tools"']
)
def test_what_is_no_response_object_is_left_as_it_is(line: bytes) -> None:
    """Broken framing is what such a recording may be about."""
    assert line == b"".join(masked(line, []))


def test_a_conversation_stays_as_it_is() -> None:
    """Words that a header or a key resembles are no secrets; a changed text would be a fault of its own."""
    headers = [("User-Agent", "codex_exec/0.169.0"), ("Accept", "text/event-stream"), ("X-Stainless-Lang", "python")]
    headers += [("X-Role", "assistant"), ("Authorization", "Bearer x")]
    text = BROKEN + b'data: {"delta":"basic understanding of tokens, the sk-learn password: none, bob@example.org"}\n\n'

    assert text == b"".join(masked(text, secrets_of(headers, "/v1/responses?a=b")))


def test_a_secret_is_found_wherever_a_piece_ends() -> None:
    """The thread takes small pieces, so that streams get their turn."""
    token = b"sk-abcdefghijklmnop0123"
    for place in range(PIECE - 40, PIECE + 40):
        text = b"x" * place + b" " + token + b' ,"' + b"y" * 50
        said = b"".join(masked(text, [b"sk-abcdefghijklmnop0123"]))

        assert b"0123" not in said
        lines = b"\n".join([b"x" * (PIECE // 2)] * 3) + b"\n" + token + b"\n" + b"y" * 80_000
        assert b"0123" not in b"".join(masked(lines, []))


async def test_a_reload_moves_the_folder(tmp_path: Path) -> None:
    """And a wrong one leaves everything as it was."""
    first, second = tmp_path / "first", tmp_path / "second"
    async with serving(streamed(BROKEN)) as upstream:
        service = Service(config_for(upstream, capture=settings(first)))
        await service.start()
        bad = tmp_path / "bad"
        bad.mkdir(mode=0o755)
        await service.reload(config_for(upstream, capture=settings(second)))
        with pytest.raises(ConfigError, match="chmod 700"):
            await service.reload(config_for(upstream, capture=settings(bad)))
        async with connected(service.address) as client:
            await client.ask(request())
        await service.stop(0.2)

    assert ([], 1) == (names(first), len(names(second)))


def test_an_ending_of_the_service_itself_is_nobodys_fault(tmp_path: Path) -> None:
    """A restart cuts every stream that it meets."""
    capture = Capture(Journal())
    capture.configure(settings(tmp_path), Folder(_private(tmp_path), 5))
    entry = Entry.of("POST", "/v1/responses", Kind.RESPONSES)
    mender = capture.record(entry, Mender())
    entry.status, entry.report = 200, mender.report
    mender.feed(BROKEN[:500])
    mender.close(Ending.SHUTDOWN)
    entry.end(Ending.SHUTDOWN, is_clean=False)
    capture.end(entry, [], "/")
    capture.close()

    assert [] == list(tmp_path.iterdir())


def _private(path: Path) -> Path:
    path.chmod(0o700)
    return path


# WebSockets


async def spoken(folder: Path, script: WebSocketScript, *said: str, hears: int, **changes: Any) -> Service:
    """Say this over a WebSocket through a respfix that keeps streams there, hear so many messages, and stop it."""
    async with serve(script, "127.0.0.1", 0) as upstream:
        port = next(iter(upstream.sockets)).getsockname()[1]
        service = Service(config_for(f"http://127.0.0.1:{port}", capture=settings(folder), **changes))
        await service.start()
        address, headers = f"ws://{service.address}/v1/responses", {"Authorization": "Bearer sk-mine-0123456789"}
        # With a bound on its queue, a client that has not read everything takes ten seconds to close.
        async with connect(address, proxy=None, max_queue=None, additional_headers=headers) as client:
            for each in said:
                await client.send(each)
            for _ in range(hears):
                await asyncio.wait_for(client.recv(), WAIT)
        await service.stop(1)
    return service


WebSocketScript = Callable[[ServerConnection], Awaitable[None]]
CREATE = '{"type":"response.create","model":"m","input":"Hello"}'


def speaking(*streams: bytes) -> WebSocketScript:
    """Answer each request with the next of these streams."""

    async def script(server: ServerConnection) -> None:
        for stream in streams:
            await server.recv()
            for block in reader.blocks(stream):
                await server.send(block.data)
        await server.wait_closed()

    return script


def found(file: Path) -> str:
    """What `respfix check` says is wrong."""
    words = [sys.executable, "-m", "respfix", "check", str(file)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    """All that is kept."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


async def test_a_response_on_a_websocket_is_kept_like_a_stream(tmp_path: Path) -> None:
    """Each by itself, as events that the linter reads; a healthy one between them is not."""
    count = [len(list(reader.blocks(stream))) for stream in (healthy(), BROKEN)]
    await spoken(tmp_path, speaking(BROKEN, healthy(), BROKEN), CREATE, CREATE, CREATE, hears=3 * count[0])

    first, second = names(tmp_path)
    came, left = ((tmp_path / (first + ending)).read_bytes() for ending in (CAME, LEFT))
    assert [block.data for block in reader.blocks(BROKEN)] == [block.data for block in reader.blocks(came)]
    assert reader.said(reader.events(BROKEN)) == reader.said(reader.events(left))
    assert [] == reader.complaints(reader.events(left))
    assert came == (tmp_path / (second + CAME)).read_bytes()
    facts = json.loads((tmp_path / (first + FACTS)).read_text())
    assert ("GET", 101, "repaired", count[1], "response.completed", True) == (
        facts["method"],
        facts["status"],
        facts["outcome"],
        facts["events_in"],
        facts["terminal"],
        facts["came_is_whole"],
    )
    assert "missing-part-added" in found(tmp_path / (first + CAME))


async def test_lanes_are_kept_apart(tmp_path: Path) -> None:
    """Two responses that interleave are two streams."""
    lanes = [[json.dumps({**event, "stream_id": lane}) for event in reader.events(BROKEN)] for lane in ("a", "b")]

    async def script(server: ServerConnection) -> None:
        for _ in range(2):
            await server.recv()
        for pair in zip(*lanes, strict=True):
            for message in pair:
                await server.send(message)
        await server.close()

    ask = [json.dumps({**json.loads(CREATE), "stream_id": lane}) for lane in ("a", "b")]
    await spoken(tmp_path, script, *ask, hears=2 * len(lanes[0]))

    kept_lanes = [
        [block.data for block in reader.blocks((tmp_path / (name + CAME)).read_bytes())] for name in names(tmp_path)
    ]
    assert sorted(lanes) == sorted(kept_lanes)


async def test_a_websocket_that_breaks_off_is_kept_with_what_the_client_was_told(tmp_path: Path) -> None:
    """The failure is in what left, not in what came."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for block in list(reader.blocks(healthy()))[:5]:
            await server.send(block.data)
        await asyncio.sleep(0.05)
        server.transport.abort()

    await spoken(tmp_path, script, CREATE, hears=6)

    (name,) = names(tmp_path)
    came, left = (reader.events((tmp_path / (name + ending)).read_bytes()) for ending in (CAME, LEFT))
    assert (5, came, "response.failed") == (len(came), left[:5], left[5]["type"])
    assert name.endswith("truncated-stream")


async def test_a_client_that_leaves_a_websocket_leaves_nothing_to_keep(tmp_path: Path) -> None:
    """Its stream was not broken."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for block in list(reader.blocks(healthy()))[:5]:
            await server.send(block.data)
        await server.wait_closed()

    await spoken(tmp_path, script, CREATE, hears=5)

    assert [] == names(tmp_path)


async def test_a_websocket_s_secrets_are_taken_out(tmp_path: Path) -> None:
    """As from a stream."""
    stream = BROKEN.replace(b"Hello", b"sk-mine-0123456789")
    await spoken(tmp_path, speaking(stream), CREATE, hears=len(list(reader.blocks(stream))))

    assert 3 == len(files(tmp_path))
    assert b"sk-mine" not in b"".join(files(tmp_path).values())


async def test_what_is_only_observed_on_a_websocket_is_kept_as_it_came(tmp_path: Path) -> None:
    """There is no other side of it."""
    await spoken(tmp_path, speaking(BROKEN), CREATE, hears=len(list(reader.blocks(BROKEN))), repair="observe")

    (name,) = names(tmp_path)
    assert {name + CAME, name + FACTS} == files(tmp_path).keys()
    assert "defective" == json.loads((tmp_path / (name + FACTS)).read_text())["outcome"]


def test_a_message_of_several_lines_is_kept_as_one_event() -> None:
    """In JSON a line end is a blank."""
    message = b'{\n  "type": "x",\r\n\r  "a": 1\n}'

    assert [{"type": "x", "a": 1}] == reader.events(framed(message))
    assert b"" == framed(b"")
