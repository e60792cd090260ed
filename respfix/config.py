"""What respfix can be told, as frozen values.

The dataclasses are the only list of settings: the keys of the file, the `RESPFIX_*` variables and what
`--check-config` prints are derived from their fields, so none of them can fall behind. How a field is read from text
stands in its type (`Annotated[…, Kind]`); where the text came from is the business of `sources.py`.

All values are read from text, also those of the YAML file: YAML 1.1 takes a bare `on` for a boolean and `12:30` for a
number, and a user who writes `repair: on` means the word.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from respfix.stream import Limits
from respfix.stream.defects import DEFECTS


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


def nearest(word: str, known: Iterable[str], by: Callable[[str], str] = str) -> str:
    """A hint for the end of an error: the name that was probably meant, judged by this part of it, or nothing."""
    names = {by(name): name for name in known}
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {names[close[0]]!r}?" if close else ""


def masked(url: str) -> str:
    """The text without the user and password that a URL may carry."""
    return re.sub(r"^(\w+://)?.*@", r"\1***@", url)


def _host(text: str) -> str:
    """A name or an address, lower case and without IPv6's brackets."""
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    labels = host.removesuffix(".").split(".")
    # RFC 1123, and the underscore because container networks use it; a name that ends in digits is a broken IPv4.
    if all(re.fullmatch(r"[\w-]{1,63}", label, re.ASCII) for label in labels) and not labels[-1].isdigit():
        return host.lower()
    return str(ipaddress.ip_address(host))


@dataclass(frozen=True, slots=True)
class Address:
    """Where respfix listens; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Only this machine can connect."""
        return bool(re.fullmatch(r"localhost|127(\.\d+){3}|::1", self.host))

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host:port` with IPv6 in brackets; the host must be said, because "everywhere" must be meant."""
        host, _, port = text.rpartition(":")
        bare_ipv6 = ":" in host and not host.startswith("[")
        if bare_ipv6 or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) >= 2**16:
            raise ValueError(text)
        return cls(_host(host), int(port))


def _url(text: str) -> str:
    url = urlsplit(text)
    clean = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and re.fullmatch(r"[!-~]+", text)
    if not clean or "?" in text or "#" in text:
        raise ValueError(text)
    return text


def _slug(text: str) -> str:
    if text not in DEFECTS:
        raise ConfigError(f"no defect is called {text!r}{nearest(text, DEFECTS)}")
    return text


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


def _choice(*words: str) -> Kind:
    # What other tools write when they are told on or off.
    spellings = {"true": "on", "yes": "on", "false": "off", "no": "off"} if "on" in words else {}
    spellings |= {word: word for word in words}

    def choose(text: str) -> str:
        if text.lower() not in spellings:
            raise ValueError(text)
        return spellings[text.lower()]

    return Kind(f"one of {', '.join(words)}", choose)


Seconds = Annotated[float, Kind("seconds, 0 or more, such as 10 or 0.5", _seconds)]
Retries = Annotated[int, Kind("a whole number, 0 or more, such as 3", _at_least(0))]
Listen = Annotated[Address, Kind("host:port, such as 127.0.0.1:8081 or [::1]:8081", Address.parse)]
Url = Annotated[
    str, Kind("http://host:port or https://host, with or without a path, such as http://127.0.0.1:8080", _url)
]
Slugs = Annotated[tuple[str, ...], Kind("names of defects, such as missing-usage", _slug, is_list=True)]
Hosts = Annotated[tuple[str, ...], Kind("host names without a port, such as respfix.lan", _host, is_list=True)]

# For fields that say no more than their type, such as those of `Limits`, which must not know this file.
PLAIN = {
    bool: Kind("true or false", _bool),
    int: Kind("a whole number, 1 or more, such as 1024", _at_least(1)),
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds; 0 waits for ever where that makes sense. There is no limit on the whole answer."""

    connect: Seconds = 10.0
    first_byte: Seconds = 0.0
    idle: Seconds = 300.0
    grace: Seconds = 1.0
    upstream_keepalive: Seconds = 3.0
    client_keepalive: Seconds = 75.0
    drain: Seconds = 30.0


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set; `config.example.yaml` gives the reasons."""

    listen: Listen = Address("127.0.0.1", 8081)
    upstream: Url = "http://127.0.0.1:8080"
    repair: Literal["on", "observe", "off"] = "on"
    dialect: Literal["auto", "default", "codex"] = "auto"
    disable: Slugs = ()
    enable: Slugs = ()
    hosts: Hosts = ()
    pass_host: bool = False
    connect_retries: Retries = 3
    keepalive: Seconds = 0.0
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)


def _kind(hint: Any) -> Kind | None:
    if get_origin(hint) is Annotated:
        kind: Kind = get_args(hint)[1]
        return kind
    return _choice(*get_args(hint)) if get_origin(hint) is Literal else PLAIN.get(hint)


def _settings(section: type, prefix: str = "") -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name, hint in get_type_hints(section, include_extras=True).items():
        kind = _kind(hint)
        kinds |= {prefix + name: kind} if kind else _settings(hint, f"{prefix}{name}.")
    return kinds


SETTINGS = _settings(Config)
"""Every setting by its dotted name (`timeouts.idle`), in the order of the fields."""


def build(given: Mapping[str, Given]) -> Config:
    """The configuration in which everything that is not given has its default."""
    sections: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for name, origin in given.items():
        section, _, key = name.rpartition(".")
        try:
            sections[section][key] = SETTINGS[name].read(origin.text)
        except ConfigError as wrong:
            raise ConfigError(f"{origin.source}: {name}: {wrong}") from None
    top = sections.pop("", {})
    default = Config()
    config = replace(default, **top, **{name: replace(getattr(default, name), **sections[name]) for name in sections})
    for slug in config.disable:
        if slug in config.enable:
            raise ConfigError(f"{given['enable'].source}: enable: {slug!r} is also disabled; say one of the two")
    return config
