"""How a stream ends: the terminal event, the lack of one, and what may follow it.

Exactly one terminal event leaves. Before a good one everything that is open is closed and everything that was said
stands in its `output`. Without one it is decided on proof alone whether the stream was whole: a `[DONE]`, or framing
that shows its end, and nothing left open. Everything else ends as failed, in the one form that all 25 measured client
set-ups and Codex notice: `response.failed` with the error in the response and at the top level.
"""

from __future__ import annotations

from typing import Any

from respfix.stream.bodies import altered, type_of_item
from respfix.stream.contract import Ending
from respfix.stream.event import COMMENT, DONE, Body, Event
from respfix.stream.grammar import (
    COMPLETED,
    ERROR,
    FAILED,
    INCOMPLETE,
    KEEPALIVE,
    PLACES,
    STATUS_OF,
    Role,
    Scope,
    kind_of,
)
from respfix.stream.ledger import Item, Names
from respfix.stream.repair import Repair
from respfix.stream.splice import is_object, same

WHO_ENDED_IT = {
    Ending.COMPLETE: "the upstream ended the stream",
    Ending.CLOSED: "the upstream closed the connection",
    Ending.CUT: "the connection to the upstream broke",
    Ending.IDLE: "the upstream fell silent and respfix gave up waiting",
    Ending.SHUTDOWN: "respfix was shut down",
    Ending.OVER: "the upstream ended the stream",
}


class Terminal(Repair):
    """A repair that sees the stream to its end."""

    ended: str | None = None  # the terminal event that left
    error: Body | None = None  # what upstream said went wrong

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
        else:
            self.drop(event, "event-after-terminal")

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
        whole = self._with_output(body, status)
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
        announced = {
            key: value for key, value in body.items() if key not in ("output", "usage", "status", "completed_at")
        }
        self.id_is_made = False
        self.make_created(self.makes.response(announced, None, self.identity(), "in_progress"))
        self.open_response()

    def _with_identity(self, body: Body, status: str) -> Body:
        slug = "late-response-id" if self.id_is_made else "changed-response-id"
        return self.bodies.response(body, self.response, self.identity(), status, slug)

    def _with_output(self, body: Body, status: str) -> Body:
        """Close what is open, announce what is new, and give the response with all items in its output."""
        came = body.get("output")
        entries = [entry for entry in came if isinstance(entry, dict)] if isinstance(came, list) else []
        match = self._align(entries)
        if not self._may_stay_open():
            self._close_all(match, status, entries)
        for place, entry in enumerate(entries):
            if place not in match:
                match[place] = self._announce_entry(entry, status)
        self.door.flush()
        by_item = {id(item): entries[place] for place, item in match.items()}
        items = self._as_they_left()
        whole = [self._entry(item, by_item.get(id(item))) for item in items]
        output = [entry for entry in whole if entry is not None]
        if isinstance(came, list) and len(came) == len(output):
            if all(map(same, came, output)):
                return body
            if [id(match[place]) for place in range(len(entries))] == [
                id(item) for item in items if id(item) in by_item
            ]:
                return altered(
                    body, {"output": output}
                )  # same items, same order; what they lacked is counted with them
        slug = "wrong-output" if entries else "empty-output"
        return altered(body, {"output": output}) if (output or came is None) and self.triage.mend(slug) else body

    def _as_they_left(self) -> list[Item]:
        """Give the items in the order of announcement; one that could not be announced comes last."""
        nowhere = len(self.ledger.items)
        return sorted(self.ledger.items, key=lambda item: nowhere if item.index is None else item.index)

    def _align(self, entries: list[Body]) -> dict[int, Item]:
        """Which entry is which item: by id, by call id, then by type and order."""
        match: dict[int, Item] = {}

        def take(place: int, item: Item | None) -> None:
            if item is not None and place not in match and not any(item is other for other in match.values()):
                match[place] = item

        left = {item.id: item for item in self.ledger.items}
        for place, entry in enumerate(entries):
            if isinstance(item_id := entry.get("id"), str):
                take(place, left.get(item_id) or self.ledger.by_id(item_id))
        for place, entry in enumerate(entries):
            call_id = entry.get("call_id")
            take(place, self.ledger.by_call(call_id) if isinstance(call_id, str) else None)
        for place, entry in enumerate(entries):
            if place not in match:
                kind = type_of_item(entry)
                taken = {id(item) for item in match.values()}
                free = (item for item in self.ledger.items if item.kind.type == kind and id(item) not in taken)
                take(place, next(free, None))
        return match

    def _may_stay_open(self) -> bool:
        """OpenAI itself never closes some items; where nothing else is wrong they stay as they are."""
        return not self.triage.is_dirty and all(item.kind.may_stay_open for item in self.ledger.open_items())

    def _close_all(self, match: dict[int, Item], status: str, entries: list[Body]) -> None:
        by_item = {id(item): entries[place] for place, item in match.items()}
        for item in self.ledger.open_items():
            entry = by_item.get(id(item), {})
            self._supply(item, entry)
            if item.is_announced and not item.is_done:
                self.close_item(item, entry, None, status)

    def _supply(self, item: Item, entry: Body) -> None:
        """Announce a call with the names that the terminal event gives it, or let it go as it came."""
        if item.is_announced:
            return
        call_id = entry.get("call_id")
        self.learn(item, Names(None, None, call_id if isinstance(call_id, str) else None), entry)
        lacks_only_call_id = [key for key in item.kind.needs if key not in item.given] == ["call_id"]
        if lacks_only_call_id and self.triage.mend("call-without-call-id"):
            item.given["call_id"] = item.id
        if self._announce(item):
            return
        self.triage.mend("unannounceable-call")
        self._release(item)

    def _announce_entry(self, entry: Body, status: str) -> Item:
        """An item that stands only in the terminal event is announced, said and closed like any other."""
        self.open_response()
        kind = kind_of(type_of_item(entry))
        item_id, call_id = entry.get("id"), entry.get("call_id")
        names = Names(
            item_id if isinstance(item_id, str) else None, None, call_id if isinstance(call_id, str) else None
        )
        item = self.new_item(kind, names, entry)
        self._supply(item, entry)
        if item.is_announced and not item.is_done:
            self.close_item(item, entry, None, status)
        return item

    def _entry(self, item: Item, came: Body | None) -> Body | None:
        """Give an item as it should stand in the output."""
        if came is None:
            return item.final
        if self._is_one_text_for_several(item, came):
            return item.final
        return self.bodies.done(item, came, str(came.get("status") or (item.final or {}).get("status") or "completed"))

    def _is_one_text_for_several(self, item: Item, came: Body) -> bool:
        """Did upstream put into one entry what left as several items?"""
        family = [item, *(other for other in self.ledger.items if self._continues(other, item))]
        if len(family) == 1 or item.final is None:
            return False
        for array in item.kind.arrays:
            texts = (entry.get(leaf.value) for leaf, entry in self.bodies.parts(item.kind, array, came.get(array.key)))
            whole = "".join(text for text in texts if isinstance(text, str))
            if whole and whole == "".join(member.said(array) for member in family):
                return True
        return False

    @staticmethod
    def _continues(item: Item, elder: Item) -> bool:
        while item.continues is not None:
            item = item.continues
            if item is elder:
                return True
        return False

    def let_go(self) -> list[Event]:
        """The repair stops: give what was held, as it came."""
        for item in self.ledger.items:
            if not item.is_announced:
                self._release(item)
        self.door.flush()
        return self.door.take()

    def _release(self, item: Item) -> None:
        item.is_done = True
        waiting = (item.added_event, *item.waiting)
        item.added_event, item.waiting = None, []
        for event in waiting:
            if event is not None:
                self.send(event)

    # -- errors -------------------------------------------------------------------------------------------------------

    def _note_error(self, event: Event) -> None:
        """An error passes as it came; if no response.failed follows, one is sent with its words."""
        self.error = _error_in(event.body) or {"code": "server_error", "message": ""}
        self.send(event)

    def _give_up_calls(self) -> None:
        """A call that was never named does not leave before a failure: the SDKs would raise on it instead."""
        for item in self.ledger.items:
            if not item.is_announced and not item.is_done and self.triage.mend("unannounceable-call"):
                item.is_done = True

    def _end_failed(self, event: Event) -> None:
        came = event.body.get("response")
        body: Body = came if isinstance(came, dict) else {}
        if self.response is None:
            self._announce_late(body)
        self._give_up_calls()
        self.door.flush()
        whole = self._with_identity(body, "failed")
        changes: dict[str, Any] = {}
        stated = _error_in({"error": body.get("error")}) or {}
        error = stated
        if not stated.get("message") and self.triage.mend("failed-without-message"):
            error = _in_words({**(_error_in(event.body) or self.error or {}), **{k: v for k, v in stated.items() if v}})
            whole = altered(whole, {"error": {"code": error["code"], "message": error["message"]}})
            changes["error"] = _top_level(error)
        elif isinstance(body.get("error"), str) and self.triage.mend("wrong-kind"):
            whole = altered(whole, {"error": stated})
        if error and not event.body.get("error") and self.triage.mend("failed-unnoticed"):
            changes["error"] = _top_level(error)
        if whole is not body:
            changes["response"] = whole
        self._leave(event, changes)

    def fail(self, error: Body) -> None:
        """End as failed, with these words."""
        error = _in_words(error)
        if self.response is None:
            self.open_response()
        self._give_up_calls()
        self.door.flush()
        response = {
            **(self.response or {}),
            "status": "failed",
            "output": [item.final for item in self._as_they_left() if item.final is not None],
            "error": {"code": error["code"], "message": error["message"]},
        }
        self._leave(Event.made(FAILED, response=response, error=_top_level(error)), {})

    # -- no terminal event came ---------------------------------------------------------------------------------------

    def _finish(self, *, by_sentinel: bool = False, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> None:
        """Upstream ended without a terminal event: say how it ended."""
        if self.error is not None:
            if self.triage.mend("error-without-failed"):
                self.fail(self.error)
        elif self._is_whole(by_sentinel=by_sentinel, ending=ending):
            if self.triage.mend("missing-terminal"):
                self._complete()
        elif self.triage.mend("truncated-stream"):
            who = "the upstream sent [DONE]" if by_sentinel else WHO_ENDED_IT[ending]
            after = f"after {self.triage.report.events_in} events"
            after += "" if by_sentinel else f" and {seconds:.1f} s"
            self.fail({"code": "server_error", "message": f"respfix: {who} {after}, before the response was complete"})

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
        self._close_all({}, "completed", [])
        self.door.flush()
        response = {
            **(self.response or {}),
            "status": "completed",
            "output": [item.final for item in self._as_they_left() if item.final is not None],
            "usage": self.makes.usage(None),
        }
        self._leave(Event.made(COMPLETED, response=response), {})

    def _leave(self, event: Event, changes: dict[str, Any]) -> None:
        self.send(event, changes)
        self.ended = self.triage.report.terminal = event.type


def _is_vouched_for(item: Item) -> bool:
    """`[DONE]` vouches for an open message or reasoning item, never for a call whose arguments are not whole JSON."""
    if item.own is not None:
        return item.own.is_valued or (item.own.leaf.is_json and is_object(item.own.said))
    return bool(item.kind.arrays) or item.kind.may_stay_open


def _error_in(body: Body) -> Body | None:
    """Read an error in any of its shapes: nested, flat, or as a text."""
    error = body.get("error")
    if isinstance(error, str) and error:
        return {"code": "server_error", "message": error}
    if isinstance(error, dict) and error:
        message = error.get("message") or error.get("detail") or ""
        code = error.get("code") or error.get("type") or "server_error"
        return {"code": str(code), "message": str(message), "type": str(error.get("type") or code)}
    if error is None and isinstance(body.get("message"), str) and body["message"]:
        return {"code": str(body.get("code") or "server_error"), "message": body["message"]}
    return None


def _in_words(error: Body) -> Body:
    """Give an error with a code and a message, whatever it lacked."""
    code = error.get("code") or "server_error"
    return {
        **error,
        "code": code,
        "message": error.get("message") or f"the upstream failed ({code}) and did not say why",
    }


def _top_level(error: Body) -> Body:
    """The form at the top level that every measured client notices."""
    return {
        "type": error.get("type") or error["code"],
        "code": error["code"],
        "message": error["message"],
        "param": None,
    }
