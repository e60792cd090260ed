"""What a whole response, item, part or usage object looks like: completes the bodies that lack something.

Every function gives the very object it was given when nothing was wrong with it, and a changed copy otherwise; no body
is ever changed in place. What is filled in is structure and neutral defaults, never content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from respfix.stream.event import REMOVED, Body
from respfix.stream.grammar import (
    KINDS,
    NO_USAGE,
    RESPONSE_ALSO,
    RESPONSE_NOW,
    RESPONSE_WANTS,
    TELLING_KEYS,
    USAGE,
    Array,
    Kind,
    Leaf,
    leaf_of,
)
from respfix.stream.splice import same
from respfix.stream.values import at, continued, less_what_came_before, put, text_of, value_of, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from respfix.stream.asked import Asked
    from respfix.stream.defects import Triage
    from respfix.stream.dialects import Dialect
    from respfix.stream.ledger import Item, Part


def altered(body: Body, changes: Mapping[str, Any]) -> Body:
    """Give the body with changes, or the very body where they change nothing."""
    real = {key: value for key, value in changes.items() if key not in body or not same(body[key], value)}
    if not any(value is not REMOVED or key in body for key, value in real.items()):
        return body
    return {key: value for key, value in {**body, **real}.items() if value is not REMOVED}


def type_of_item(body: Body) -> str:
    """Give an item's type; where it is absent, by the keys that only one kind of item has."""
    stated = body.get("type")
    is_known = isinstance(stated, str) and stated in KINDS
    if not is_known and body.get("role") == "assistant" and isinstance(body.get("content"), list):
        return "message"
    if isinstance(stated, str) and stated:
        return stated
    return next((kind for key, kind in TELLING_KEYS if key in body), "message")


def paired(parts: list[Part], entries: list[tuple[Leaf, Body]]) -> list[Part | None]:
    """Give each of upstream's entries its part: the first of its type that no entry has taken."""
    free = list(parts)
    found: list[Part | None] = []
    for leaf, _ in entries:
        part = next((part for part in free if part.leaf.name == leaf.name), None)
        found.append(part)
        if part is not None:
            free.remove(part)
    return found


@dataclass(frozen=True, slots=True)
class Bodies:
    """Completes bodies, as far as the switches allow it."""

    triage: Triage
    dialect: Dialect
    asked: Asked

    def filled(self, body: Body, wants: Mapping[str, Any], also: Mapping[str, Any], slug: str) -> Body:
        """Give the body with the keys that clients need, and in a stream under repair with all the others."""
        missing = {key: value for key, value in wants.items() if body.get(key) is None}
        if missing and not self.triage.mend(slug):
            missing = {}
        neutral = {key: value for key, value in also.items() if key not in body}
        if neutral and self.triage.mend("neutral-keys"):
            missing.update(neutral)
        return altered(body, missing)

    def part(self, leaf: Leaf, body: Body) -> Body:
        """Give a part with its type and its keys."""
        if not leaf.value:
            return body
        if body.get("type") != leaf.name and self.triage.mend("wrong-part-type"):
            body = altered(body, {"type": leaf.name})
        value = body.get(leaf.value)
        if value is not None and not isinstance(value, str) and self.triage.mend("wrong-kind"):
            body = altered(body, {leaf.value: text_of(value) or ""})
        return self.filled(body, leaf.wants, leaf.also, "missing-part-keys")

    def parts(self, kind: Kind, array: Array, value: object) -> list[tuple[Leaf, Body]]:
        """Read an array of parts, which may have come as one text or as a list of texts."""
        if isinstance(value, str):
            value = [value] if value else []
        if isinstance(value, dict):
            value = [value]
        found: list[tuple[Leaf, Body]] = []
        for entry in value if isinstance(value, list) else ():
            usual = leaf_of(kind.type, array, None)
            if isinstance(entry, str) and usual:
                found.append((usual, {"type": usual.name, usual.value: entry}))
            elif isinstance(entry, dict):
                found.append((self.leaf(kind, array, entry), entry))
        return found

    def share(self, item: Item, array: Array, value: object) -> list[tuple[Leaf, Body]]:
        """Read an array of parts of an item, unless it holds one text for what left as several."""
        entries = self.parts(item.kind, array, value)
        texts = (text_of(entry.get(leaf.value)) or "" for leaf, entry in entries)
        if 0 < len(entries) < len(item.parts(array)) and "".join(texts) == item.said(array):
            return []
        return entries

    @staticmethod
    def leaf(kind: Kind, array: Array, part: Body) -> Leaf:
        """Give a part's row; a part of a type without a row is bracketed and otherwise passes."""
        stated = None if array.is_bare else part.get("type")
        return leaf_of(kind.type, array, stated) or Leaf(str(stated), kind.type, "", "", "", array)

    def announced(self, item: Item, body: Body) -> Body:
        """Give an item as it should be announced: complete, and silent."""
        body = self._named(item, body)
        changes: Body = {}
        for array in item.kind.arrays:
            came = body.get(array.key)
            if came not in (None, []) and self.triage.mend("filled-snapshot" if came else "wrong-kind"):
                changes[array.key] = []
        own = item.own.leaf if item.own and not item.own.leaf.is_hosted else None
        if own and body.get(own.value) and self.triage.mend("filled-snapshot"):
            changes[own.value] = ""
        return self._completed(item, altered(body, changes), "in_progress")

    def done(self, item: Item, body: Body, status: str) -> Body:
        """Give an item as its done event should carry it: complete, with all that was said."""
        body = self._named(item, body)
        for array in item.kind.arrays:
            came = at(body, array.path)
            if came not in (None, []) or item.parts(array):
                whole = self._spoken(item, array, came)
                body = body if whole is came else put(body, array.path, whole)
        if item.own:
            came = at(body, item.own.leaf.path)
            value = self._own(item.own, came)
            body = body if value is came or value == came else put(body, item.own.leaf.path, value)
        return self._completed(item, body, status)

    def _spoken(self, item: Item, array: Array, came: object) -> object:
        """Give an array of parts, filled from what was said where it is empty."""
        entries = self.share(item, array, came)
        match = paired(item.parts(array), entries)
        by_part = {id(part): body for part, (_, body) in zip(match, entries, strict=True) if part is not None}
        whole: list[Any] = [self.spoken_part(item, part, by_part.get(id(part))) for part in item.parts(array)]
        whole += [body for part, (_, body) in zip(match, entries, strict=True) if part is None]
        if array.is_bare:
            leaf = item.parts(array)[0].leaf if item.parts(array) else entries[0][0]
            whole = [body.get(leaf.value) for body in whole]
        if isinstance(came, list) and len(came) == len(whole) == len(entries):
            if all(map(same, came, whole)):
                return came
            said = (_says(item, leaf, entry, part) for (leaf, entry), part in zip(entries, whole, strict=True))
            if not array.is_bare and all(said):
                return whole  # every text is there; what its parts lacked is counted with them
        return whole if self.triage.mend("incomplete-item") else came

    def spoken_part(self, item: Item, part: Part, came: Body | None) -> Body:
        """Give a part as its done event and everything after should carry it."""
        leaf = part.leaf
        if not leaf.value:
            return came or part.body or {"type": leaf.name}
        body = came if came is not None else altered(part.body or {"type": leaf.name}, {leaf.value: part.value})
        changes: Body = {}
        stated = value_of(leaf, body.get(leaf.value)) or ""
        value = less_what_came_before(item, leaf, stated) or part.value
        if value != stated:
            changes[leaf.value] = value
        if part.annotations and not body.get("annotations"):
            changes["annotations"] = list(part.annotations)
        slug = "empty-part" if value == stated or not stated else continued(part)
        if changes and (came is None or self.triage.mend(slug)):
            body = altered(body, changes)
        return self.part(leaf, body)

    def _own(self, own: Part, came: object) -> object:
        """Give the value that is the item's own."""
        leaf, value = own.leaf, value_of(own.leaf, came)
        if leaf.is_hosted and not own.value:
            return came
        if not value or (leaf.is_json and value != own.value and value == own.value * 2):
            is_empty_text = came == "" and own.value == "{}"
            slug = "doubled-arguments" if value else "empty-arguments" if is_empty_text else "incomplete-item"
            return own.value if came != own.value and self.triage.mend(slug) else came
        return value if isinstance(came, str) or self.triage.mend("wrong-kind") else came

    def _named(self, item: Item, body: Body) -> Body:
        """Give the item its type, its one id, and the names that a call was announced with."""
        changes: Body = {}
        if body.get("type") != item.kind.type and self.triage.mend("item-without-type"):
            changes["type"] = item.kind.type
        came = body.get("id")
        slug = "wrong-kind" if str(came) == item.id else "changed-item-id" if came else "item-without-id"
        if came != item.id and self.triage.mend(slug):
            changes["id"] = item.id
            if slug == "changed-item-id" and body.get("encrypted_content"):
                # A ciphertext is bound to the id it came with: the pair is refused with 400 otherwise (GitHub Copilot).
                changes["encrypted_content"] = item.final.get("encrypted_content") if item.final else None
        for key in item.kind.needs:
            is_named = isinstance(body.get(key), str) and body[key]
            if key in item.given and not is_named and self.triage.mend("call-without-name"):
                changes[key] = item.given[key]
        return altered(body, changes)

    def _completed(self, item: Item, body: Body, status: str) -> Body:
        kind = item.kind
        wants: Body = dict(kind.wants)
        if kind.status_is_wanted:
            wants["status"] = status
        body = self.filled(body, wants, {}, "missing-item-keys")
        if kind.type == "message" and body.get("role") != "assistant" and self.triage.mend("wrong-role"):
            body = altered(body, {"role": "assistant"})
        phases, phase = self.dialect.phases, body.get("phase")
        if phases is not None and phase not in (None, *phases) and self.triage.mend("codex-phase"):
            body = altered(body, {"phase": REMOVED})
        return body

    def response(
        self, body: Body, first: Body | None, made: Body, status: str, changed_id: str = "changed-response-id"
    ) -> Body:
        """Give a response object its keys, and the one id and time that the response was announced with."""
        identity = first or made
        changes: Body = {}
        came = body.get("id")
        if not isinstance(came, str) or not came or (first is not None and came != first.get("id", came)):
            slug = "response-without-id" if not came else "wrong-kind" if not isinstance(came, str) else changed_id
            if self.triage.mend(slug):
                changes["id"] = str(came) if isinstance(came, int) and first is None else identity.get("id", made["id"])
        created, due = body.get("created_at"), identity.get("created_at", made["created_at"])
        if not isinstance(created, int | float) or (first is not None and created != due):
            read = whole_number(created) if first is None else None
            is_number = isinstance(created, int | float)
            slug = "missing-created-at" if created is None else "changed-created-at" if is_number else "wrong-kind"
            if self.triage.mend(slug):
                changes["created_at"] = due if read is None else read
        wants = {**RESPONSE_WANTS, "status": status, **({"model": identity["model"]} if identity.get("model") else {})}
        is_lacking = self.triage.is_dirty or any(body.get(key) is None for key in wants)
        also = {**RESPONSE_ALSO, **(RESPONSE_NOW if RESPONSE_ALSO.keys() - body.keys() else {})}
        also |= self.asked.echo if is_lacking else {}
        also |= {key: identity[key] for key in also.keys() & identity.keys()}
        return self.filled(altered(body, changes), wants, also, "missing-response-keys")

    def usage(self, usage: object) -> object:
        """Give a usage object in the Responses API's words, whole; without one, zeros.

        Zeros rather than null: the opencode CLI (1.18.33) repeats the request about a hundred times in 14 seconds when
        a turn ends without usage, and no measured client is worse for them.
        """
        if not isinstance(usage, dict) or not usage:
            return dict(NO_USAGE) if self.triage.mend("missing-usage") else usage
        changes: Body = {}
        neutral: Body = {}
        counts: dict[str, int | None] = {}
        for tokens, chat_tokens, details, chat_details, detail in USAGE:
            for key, chat_key in ((tokens, chat_tokens), (details, chat_details)):
                if key not in usage and chat_key in usage:
                    changes |= {key: usage[chat_key], chat_key: REMOVED}
            count, given = changes.get(tokens, usage.get(tokens)), changes.get(details, usage.get(details))
            counts[tokens] = count if type(count) is int else whole_number(count)
            if isinstance(given, dict) and type(given.get(detail)) is not int:
                changes[details] = {**given, detail: whole_number(given.get(detail)) or 0}
            elif details not in usage and details not in changes:
                neutral[details] = {detail: 0}
        total = whole_number(usage.get("total_tokens"))
        said = sum(count for count in counts.values() if count is not None)
        is_rest_known = total is not None and total >= said and list(counts.values()).count(None) == 1
        rest = total - said if total is not None and is_rest_known else 0
        changes |= {tokens: rest if count is None else count for tokens, count in counts.items()}
        if type(usage.get("total_tokens")) is not int:
            changes["total_tokens"] = total or changes["input_tokens"] + changes["output_tokens"]
        whole = altered(usage, changes)
        if whole is not usage and not self.triage.mend("incomplete-usage"):
            whole = usage
        return altered(whole, neutral) if neutral and self.triage.mend("neutral-keys") else whole


def _says(item: Item, leaf: Leaf, entry: Body, part: object) -> bool:
    """Does upstream's part say what the whole one says, perhaps after what was said before?"""
    came, whole = entry.get(leaf.value), part.get(leaf.value) if isinstance(part, dict) else None
    return came == whole or (isinstance(came, str) and less_what_came_before(item, leaf, came) == whole)
