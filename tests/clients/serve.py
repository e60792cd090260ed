"""What every runner in Python does: names of streams in, readings out, a line each.

``python RUNNER FOLDER URL INTERFACE``: the first line out is the client's version, then each line in is the name of a
stream to ask URL for, and is answered by a line with its reading (`reading.py`) before the next is read.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from importlib import metadata
from typing import Any

from clients.reading import Reading

Fill = Callable[[Reading, str], None]  # reads the stream of this name into the reading; may raise
AsyncFill = Callable[[Reading, str], Coroutine[Any, Any, None]]


def arguments() -> tuple[str, str]:
    """Give the upstream's address, which ends with /v1, and the interface."""
    _, _, url, interface = sys.argv
    return url, interface


def told(error: BaseException) -> str:
    """Write an exception as programs log it."""
    return f"{type(error).__name__}: {error}"


def in_loop(fill: AsyncFill) -> Fill:
    """Let a coroutine read, always in the same loop, as in a program that runs on."""
    runner = asyncio.Runner()
    return lambda reading, name: runner.run(fill(reading, name))


def serve(package: str, fill: Fill, version: str = "") -> None:
    """Answer until standard input ends; what a client prints goes to standard error.

    The version is that of a Python package, unless it is given.
    Whatever the client raises is what the program would get, and becomes the reading's error.
    """
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def say(**values: Any) -> None:
            answers.write(json.dumps(values) + "\n")
            answers.flush()

        say(version=version or metadata.version(package))
        for line in sys.stdin:
            name, reading = line.strip(), Reading()
            try:
                fill(reading, name)
            except Exception as error:  # noqa: BLE001 (see above)
                reading.error = told(error)
            say(name=name, reading=reading.as_json())
