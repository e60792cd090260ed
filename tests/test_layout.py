"""The shape of the program: who may import whom, who may know what."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import respfix

# file: what it may import of respfix. Each file imports only what stands above it; a new edge is a decision.
EDGES = {
    # the repair: bytes in, bytes out
    "stream.asked": "",
    "stream.contract": "stream.asked",
    "stream.dialects": "",
    "stream.splice": "",
    "stream.frames": "stream.splice",
    "stream.framer": "stream.frames stream.splice",
    "stream.event": "stream.frames stream.splice",
    "stream.defects": "stream.contract stream.event",
    "stream.grammar": "",
    "stream.ledger": "stream.event stream.grammar",
    "stream.values": "stream.event stream.grammar stream.ledger stream.splice",
    "stream.door": "stream.defects stream.dialects stream.event stream.grammar stream.ledger stream.splice "
    "stream.values",
    "stream.bodies": "stream.asked stream.defects stream.dialects stream.event stream.grammar stream.ledger "
    "stream.splice stream.values",
    "stream.echoes": "stream.defects stream.door stream.event stream.ledger stream.values",
    "stream.brackets": "stream.bodies stream.contract stream.defects stream.dialects stream.door stream.echoes "
    "stream.event stream.grammar stream.ledger stream.values",
    "stream.owners": "stream.brackets stream.contract stream.defects stream.event stream.grammar stream.ledger "
    "stream.splice stream.values",
    "stream.repair": "stream.bodies stream.contract stream.defects stream.event stream.grammar stream.ledger "
    "stream.owners stream.splice stream.values",
    "stream.output": "stream.bodies stream.event stream.grammar stream.ledger stream.repair stream.splice",
    "stream.errors": "stream.event",
    "stream.terminal": "stream.bodies stream.contract stream.errors stream.event stream.grammar stream.ledger "
    "stream.output stream.splice",
    "stream.quirks": "stream.dialects stream.event stream.grammar",
    "stream.stencil": "stream.event stream.frames stream.splice",
    "stream.restore": "stream.contract stream.defects stream.event stream.grammar",
    "stream.engine": "stream.contract stream.defects stream.event stream.grammar stream.quirks "
    "stream.restore stream.terminal",
    "stream.unfold": "stream.contract stream.defects stream.engine stream.errors stream.event stream.frames "
    "stream.grammar stream.splice",
    "stream.remainder": "stream.event stream.framer",
    "stream.messages": "stream.asked stream.contract stream.defects stream.engine stream.event stream.grammar",
    "stream": "stream.asked stream.contract stream.defects stream.engine stream.event stream.framer stream.frames "
    "stream.messages stream.quirks stream.remainder stream.stencil stream.unfold",
    # what can be told
    "respfix": "",
    "config.kinds": "",
    "config.addresses": "config.kinds",
    "config.settings": "config.addresses config.kinds stream stream.defects stream.dialects",
    "config": "config.addresses config.kinds config.settings",
    "config.changes": "config.settings",
    "config.sources": "config.kinds config.settings",
    "config.rendering": "config.kinds config.settings",
    "tls": "config config.kinds",
    # the relay, and what starts it
    "journal.entry": "stream",
    "journal.lines": "journal.entry",
    "journal.tally": "journal.entry",
    "journal": "journal.entry journal.lines journal.tally",
    "capture.recording": "stream",
    "capture.masking": "stream.splice",
    "capture.folder": "",
    "capture": "capture.folder capture.masking capture.recording config journal respfix stream.defects",
    "relay.codings": "",
    "relay.guard": "config",
    "relay.headers": "stream.dialects",
    "relay.sniff": "",
    "relay.spout": "",
    "relay.tunnel": "relay.spout",
    "relay.upstream": "",
    "relay.refusal": "",
    "relay.resume": "",
    "relay.patience": "stream",
    "relay.hearing": "relay.codings stream",
    "relay.roll": "config relay.patience relay.refusal stream",
    "relay.session": "config relay.upstream",
    "relay.failures": "config relay.refusal relay.upstream",
    "relay.forwarded": "config config.kinds",
    "relay.upload": "relay.refusal",
    "relay.ways": "config relay.session relay.upstream tls",
    "relay.trip": "capture config journal relay.guard relay.headers relay.hearing relay.patience relay.resume "
    "relay.roll relay.upstream relay.ways stream",
    "relay.scribe": "capture.recording journal relay.trip stream",
    "relay.wire": "",
    "relay.crossing": "relay.wire stream",
    "relay.answer": "relay.headers",
    "relay.source": "capture.recording relay.codings relay.patience relay.sniff relay.spout stream",
    "relay.outward": "config relay.failures relay.forwarded relay.headers relay.patience relay.refusal relay.trip "
    "relay.upload relay.wire stream",
    "relay.switch": "journal relay.answer relay.crossing relay.headers relay.patience relay.refusal relay.scribe "
    "relay.trip relay.tunnel relay.wire stream",
    "relay.homeward": "capture.recording journal relay.answer relay.codings relay.headers relay.refusal relay.resume "
    "relay.sniff relay.source relay.switch relay.trip stream",
    "relay": "capture config journal relay.forwarded relay.guard relay.homeward relay.outward relay.patience "
    "relay.refusal relay.roll relay.trip relay.upstream relay.ways stream",
    # what operators see
    "admin.about": "",
    "admin.page": "",
    "admin.health": "",
    "admin.pulse": "journal.tally",
    "admin.verdict": "journal stream.defects",
    "admin.metrics": "admin.about admin.pulse journal journal.entry journal.tally",
    "admin.status": "admin.about admin.pulse admin.verdict journal journal.tally stream.defects",
    "admin": "admin.about admin.health admin.metrics admin.page admin.pulse admin.status journal",
    # what touches the outside, and what starts it all
    "edge": "",
    "edge.notify": "",
    "edge.sockets": "config edge",
    "edge.probe": "journal relay.upstream",
    "edge.connection": "config journal relay relay.refusal",
    "edge.door": "config edge.connection edge.sockets tls",
    "app": "admin capture config config.changes edge edge.connection edge.door edge.probe edge.sockets journal relay "
    "relay.guard relay.roll respfix tls",
    "process": "app config edge edge.notify edge.sockets journal",
    # the demo: a broken server, a client, and what strict readers make of both
    "demo.streams": "",
    "demo.readers": "demo.streams",
    "demo.answer": "demo.readers demo.streams stream",
    "demo.comparison": "demo.streams",
    "demo.screen": "demo.comparison demo.streams",
    "demo.client": "demo.streams",
    "demo.upstream": "demo.streams",
    "demo.stage": "app config demo.screen demo.streams demo.upstream edge journal",
    "demo": "demo.answer demo.client demo.comparison demo.readers demo.screen demo.stage demo.streams "
    "edge stream.defects",
    # the linter
    "check": "",
    "check.excerpt": "",
    "check.findings": "stream stream.defects stream.event stream.framer stream.frames stream.grammar",
    "check.source": "check.excerpt check.findings stream",
    "check.page": "check.findings stream.defects",
    "check.formats": "check.findings check.page respfix stream.defects",
    "check.report": "check.excerpt check.findings check.page respfix",
    "check.command": "check.findings check.formats check.page check.report check.source config config.sources "
    "stream.dialects",
    # the commands
    "catalogue": "config stream.defects",
    "cli": "capture catalogue check.command config config.rendering config.sources demo edge journal process respfix "
    "stream stream.defects stream.dialects tls",
    "__main__": "cli respfix",
}

# The only rooms that may import aiohttp: the relay, what starts it, and what talks to it.
AIOHTTP = {"relay", "admin", "edge", "app", "demo", "check.source"}

# What would make the repair depend on more than the bytes.
IMPURE = {
    *("asyncio", "select", "selectors", "socket", "subprocess", "threading"),
    *("io", "logging", "os", "pathlib", "sys"),
    *("datetime", "random", "secrets", "time", "uuid"),
}

# The only files that may spell the name of an event; what the demo's upstream sends is a recording.
EVENT_NAMES = {"stream.grammar", "stream.quirks", "demo.streams"}


def modules() -> dict[str, Path]:
    """Every file of the package by its name below `respfix`."""
    root = Path(respfix.__file__).parent
    names = {".".join(path.relative_to(root.parent).with_suffix("").parts): path for path in sorted(root.rglob("*.py"))}
    return {_short(name.removesuffix(".__init__")): path for name, path in names.items()}


def _short(name: str) -> str:
    return name.removeprefix("respfix.")


def imports(path: Path) -> set[str]:
    """All modules that a file imports anywhere, also those that only its types need."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports by the full name are easier to find"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part for part in parts if _short(part) in EDGES} or {str(node.module)}
    return found


@pytest.fixture(params=modules())
def module(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """One file of the package, by name and path."""
    return request.param, modules()[request.param]


def test_files_import_only_downwards(module: tuple[str, Path]) -> None:
    """The program can be read from the bottom to the top; a new file takes its place in the list above."""
    name, path = module
    own = {_short(imported) for imported in imports(path) if imported.partition(".")[0] == "respfix"}

    assert name in EDGES, f"give {name} its place in EDGES"
    assert own <= set(EDGES[name].split())


def test_the_edges_have_no_circle() -> None:
    """Each file stands below all it is imported by."""
    above: set[str] = set()
    for name, imported in EDGES.items():
        assert set(imported.split()) & EDGES.keys() <= above, name
        above.add(name)


def test_the_list_of_edges_names_only_files_that_are_there() -> None:
    """A file that went takes its row with it."""
    assert set() == EDGES.keys() - modules().keys()


def test_only_the_shell_knows_aiohttp(module: tuple[str, Path]) -> None:
    """Everything else can be tested without a network."""
    name, path = module
    tops = {imported.partition(".")[0] for imported in imports(path)}

    assert {name, name.partition(".")[0]} & AIOHTTP or not tops & {"aiohttp", "aiohttp_sse_client", "yarl"}


def test_the_repair_is_pure(module: tuple[str, Path]) -> None:
    """The same bytes give the same bytes: no clock, no chance, no network, no file; the standard library is enough."""
    name, path = module
    if not name.startswith("stream"):
        return
    tops = {imported.partition(".")[0] for imported in imports(path)}

    assert set() == tops & IMPURE
    assert tops <= sys.stdlib_module_names | {"respfix"}


def test_only_the_grammar_and_the_quirks_name_events(module: tuple[str, Path]) -> None:
    """What is known about an event stands in one place."""
    name, path = module
    strings = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    named = [text for text in strings if isinstance(text, str) and re.fullmatch(r"response\.[\w.]*", text)]

    assert name in EVENT_NAMES or named == []


def test_the_version_is_said_once(root: Path) -> None:
    """The package, its metadata and the changelog agree."""
    project = tomllib.loads((root / "pyproject.toml").read_text())

    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "respfix/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", respfix.__version__)


def test_the_installed_package_is_this_one() -> None:
    """The tests would otherwise judge something else than what is installed."""
    try:
        installed = metadata.version("respfix")
    except metadata.PackageNotFoundError:
        pytest.skip("respfix is not installed; these tests run from the checkout")

    assert respfix.__version__ == installed


def test_the_dependencies_are_few_and_bounded(root: Path) -> None:
    """A sidecar that asks for much is not installed; each dependency is a decision."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=;\[]", dependency)[0] for dependency in project["dependencies"]]

    assert names == ["aiohttp", "aiohttp-sse-client", "prometheus-client", "PyYAML", "uvloop", "websockets"]
    assert project["requires-python"] == ">=3.11"
    assert project["scripts"] == {"respfix": "respfix.__main__:main"}
    assert (root / "respfix/py.typed").is_file()


def test_the_checkout_has_what_people_look_for(root: Path) -> None:
    """Everything at the top has a place in the design."""
    expected = {"pyproject.toml", "README.md", "respfix", "config.example.yaml", "tests", "systemd"}
    expected |= {"CHANGELOG.md", "LICENSE", "Makefile", ".ci"}

    assert expected <= {path.name for path in root.iterdir()}


def test_make_test_runs_what_the_continuous_check_runs(root: Path) -> None:
    """What is green on a desk is green there, and pytest has the last word in both."""
    assert "test: .venv/test\n\t@$(BIN)/pytest\n" in (root / "Makefile").read_text()
    assert (root / ".ci/run").read_text().endswith(" && exec .venv/bin/pytest\n")
