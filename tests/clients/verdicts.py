"""What a reading is worth: held against the same client's reading of the conformant stream that says the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from clients.cases import FAILED, FAILED_EARLY, INCOMPLETE, STREAMS, Case
from clients.measure import Seen
from clients.reading import Reading


class Verdict(StrEnum):
    """One letter for a cell, from harmless to harmful."""

    SAME = "="
    UNREAD = "."  # the client can do nothing with the conformant stream either, or its row leaves this stream out
    USAGE = "u"  # the tokens are not those that the server counted
    FINAL = "f"  # the final object differs in something that is neither text nor call
    THOUGHTS = "r"  # reasoning lost or changed
    TEXT = "t"  # text lost, doubled or changed
    CALL = "c"  # a tool call lost, doubled or changed
    SILENT = "n"  # a failure that the program is not told of
    ERROR = "e"  # an exception, or an error that the server did not send
    STORM = "s"  # more requests than the same answer, or failure, of OpenAI would have caused
    HANG = "h"  # killed after its time


WORDS = {
    Verdict.SAME: "same as on the conformant stream",
    Verdict.UNREAD: "not measured",
    Verdict.USAGE: "usage wrong",
    Verdict.FINAL: "final object wrong",
    Verdict.THOUGHTS: "reasoning lost",
    Verdict.TEXT: "text lost",
    Verdict.CALL: "tool call lost",
    Verdict.SILENT: "error not surfaced",
    Verdict.ERROR: "exception",
    Verdict.STORM: "request storm",
    Verdict.HANG: "hang",
}
HARM = {verdict: place for place, verdict in enumerate(Verdict)}
GOOD = {Verdict.SAME, Verdict.UNREAD}


def is_noticed(reading: Reading) -> bool:
    """Say whether the program was told that the answer is not whole."""
    return reading.error is not None or reading.status in {"failed", "error"}


def judge(case: Case, seen: Seen, straight: Mapping[str, Seen]) -> Verdict:
    """Judge one reading; `straight` holds what the client made of streams that came straight from the upstream."""
    like = straight[case.like]
    if like.hung or like.reading.error is not None:
        return Verdict.UNREAD
    if seen.hung:
        return Verdict.HANG
    if seen.requests > _allowed(case, straight):
        return Verdict.STORM
    if case.fails:
        return _told(seen, straight[case.name])
    wanted = [like.reading]
    if case.row is not None and case.row.status == "incomplete":
        wanted.append(straight[f"{case.base}.{INCOMPLETE}"].reading)
    worst = min((_difference(case, one, seen.reading) for one in wanted), key=HARM.__getitem__)
    return Verdict.UNREAD if worst is Verdict.SAME and not like.reading.says_something else worst


def _told(seen: Seen, straight: Seen) -> Verdict:
    """Judge the reading of a failure: it must be told, and no word be lost that came before it."""
    if not is_noticed(seen.reading):
        return Verdict.SILENT
    # A client that was told of nothing may have gone on to a next step, with words of its own.
    same_steps = seen.requests == straight.requests
    lost = same_steps and not seen.reading.streamed_text.startswith(straight.reading.streamed_text)
    return Verdict.TEXT if lost else Verdict.SAME


def _allowed(case: Case, straight: Mapping[str, Seen]) -> int:
    """Give how often a client asks where OpenAI answers, or fails, in the same way."""
    healthy = [case.like]
    base = "text" if case.is_recorded else case.base
    if case.fails:
        healthy.append(f"{base}.{FAILED if case.speaks else FAILED_EARLY}")
    elif case.row is not None and case.row.status == "incomplete":
        healthy.append(f"{base}.{INCOMPLETE}")
    return max(straight[name].requests for name in healthy if name in straight)


def _difference(case: Case, wanted: Reading, got: Reading) -> Verdict:
    """Name the worst difference."""
    row, calls = case.row, _calls_of(case, wanted)
    looks: list[tuple[Verdict, Callable[[Reading], object]]] = [
        (Verdict.ERROR, lambda one: one.error is None),
        (Verdict.CALL, calls),
        (Verdict.TEXT, lambda one: (one.text, one.refusal, one.streamed_text, one.streamed_refusal)),
        (Verdict.THOUGHTS, lambda one: (one.thoughts, one.streamed_reasoning)),
    ]
    if row is None or row.status != "incomplete":
        looks.append((Verdict.FINAL, lambda one: one.status))
    if not case.is_recorded:  # how a recording's items are grouped, and its usage, are the server's affair
        looks.append((Verdict.FINAL, lambda one: one.kinds))
        if row is None or row.tokens:
            looks.append((Verdict.USAGE, _tokens))
    return next((verdict for verdict, look in looks if look(wanted) != look(got)), Verdict.SAME)


def _calls_of(case: Case, wanted: Reading) -> Callable[[Reading], object]:
    """Say what of a call counts: not its id where the client never hands that on (litellm's chat, the item's id)."""
    hands_on = all(f'"call_id":"{call_id}"'.encode() in STREAMS[case.like] for _, call_id, _ in wanted.calls)
    return lambda one: [(name, call_id if hands_on else "", text) for name, call_id, text in one.calls]


def _tokens(reading: Reading) -> dict[str, Any]:
    """Give what the client counted, by the names that it uses; details are its own affair."""
    return {key: value for key, value in (reading.usage or {}).items() if isinstance(value, int)}
