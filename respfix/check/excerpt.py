"""Frames as they can be shown to others: short, and without what should stay private.

Ids stay, because a report about ids is worth nothing without them. Texts are cut, what a request carried is left out,
and what looks like a key, a token or an address is masked. A text may still be private: read a report before it leaves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

LONGEST_TEXT, KEPT = 48, 24  # characters; enough to recognise a text, too little to read it
LONGEST_LIST, SHOWN = 4, 2  # entries
LONGEST_LINE = 200  # of what is no JSON
PRIVATE = {
    # what the request carried comes back in every response object
    *("encrypted_content", "input", "instructions", "metadata", "prompt", "prompt_cache_key", "safety_identifier"),
    "user",
}
# Each begins where a run of its signs begins, or a long word (a picture is one) would be tried at every sign of it.
SECRETS = [
    re.compile(pattern)
    for pattern in (
        r"(?i)\b(?:bearer|basic)\s{1,9}[\w.~+/=-]{6,}",
        r"\b(?:sk|pk|rk|xai|gsk|hf|fw|nvapi|AIza|gh[opsur]|xox[abpr])[-_][\w-]{8,}|\bAIza[\w-]{20,}",
        r"\bAKIA[A-Z0-9]{12,}",
        r"(?<![\w-])eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?",
        r"(?i)(?<=://)[^\s/@:]{1,256}:[^\s/@]{1,256}(?=@)",
        (
            r"(?i)(?<![a-z])(?:api[_-]?key|access[_-]?token|secret|passw(?:or)?d|authorization)(?![a-z])"
            r"[\"'\\]{0,9}\s{0,9}[:=]\s{0,9}[\"'\\]{0,9}[^\s\"'\\,;}]{4,}"
        ),
        r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}",
    )
]


def masked(text: str, known: Iterable[str] = ()) -> str:
    """The text without these secrets, and without what looks like a key, a token, a password or a mail address."""
    for word in known:
        text = text.replace(word, "***")
    for secret in SECRETS:
        text = secret.sub("***", text)
    return text


def excerpt(frame: bytes, known: Iterable[str] = ()) -> str:
    """A frame as text, every line of it short, without these secrets."""
    text = frame.decode("utf-8", "backslashreplace")
    return "\n".join(_visible(_line(line, known)) for line in text.splitlines() if line)


def _visible(line: str) -> str:
    """The line without signs that a terminal would obey."""
    return "".join(sign if sign.isprintable() else "?" for sign in line)


def _line(line: str, known: Iterable[str]) -> str:
    name, colon, value = line.partition(":")
    try:
        body = json.loads(value if colon and not line.startswith("{") else line)
    except ValueError:
        return _clipped(masked(line, known), LONGEST_LINE)
    head = "" if line.startswith("{") else f"{name}: "
    return head + json.dumps(_shortened(body, known), ensure_ascii=False, separators=(",", ":"))


def _shortened(value: Any, known: Iterable[str], key: str = "") -> Any:
    if key in PRIVATE and value:
        return "***"
    if isinstance(value, dict):
        return {masked(str(name), known): _shortened(inner, known, name) for name, inner in value.items()}
    if isinstance(value, list):
        few = value if len(value) <= LONGEST_LIST else [*value[:SHOWN], f"… {len(value) - SHOWN} more"]
        return [_shortened(inner, known) for inner in few]
    if not isinstance(value, str):
        return value
    text = masked(value, known)
    return text if key == "id" or key.endswith("_id") else _clipped(text, LONGEST_TEXT)


def _clipped(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:KEPT]}… ({len(text)} characters)"
