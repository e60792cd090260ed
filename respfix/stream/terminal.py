"""How a stream ends: the terminal event, the lack of one, and what may follow it.

Exactly one terminal event leaves. Before a good one everything that is open is closed and everything that was said
stands in its `output`. Without one it is decided on proof alone whether the stream was whole: a `[DONE]`, or framing
that shows its end, and nothing left open. Everything else ends as failed, in the one form that all 25 measured client
set-ups and Codex notice: `response.failed` with the error in the response and at the top level.
"""

from __future__ import annotations

from typing import Any

from respfix.stream.bodies import altered
from respfix.stream.contract import Ending
from respfix.stream.errors import error_in, in_words, top_level
from respfix.stream.event import COMMENT, DONE, Body, Event
from respfix.stream.grammar import (
    COMPLETED,
    ERROR,
    FAILED,
    INCOMPLETE,
    KEEPALIVE,
    PLACES,
    STATUS_OF,
    TERMINAL_OF,
    Role,
    Scope,
)
from respfix.stream.ledger import Item
from respfix.stream.output import Output
from respfix.stream.splice import is_object

WHO_ENDED_IT = {
    Ending.COMPLETE: "the upstream ended the stream",
    Ending.CLOSED: "the upstream closed the connection",
    Ending.CUT: "the connection to the upstream broke",
    Ending.IDLE: "the upstream fell silent and respfix gave up waiting",
    Ending.SHUTDOWN: "respfix was shut down",
    Ending.OVER: "the upstream ended the stream",
}


# Ends of a connection that say nothing of the response.
CUT_OFF = frozenset({Ending.CLOSED, Ending.CUT, Ending.IDLE, Ending.SHUTDOWN})

# What OpenAI says in the terminal event only, or says anew there (counted in its recordings).
TOLD_AT_THE_END = frozenset(
    {"completed_at", "error", "incomplete_details", "moderation", "output", "status", "tool_usage", "usage"}
)


class Terminal(Output):
    """A repair that sees the stream to its end."""

    ended: str | None = None  # the terminal event that left
    error: Body | None = None  # what upstream said went wrong
    unheard: Body | None = None  # what a response.failed says that has left without a top-level error

    def take(self, event: Event) -> list[Event]:
        """Take an event, give those that leave for it."""
        place = PLACES.get(event.type)
        if self.ended is not None:
            self._after_the_end(event)
        elif event.type == DONE:
            self._finish(by_sentinel=True)
            self.send(event)
        elif event.type == ERROR:
            self._note_error(event)
        elif event.type == KEEPALIVE and self.response is None:
            if self.drop(event, "early-keepalive"):
                self.send(self.keepalive())
        elif place is not None and place.scope is Scope.RESPONSE and place.role is Role.CLOSE:
            self._end(event)
        else:
            self.step(event)
        return self.door.take()

    def close(self, ending: Ending, seconds: float) -> list[Event]:
        """The body has ended: give what is still owed."""
        if self.ended is None:
            self._finish(ending=ending, seconds=seconds)
        return self.door.take()

    def _after_the_end(self, event: Event) -> None:
        may_follow = event.type in (COMMENT, DONE) or (event.type == ERROR and self.ended == FAILED)
        if may_follow:
            self.send(event)
        elif self.drop(event, "event-after-terminal") and self.unheard and event.type in TERMINAL_OF.values():
            # A good end would have told LangChain.js and six others that all is well; nothing told them that it is not.
            error, self.unheard = top_level(in_words(self.unheard)), None
            self.send(Event.made(ERROR, error=error, **{key: error[key] for key in ("code", "message", "param")}))

    # -- a terminal event came ----------------------------------------------------------------------------------------

    def _end(self, event: Event) -> None:
        if event.type != FAILED and self.error is not None and self.triage.mend("completed-after-error"):
            self.fail(self.error)
            return
        if event.type == FAILED or self._is_failure_in_disguise(event):
            self._end_failed(event if event.type == FAILED else event.changed({}, FAILED))
            return
        came = event.body.get("response")
        body: Body = came if isinstance(came, dict) else {}
        if self.response is None:
            self._announce_late(body)
        event_type, status = event.type, STATUS_OF[event.type]
        if event_type == COMPLETED and body.get("status") == "incomplete":
            status = "incomplete"
            if self.triage.mend("incomplete-as-completed"):
                event_type = INCOMPLETE
        whole = self.with_output(body, status)
        whole = self._with_identity(whole, status)
        if event_type == COMPLETED:
            usage = whole.get("usage")
            whole = altered(whole, {"usage": mended}) if (mended := self.bodies.usage(usage)) is not usage else whole
        changes = {} if whole is body else {"response": whole}
        if event_type != event.type:
            event = event.changed({}, event_type)
        self._leave(event, changes)

    def _is_failure_in_disguise(self, event: Event) -> bool:
        """A completed response that says it failed did fail, though Codex goes by the event's name."""
        body = event.body.get("response")
        has_failed = isinstance(body, dict) and body.get("status") in ("failed", "cancelled")
        return has_failed and self.triage.mend("failed-as-completed")

    def _announce_late(self, body: Body) -> None:
        """The terminal event is the first that says anything of the response."""
        announced = {key: value for key, value in body.items() if key not in TOLD_AT_THE_END}
        self.id_is_made = False
        self.make_created(self.makes.response(announced, None, self.identity(), "in_progress"))
        self.open_response()

    def _with_identity(self, body: Body, status: str) -> Body:
        slug = "late-response-id" if self.id_is_made else "changed-response-id"
        return self.bodies.response(body, self.response, self.identity(), status, slug)

    # -- errors -------------------------------------------------------------------------------------------------------

    def _note_error(self, event: Event) -> None:
        """An error passes as it came; if no response.failed follows, one is sent with its words."""
        self.error = error_in(event.body) or {"code": "server_error", "message": ""}
        self.send(event)

    def _end_failed(self, event: Event) -> None:
        came = event.body.get("response")
        body: Body = came if isinstance(came, dict) else {}
        if self.response is None:
            self._announce_late(body)
        self.give_up_calls()
        self.door.flush()
        whole = self._with_identity(body, "failed")
        changes: dict[str, Any] = {}
        stated = error_in({"error": body.get("error")}) or {}
        error = stated
        if not stated.get("message") and self.triage.mend("failed-without-message"):
            error = in_words({**(error_in(event.body) or self.error or {}), **{k: v for k, v in stated.items() if v}})
            whole = altered(whole, {"error": {"code": error["code"], "message": error["message"]}})
            changes["error"] = top_level(error)
        elif isinstance(body.get("error"), str) and self.triage.mend("wrong-kind"):
            whole = altered(whole, {"error": stated})
        if error and not event.body.get("error") and self.triage.mend("failed-unnoticed"):
            changes["error"] = top_level(error)
        self.unheard = None if event.body.get("error") or "error" in changes else error
        if whole is not body:
            changes["response"] = whole
        self._leave(event, changes)

    def fail(self, error: Body) -> None:
        """End as failed, with these words."""
        error = in_words(error)
        if self.response is None:
            self.open_response()
        self.give_up_calls()
        self.door.flush()
        response = {
            **(self.response or {}),
            "status": "failed",
            "output": [item.final for item in self.as_they_left() if item.final is not None],
            "error": {"code": error["code"], "message": error["message"]},
        }
        self._leave(Event.made(FAILED, response=response, error=top_level(error)), {})

    # -- no terminal event came ---------------------------------------------------------------------------------------

    def _finish(self, *, by_sentinel: bool = False, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> None:
        """Upstream ended without a terminal event: say how it ended."""
        if self.error is not None:
            if self.triage.mend("error-without-failed"):
                self.fail(self.error)
        elif self._is_whole(by_sentinel=by_sentinel, ending=ending):
            if self.triage.mend("missing-terminal"):
                self._complete()
        elif not (ending in CUT_OFF and self._can_be_resumed()) and self.triage.mend("truncated-stream"):
            who = "the upstream sent [DONE]" if by_sentinel else WHO_ENDED_IT[ending]
            after = f"after {self.triage.report.events_in} events"
            after += "" if by_sentinel else f" and {seconds:.1f} s"
            self.fail({"code": "server_error", "message": f"respfix: {who} {after}, before the response was complete"})

    def _can_be_resumed(self) -> bool:
        """A background response goes on at the server, whatever becomes of this connection: it has not failed."""
        return self.response is not None and self.response.get("background") is True

    def _is_whole(self, *, by_sentinel: bool, ending: Ending) -> bool:
        """Is there proof that nothing is missing?"""
        items = [item for item in self.ledger.items if item.is_announced]
        if not items or len(items) != len(self.ledger.items):
            return False
        if by_sentinel:
            return all(item.is_done or _is_vouched_for(item) for item in items)
        last = items[-1]
        ends_turn = last.kind.ends_turn and (last.final or {}).get("phase") != "commentary"
        return ending is Ending.COMPLETE and ends_turn and all(item.is_closed_by_upstream for item in items)

    def _complete(self) -> None:
        """Send the terminal event that is missing."""
        self.close_all({}, "completed", [])
        self.door.flush()
        items = [item.final for item in self.as_they_left() if item.final is not None]
        is_cut = any(item.get("status") == "incomplete" for item in items)  # an item says that it was not whole
        event_type = INCOMPLETE if is_cut else COMPLETED
        response = {
            **(self.response or {}),
            "status": STATUS_OF[event_type],
            "output": items,
            "usage": self.makes.usage(None),
        }
        self._leave(Event.made(event_type, response=response), {})

    def _leave(self, event: Event, changes: dict[str, Any]) -> None:
        self.send(event, changes)
        self.ended = self.triage.report.terminal = event.type


def _is_vouched_for(item: Item) -> bool:
    """`[DONE]` vouches for an open message or reasoning item, never for a call whose arguments are not whole JSON."""
    if item.own is not None:
        return item.own.is_valued or (item.own.leaf.is_json and is_object(item.own.said))
    return bool(item.kind.arrays) or item.kind.may_stay_open
