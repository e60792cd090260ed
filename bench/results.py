"""Results, read: costs, ratios within a round, and how far they spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Over the rounds."""
        return cls(statistics.median(values), min(values), max(values))

    def spread(self) -> str:
        """For a table."""
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


Turn = dict[str, dict[str, Any]]


class Results:
    """One run."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.machine: dict[str, str] = results["machine"]
        self.began: str = results["began"]
        self.rounds: int = results["rounds"]
        self.skipped: dict[str, str] = results["skipped"]
        self.starts: dict[str, list[float]] = results["starts"]
        self._measured: dict[str, list[Turn]] = results["measured"]

    def __contains__(self, scenario: str) -> bool:
        return bool(self._measured.get(scenario, [{}])[0])

    def names(self, scenario: str) -> list[str]:
        """Who took part in all rounds."""
        turns = self._measured[scenario]
        return [name for name in turns[0] if all(name in turn for turn in turns)]

    def _over(self, scenario: str, value: Callable[[Turn], float]) -> Spread:
        return Spread.of([value(turn) for turn in self._measured[scenario]])

    def cost(self, scenario: str, name: str) -> Spread:
        """Microseconds of CPU per event."""
        return self._over(scenario, lambda turn: _cost(turn[name]))

    def ratio(self, scenario: str, name: str, other: str) -> Spread:
        """One's CPU per event in terms of another's."""
        return self._over(scenario, lambda turn: _cost(turn[name]) / _cost(turn[other]))

    def above(self, scenario: str, name: str, other: str, unit: str) -> Spread:
        """What one's event costs more than another's, in terms of a third's."""
        return self._over(scenario, lambda turn: (_cost(turn[name]) - _cost(turn[other])) / _cost(turn[unit]))

    def across(self, scenario: str, other: str, name: str) -> Spread:
        """One's CPU per event in one scenario in terms of the same in another.

        A round in which the other was over before the system's clock had moved says nothing, and is left out.
        """
        pairs = zip(self._measured[scenario], self._measured[other], strict=True)
        told = [(turn[name], base[name]) for turn, base in pairs if _cost(base[name])]
        return Spread.of([_cost(turn) / _cost(base) for turn, base in told] or [math.nan])

    def rate(self, scenario: str, name: str) -> Spread:
        """Events per second."""
        return self._over(scenario, lambda turn: _rate(turn[name]))

    def rate_ratio(self, scenario: str, name: str, other: str) -> Spread:
        """Events per second in terms of another's."""
        return self._over(scenario, lambda turn: _rate(turn[name]) / _rate(turn[other]))

    def latency(self, scenario: str, name: str, at: str) -> Spread:
        """Microseconds from sending to arrival."""
        return self._over(scenario, lambda turn: float(turn[name]["latency"][at]))

    def added(self, scenario: str, name: str, at: str) -> Spread:
        """Microseconds more than without anybody in between."""
        return self._over(scenario, lambda turn: turn[name]["latency"][at] - turn["direct"]["latency"][at])

    def memory(self, scenario: str, name: str) -> Spread:
        """Bytes of each idle stream."""
        return self._over(scenario, lambda turn: float(turn[name]["memory"]))

    def grown(self, scenario: str, name: str, when: str = "grown") -> Spread:
        """Bytes by which each stream has made the process grow before its closing events, or at its `peak`."""
        return self._over(scenario, lambda turn: turn[name][when] / turn[name]["streams"])

    def streams(self, scenario: str, name: str) -> int:
        """How many there were at once."""
        return int(self._measured[scenario][0][name]["streams"])


def _cost(measured: dict[str, Any]) -> float:
    return float(measured["cpu_ns"]) / float(measured["events"]) / 1000


def _rate(measured: dict[str, Any]) -> float:
    return float(measured["events"]) / float(measured["seconds"])
