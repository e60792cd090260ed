"""What is wrong with a stream: the repair is run over it, and told to say what it sees.

There is no second grammar. A `Mender` repairs the stream, a witness writes down each defect where it is seen, and what
leaves for each frame is kept beside what came. Defects that are not repaired by default are looked for all the same.

Whether Codex can read a stream is asked of a repair for Codex: it has needs that the protocol does not know. Notes are
asked of a repair that has met a defect before the stream began, because in a stream without one it overlooks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

from respfix.stream import Ending, Limits, Mender, Options, Sighting
from respfix.stream.defects import DEFECTS, Defect, Family
from respfix.stream.event import read
from respfix.stream.framer import Framer, FrameTooLargeError
from respfix.stream.frames import Frame
from respfix.stream.grammar import PREFIX

OFF_BY_DEFAULT = frozenset(slug for slug, row in DEFECTS.items() if not row.is_on)
LONGEST_TYPE = 80  # twice the longest that OpenAI has
DOUBT = b"data: {}\n\n"  # a defect that has no other effect than to make the repair notice companions
BOM = b"\xef\xbb\xbf"
DIALECT_OF = {family: "codex" if family is Family.CODEX else "default" for family in Family}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a defect was seen."""

    event: int  # from 1; 0 where there is no event at all
    offset: int  # of its frame, in bytes as they came
    type: str = ""  # of the event, as it came
    is_end: bool = False  # seen when the body ended, after this event


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect, and every place where it was seen."""

    defect: Defect
    places: tuple[Place, ...]

    @property
    def first(self) -> Place:
        """Where it was seen first."""
        return self.places[0]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one family of clients makes of the stream."""

    family: Family
    breaks: tuple[str, ...] = ()  # on these defects, by slug
    may_break: tuple[str, ...] = ()  # on these, in some of their shapes

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return "breaks" if self.breaks else "may break" if self.may_break else "works"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A frame as it came, and what should have come in its place."""

    came: bytes
    due: bytes


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that is known about a stream."""

    body: bytes
    dialect: str
    events: int
    findings: tuple[Finding, ...]  # in the order in which they were first seen
    verdicts: tuple[Verdict, ...]
    stopped: str | None  # why the stream could not be judged to its end
    exchanges: dict[int, Exchange] = field(repr=False)  # by the offset of the frame; -1 is the end of the body

    @property
    def defects(self) -> list[Finding]:
        """What is wrong."""
        return [finding for finding in self.findings if not finding.defect.is_companion]

    @property
    def notes(self) -> list[Finding]:
        """What is only worth a note, because OpenAI itself did so once and healthy servers still do."""
        return [finding for finding in self.findings if finding.defect.is_companion]

    @property
    def is_clean(self) -> bool:
        """There is nothing to repair."""
        return not self.defects and self.stopped is None

    def exchange(self, place: Place) -> Exchange:
        """Give the frame at a place, and what should have come instead."""
        return self.exchanges.get(-1 if place.is_end else place.offset, Exchange(b"", b""))


def judge(body: bytes, ending: Ending = Ending.COMPLETE, dialect: str = "default", now: int = 0) -> Judgement:
    """Find every defect of a whole body that ended like this."""
    frames = frames_of(body)
    seen = {name: _Inspection(name, now) for name in sorted({dialect, *DIALECT_OF.values()})}
    doubting = _Inspection(dialect, now, is_doubting=True)
    for inspection in (*seen.values(), doubting):
        inspection.go_over(body, frames, ending)
    asked = seen[dialect]
    return Judgement(
        body=body,
        dialect=dialect,
        events=asked.mender.report.events_in,
        findings=tuple(_folded({**asked.places, **doubting.places})),
        verdicts=tuple(
            _verdict(family, {**seen[name].places, **doubting.places}) for family, name in DIALECT_OF.items()
        ),
        stopped=asked.mender.report.stopped,
        exchanges=asked.exchanges,
    )


def frames_of(body: bytes) -> list[Frame]:
    """Divide a body as the repair does."""
    framer = Framer(Limits().frame_bytes)
    framer.take(body)
    frames: list[Frame] = []
    with suppress(FrameTooLargeError):
        frames += iter(framer.frame, None)
        framer.close()
        frames += iter(framer.frame, None)
    return frames


class _Inspection:
    """One repair of the stream, and what it saw: the defects, or if it is doubting, the companions."""

    def __init__(self, dialect: str, now: int, *, is_doubting: bool = False) -> None:
        self.mender = Mender(Options(dialect=dialect, now=now, on=OFF_BY_DEFAULT), self._witness)
        self.places: dict[str, list[Place]] = {}
        self.exchanges: dict[int, Exchange] = {}
        self._types: dict[int, str] = {}
        self._is_doubting = is_doubting
        self._shift = 0  # of offsets, by the bytes that did not come
        self._is_end = False

    def go_over(self, body: bytes, frames: list[Frame], ending: Ending) -> None:
        """Feed frame by frame, so that what leaves can be told by frame."""
        self._types = {frame.offset: _type_of(frame) for frame in frames}
        if self._is_doubting:
            lead = len(BOM) if body.startswith(BOM) else 0
            self.mender.feed(DOUBT)
            self._shift = len(DOUBT) - lead
            body, frames = body[lead:], []
        cuts = [0, *(frame.offset for frame in frames[1:]), len(body)]
        for start, end in pairwise(cuts):
            self.exchanges[start] = Exchange(body[start:end], self.mender.feed(body[start:end]))
        self._is_end = True
        self.exchanges[-1] = Exchange(b"", self.mender.close(ending))

    def _witness(self, sighting: Sighting) -> None:
        if DEFECTS[sighting.slug].is_companion != self._is_doubting:
            return
        offset = max(0, sighting.offset - self._shift)
        place = Place(sighting.event - self._is_doubting, offset, self._types.get(offset, ""), self._is_end)
        self.places.setdefault(sighting.slug, []).append(place)


def _type_of(frame: Frame) -> str:
    """What the event calls itself, by its body or else by its event: line; nothing that a terminal would obey."""
    event = read(frame.data, frame) if frame.data is not None else None
    name = (event.type if event else "") or frame.event or ""
    return "".join(sign if sign.isprintable() else "?" for sign in name[:LONGEST_TYPE])


def _folded(places: dict[str, list[Place]]) -> Iterator[Finding]:
    """Every defect once, in the order in which they were first seen."""
    for slug, seen in sorted(places.items(), key=lambda found: (found[1][0].is_end, found[1][0].event)):
        yield Finding(DEFECTS[slug], tuple(seen))


def _harm(family: Family, row: Defect, places: list[Place]) -> str:
    """What a defect does to this family, by the events it was seen in: it breaks it, it may, or neither."""
    events = [(family, "" if place.is_end else place.type.removeprefix(PREFIX)) for place in places]
    if family not in row.breaks | row.may_break or row.spares.issuperset(events):
        return ""
    is_sure = family in row.breaks and not (row.spares | row.may_spare).issuperset(events)
    return "breaks" if is_sure else "may break"


def _verdict(family: Family, places: Mapping[str, list[Place]]) -> Verdict:
    harm = {slug: _harm(family, DEFECTS[slug], seen) for slug, seen in places.items()}
    breaks, may_break = (tuple(slug for slug in harm if harm[slug] == word) for word in ("breaks", "may break"))
    return Verdict(family, breaks, may_break)
