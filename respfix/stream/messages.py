"""Messages in, messages out: the responses of one WebSocket, each with an engine of its own.

Each text message of the server is one event in JSON, without any framing; `stream_id` says which lane it is for, where
a client uses several (https://platform.openai.com/docs/guides/websocket-mode). A lane answers its requests one after
the other. So a lane's engine lives from the first event after a `response.create` to the terminal event, and nothing
that happens in one lane is felt in another. A message that needed no repair leaves as it came.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from respfix.stream.asked import Asked, parsed
from respfix.stream.contract import Ending, Options, Report
from respfix.stream.defects import DEFECTS, BoundExceededError
from respfix.stream.engine import Engine
from respfix.stream.event import COMMENT, DONE, Event, read
from respfix.stream.grammar import CREATE, CREATED, ERROR, PLACES, PREFIX, Role, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

# A message with pictures has some megabytes; one that is larger is relayed unheard.
HEARD = 64 * 2**20


class Witness(Protocol):
    """Who sees one response pass."""

    def see(self, came: bytes, left: list[bytes]) -> None:
        """A message came, and these left for it; an empty one: nothing came, these were owed."""

    def end(self) -> None:
        """The response is over."""


@dataclass(frozen=True, slots=True)
class Request:
    """A `response.create` that waits for its response."""

    options: Options
    size: int  # in bytes, of what is remembered of it


@dataclass(slots=True)
class Lane:
    """The responses that follow one another under one `stream_id`."""

    asked: deque[Request] = field(default_factory=deque)  # those whose response has not begun
    engine: Engine | None = None  # of the newest response
    witness: Witness | None = None  # of the same
    is_over: bool = True  # its terminal event, or an error in its place, has passed


class Conversation:
    """What the two sides of one WebSocket say to each other."""

    def __init__(
        self, options: Options, *, changes: bool = True, witness: Callable[[Report], Witness | None] | None = None
    ) -> None:
        """Be told how to mend; without `changes`, only look and count. `witness` is called for each response."""
        self.report = Report()  # of all responses whose lanes have gone on, or been closed
        self._options = options
        self._changes = changes
        self._witness = witness
        self._lanes: dict[str, Lane] = {}
        self._count = 0
        self._waiting = self._waiting_bytes = 0  # requests whose response has not begun, in all lanes

    @property
    def is_waiting(self) -> bool:
        """The server owes an answer."""
        return any(lane.asked or not lane.is_over for lane in self._lanes.values())

    def hear(self, message: bytes, now: int) -> None:
        """Take note of a text message of the client's; `now` is the time in seconds."""
        if len(message) > HEARD:
            return
        request = parsed(message)
        if request is None or request.get("type") != CREATE:
            return
        lane = self._lane(request)
        limits = self._options.limits
        if lane is None or self._waiting >= limits.items:
            return
        self._count += 1
        size = len(message) if self._waiting_bytes + len(message) <= limits.held_bytes else 0
        asked = Asked.in_words(request) if size else Asked()
        options = replace(self._options, seed=f"{self._options.seed}{self._count}", now=now, asked=asked)
        if request.get("generate") is False:  # a warm-up brings nothing but its two ends: nothing to repair
            options = replace(options, off=frozenset(DEFECTS))
        lane.asked.append(Request(options, size))
        self._waiting += 1
        self._waiting_bytes += size

    def mend(self, message: bytes) -> list[bytes]:
        """Take a text message of the server's; give those that should have come."""
        event = read(message)
        lane = self._lane(event.body) if event is not None else None
        if event is None or lane is None:
            return [message]
        stream_id = str(event.body.get("stream_id", ""))
        owed = self._begin(lane, event, stream_id)
        engine = lane.engine
        if engine is None or (lane.is_over and not event.type.startswith(PREFIX)):
            return [*owed, message]
        left = self._taken(engine, event, message, stream_id)
        if lane.witness is not None:
            lane.witness.see(message, left if self._changes else [message])
        if not lane.is_over and (engine.is_over or (engine.report.stopped is not None and _ends(event))):
            self._end(lane)
        return [*owed, *left] if self._changes else [message]

    def close(self, ending: Ending, seconds: float) -> list[bytes]:
        """Nothing more will come: give what is still owed to whoever waits for an answer that has begun."""
        owed: list[bytes] = []
        for stream_id, lane in self._lanes.items():
            if lane.engine is not None and not lane.is_over:
                owed += self._closed(lane, lane.engine, stream_id, ending, seconds)
        self.leave()
        return owed if self._changes else []

    def leave(self) -> None:
        """Nobody is there any more to be told anything: count what was seen."""
        for lane in self._lanes.values():
            self._end(lane)
            self._count_in(lane)
        self._lanes.clear()
        self._waiting = self._waiting_bytes = 0

    def _lane(self, body: dict[str, object]) -> Lane | None:
        """Give the lane that a message is for; none beyond the bound."""
        stream_id = body.get("stream_id", "")
        if not isinstance(stream_id, str):
            return None
        if stream_id not in self._lanes and len(self._lanes) >= self._options.limits.items:
            return None
        return self._lanes.setdefault(stream_id, Lane())

    def _begin(self, lane: Lane, event: Event, stream_id: str) -> list[bytes]:
        """Begin the next response of a lane, if this event is of the next; give what the one before still owed."""
        owed: list[bytes] = []
        begins_again = lane.is_over and event.type == CREATED
        if lane.engine is not None and not begins_again and _is_of(lane.engine, event):
            return owed
        is_new = event.type == CREATED and (bool(lane.asked) or lane.is_over)
        if lane.engine is not None and not lane.is_over and is_new and lane.engine.repair.response is not None:
            owed = self._closed(lane, lane.engine, stream_id, Ending.OVER, 0.0)
        if lane.is_over and (lane.asked or is_new or (lane.engine is None and event.type.startswith(PREFIX))):
            self._count_in(lane)
            lane.engine = engine = Engine(self._next(lane))
            lane.witness, lane.is_over = self._witness(engine.report) if self._witness else None, False
        return owed

    def _next(self, lane: Lane) -> Options:
        """Give what the lane's next response is an answer to."""
        if not lane.asked:
            return self._options
        request = lane.asked.popleft()
        self._waiting -= 1
        self._waiting_bytes -= request.size
        return request.options

    def _taken(self, engine: Engine, event: Event, message: bytes, stream_id: str) -> list[bytes]:
        """Mend one event; whatever goes wrong in here, nothing is lost and the other lanes feel nothing of it."""
        if engine.report.stopped is not None:
            return [message]
        engine.report.events_in += event.type != DONE
        try:
            return _written(engine.take(event), stream_id)
        except BoundExceededError as error:
            stopped = str(error)
        except Exception:  # noqa: BLE001 (a fault of the repair stops the repair, never the stream)
            stopped = "internal-fault"
        return [*_written(engine.stop(stopped), stream_id), message]

    def _closed(self, lane: Lane, engine: Engine, stream_id: str, ending: Ending, seconds: float) -> list[bytes]:
        owed = _written(engine.close(ending, seconds), stream_id) if engine.report.stopped is None else []
        if lane.witness is not None:
            lane.witness.see(b"", owed if self._changes else [])
        self._end(lane)
        return owed

    @staticmethod
    def _end(lane: Lane) -> None:
        lane.is_over = True
        if lane.witness is not None:
            lane.witness.end()
            lane.witness = None

    def _count_in(self, lane: Lane) -> None:
        """Count a response when its lane goes on; until then something may follow its end."""
        if lane.engine is not None:
            self.report.add(lane.engine.report)
            lane.engine = None


def _is_of(engine: Engine, event: Event) -> bool:
    """The event names this engine's response."""
    response, known = event.body.get("response"), engine.repair.response
    return isinstance(response, dict) and known is not None and response.get("id") == known.get("id")


def _ends(event: Event) -> bool:
    """Nothing of a response should follow this event."""
    place = PLACES.get(event.type)
    return event.type == ERROR or (place is not None and place.scope is Scope.RESPONSE and place.role is Role.CLOSE)


def _written(events: list[Event], stream_id: str) -> list[bytes]:
    """Give events as messages; those of our own say which lane they are for, and a comment has no place here."""
    made = {"stream_id": stream_id} if stream_id else {}
    spoken = (event for event in events if event.type != COMMENT)
    return [(event.changed(made) if event.is_made and made else event).data() for event in spoken]
