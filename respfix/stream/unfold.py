"""A whole response where a stream was asked for, as the stream that would have ended with it.

Some servers answer `stream: true` with the JSON that they would have given without it; Codex and every SDK fail on
that. The response is all that a stream says, said at once: it is taken as a terminal event that nothing came before,
and the repair announces, says and closes its items as it does for any terminal event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from respfix.stream.defects import GROUPS
from respfix.stream.engine import Engine
from respfix.stream.event import read
from respfix.stream.frames import Style
from respfix.stream.grammar import TERMINAL_OF

if TYPE_CHECKING:
    from respfix.stream.contract import Options, Report

SLUG = "json-for-stream"
# What a stream of one event lacks by its nature: mended whatever is switched off, and counted as one fault.
INHERENT = frozenset(
    {row.slug for name in ("brackets that were not opened", "brackets that were not closed") for row in GROUPS[name]}
    | {"missing-delta", "missing-sequence-number", "missing-output-index"}
)


def unfolded(body: bytes, options: Options) -> tuple[bytes, Report] | None:
    """Give the stream for a response in JSON, and what was mended; None where the body is no response at its end."""
    response = read(body)
    whole = response.body if response is not None else {}
    event_type = TERMINAL_OF.get(str(whole.get("status")))
    if response is None or whole.get("object") != "response" or event_type is None:
        return None
    engine = Engine(replace(options, off=options.off - INHERENT))
    if not engine.triage.mend(SLUG):
        return None
    style = Style()
    line = response.text.replace("\r", " ").replace("\n", " ")  # no JSON string holds one as it is
    event = read(f'{{"type":"{event_type}","response":{line}}}'.encode("utf-8", "surrogateescape"))
    left = engine.take(event) if event is not None else []
    for slug in INHERENT & engine.report.defects.keys():
        del engine.report.defects[slug]
    return b"".join(style.frame(one.type, one.data()) for one in left), engine.report
