"""Deltas that say again what was said before: one row, one small function each.

A model may say the same thing twice, so a delta is taken for what it says. Some servers repeat for reasons of their
own, and only who runs one of them can know; so every row is off by default. Even then a repeat is taken for one on
proof alone: while what came could still be either, its events wait, and they leave as they came if it was none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from typing import TYPE_CHECKING

from respfix.stream.values import text_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from respfix.stream.defects import Triage
    from respfix.stream.door import Door
    from respfix.stream.event import Event
    from respfix.stream.ledger import Item, Part


class Guess(Enum):
    """What may be said of the deltas that came."""

    NEW = auto()  # they are no repeat, and those after them are none
    NEW_SO_FAR = auto()
    EITHER = auto()
    REPEAT = auto()


@dataclass(frozen=True, slots=True)
class Echo:
    """A way of saying again what was said; `heard` is what came since something was said last."""

    slug: str
    guess: Callable[[Item, Part, list[str], str | None], Guess]  # with the closing value, once it is known
    rest: Callable[[Item, Part, list[str]], str]  # what is new in it, if it is a repeat
    continues: bool = False  # the item says all that its elder said, and goes on


def _is_cumulative(_: Item, part: Part, heard: list[str], closing: str | None) -> Guess:
    """Each delta begins with all that was said so far: three that grow are proof, or two and the closing value."""
    if not part.said:
        return Guess.NEW_SO_FAR
    steps = pairwise([part.said, *heard])
    grows = all(len(elder) < len(younger) and younger.startswith(elder) for elder, younger in steps)
    if not heard or not grows or (closing is not None and closing != heard[-1]):
        return Guess.NEW
    return Guess.EITHER if len(heard) == 1 and closing is None else Guess.REPEAT


def _last_less_what_was_said(_: Item, part: Part, heard: list[str]) -> str:
    return heard[-1].removeprefix(part.said)


def _is_replay(item: Item, part: Part, heard: list[str], closing: str | None) -> Guess:
    """An item begins with all that the ones before it said: it is proof if it goes on after that.

    If it does not, it is one only where its elder was one: an assistant that says "Done." twice has said it twice.
    """
    elder, came = item.elder, "".join(heard)
    before = elder.told(part.leaf.array) if elder and part.leaf.array and part.index == 0 else ""
    if not elder or not before or part.said or not (before.startswith(came) or came.startswith(before)):
        return Guess.NEW
    whole = came if closing is None or len(came) > len(closing) else closing
    if whole.startswith(before) and (len(whole) > len(before) or (closing is not None and elder.continues)):
        return Guess.REPEAT
    return Guess.EITHER if closing is None else Guess.NEW


def _less_what_the_elder_said(item: Item, part: Part, heard: list[str]) -> str:
    whole = "".join(heard)
    return whole.removeprefix(item.elder.told(part.leaf.array)) if item.elder and not part.said else whole


ECHOES = (
    Echo("cumulative-deltas", _is_cumulative, _last_less_what_was_said),
    Echo("replayed-prefix", _is_replay, _less_what_the_elder_said, continues=True),
)


class Listener:
    """Tells repeats from news, for the deltas of one response."""

    def __init__(self, triage: Triage, door: Door, again: Callable[[Event], None]) -> None:
        """Take `again` for what is to be done with an event that has waited, and is no repeat."""
        self.triage = triage
        self.door = door
        self._again = again
        self._echoes = {echo.slug: echo for echo in ECHOES if triage.repairs(echo.slug)}

    def expects(self, part: Part) -> bool:
        """May the next delta of this part be a repeat?"""
        return not self._echoes.keys() <= part.no_echo

    def news(self, item: Item, part: Part, event: Event, text: str) -> str | None:
        """Give what a delta says that was not said before; None if that is nothing, or not known yet."""
        if not text or not self.expects(part):
            return text
        heard = [*_texts(part), text]
        guesses = self._guesses(item, part, heard, None)
        if part.echo:
            return self._rest(item, part, heard)
        if Guess.EITHER in guesses:
            self.triage.hold(event)
            self.door.reorders()
            part.waiting.append(event)
            return None
        if part.waiting:
            self._release(part)
            return self.news(item, part, event, text)
        return text

    def hear_out(self, item: Item, part: Part, closing: object) -> None:
        """Decide about what still waits, now that the closing value is known; without one, it is what was said."""
        whole = value_of(part.leaf, closing) or ""
        while self.expects(part):
            self._guesses(item, part, list(_texts(part)), whole)
            self._forget(part)
            if not part.waiting:
                return
            self._release(part)

    def give_up(self, part: Part) -> list[Event]:
        """Give what still waits: nothing will tell any more whether it is a repeat."""
        waiting, part.waiting = part.waiting, []
        part.no_echo = frozenset(self._echoes)
        for event in waiting:
            self.triage.release(event)
        return waiting

    def _guesses(self, item: Item, part: Part, heard: list[str], closing: str | None) -> set[Guess]:
        """Ask every row that is still possible, unless one was right already."""
        found: set[Guess] = set()
        for slug, echo in self._echoes.items():
            if part.echo or slug in part.no_echo:
                continue
            guess = echo.guess(item, part, heard, closing)
            found.add(guess)
            if guess is Guess.NEW:
                part.no_echo |= {slug}
            if guess is Guess.REPEAT:
                part.echo = slug
                item.continues = item.elder if echo.continues else item.continues
        return found

    def _rest(self, item: Item, part: Part, heard: list[str]) -> str | None:
        """Give what is new in a proven repeat."""
        rest = self._echoes[part.echo].rest(item, part, heard)
        self._forget(part)
        if not rest:
            self.door.drop(part.echo)
            return None
        if rest != heard[-1]:
            self.triage.mend(part.echo)
        return rest

    def _forget(self, part: Part) -> None:
        """Drop what waited, if it turned out to be a repeat."""
        while part.echo and part.waiting:
            self.triage.release(part.waiting.pop(0))
            self.door.drop(part.echo)

    def _release(self, part: Part) -> None:
        waiting, part.waiting = part.waiting, []
        for event in waiting:
            self.triage.release(event)
            self._again(event)


def _texts(part: Part) -> Iterator[str]:
    return (text_of(event.body.get("delta")) or "" for event in part.waiting)
