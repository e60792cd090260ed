"""JSON text, changed only where it has to be.

A repaired frame keeps every byte that was right: key order, spacing, escapes and the spelling of numbers
(OpenAI writes 0.00002288818359375, Python would write 2.288818359375e-05). So a body is never dumped anew to change one
key in it: the wanted value is compared with the one that came, and only what differs is written.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_space = re.compile(r"[ \t\n\r]*").match
_member = re.compile(r'[ \t\n\r]*[{,]([ \t\n\r]*"((?:[^"\\]++|\\.)*+)"[ \t\n\r]*:[ \t\n\r]*)').match


class _Reader:
    """Reads JSON text and notes what strict readers refuse (serde: duplicate keys, NaN and Infinity)."""

    def __init__(self) -> None:
        self.faults: set[str] = set()
        self.decode = json.JSONDecoder(parse_constant=self._constant, object_pairs_hook=self._object).raw_decode

    def _constant(self, _: str) -> None:
        self.faults.add("not-a-number")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)  # of duplicate keys the last one wins, as in every lenient reader
        if len(value) != len(pairs):
            self.faults.add("duplicate-keys")
        return value


_value = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def parse(text: str) -> tuple[Any, set[str]]:
    """Give the value and the faults of its spelling; raise ValueError where the text is not JSON."""
    reader = _Reader()
    try:
        value, end = reader.decode(text, _end_of_space(text, 0))
    except RecursionError as error:
        message = "nested too deep"
        raise ValueError(message) from error
    if text[end:].strip():
        message = "more than one value"
        raise ValueError(message)
    return value, reader.faults


def is_object(text: str) -> bool:
    """Is this the whole text of one JSON object?"""
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def dump(value: Any) -> str:
    """Write a value as OpenAI does: compact, raw UTF-8."""
    if type(value) is int:  # what is put into deltas: an index or a number; the encoder takes ten times as long
        return str(value)
    try:
        text = _encode(value)
    except ValueError:
        return dump(_finite(value))  # 1e999 is JSON, but its value is infinite
    return text if _is_utf8(text) else json.dumps(value, separators=(",", ":"))  # half a surrogate pair


def respell(text: str, old: Any, new: Any) -> str:
    """Give JSON text for `new`, keeping the spelling of all that is as it was in `old`, which `text` spells."""
    if same(old, new):
        return text
    if isinstance(old, dict) and isinstance(new, dict):
        return _respell_object(text, old, new)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return _respell_array(text, old, new)
    return dump(new)


def spans(text: str) -> dict[str, tuple[int, int]]:
    """Where the values of an object's members stand in its text."""
    return {key: (at, end) for key, _, at, end in _members(text)}


def same(old: Any, new: Any) -> bool:
    """Are these the same JSON value? 1, 1.0 and true are three."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, dict):
        return list(old) == list(new) and all(same(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(map(same, old, new))
    return bool(old == new)


def _respell_object(text: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Splice members; one that is gone takes its comma along, a new one goes to the end."""
    kept: list[str] = []
    for key, begin, at, end in _members(text):
        if key not in new or key not in old:
            continue
        kept.append(text[begin:at] + respell(text[at:end], old[key], new[key]))
    if len(kept) != sum(key in new for key in old):
        return dump(new)  # a key stood there twice: nobody can tell which spelling counts
    kept += [dump(key) + ":" + dump(value) for key, value in new.items() if key not in old]
    return "{" + ",".join(kept) + "}"


def _respell_array(text: str, old: list[Any], new: list[Any]) -> str:
    values = (respell(text[at:end], *pair) for (at, end), *pair in zip(_elements(text), old, new, strict=True))
    return "[" + ",".join(values) + "]"


def _members(text: str) -> Iterator[tuple[str, int, int, int]]:
    """Give each member of an object: its key, where it begins, and where its value begins and ends."""
    end = 0
    while found := _member(text, end):
        key, value = found[2], found.end()
        _, end = _value(text, value)
        yield json.loads(f'"{key}"') if "\\" in key else key, found.start(1), value, end


def _elements(text: str) -> Iterator[tuple[int, int]]:
    """Give each element of an array: where it begins and ends."""
    at = _end_of_space(text, 0) + 1
    while text[begin := _end_of_space(text, at)] != "]":
        _, end = _value(text, begin)
        yield at, end
        at = _next(text, end)


def _next(text: str, end: int) -> int:
    """Where what follows a value begins: behind the comma, if there is one."""
    at = _end_of_space(text, end)
    return at + (text[at] == ",")


def _end_of_space(text: str, at: int) -> int:
    if not text[at : at + 1].isspace():  # nearly always, and cheaper than a pattern
        return at
    found = _space(text, at)
    return found.end() if found else at


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _finite(value: Any) -> Any:
    """Put null where JSON has no number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    return [_finite(member) for member in value] if isinstance(value, list) else value
