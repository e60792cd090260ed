"""The READMEs: every command in them is run, every link leads somewhere, and what the program makes is current."""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from clients.install import UnavailableError, installed, node
from packages import uv_environment
from readme import PART, PARTS, READMES, ROOT, current, events_of, table
from test_demo import serving

from respfix import __version__
from respfix.config import build
from respfix.config.sources import from_file
from respfix.demo import STREAMS
from respfix.demo.streams import answer_of

ENGLISH, CHINESE = READMES
TEXT = ENGLISH.read_text("utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ANSWER = answer_of(events_of(STREAMS["anthropic-text"]))  # what the demo's server says to a model it does not know
EITHER = pytest.mark.parametrize("readme", READMES, ids=["english", "chinese"])

# Each command block by words that only it has; the tests below run them.
COMMANDS = {
    "install": "&& .venv/bin/respfix demo\n",
    "test": "&& .venv/bin/pytest",
    "serve": "serve --upstream",
    "pipx": "pipx install",
    "uvx": "uvx --from",
    "ask": "curl -sN",
    "repair": "respfix repair",
    "judge": "respfix check broken.sse",
    "report": "--report",
    "try": "demo --serve",
    "service": "systemctl",
    "check": "--check-config",
}


def blocks(language: str, text: str = TEXT) -> list[str]:
    """The code blocks in a language."""
    return [code for found, code in FENCE.findall(text) if found == language]


def command(name: str) -> str:
    """The one block of commands that this name stands for."""
    (block,) = [block for block in blocks("sh") if COMMANDS[name] in block]
    return block


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Desk:
    """A user's desk: a shell in a folder of its own, a server, and respfix in front of it once it is started."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.server = server
        self.respfix = f"127.0.0.1:{free_port()}"
        program = folder / ".venv/bin/respfix"
        program.parent.mkdir(parents=True)
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m respfix "$@"\n')
        program.chmod(0o755)

    def here(self, text: str) -> str:
        """The text with the addresses of this desk."""
        return text.replace("127.0.0.1:8080", self.server).replace("127.0.0.1:8081", self.respfix)

    def start(self, block: str) -> subprocess.Popen[str]:
        """Start what is to go on running."""
        return subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", "exec " + self.here(block)],
            cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def run(self, block: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a block; every line of it has to succeed."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(block)],
            cwd=self.folder, text=True, capture_output=True, check=False, timeout=240,
            env={**os.environ, **variables},
        )  # fmt: skip


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk with the demo's broken server and the `respfix serve` of the README, started as it says."""
    with serving() as (_, urls):
        desk = Desk(tmp_path_factory.mktemp("desk"), urls["broken"].split("/")[2])
        with desk.start(command("serve")) as process:
            host, port = desk.respfix.split(":")
            deadline = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection((host, int(port)), 1).close()
                    break
                except OSError:
                    assert process.poll() is None, process.communicate()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield desk
            process.terminate()


# The commands


def test_every_command_is_run_by_one_of_these_tests() -> None:
    """A new block of commands needs a name above, and a test."""
    assert sorted(blocks("sh")) == sorted(map(command, COMMANDS))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh checkout."""
    unwanted = shutil.ignore_patterns(".*cache", ".venv", ".git", ".hypothesis", "node_modules", "__pycache__")
    return Path(shutil.copytree(ROOT, tmp_path / "respfix", ignore=unwanted))


def bare(path: Path) -> dict[str, str]:
    """Variables of a user who has nothing but Python."""
    return {
        "PATH": f"{path}:{Path(sys.executable).resolve().parent}:/usr/bin:/bin",
        "PYTHONPATH": "",
        "VIRTUAL_ENV": "",
    }


@pytest.mark.install
@pytest.mark.timeout(300)
def test_one_line_installs_respfix_and_runs_the_demo(clone: Path) -> None:
    """On a machine with Python and nothing else."""
    result = subprocess.run(
        ["sh", "-ec", command("install")], cwd=clone, env={**os.environ, **bare(clone)}, text=True,
        capture_output=True, check=False, timeout=240,
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Through respfix both clients got all" in result.stdout


def kit(tmp_path: Path) -> dict[str, str]:
    """Variables of a user who has pipx and uv, with all that they make in a folder of its own."""
    tools = Path(sys.executable).parent
    if not (tools / "pipx").exists() or not (tools / "uvx").exists():
        pytest.skip("pipx and uv are not installed; they come with `pip install -e '.[dev]'`")
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("pipx", "uv", "uvx"):
        (folder / name).symlink_to(tools / name)
    homes = {"PIPX_HOME": "pipx", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man", "UV_TOOL_DIR": "uv"}
    return {**uv_environment(), **bare(folder), **{name: str(tmp_path / home) for name, home in homes.items()}}


@pytest.mark.install
@pytest.mark.timeout(300)
def test_pipx_makes_a_command_of_the_checkout(clone: Path, tmp_path: Path) -> None:
    """Before anything is published."""
    result = subprocess.run(
        ["sh", "-ec", command("pipx")], cwd=clone, env=kit(tmp_path), text=True, capture_output=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    said = subprocess.run([tmp_path / "bin/respfix", "--version"], text=True, capture_output=True, check=False)

    assert said.stdout.strip().endswith(__version__)


@pytest.mark.install
@pytest.mark.timeout(300)
def test_uvx_runs_the_checkout_once(clone: Path, tmp_path: Path) -> None:
    """Likewise."""
    result = subprocess.run(
        ["sh", "-ec", command("uvx")], cwd=clone, env=kit(tmp_path), text=True, capture_output=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "Through respfix both clients got all" in result.stdout


def test_the_test_command_is_what_the_continuous_check_runs() -> None:
    """It is not run in here, or it would run itself; the check of every commit ends with that very line."""
    continuous = (ROOT / ".ci/run").read_text().splitlines()[-1]
    spoken = continuous.replace('"$python"', "python3").replace(" --quiet", "").replace("exec ", "")

    assert command("test") == f"{spoken}\n"
    assert command("test").strip() in (ROOT / "CONTRIBUTING.md").read_text()


def test_both_can_be_asked_with_curl(desk: Desk) -> None:
    """The broken answer from the server, the whole one from respfix."""
    result = desk.run(command("ask"), KEY="none")

    assert (result.returncode, result.stdout) == (0, "1\n"), result.stderr
    assert ANSWER not in (desk.folder / "broken.sse").read_text()
    assert ANSWER in (desk.folder / "repaired.sse").read_text().split("\n\n")[-2]


def test_a_recording_is_repaired(desk: Desk) -> None:
    """The filter gives what respfix gives, and says what was wrong."""
    (desk.folder / "broken.sse").write_bytes(STREAMS["anthropic-text"])
    result = desk.run(command("repair"))

    assert result.returncode == 0
    assert "missing-part-added" in result.stderr
    assert ANSWER in (desk.folder / "repaired.sse").read_text().split("\n\n")[-2]


def test_a_recording_is_judged(desk: Desk) -> None:
    """What is wrong with it and who breaks, by an exit code that a script can ask for."""
    (desk.folder / "broken.sse").write_bytes(STREAMS["anthropic-text"])
    result = desk.run(command("judge"))

    assert (result.returncode, result.stderr) == (1, "")
    assert "missing-part-added" in result.stdout
    assert re.search(r"^  openai-python +breaks ", result.stdout, re.MULTILINE)


def test_a_server_is_reported(desk: Desk) -> None:
    """What came and what should have come, in Markdown."""
    result = desk.run(command("report"), OPENAI_API_KEY="sk-canary-123456")
    report = (desk.folder / "report.md").read_text()

    assert (result.returncode, result.stderr) == (1, "")
    assert report.startswith("# Defects of a Responses API event stream\n\n- checked: the server 127.0.0.1\n")
    assert "canary" not in report


def test_the_configuration_is_shown(desk: Desk) -> None:
    """As it is without any."""
    result = desk.run(command("check"))

    assert (result.returncode, result.stderr) == (0, "")
    assert "upstream" in result.stdout


def test_the_demo_can_be_kept_running(desk: Desk) -> None:
    """Until it is stopped."""
    with desk.start(command("try")) as process:
        assert process.stdout
        page = ""
        while "codex exec" not in page:
            line = process.stdout.readline()
            assert line, page
            page += line
        process.terminate()

        assert process.wait(10) == 0


@pytest.mark.install
@pytest.mark.timeout(300)
def test_the_service_is_installed_where_its_unit_looks(clone: Path, tmp_path: Path) -> None:
    """Run with /opt and /etc elsewhere, and without systemd; then with the command that the unit starts with."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, script in {"sudo": 'exec "$@"', "systemctl": f'echo "$@" >> "{tmp_path}/systemctl"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    script = re.sub(r"(?<= )/(opt|etc)/", rf"{tmp_path}/\1/", command("service"))
    result = subprocess.run(
        ["sh", "-ec", script], cwd=clone, env={**os.environ, **bare(tools)}, text=True,
        capture_output=True, check=False, timeout=240,
    )  # fmt: skip

    assert result.returncode == 0, result.stdout + result.stderr
    unit = (tmp_path / "etc/systemd/system/respfix.service").read_text()
    assert re.findall(r"^ExecStart=/(\S+) serve", unit, re.MULTILINE) == ["opt/respfix/bin/respfix"]
    assert re.findall(r"^ExecStart=.* --config /(.*)$", unit, re.MULTILINE) == ["etc/respfix/config.yaml"]
    assert (tmp_path / "etc/systemd/system/respfix.socket").is_file()
    check: list[str | Path] = [
        tmp_path / "opt/respfix/bin/respfix",
        "serve",
        "--check-config",
        "--config",
        tmp_path / "etc/respfix/config.yaml",
    ]
    assert subprocess.run(check, capture_output=True, check=False, timeout=30).returncode == 0
    assert (tmp_path / "systemctl").read_text() == "daemon-reload\nenable --now respfix.socket respfix.service\n"


@EITHER
def test_the_configuration_that_is_shown_is_one(readme: Path, tmp_path: Path) -> None:
    """It is read as respfix reads it, and chooses what the text says."""
    (shown,) = blocks("yaml", readme.read_text("utf-8"))
    (tmp_path / "config.yaml").write_text(shown, "utf-8")
    config = build(from_file(tmp_path / "config.yaml"))

    assert [(route.path, route.config.upstream) for route in config.routes] == [
        ("/opencode", "http://127.0.0.1:4000"),
        ("", "https://llm.example/v1"),
    ]
    assert "http://127.0.0.1:8081/opencode/v1" in readme.read_text("utf-8")


# The clients


def test_codex_understands_its_configuration() -> None:
    """The provider that is chosen is there, and is the defaults' respfix."""
    config = tomllib.loads(blocks("toml")[0])
    provider = config["model_providers"][config["model_provider"]]

    assert provider["base_url"] == "http://127.0.0.1:8081/v1"
    assert (provider["wire_api"], provider["supports_websockets"]) == ("responses", False)
    assert provider["name"] != "OpenAI"


def test_the_python_example_streams_the_answer(desk: Desk) -> None:
    """And has it whole at the end."""
    pytest.importorskip("openai")
    script = desk.here(blocks("python")[0]) + "\nprint()\nprint(answer.output_text)\n"
    result = subprocess.run([sys.executable, "-c", script], text=True, capture_output=True, check=False, timeout=30)

    assert result.stdout.splitlines() == [ANSWER, ANSWER], result.stderr


@pytest.mark.clients
@pytest.mark.timeout(300)
def test_the_node_example_streams_the_answer(desk: Desk) -> None:
    """And has it whole at the end."""
    try:
        folder = installed("openai-node-7")
        program = node()
    except UnavailableError as reason:
        pytest.skip(str(reason))
    (desk.folder / "node_modules").symlink_to(folder / "node_modules")
    script = desk.folder / "example.mjs"
    script.write_text(desk.here(blocks("js")[0]) + "\nconsole.log();\nconsole.log(answer.output_text);\n")
    result = subprocess.run([program, script], text=True, capture_output=True, check=False, timeout=30)

    assert result.stdout.splitlines() == [ANSWER, ANSWER], result.stderr


# What it says


@EITHER
def test_what_is_made_from_the_program_is_current(readme: Path) -> None:
    """`python tests/readme.py` brings it up to date."""
    assert set(PARTS) == {name for name, _ in PART.findall(readme.read_text("utf-8"))}
    assert current(readme) == readme.read_text("utf-8"), "run `python tests/readme.py` and commit what it changes"


def test_the_first_screen_has_what_people_look_for() -> None:
    """The symptoms in the clients' words, the events before and after, and the two commands."""
    screen = "\n".join(TEXT.splitlines()[:45])

    for words in (
        "OutputTextDelta without active item",
        "stream closed before response.completed",
        "list index out of range",
        "blank reply",
        "tool that never runs",
        "+ response.content_part.added",
        command("install"),
        command("test"),
    ):
        assert words in screen


def anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(text: str) -> list[str]:
    """The headings with their signs."""
    return re.findall(r"^#+ .*$", FENCE.sub("", text), re.MULTILINE)


@EITHER
def test_every_link_leads_somewhere(readme: Path) -> None:
    """Files are there, and headings are called so."""
    links = re.findall(r"\]\(([^)#]*)#?([^)]*)\)", FENCE.sub("", readme.read_text("utf-8")))

    assert len(links) > 5
    for path, name in links:
        target = (readme.parent / path) if path else readme
        assert target.exists(), path
        assert not name or name in {anchor(heading.lstrip("# ")) for heading in headings(target.read_text("utf-8"))}, (
            name
        )


@EITHER
def test_the_messages_that_are_explained_are_those_that_are_printed(readme: Path) -> None:
    """Word for word, apart from what differs each time."""
    section = readme.read_text("utf-8").partition("## Troubleshooting" if readme is ENGLISH else "## 故障排查")[2]
    messages = [cells[1] for cells in table(section.partition("\n## ")[0].partition("\n|")[2]).values()]
    own = {
        node.value
        for path in (ROOT / "respfix").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    fragments = {part.strip() for cell in messages for part in re.split("…|; ", re.findall(r"(`+)(.*?)\1", cell)[0][1])}

    assert len(messages) > 10
    assert set() == {part for part in fragments if not any(part in string for string in own)}


@EITHER
def test_every_refusal_is_explained(readme: Path) -> None:
    """By a piece of its message; what is refused without words here would leave its reader alone."""
    section = readme.read_text("utf-8").partition("## Troubleshooting" if readme is ENGLISH else "## 故障排查")[2]
    explained = [part.strip(" `") for cell in re.findall(r"`+(.*?)`+", section) for part in re.split("…|; ", cell)]
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "respfix").rglob("*.py"))
    codes = set(re.findall(r'Refusal\(\s*(?:status|\d+), "(\w+)"', source))
    calls = re.split(r"(?=Refusal\()", source)
    unexplained = {
        code
        for code in codes
        if not any(
            len(part) > 11 and part in before[-300:] + call[:300]
            for before, call in pairwise(calls)
            if f'"{code}"' in call[:200]
            for part in explained
        )
    }

    assert len(codes) > 10
    assert unexplained == set()


# In Chinese


def test_the_chinese_readme_has_the_same_sections() -> None:
    """Level by level; the text is translated, not summarised."""
    levels = [[heading.partition(" ")[0] for heading in headings(readme.read_text("utf-8"))] for readme in READMES]

    assert levels[0] == levels[1]


def test_the_chinese_readme_has_the_same_code() -> None:
    """Block by block, apart from comments in it."""
    both = [[re.sub(r" +# .*", "", code) for _, code in FENCE.findall(readme.read_text("utf-8"))] for readme in READMES]

    assert both[0] == both[1]


def test_the_chinese_readme_has_the_same_tables() -> None:
    """Row by row; what is a name in the first cell is the same name."""
    both = [
        [
            re.findall(r"`+[^`].*?`+", line.split("|")[1])
            for line in readme.read_text("utf-8").splitlines()
            if line[:1] == "|"
        ]
        for readme in READMES
    ]

    assert both[0] == both[1]


def test_the_chinese_readme_is_chinese() -> None:
    """Also its tables, but for names and numbers, and the faults: who adds one need not know Chinese."""
    text = CHINESE.read_text("utf-8")
    parts = [part for name, part in PART.findall(text) if name not in {"clients", "costs", "events", "defects"}]
    rows = [row for part in parts for row in table(part).values()]

    assert set() == {row[1].strip() for row in rows if not re.search(r"[\u4e00-\u9fff]", row[-2])}
