"""A fuzzer over the repair: `cd tests && python -m fuzz.fuzz_mender [libFuzzer's options] [directories]`.

It begins with the corpus of streams, without the large ones, and goes where there is code that it has not seen. What
breaks a promise is left as `crash-…` in the directory that it is started in (or where -artifact_prefix says); once the
fault is mended it moves to `fuzz/crashes/`, where the suite replays it each time. Needs Linux on x86-64 and
`pip install atheris`.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["respfix"]):
    from corpus import BROKEN, CONFORMANT, RECORDED
    from fuzz.promises import keep
    from fuzz.shapes import changed

SMALL = 12_000  # bytes; a body of this size takes about 5 ms


def mutated(body: bytes, limit: int, seed: int) -> bytes:
    """Change the events mostly, and the bytes sometimes."""
    if random.Random(seed).randrange(5):  # noqa: S311
        return changed(body, seed)[:limit]
    return bytes(atheris.Mutate(body, limit))


def target(body: bytes) -> None:
    """Try one body; what is raised is what the fuzzer looks for."""
    keep(body)


def main() -> None:
    """Begin with the corpus, and fuzz until libFuzzer has enough."""
    with tempfile.TemporaryDirectory(prefix="respfix-fuzz-") as seeds:
        for stream in (*CONFORMANT, *BROKEN, *RECORDED):
            if len(stream.body) < SMALL:
                how = f": {len(stream.body) // 2} {stream.dialect} {stream.ending}\n".encode()
                Path(seeds, stream.name).write_bytes(how + stream.body)
        arguments = [sys.argv[0], f"-max_len={2 * SMALL}", "-timeout=20", *sys.argv[1:], seeds]
        atheris.Setup(arguments, target, custom_mutator=mutated)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
