"""One answer, read straight from the server and through respfix, and what that proves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from respfix.demo.readers import READERS, Reading
from respfix.demo.streams import Event, answer_of, bytes_of
from respfix.stream import Mender


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, read twice."""

    name: str
    straight: Sequence[Event]
    repaired: Sequence[Event]

    @property
    def truth(self) -> str:
        """What the model said, or the call it made."""
        return answer_of(self.straight)

    @property
    def is_call(self) -> bool:
        """The model called a tool."""
        return any(event.kind == "function_call_arguments.delta" for event in self.straight)

    @property
    def defects(self) -> Counter[str]:
        """What was wrong and is no more."""
        return _wrong_with(self.straight) - _wrong_with(self.repaired)

    def readings(self) -> Mapping[str, tuple[Reading, Reading]]:
        """What each client makes of both."""
        return {client: (read(self.straight), read(self.repaired)) for client, read in READERS.items()}

    def is_right(self, reading: Reading) -> bool:
        """The client shows what the model said, and complains about nothing."""
        return reading == Reading(self.truth)

    def problems(self) -> list[str]:
        """Where the repair did not do what it says, or was not needed in the first place."""
        found = [f"{slug} is left" for slug in _wrong_with(self.repaired)]
        for client, (before, after) in self.readings().items():
            if self.is_right(before):
                found.append(f"{client} is right without it")
            if not self.is_right(after):
                found.append(f"{client} gets {after.shown or after.complaint or 'nothing'!r}")
        return found


def _wrong_with(events: Sequence[Event]) -> Counter[str]:
    mender = Mender()
    mender.feed(bytes_of(events))
    mender.close()
    return mender.report.defects
