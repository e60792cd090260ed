"""The parts of docs/operations.md that are made from the program; `python tests/operations.py` writes them anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from histories import UPSTREAM, end, stream
from readme import PART

from respfix.admin.about import About
from respfix.admin.metrics import Numbers
from respfix.admin.pulse import Pulse
from respfix.admin.verdict import ENDS
from respfix.journal import Journal

GUIDE = Path(__file__).parent.parent / "docs/operations.md"
KINDS = {"counter": "_total", "info": "_info"}

ENDINGS = {
    # (who, why): what to do
    ("upstream", ""): "",
    ("upstream", "closed"): "",
    ("upstream", "cut"): "the server's own log, and that of a proxy in between",
    ("client", ""): "",
    (
        "client",
        "early",
    ): "if you did not stop it: what the client says, and its timeout; `keepalive` if a proxy cuts silent connections",
    ("respfix", "idle"): "`timeouts.idle` passed without a byte: the server hangs, or thinks longer than that",
    ("respfix", "over"): "",
    ("respfix", "shutdown"): "`timeouts.drain` is how long running streams may go on",
}


def metrics() -> str:
    """Every family of respfix's own."""
    about = About("1.2.3", "on", ("http://127.0.0.1:8081",), (UPSTREAM,))
    families = Numbers(Journal(), Pulse(), lambda: about, dict).collect()
    lines = ["| name | labels | what it counts |", "|---|---|---|"]
    for family in families:
        labels = ", ".join(f"`{name}`" for name in getattr(family, "_labelnames", ()))
        name = family.name + KINDS.get(family.type, "")
        lines.append(f"| `{name}` | {labels} | {family.documentation} |")
    return "\n".join([*lines, ""])


def lines() -> str:
    """The same request in both forms."""
    entry = stream(0, 2.412, {"incomplete-item": 2, "missing-part-added": 1})
    end(Journal(), entry, 2.412)
    facts = {"time": "2026-11-20T14:00:00.123Z", "level": "info"} | entry.facts()
    return f"```text\n2026-11-20 14:00:00,123 INFO {entry}\n{json.dumps(facts, separators=(',', ':'))}\n```\n"


def endings() -> str:
    """Who ends a stream and why, as the log says it and as the page does."""
    table = ["| the log: ended by | the page | what to do |", "|---|---|---|"]
    for (who, why), words in ENDS.items():
        table.append(f"| `{who} ({why})` | {words} | {ENDINGS[who, why]} |" if why else f"| `{who}` | {words} | |")
    table.append(
        "| `respfix (upstream_unreachable)` and others | respfix answered 502 (…) | the README's troubleshooting |"
    )
    return "\n".join([*table, ""])


PARTS: dict[str, Callable[[], str]] = {"metrics": metrics, "lines": lines, "endings": endings}


def made(text: str) -> str:
    """The guide with its parts as they should be."""
    return PART.sub(lambda found: f"<!-- made: {found[1]} -->\n{PARTS[found[1]]()}<!-- end -->", text)


def blocks(language: str) -> list[str]:
    """The guide's code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


if __name__ == "__main__":
    GUIDE.write_text(made(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
