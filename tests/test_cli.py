"""The command line, run as users run it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from respfix import __version__
from respfix.cli import SERVE_FLAGS, main, summary
from respfix.config import SETTINGS
from respfix.stream import Report
from respfix.stream.defects import DEFECTS

RESPFIX = [sys.executable, "-m", "respfix"]
COMMENT = b": a comment leaves as it came\n\n"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings are not the tests'."""
    for variable in os.environ:
        if variable.startswith("RESPFIX_"):
            monkeypatch.delenv(variable)


def run(*words: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What the command prints, and its exit code."""
    return subprocess.run([*RESPFIX, *words], input=stdin, capture_output=True, check=False, timeout=30)


@pytest.fixture
def live() -> Iterator[subprocess.Popen[bytes]]:
    """A `respfix repair` in the middle of a pipe, which has answered its first event."""
    with subprocess.Popen(
        [*RESPFIX, "repair"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(COMMENT)
        process.stdin.flush()

        assert os.read(process.stdout.fileno(), 1000) == COMMENT

        yield process
        process.kill()


def test_the_version_is_printed_without_loading_the_server() -> None:
    """A version check in a script takes no part in aiohttp's start-up time."""
    script = "import sys, respfix.cli\ntry: respfix.cli.main(['--version'])\nfinally: print('aiohttp' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert f"respfix {__version__}\nFalse\n" == result.stdout
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("command", [[], ["serve"], ["repair"], ["check"], ["defects"], ["demo"]])
def test_every_command_has_help_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks for help sees a line to copy."""
    with pytest.raises(SystemExit) as leaving:
        main([*command, "--help"])

    assert leaving.value.code == 0
    assert "example:\n  respfix " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["serve", "--listne", "x"],
            "there is no option '--listne'; did you mean '--listen'?; see `respfix serve --help`",
        ),
        (["serve", "--port", "80"], "there is no option '--port'; here it is --listen HOST:PORT; see `respfix serve"),
        (["serve", "--host=x"], "there is no option '--host'; here it is --listen HOST:PORT; see `respfix serve"),
        (["serve", "--target=x"], "there is no option '--target'; here it is --upstream URL; see `respfix serve"),
        (["repair", "--url", "x"], "there is no option '--url'; see `respfix repair --help`"),
        (["repair", "a", "b"], "there is no option 'b'; see `respfix repair --help`"),
        (["sreve"], "argument COMMAND: invalid choice: 'sreve' (choose from"),
        ([], "the following arguments are required: COMMAND; see `respfix --help`"),
        (["repair", "--dialect", "x"], "argument --dialect: invalid choice: 'x' (choose from"),
        (["serve", "--listen", ":80"], "--listen: listen: expected host:port, such as 127.0.0.1:8081 or [::1]:8081"),
        (["serve", "--disable", "nonsense"], "--disable: disable: no defect is called 'nonsense'"),
        (["repair", "--disable", "nonsense"], "--disable: disable: no defect is called 'nonsense'"),
        (["serve", "--config", "/absent.yaml"], "/absent.yaml: cannot be read: No such file or directory; check"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(words: list[str], expected: str) -> None:
    """What is wrong and where the right usage stands; no usage dump, no traceback."""
    result = run(*words)

    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode().startswith(f"respfix: error: {expected}")
    assert result.stderr.count(b"\n") == 1


def test_a_wrong_variable_is_said_like_a_wrong_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is configuration: exit code 2, one line."""
    monkeypatch.setenv("RESPFIX_REPAIR", "maybe")
    result = run("serve")

    expected = b"respfix: error: RESPFIX_REPAIR: repair: expected one of on, observe, off, not 'maybe'\n"
    assert (2, expected) == (result.returncode, result.stderr)


def test_check_config_prints_what_is_in_effect_and_leaves(tmp_path: Path) -> None:
    """Exit code 0 and the whole configuration, with the source of each value; nothing is started."""
    file = tmp_path / "config.yaml"
    file.write_text("repair: observe\n")
    result = run("serve", "--check-config", "--config", file, "--allow-host", "a.lan", "--allow-host", "b.lan,c.lan")

    assert (result.returncode, result.stderr) == (0, b"")
    assert f'repair: "observe"  # {file}:1\n' in result.stdout.decode()
    assert 'hosts: ["a.lan", "b.lan", "c.lan"]  # --allow-host\n' in result.stdout.decode()


def test_flags_alone_mean_serve(capsys: pytest.CaptureFixture[str]) -> None:
    """`respfix --upstream URL` is the shortest way to start."""
    assert main(["--upstream", "http://h:1", "--check-config"]) == 0
    assert 'upstream: "http://h:1"  # --upstream\n' in capsys.readouterr().out


def test_every_flag_of_serve_is_a_setting_and_says_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """A flag that sets nothing would be accepted and forgotten."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])

    assert SERVE_FLAGS.keys() <= SETTINGS.keys()
    assert "(default: 127.0.0.1:8081)" in capsys.readouterr().out


def test_a_busy_port_is_one_line_and_exit_code_1() -> None:
    """The commonest failure of a start says which address is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("serve", "--listen", address)

    assert result.returncode == 1
    last = result.stderr.decode().splitlines()[-1]
    assert last.startswith("respfix: error: ")
    assert address in last
    assert b"Traceback" not in result.stderr


def test_serve_says_what_it_listens_on_and_whether_the_upstream_answers() -> None:
    """Who starts it by hand, or reads the journal, sees that it works, or what is missing."""
    command = [sys.executable, "-m", "respfix", "serve", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        lines = [program.stderr.readline(), program.stderr.readline()]
        program.terminate()

    assert "listens on http://127.0.0.1:" in lines[0]
    assert "upstream http://127.0.0.1:9 is not reachable" in lines[1]


@pytest.mark.parametrize(("host", "is_warned"), [("127.0.0.2", False), ("0.0.0.0", True)])
def test_listening_beyond_this_machine_is_warned_about(host: str, is_warned: bool) -> None:  # noqa: FBT001
    """There is no password to ask for, so an open address is said before anything else."""
    with socket.create_server((host, 0)) as taken:
        result = run("serve", "--listen", f"{host}:{taken.getsockname()[1]}")

    assert is_warned == (b" WARNING whoever reaches 0.0.0.0:" in result.stderr.splitlines()[0])


def test_repair_writes_a_healthy_stream_as_it_came(shared: Path) -> None:
    """From a file and from standard input, byte for byte."""
    healthy = shared / "captures/openai/openai-text-era4-gpt55.sse"
    wanted = healthy.read_bytes()

    from_file, from_stdin = run("repair", healthy), run("repair", "--quiet", stdin=wanted)

    assert wanted == from_file.stdout == from_stdin.stdout
    assert b"nothing to repair" in from_file.stderr
    assert (from_stdin.stderr, from_stdin.returncode, from_file.returncode) == (b"", 0, 0)


def test_repair_repairs_and_says_what_was_wrong() -> None:
    """Nothing but deltas and an end: the brackets around them are opened and closed, and what was wrong is said."""
    events = (
        b'{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"Hi"}',
        b'{"type":"response.completed","response":{"id":"r","status":"completed","output":[]}}',
    )
    result = run("repair", stdin=b"".join(b"data: " + event + b"\n\n" for event in events))

    assert result.stdout.count(b'"response.content_part.added"') >= 1
    assert result.stdout.rindex(b'"text":"Hi"') > result.stdout.index(b'"response.completed"')
    assert f"  {DEFECTS['missing-part-added'].wrong}\n" in result.stderr.decode()


def test_repair_leaves_the_disabled_alone() -> None:
    """A switch reaches the repair."""
    event = b'data: {"type":"response.output_text.delta","item_id":"m","content_index":0,"delta":"Hi"}\n\n'
    result = run("repair", "--disable", "missing-part-added", stdin=event)

    assert b"content_part.added" not in result.stdout
    assert b"missing-part-added" not in result.stderr


def test_repair_answers_while_its_input_is_still_open(live: subprocess.Popen[bytes]) -> None:
    """It can stand behind `curl -N`; the fixture has read an answer before the end of the input."""
    _, said = live.communicate(timeout=10)

    assert live.returncode == 0
    assert said.startswith(b"respfix: ")


def test_repair_leaves_quietly_on_ctrl_c(live: subprocess.Popen[bytes]) -> None:
    """No traceback; the exit code that a shell expects."""
    live.send_signal(signal.SIGINT)

    assert live.wait(timeout=10) == 130
    assert live.stderr
    assert live.stderr.read() == b""


def test_repair_leaves_quietly_when_nobody_reads(live: subprocess.Popen[bytes]) -> None:
    """`respfix repair | head -1` is no error to talk about."""
    assert live.stdout
    assert live.stdin
    live.stdout.close()
    live.stdin.write(COMMENT)
    live.stdin.close()

    assert live.wait(timeout=10) == 141
    assert live.stderr
    assert live.stderr.read() == b""


def test_help_is_quiet_when_nobody_reads() -> None:
    """Python would complain at its exit that it could not flush."""
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([*RESPFIX, "--help"], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)

    assert result.stderr == b""


@pytest.mark.parametrize(("name", "reason"), [("absent.sse", "No such file or directory"), ("", "Is a directory")])
def test_repair_says_which_file_it_cannot_read(tmp_path: Path, name: str, reason: str) -> None:
    """One line with the path, exit code 1, no output."""
    result = run("repair", tmp_path / name)

    assert (result.returncode, result.stdout) == (1, b"")
    assert f"respfix: error: {tmp_path / name}: {reason}\n" == result.stderr.decode()


def test_repair_says_when_its_output_cannot_be_written() -> None:
    """A full disk is no traceback."""
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run([*RESPFIX, "repair"], input=COMMENT, stdout=full, stderr=subprocess.PIPE, check=False)

    assert result.returncode == 1
    assert result.stderr == b"respfix: error: reading or writing: No space left on device\n"


def test_the_summary_names_each_defect_with_its_explanation() -> None:
    """What was wrong, how often and what that means; the commonest first."""
    rare, common = list(DEFECTS)[:2]
    report = Report(Counter({rare: 1, common: 20}), 7, 9, inserted=2, rewritten=3, stopped="internal-fault")

    first, second, third, last = summary(report).splitlines()

    assert first == "respfix: 7 events in, 9 out (2 inserted, 3 rewritten, 0 dropped)"
    assert second.split(maxsplit=3) == [common, "20", "x", DEFECTS[common].wrong]
    assert third.split(maxsplit=3) == [rare, "1", "x", DEFECTS[rare].wrong]
    assert last == "  the repair stopped (internal-fault); the rest of the stream is as it came"
