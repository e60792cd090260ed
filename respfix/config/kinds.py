"""How text becomes a value, and what is said when it does not.

All values are read from text, also those of the YAML file: YAML 1.1 takes a bare `on` for a boolean and `12:30` for a
number, and a user who writes `repair: on` means the word.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin


class ConfigError(Exception):
    """The configuration cannot be used; the message is one line that says what to change, and where."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value somebody gave, as text, and where: `config.yaml:12`, `RESPFIX_UPSTREAM`, `--upstream`."""

    text: str | tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Kind:
    """How text becomes a value, and what to say when it does not."""

    expects: str
    parse: Callable[[str], Any]
    is_list: bool = False

    def read(self, text: str | tuple[str, ...]) -> Any:
        """The value that the text spells."""
        if self.is_list:
            words = text.replace(",", " ").split() if isinstance(text, str) else text
            return tuple(dict.fromkeys(self._one(word) for word in words))
        if isinstance(text, str):
            return self._one(text.strip())
        raise ConfigError(f"expected {self.expects}, not a list")

    def _one(self, text: str) -> object:
        try:
            return self.parse(text)
        except ValueError:
            raise ConfigError(f"expected {self.expects}, not {masked(text)!r}") from None


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file or folder that somebody named, and where, so that whoever cannot use it can say what to change."""

    path: Path
    source: str = field(default="", compare=False)

    def __str__(self) -> str:
        return str(self.path)

    def error(self, what: str) -> ConfigError:
        """What to raise if it cannot be used."""
        place = f"{self.source}: " if self.source else ""
        return ConfigError(f"{place}{self.path} {what}")


def nearest(word: str, known: Iterable[str], by: Callable[[str], str] = str) -> str:
    """A hint for the end of an error: the name that was probably meant, judged by this part of it, or nothing."""
    names = {by(name): name for name in known}
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""


def masked(url: str) -> str:
    """The text without the user and password that a URL may carry."""
    return re.sub(r"^(\w+://)?.*@", r"\1***@", url)


def kind_of(hint: Any) -> Kind | None:
    """How a field of this type is read; nothing if the type is a section of its own."""
    if get_origin(hint) is Annotated:
        kind: Kind = get_args(hint)[1]
        return kind
    return choice(*get_args(hint)) if get_origin(hint) is not None else PLAIN.get(hint)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(text)
    return seconds


def _at_least(least: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        number = int(text)
        if number < least:
            raise ValueError(text)
        return number

    return count


def _bool(text: str) -> bool:
    spellings = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    if text.lower() not in spellings:
        raise ValueError(text)
    return spellings[text.lower()]


def choice(*words: str) -> Kind:
    """One of these words."""
    # What other tools write when they are told on or off.
    spellings = {"true": "on", "yes": "on", "false": "off", "no": "off"} if "on" in words else {}
    spellings |= {word: word for word in words}

    def choose(text: str) -> str:
        if text.lower() not in spellings:
            raise ValueError(text)
        return spellings[text.lower()]

    return Kind(f"one of {', '.join(words)}", choose)


def _file(text: str) -> NamedFile | None:
    if not text:
        return None
    path = Path(text)
    if not path.is_absolute() or not text.isprintable():
        raise ValueError(text)
    return NamedFile(path)


def _prefix(text: str) -> str:
    if not re.fullmatch(r"(/[!-\"$->@-~]+)?", text) or text.endswith("/"):  # printable ASCII but # and ?
        raise ValueError(text)
    return text


UNIX = "unix"  # whoever comes through a unix socket
Network = ipaddress.IPv4Network | ipaddress.IPv6Network | str


def _network(text: str) -> Network:
    return UNIX if text == UNIX else ipaddress.ip_network(text)


Seconds = Annotated[float, Kind("seconds, 0 or more, such as 10 or 0.5", _seconds)]
Count = Annotated[int, Kind("a whole number, 0 or more, such as 3", _at_least(0))]
File = Annotated[NamedFile | None, Kind("an absolute path, such as /etc/respfix/name", _file)]
Prefix = Annotated[str, Kind("a path without a slash at its end, such as /sub2api", _prefix)]
Networks = Annotated[
    tuple[Network, ...],
    Kind("addresses, networks or unix, such as 127.0.0.1 or 10.0.0.0/8", _network, is_list=True),
]

# For fields that say no more than their type, such as those of `Limits`, which must not know this file.
PLAIN = {
    bool: Kind("true or false", _bool),
    int: Kind("a whole number, 1 or more, such as 1024", _at_least(1)),
}
