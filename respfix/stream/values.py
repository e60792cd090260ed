"""Values: how those of the wrong kind are read, and how a closing value is decided."""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING

from respfix.stream.splice import dump, is_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from respfix.stream.event import Body
    from respfix.stream.grammar import Leaf
    from respfix.stream.ledger import Item, Part

_DIGITS = 19  # of a 64-bit number; more is no index and no count


def whole_number(value: object) -> int | None:
    """Read an index or a count, which may have come as text or as a float; anything else is unknown."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        return int(value)
    return value if isinstance(value, int) else None


def rises(numbers: Sequence[int]) -> bool:
    """Is each number greater than the one before it? A range's are, as the stencil makes it."""
    return isinstance(numbers, range) or len(numbers) == 1 or all(map(lt, numbers, numbers[1:]))


def text_of(value: object) -> str | None:
    """Read a text, which may have come as an object that holds it or as a list of texts; None is no text at all."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return text_of(next((value[key] for key in ("text", "content", "value") if key in value), None))
    if isinstance(value, list) and value:
        texts = [text_of(piece) for piece in value]
        return None if None in texts else "".join(text for text in texts if text)
    return None


def at(body: Body, path: tuple[str, ...]) -> object:
    """Give what stands in a body under these keys, or None."""
    value: object = body
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def put(body: Body, path: tuple[str, ...], value: object) -> Body:
    """Give the body with this value under these keys."""
    first, *rest = path
    inner = body.get(first)
    return {**body, first: put(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value}


def value_of(leaf: Leaf, value: object) -> str | None:
    """Read the whole value of a leaf; a call's arguments may have come as the object they are the text of."""
    if isinstance(value, str) or value is None:
        return value
    return dump(value) if leaf.array is None else text_of(value)


def closing_value(item: Item, part: Part, upstream: object) -> tuple[str, str]:
    """Decide a closing value; give it with the defect that it mends where it is not what upstream says.

    What upstream says wins where it says anything, even if it differs from the deltas (moderation, trimming); what is
    empty, null or absent is not authoritative when something was streamed.
    """
    leaf, said = part.leaf, part.said
    came = value_of(leaf, upstream) or ""
    value = less_what_came_before(item, leaf, came)
    slug = continued(part) if value != came else "empty-value-done" if upstream is None else "wrong-kind"
    if not value and (said or part.found):
        value, slug = said or part.found, "empty-value-done"
    elif leaf.is_json and said and value == said * 2 and is_object(said):
        value, slug = said, "doubled-arguments"
    if leaf.is_json and not value:
        value, slug = "{}", "empty-arguments"  # Codex cannot parse an empty text
    return value, slug


def continued(part: Part) -> str:
    """Give the defect for which an item goes on where another ended."""
    return part.echo or "delta-after-done"


def less_what_came_before(item: Item, leaf: Leaf, value: str) -> str:
    """Where upstream takes this item for the continuation of a closed one, its values repeat that one's."""
    return value.removeprefix(item.continues.told(leaf.array)) if item.continues else value
