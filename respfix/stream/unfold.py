"""JSON where a stream was asked for, as the stream that would have ended with it.

Some servers answer `stream: true` with the JSON that they would have given without it, or with an error and a status of
200; Codex and every SDK fail on that, and do not say what the error was. A whole response is all that a stream says,
said at once: it is taken as a terminal event that nothing came before, and the repair announces, says and closes its
items as it does for any terminal event. An error is taken as a response that failed with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from respfix.stream.defects import DEFECTS, GROUPS
from respfix.stream.engine import Engine
from respfix.stream.errors import error_in, in_words
from respfix.stream.event import read
from respfix.stream.frames import Style
from respfix.stream.grammar import FAILED, TERMINAL_OF
from respfix.stream.splice import dump

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from respfix.stream.contract import Options, Report

RESPONSE, ERROR = "json-for-stream", "error-for-stream"
# What a stream of one event lacks by its nature: mended whatever is switched off, and counted as one fault.
INHERENT = frozenset(
    {row.slug for name in ("brackets that were not opened", "brackets that were not closed") for row in GROUPS[name]}
    | {"missing-delta", "missing-sequence-number"}
)


def unfolded(body: bytes, options: Options) -> tuple[bytes, Report] | None:
    """Give the stream for JSON, and what was mended; None where it is no response at its end and no error."""
    came = read(body)
    if came is None:
        return None
    if came.body.get("object") == "response":
        event_type = TERMINAL_OF.get(str(came.body.get("status")))
        line = came.text.replace("\r", " ").replace("\n", " ")  # no JSON string holds one as it is
        return _stream(RESPONSE, event_type, line, INHERENT, options) if event_type is not None else None
    error = error_in({"error": came.body.get("error")})
    if error is None:
        return None
    error = in_words(error)
    response = dump({"status": "failed", "error": {"code": error["code"], "message": error["message"]}})
    return _stream(ERROR, FAILED, response, DEFECTS.keys() - {ERROR}, options)


def _stream(
    slug: str, event_type: str, response: str, inherent: AbstractSet[str], options: Options
) -> tuple[bytes, Report] | None:
    """Give the stream that ends with this response; None where nobody wants it."""
    engine = Engine(replace(options, off=options.off - inherent, on=options.on | inherent))
    if not engine.triage.mend(slug):
        return None
    style = Style()
    event = read(f'{{"type":"{event_type}","response":{response}}}'.encode("utf-8", "surrogateescape"))
    left = engine.take(event) if event is not None else []
    for lacked in inherent & engine.report.defects.keys():
        del engine.report.defects[lacked]
    return b"".join(style.frame(one.type, one.data()) for one in left), engine.report
