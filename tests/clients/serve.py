"""What every runner in Python does: names of streams in, readings out, a line each.

``python RUNNER FOLDER URL INTERFACE``: the first line out is the client's version, then each line in is the name of a
stream to ask URL for, and is answered by a line with its reading (`reading.py`) before the next is read.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from clients.reading import Reading


def told(error: BaseException) -> str:
    """Write an exception as programs log it."""
    return f"{type(error).__name__}: {error}"


def serve(version: str, read: Callable[[str], Reading]) -> None:
    """Answer until standard input ends; what a client prints goes to standard error."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)

        def say(**values: Any) -> None:
            answers.write(json.dumps(values) + "\n")
            answers.flush()

        say(version=version)
        for line in sys.stdin:
            name = line.strip()
            say(name=name, reading=read(name).as_json())
