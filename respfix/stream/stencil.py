"""The short way for deltas, which are nearly all events of a stream.

Between two brackets the deltas of one value differ in three places only: the text, the sequence number, and OpenAI's
random `obfuscation`. So once a delta has gone the long way alone (one frame in, the same frame out, changed or not),
its frame is a stencil: the frames after it that are equal to it everywhere else mean the same event, and the same is
done to them, all that came in one read at once, without opening their JSON. Everything else makes the stencil void.

Nothing is decided here. Take the stencil away and no output changes, only its price (a property test holds this).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from respfix.stream.splice import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from respfix.stream.event import Event
    from respfix.stream.frames import Frame

# What may differ between two frames, and how it is spelled. An id may not differ, but it is a variable of the pattern
# all the same: two streams of one server then have the same pattern, and `re` compiles it once (250 us). "Everything
# but a quote" is the one class that `re` runs over without a step for each byte, so what else a JSON string must not
# hold is looked for afterwards, in all of them at once.
_WORD = rb'"([^"]*+)"'
_CELLS = {
    "delta": rb'"([^"]*+(?:(?<=\\)"[^"]*+)*+)"',  # a quote behind a backslash is the text's own, as a rule
    "obfuscation": _WORD,
    "item_id": _WORD,
    "sequence_number": rb"(0|[1-9][0-9]{0,17}+)",
}
_BLANKS = {"delta": b'"%b"', "obfuscation": b'"%b"', "sequence_number": b"%d"}
# Bytes of a frame that may not differ. `re` takes a microsecond for each: a vendor's key of a megabyte would hold
# everybody up for a second. The most that a recorded server has is 197.
_LONGEST = 4096
_BACKSLASH = 0x5C  # a number, as in `framer`
_decode = json.JSONDecoder().raw_decode


# Deltas in a row that fit the stencil: their bytes, how many they are, what they say together, upstream's numbers (none
# where it does not count its events), and what stands in the stencil's places, row by row. A tuple, for one is made for
# nearly every event.
Run = tuple[bytes, int, str, "Sequence[int]", "Sequence[bytes]"]


@dataclass(frozen=True, slots=True)
class Stencil:
    """One delta frame, cut at the places where the next one may differ."""

    row: re.Pattern[bytes]
    width: int  # places in the frame
    size: int  # of everything else in it
    text_at: int  # the group of the row that is the text
    number_at: int | None
    padding_at: int | None
    id_at: int
    item_id: bytes | None
    out_row: bytes
    out_at: tuple[int, ...]  # the groups that stand in its places; -1 is the number under which it leaves
    out_of: Callable[[Sequence[object]], object]  # picks these
    slugs: tuple[str, ...]  # the defects that are mended in every such frame
    is_faithful: bool  # it left as it came, but for its number

    def read(self, window: bytes) -> Run | None:
        """Read all frames that fit, from the first on; None where it does not fit."""
        if one := self.row.fullmatch(window):
            return self._one(window, one.groups())
        raw, cells = self._several(window)
        texts, ids = cells[self.text_at :: self.width], cells[self.id_at :: self.width]
        if not texts or (self.item_id is not None and ids.count(self.item_id) != len(ids)):
            return None
        if self.padding_at is not None and not b"".join(cells[self.padding_at :: self.width]).isalnum():
            return None
        try:
            return raw, len(texts), _joined(texts), self._numbers(cells), cells
        except ValueError:
            return None

    def _one(self, raw: bytes, cells: Sequence[bytes]) -> Run | None:
        """The same for one frame, which is what a read brings when nothing delays them; lists of one cost double."""
        if self.item_id is not None and cells[self.id_at] != self.item_id:
            return None
        if self.padding_at is not None and not cells[self.padding_at].isalnum():
            return None
        try:
            text = cells[self.text_at].decode()
            if "\\" in text or not text.isprintable():
                text = _joined((cells[self.text_at],))
        except ValueError:
            return None
        return raw, 1, text, () if self.number_at is None else (int(cells[self.number_at]),), cells

    def _numbers(self, cells: Sequence[bytes]) -> Sequence[int]:
        """Read upstream's numbers, of which a dense row is a range; ValueError for what JSON does not call one."""
        if self.number_at is None:
            return ()
        numbers = _array(b",".join(cells[self.number_at :: self.width]))
        dense = range(numbers[0], numbers[0] + len(numbers))
        return dense if numbers == [*dense] else numbers

    def write(self, cells: Sequence[bytes], numbers: Sequence[int]) -> bytes:
        """Give the frames that leave for those in whose places this stood, under these numbers."""
        if len(numbers) == 1:
            return self.out_row % self.out_of((*cells, numbers[0]))
        leave: list[bytes | int] = [0] * (len(numbers) * len(self.out_at))
        for place, at in enumerate(self.out_at):
            leave[place :: len(self.out_at)] = numbers if at < 0 else cells[at :: self.width]
        return self.out_row * len(numbers) % tuple(leave)

    def _several(self, window: bytes) -> tuple[bytes, Sequence[bytes]]:
        """Give the frames that fit, from the first on, and what stands in their places."""
        parts = self.row.split(window)  # what no row took, the cells of a row, what no row took, and so on
        gaps = parts[:: self.width + 1]
        end = len(window) - len(gaps.pop())
        if any(gaps):
            del parts[next(place for place, gap in enumerate(gaps) if gap) * (self.width + 1) :]
            end = len(parts) // (self.width + 1) * self.size + sum(map(len, parts))
        del parts[:: self.width + 1]
        return window[:end], parts


def cut(frame: Frame, came: Event, left: Event, written: bytes, slugs: tuple[str, ...]) -> Stencil | None:
    """Make a stencil of a delta that came in this frame and left as these bytes; None where it can be none."""
    if came.body.get("logprobs") or not isinstance(came.body.get("delta"), str):
        return None  # probabilities are gathered, and differ anyway
    where = spans(came.text)
    head, tail = _pieces(frame.raw, came, where, _CELLS)
    if sum(len(literal) for literal, _ in head) + len(tail) > _LONGEST:
        return None
    came_as = _pieces(frame.raw, came, where, _BLANKS)
    left_as = came_as if written is frame.raw else _pieces(written, left, spans(left.text), _BLANKS)
    variables = [variable for _, variable in head]
    out_variables = [variable for _, variable in left_as[0]]
    row = _row(tuple(head), tail)
    own = row.fullmatch(frame.raw)
    if own is None:
        return None  # as for data over several lines, in which no place is found
    places = {variable: place for place, variable in enumerate(variables)}
    out_at = tuple(-1 if variable == "sequence_number" else places[variable] for variable in out_variables)
    out_row = b"".join(literal.replace(b"%", b"%%") + _BLANKS[variable] for literal, variable in left_as[0])
    return Stencil(
        row=row,
        width=row.groups,
        size=len(frame.raw) - sum(map(len, own.groups())),
        text_at=places["delta"],
        number_at=places.get("sequence_number"),
        padding_at=places.get("obfuscation"),
        id_at=places.get("item_id", 0),
        item_id=own[1 + places["item_id"]] if "item_id" in places else None,
        out_row=out_row + left_as[1].replace(b"%", b"%%"),
        out_at=out_at,
        out_of=itemgetter(*out_at),
        slugs=slugs,
        is_faithful=came_as == left_as,
    )


@lru_cache(maxsize=256)
def _row(head: tuple[tuple[bytes, str], ...], tail: bytes) -> re.Pattern[bytes]:
    """Give the pattern of the frames that differ in these places; the streams of one server share a few."""
    return re.compile(b"".join(re.escape(literal) + _CELLS[variable] for literal, variable in head) + re.escape(tail))


def _joined(texts: Sequence[bytes]) -> str:
    """Read JSON strings without their quotes, each by itself: half a character in one is a fault; ValueError."""
    joined = b"".join(texts)
    if _BACKSLASH not in joined and joined.isascii() and (text := joined.decode()).isprintable():
        return text
    # A quote that was taken for a text's own and is its end, behind an escaped backslash, leaves one without a partner.
    return "".join(_array(b'"' + b'","'.join(texts) + b'"'))


def _array(content: bytes) -> list[Any]:
    """Read what was put together from the cells of many frames; ValueError where that is no JSON array."""
    text = "[" + content.decode() + "]"
    values: list[Any]
    values, end = _decode(text)
    if end != len(text):
        raise ValueError
    return values


def _pieces(
    raw: bytes, event: Event, where: Mapping[str, tuple[int, int]], variables: Collection[str]
) -> tuple[list[tuple[bytes, str]], bytes]:
    """Cut a frame at its event's variables: what stands before each, and what stands after the last."""
    text = raw.decode("utf-8", "surrogateescape")
    begin = text.find(event.text)
    if begin < 0:
        return [], b""
    cuts: list[tuple[bytes, str]] = []
    at = 0
    for key, (start, end) in where.items():
        if key in variables:
            cuts.append((text[at : begin + start].encode("utf-8", "surrogateescape"), key))
            at = begin + end
    return cuts, text[at:].encode("utf-8", "surrogateescape")
