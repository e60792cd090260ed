"""Faults that are not about brackets: misnamed, unwrapped and foreign events. One row, one small function each.

The rows are tried in order on an event that does not look like one of the protocol's; a remedy gives the event that was
meant, or None where nothing was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from respfix.stream.event import COMMENT, DONE, REMOVED, Event
from respfix.stream.grammar import COMPLETED, ERROR, IN_PROGRESS, KEEPALIVE, PLACES, PREFIX, TERMINAL_OF

if TYPE_CHECKING:
    from collections.abc import Callable

    from respfix.stream.dialects import Dialect

# Anthropic's stream: https://docs.anthropic.com/en/docs/build-with-claude/streaming
ANTHROPIC = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    }
)


@dataclass(frozen=True, slots=True)
class Quirk:
    """A fault of one event, seen in the event alone."""

    slug: str
    sees: Callable[[Event, Dialect], bool]
    remedy: Callable[[Event], Event | None]


def looks_right(event: Event) -> bool:
    """The event is the protocol's, and its frame says so too: nearly all of them."""
    is_named = event.type in PLACES and event.name in (None, event.type)
    return is_named and not event.faults and "object" not in event.body


def _status(event: Event) -> str:
    response = event.body.get("response")
    status = (response if isinstance(response, dict) else event.body).get("status")
    return status if isinstance(status, str) else ""


def _copy_type(event: Event) -> Event:
    return event.changed({}, event.name)


def _wrap(event: Event) -> Event:
    inner = {key: value for key, value in event.body.items() if key not in ("type", "sequence_number")}
    event_type = event.type or TERMINAL_OF.get(_status(event), IN_PROGRESS)
    return event.changed(dict.fromkeys(inner, REMOVED) | {"response": inner}, event_type)


def _name_by_status(event: Event) -> Event:
    return event.changed({}, TERMINAL_OF.get(_status(event), COMPLETED))


def _comment(event: Event) -> Event:
    return Event.comment(event.type or event.name or "keepalive")


def _rename(event: Event) -> Event:
    return event.changed({}, event.type)


def _is_protocol_name(name: str | None) -> bool:
    return name is not None and (name.startswith(PREFIX) or name in (ERROR, KEEPALIVE))


def _is_other_protocol(event: Event, _: Dialect) -> bool:
    if event.type in ANTHROPIC:
        return True
    kind = event.body.get("object")
    return not event.type and (isinstance(kind, str) and kind.startswith("chat.completion"))


QUIRKS = (
    Quirk("duplicate-keys", lambda event, _: "duplicate-keys" in event.faults, Event.respelled),
    Quirk("not-a-number", lambda event, _: "not-a-number" in event.faults, Event.respelled),
    Quirk(
        "unwrapped-response",
        lambda event, _: event.body.get("object") == "response" and "response" not in event.body,
        _wrap,
    ),
    Quirk("ping", lambda event, _: "ping" in (event.type, event.type or event.name), _comment),
    Quirk("empty-frame", lambda event, _: not event.type and not event.body, _comment),
    Quirk(
        "missing-type",
        lambda event, _: not event.type and _is_protocol_name(event.name) and not event.body.get("error"),
        _copy_type,
    ),
    Quirk(
        "missing-type",
        lambda event, _: not event.type and bool(event.body.get("error")),
        lambda event: event.changed({}, ERROR),
    ),
    Quirk("foreign-protocol", _is_other_protocol, lambda _: None),
    Quirk(
        "vendor-frame",
        lambda event, dialect: event.type.startswith(("codex.", "responsesapi.")) and not dialect.vendor_frames,
        _comment,
    ),
    Quirk("response-done", lambda event, _: event.type == PREFIX + "done", _name_by_status),
    Quirk(
        "wrong-event-name",
        lambda event, _: (
            bool(event.type) and event.name not in (None, event.type) and event.type not in (DONE, COMMENT)
        ),
        _rename,
    ),
)
