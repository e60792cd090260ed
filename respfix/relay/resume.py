"""Resumed streams, recognised by their request: `GET …/responses/{id}?stream=true[&starting_after=N]`.

N is a number that the client has seen, so it counts what respfix put into the stream and left out of it. respfix keeps
nothing of a stream that has ended; it asks the upstream for all of it again, mends it as before and leaves out what
the client has. So any instance can serve a resume, and a stream that needed no repair arrives as the upstream would
send it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

PATH = re.compile(r"(?:^|/)responses/([^/]+)/?$")


@dataclass(frozen=True, slots=True)
class Resume:
    """A request for the rest of a stream."""

    response: str  # its id
    after: int | None  # the last number that the client has; None: it asks for all of it
    target: str  # what asks for all of it

    @classmethod
    def asked(cls, method: str, raw_path: str) -> Resume | None:
        """Read a request; None if it is another one, or one that the upstream has to judge."""
        path, _, query = raw_path.partition("?")
        found = PATH.search(path)
        if method != "GET" or found is None:
            return None
        given = dict(parse_qsl(query, keep_blank_values=True))
        after = given.get("starting_after", "-1")
        if given.get("stream") != "true" or not re.fullmatch(r"-1|[0-9]{1,18}", after):
            return None
        kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) != "starting_after"]
        return cls(found[1], int(after) if after != "-1" else None, f"{path}?{'&'.join(kept)}")
