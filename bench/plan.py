"""What one round sends: told to the origin as JSON, and known to the load generator."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Plan:
    """Which streams, how many at once, and how fast."""

    shape: str
    streams: int = 1  # at the same time
    deltas: int = 100  # in each of them
    burst: int = 1  # events that the origin writes at once
    rate: float = 0.0  # events per second over all streams; 0 is as fast as they are taken
    is_stamped: bool = False  # the texts are the times at which they were sent
    is_held: bool = False  # no stream goes on after its first events

    def dump(self) -> str:
        """The plan as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str | bytes) -> Plan:
        """A plan out of JSON."""
        return cls(**json.loads(text))
