"""The corpus of streams: what lies in `streams/`, and how its files are read.

- `conformant/NAME.sse` must come out as it is.
- `broken/SLUG[-note].in.sse` must come out as `.out.sse`.
- `recorded/NAME.sse` is what a real server sent.

The first lines of a file are comments, which travel through the repair like any frame: the story, then the keys below.
``python tests/corpus.py`` writes the `.out.sse` files anew; read every line of the difference before you commit it.
``python tests/corpus.py --defects`` first writes into the headers what the report names.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # as a script, the checkout is not on the path
    sys.path.insert(0, str(Path(__file__).parents[1]))

from respfix.stream import Asked, Ending, Mender, Options, Report

STREAMS = Path(__file__).parent / "streams"
KEYS = ("defects", "dialect", "ending", "enable", "request")
CHUNK = 4096


@dataclass(frozen=True)
class Stream:
    """One file of the corpus."""

    name: str
    body: bytes
    defects: tuple[str, ...] = ()  # that are repaired in it
    dialect: str = "default"
    ending: Ending = Ending.COMPLETE
    enable: frozenset[str] = frozenset()  # defects that are off by default
    request: str = ""  # its body, where the repair needs to know it

    def __str__(self) -> str:
        """Give the name a test goes by."""
        return self.name

    def options(self, off: frozenset[str] = frozenset(), dialect: str | None = None) -> Options:
        """Give the options that its header asks for."""
        return Options(
            seed="made-up",
            now=1763600000,
            dialect=dialect or self.dialect,
            on=self.enable,
            off=off,
            asked=Asked.of(self.request.encode()),
        )


@dataclass(frozen=True)
class Mended:
    """What came out, and what the repair says about it."""

    body: bytes
    report: Report


def mend(body: bytes, options: Options | None = None, ending: Ending = Ending.COMPLETE) -> Mended:
    """Repair a body that comes in one piece."""
    return mend_pieces([body], options, ending)


def mend_pieces(pieces: list[bytes], options: Options | None = None, ending: Ending = Ending.COMPLETE) -> Mended:
    """Repair a body that comes in these reads."""
    mender = Mender(options or Options(seed="made-up", now=1763600000))
    out = b"".join(map(mender.feed, pieces)) + mender.close(ending, 1.0)
    return Mended(out, mender.report)


def load(path: Path) -> Stream:
    """Read one file and its header."""
    body = path.read_bytes()
    head = re.match(rb"\A(?:\xef\xbb\xbf)?((?::[^\r\n]*(?:\r\n|\r|\n))*)", body)
    lines = head[1].decode().splitlines() if head else []
    pairs = (line.removeprefix(": ").partition(": ") for line in lines)
    said = {key: value for key, _, value in pairs if key in KEYS}
    return Stream(
        name=path.name.removesuffix(".sse").removesuffix(".in"),
        body=body,
        defects=tuple(sorted(filter(None, said.get("defects", "").split(", ")))),
        dialect=said.get("dialect", "default"),
        ending=Ending(said.get("ending", "complete")),
        enable=frozenset(filter(None, said.get("enable", "").split(", "))),
        request=said.get("request", ""),
    )


def streams(pattern: str) -> list[Stream]:
    """Give the files that fit a pattern, in order."""
    return [load(path) for path in sorted(STREAMS.glob(pattern))]


CONFORMANT = streams("conformant/*.sse")
BROKEN = streams("broken/*.in.sse")
RECORDED = streams("recorded/*.sse")


def outcome(stream: Stream) -> Path:
    """Give the file that says what a broken stream must come out as."""
    return STREAMS / "broken" / f"{stream.name}.out.sse"


def restate(stream: Stream) -> Stream:
    """Write into the header what the report names."""
    path = STREAMS / "broken" / f"{stream.name}.in.sse"
    named = ", ".join(sorted(mend(stream.body, stream.options(), stream.ending).report.defects))
    path.write_bytes(re.sub(rb"(?<=: defects: )[^\r\n]*", named.encode(), stream.body, count=1))
    return load(path)


def main() -> None:
    """Write what the repair makes of the broken streams."""
    for stream in map(restate, BROKEN) if "--defects" in sys.argv else BROKEN:
        mended = mend(stream.body, stream.options(), stream.ending)
        if tuple(sorted(mended.report.defects)) != stream.defects or mended.report.stopped:
            sys.stderr.write(f"{stream}: {', '.join(sorted(mended.report.defects))}; {mended.report.stopped}\n")
        if not outcome(stream).exists() or outcome(stream).read_bytes() != mended.body:
            outcome(stream).write_bytes(mended.body)
            sys.stderr.write(f"{stream}: written\n")


if __name__ == "__main__":
    main()
