"""What a program built on a client gets to see, in one shape for all clients."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self


@dataclass(slots=True)
class Reading:
    """One stream, as one client read it.

    Streamed values are the deltas that the client handed on; the others come from its final response. The lists are per
    item, in the order of the final output, without those that are empty.
    """

    error: str | None = None  # the exception that the program got, "Class: message"
    status: str | None = None  # the final response's status, if there is a final response
    streamed_text: str = ""
    streamed_refusal: str = ""
    streamed_reasoning: str = ""  # summary text and raw reasoning, in the order of arrival
    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    reasonings: list[str] = field(default_factory=list)
    calls: list[list[str | None]] = field(default_factory=list)  # [name, call_id, arguments] or [name, call_id, input]
    kinds: list[str] = field(default_factory=list)  # the types of the final output's items
    usage: dict[str, Any] | None = None

    @property
    def is_good(self) -> bool:
        """The program was told that the answer is whole."""
        return self.error is None and self.status == "completed"

    @property
    def says_something(self) -> bool:
        """The program got text, thoughts or a call."""
        return bool(self.text or self.refusal or self.thoughts or self.calls or self.streamed_text)

    @property
    def text(self) -> str:
        """The answer, as far as it is text."""
        return "".join(self.texts)

    @property
    def refusal(self) -> str:
        """The refusal, if the answer is one."""
        return "".join(self.refusals)

    @property
    def thoughts(self) -> str:
        """All reasoning that may be shown, summaries first."""
        return "".join(self.summaries) + "".join(self.reasonings)

    def as_json(self) -> dict[str, Any]:
        """Give a form that `json` can write."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what a runner has printed; keys that are not ours are refused."""
        unknown = set(values) - {own.name for own in fields(cls)}
        if unknown:
            raise ValueError(f"not part of a reading: {sorted(unknown)}")
        return cls(**values)
