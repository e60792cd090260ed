"""Where the configuration comes from: the command line beats the environment, that the file, and that the defaults.

This file knows names and places, no values: it finds out who gave which setting as which text, and `config.build`
reads the text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from respfix.config import SETTINGS, Config, ConfigError, Given, masked, nearest

DEFAULT_FILE = Path("/etc/respfix/config.yaml")
PREFIX = "RESPFIX_"
FILE_VARIABLE = "RESPFIX_CONFIG"
MODEL_VARIABLE = "RESPFIX_CHECK_MODEL"  # for `respfix check URL`, which knows no other setting
VARIABLES = {PREFIX + name.upper().replace(".", "_"): name for name in SETTINGS}
SECTIONS = {name.rpartition(".")[0] for name in SETTINGS} - {""}

# Kubernetes and Docker links put these into the environment of every neighbour of a service called respfix-something.
LINKS = re.compile(r"RESPFIX(_\w+)?_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


def gather(file: Path | None, environ: Mapping[str, str], flags: Mapping[str, Given]) -> dict[str, Given]:
    """What was given, by the name of the setting; where several give the same, the strongest."""
    if file is None and environ.get(FILE_VARIABLE):
        file = Path(environ[FILE_VARIABLE])
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    return {**(from_file(file) if file else {}), **from_environment(environ), **flags}


def from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    """What the `RESPFIX_*` variables give; one that sets nothing is an error, because it was meant to."""
    given = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable in {FILE_VARIABLE, MODEL_VARIABLE} or LINKS.fullmatch(variable):
            continue
        if variable not in VARIABLES:
            raise ConfigError(f"{variable}: there is no such setting{nearest(variable, VARIABLES)}")
        given[VARIABLES[variable]] = Given(text, variable)
    return given


def from_file(path: Path) -> dict[str, Given]:
    """What the YAML file gives, each with its line; nothing in it is ever constructed or run."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; check the path and its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    return dict(_leaves(root, path)) if root and not _is_empty(root) else {}


def render(config: Config, given: Mapping[str, Given]) -> str:
    """The configuration as YAML that reads back as it is; each line says who gave its value. Passwords are masked."""
    lines, section = [], ""
    for name in SETTINGS:
        value = functools.reduce(getattr, name.split("."), config)
        parent, _, key = name.rpartition(".")
        if parent != section:
            lines.append(f"{parent}:")
            section = parent
        origin = given[name].source if name in given else "default"
        lines.append(f"{'  ' * bool(parent)}{key}: {_spell(value)}  # {origin}")
    return "\n".join(lines) + "\n"


def _spell(value: object) -> str:
    if isinstance(value, tuple):
        return json.dumps(list(value))
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return json.dumps(masked(str(value)))


def _leaves(section: yaml.Node, path: Path, prefix: str = "") -> Iterator[tuple[str, Given]]:
    for name, source, node in _entries(section, path, prefix):
        if name not in SECTIONS:
            yield name, Given(_text(node, name, source), source)
        elif not _is_empty(node):
            yield from _leaves(node, path, f"{name}.")


def _entries(section: yaml.Node, path: Path, prefix: str) -> Iterator[tuple[str, str, yaml.Node]]:
    """The keys of one section, each a known one and there only once."""
    if not isinstance(section, yaml.MappingNode):
        place = prefix.removesuffix(".") or "the file"
        raise ConfigError(f"{path}:{_line(section)}: {place}: expected keys with values, such as `key: value`")
    seen = set()
    for key, node in section.value:
        name, source = f"{prefix}{key.value}", f"{path}:{_line(key)}"
        if name not in SETTINGS.keys() | SECTIONS or "." in str(key.value):
            raise ConfigError(f"{source}: there is no setting {name!r}{_meant(name)}")
        if name in seen:
            raise ConfigError(f"{source}: {name} is given twice; remove one of the two")
        seen.add(name)
        yield name, source, node


def _meant(name: str) -> str:
    """The nearest setting, also for a key that stands in the wrong section."""
    return nearest(name, [*SETTINGS, *SECTIONS]) or nearest(_key(name), SETTINGS, by=_key)


def _key(name: str) -> str:
    return name.rpartition(".")[2]


def _text(node: yaml.Node, name: str, source: str) -> str | tuple[str, ...]:
    if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return tuple(item.value for item in node.value)
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{source}: {name}: expected {SETTINGS[name].expects}, not keys or lists of lists")
    if node.tag.startswith("!"):
        raise ConfigError(f"{source}: {name}: the tag {node.tag} means nothing here; write the value itself")
    if _is_empty(node) and not SETTINGS[name].is_list:
        raise ConfigError(f"{source}: {name}: has no value; expected {SETTINGS[name].expects}, or remove the key")
    return str(node.value)


def _is_empty(node: yaml.Node) -> bool:
    """A key with nothing behind it, or with everything behind it commented out."""
    return isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
