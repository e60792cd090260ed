"""What is read in the matrix: conformant streams, each fault in them, and what real servers sent."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from clients import wire
from clients.replay import AFTER_TOOL
from clients.variants import (
    CONFORMANT,
    TOO_LONG,
    VARIANTS,
    Events,
    Row,
    call,
    encoded,
    message,
    reasoning,
    stream,
)

CALLING = ("call", "calls", "custom", "all")
AFTER = encoded(stream(message(0, ("All ", "done."))))  # what the model says when a tool has answered
FAILED = "failed-in-the-middle"  # the fault that is none: OpenAI's own `response.failed`
FAILED_EARLY = "failed-at-the-start"  # the same before anything was said
FAILED_LATE = "failed-at-the-end"  # and after all was said
INCOMPLETE = "terminal-incomplete"  # and its own `response.incomplete`
LIKE = "like-"

RECORDINGS = Path(__file__).parents[1] / "streams" / "recorded"
CUT = {"opencode-llm-proxy-1.6.1-slow", "opencode-llm-proxy-1.10.0-slow"}  # Bun closed the socket inside the body


@dataclass(frozen=True, slots=True)
class Case:
    """One stream, and what it must read like."""

    name: str
    like: str  # the conformant stream that says the same
    base: str  # the conformant stream that it was made from; the server, if it was recorded
    row: Row | None = None  # the fault in it
    fails: bool = False  # it tells of a failure, or breaks off
    is_cut: bool = False  # the connection breaks at its end
    is_recorded: bool = False

    @property
    def speaks(self) -> bool:
        """It says something before it ends."""
        return b".delta" in STREAMS[self.name]


class Speech:
    """What a recording says, as items in the order in which they began to speak; a message may have several parts."""

    def __init__(self) -> None:
        self.reader = wire.Reader()
        self.items: dict[tuple[str, object], list[str]] = {}
        self.closed: set[tuple[str, object]] = set()  # messages whose last part is done

    def take(self, event: dict[str, Any]) -> None:
        """Take one event."""
        before = self._streamed()
        self.reader.take(event)
        name = event.get("item_id") or event.get("output_index")
        if len(self.reader.wire.calls) > sum(kind == "call" for kind, _ in self.items):
            self.items["call", len(self.reader.wire.calls) - 1] = []
        for kind, old, new in zip(("message", "refusal", "reasoning"), before, self._streamed(), strict=True):
            if old != new:
                key = kind, name
                parts = self.items.setdefault(key, [""])
                if key in self.closed:
                    self.closed.discard(key)
                    parts.append("")
                parts[-1] += new.removeprefix(old)
        if event["type"] == "response.output_text.done":
            self.closed.add(("message", name))

    def _streamed(self) -> tuple[str, str, str]:
        said = self.reader.wire
        return said.text.streamed, said.refusal.streamed, said.summary.streamed

    def close(self) -> wire.Wire:
        """Add what was said without a delta."""
        said = self.reader.close()
        for kind, values in (("message", said.text), ("refusal", said.refusal), ("reasoning", said.summary)):
            if not values.streamed and (values.closed or values.final):
                self.items[kind, None] = [values.closed or values.final]
        return said


def conformant_like(body: bytes) -> bytes:
    """Say what a recording says as OpenAI would."""
    speech = Speech()
    for event in wire.events(body):
        speech.take(event)
    said = speech.close()
    items = []
    for index, ((kind, number), parts) in enumerate(speech.items.items()):
        if kind == "call":
            one = said.calls[int(str(number))]
            arguments = one.streamed or one.closed or one.final or "{}"
            items.append(call(index, (arguments,), custom=one.custom, name=one.name, call_id=one.call_id))
        elif kind == "reasoning":
            items.append(reasoning(index, parts))
        else:
            items.append(message(index, *([part] for part in parts), refused=kind == "refusal"))
    return encoded(_ended_like(stream(*items), said))


def _ended_like(events: Events, said: wire.Wire) -> Events:
    if said.status == "incomplete":
        events[-1]["response"].update(TOO_LONG)
        events[-1]["type"] = said.terminal
    return events


def fails(body: bytes) -> bool:
    """Say whether a recording tells of a failure, or of no end at all."""
    return wire.read(body).terminal in {None, "response.failed"}


RECORDED = {file.stem: file.read_bytes() for file in sorted(RECORDINGS.glob("*.sse"))}


def _server(name: str) -> str:
    """Give the server and bridge of a recording: "sub2api-0.1.132-an"."""
    parts = name.removeprefix("opencode-llm-proxy-").split("-")
    return "opencode-llm-proxy-" + parts[0] if name.startswith("opencode") else "-".join(parts[:3])


def _cases() -> dict[str, Case]:
    conformant = [Case(base, base, base) for base in CONFORMANT]
    faults = [
        Case(name, one.base, one.base, one.row, one.row.status == "failed", one.row.cut)
        for name, one in VARIANTS.items()
    ]
    alike = [Case(LIKE + name, LIKE + name, _server(name), is_recorded=True) for name in RECORDED]
    recorded = [
        Case(name, LIKE + name, _server(name), None, fails(body), name in CUT, is_recorded=True)
        for name, body in RECORDED.items()
    ]
    return {case.name: case for case in chain(conformant, faults, alike, recorded)}


CASES = _cases()
STREAMS = CONFORMANT | {name: one.body for name, one in VARIANTS.items()}
STREAMS |= RECORDED | {LIKE + name: conformant_like(body) for name, body in RECORDED.items()}
STREAMS |= {name + AFTER_TOOL: AFTER for name, case in CASES.items() if case.base in CALLING or case.is_recorded}
