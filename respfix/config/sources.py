"""Where the configuration comes from: the command line beats the environment, that the file, and that the defaults.

This file knows names and places, no values: it finds out who gave which setting as which text, and `build` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from respfix.config.kinds import ConfigError, Given, Kind, nearest
from respfix.config.settings import ROUTE_SETTINGS, ROUTES, SETTINGS

DEFAULT_FILE = Path("/etc/respfix/config.yaml")
PREFIX = "RESPFIX_"
FILE_VARIABLE = "RESPFIX_CONFIG"
MODEL_VARIABLE = "RESPFIX_CHECK_MODEL"  # for `respfix check URL`, which knows no other setting
VARIABLES = {PREFIX + name.upper().replace(".", "_"): name for name in SETTINGS}
LIST = ROUTES.removesuffix(".")  # only the file has it: a list of sections does not fit into a variable

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
        if not variable.startswith(PREFIX) or variable in {FILE_VARIABLE, MODEL_VARIABLE}:
            continue
        if variable not in VARIABLES:
            if LINKS.fullmatch(variable):
                continue
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
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply; no setting needs more than three levels") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    return dict(_leaves(root, path)) if root and not _is_empty(root) else {}


def _leaves(
    section: yaml.Node, path: Path, known: Mapping[str, Kind] = SETTINGS, prefix: str = "", number: str = ""
) -> Iterator[tuple[str, Given]]:
    """The settings of one section; `number` is the route's, which is part of the name and of no message."""
    for name, source, node in _entries(section, path, known, prefix, number):
        if name == LIST:
            yield from _routes(node, path)
        elif name in _sections(known):
            if not _is_empty(node):
                yield from _leaves(node, path, known, f"{name}.", number)
        else:
            yield number + name, Given(_text(node, known[name], f"{source}: {_said(name, number)}"), source)


def _routes(node: yaml.Node, path: Path) -> Iterator[tuple[str, Given]]:
    if _is_empty(node):
        return
    if not isinstance(node, yaml.SequenceNode):
        raise ConfigError(f"{path}:{_line(node)}: routes: expected a list, each with a `-` and its settings")
    for place, route in enumerate(node.value):
        if isinstance(route, yaml.MappingNode) and not route.value:
            raise ConfigError(f"{path}:{_line(route)}: routes: a route needs settings, such as `path: /name`")
        yield from _leaves(route, path, ROUTE_SETTINGS, number=f"{ROUTES}{place}.")


def _entries(
    section: yaml.Node, path: Path, known: Mapping[str, Kind], prefix: str, number: str
) -> Iterator[tuple[str, str, yaml.Node]]:
    """The keys of one section, each a known one and there only once."""
    if not isinstance(section, yaml.MappingNode):
        place = _said(prefix, number).removesuffix(".") or "the file"
        first = _key(next(name for name in known if name.startswith(prefix)))
        raise ConfigError(f"{path}:{_line(section)}: {place}: expected keys with values, such as `{first}: …`")
    seen = set()
    for key, node in section.value:
        name, source = f"{prefix}{key.value}", f"{path}:{_line(key)}"
        if number and name in SETTINGS.keys() - known.keys() | _sections(SETTINGS) - _sections(known):
            raise ConfigError(f"{source}: {_said(name, number)}: is the same for all routes; set it at the top")
        names = known.keys() | _sections(known) | (set() if number else {LIST})
        if name not in names or "." in str(key.value):
            raise ConfigError(f"{source}: there is no setting {_said(name, number)!r}{_meant(name, known)}")
        if name in seen:
            raise ConfigError(f"{source}: {_said(name, number)} is given twice; remove one of the two")
        seen.add(name)
        yield name, source, node


def _sections(known: Mapping[str, Kind]) -> set[str]:
    return {name.rpartition(".")[0] for name in known} - {""}


def _said(name: str, number: str) -> str:
    """How messages name a setting; they have a line, so a route needs no number."""
    return ROUTES + name if number else name


def _meant(name: str, known: Mapping[str, Kind]) -> str:
    """The nearest setting, also for a key that stands in the wrong section."""
    return nearest(name, [*known, *_sections(known)]) or nearest(_key(name), known, by=_key)


def _key(name: str) -> str:
    return name.rpartition(".")[2]


def _text(node: yaml.Node, kind: Kind, place: str) -> str | tuple[str, ...]:
    if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in node.value):
        return tuple(item.value for item in node.value)
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(f"{place}: expected {kind.expects}, not keys or lists of lists")
    if node.tag.startswith("!"):
        raise ConfigError(f"{place}: the tag {node.tag} means nothing here; write the value itself")
    if _is_empty(node) and not kind.is_list:
        raise ConfigError(f"{place}: has no value; expected {kind.expects}, or remove the key")
    return str(node.value)


def _is_empty(node: yaml.Node) -> bool:
    """A key with nothing behind it, or with everything behind it commented out."""
    return isinstance(node, yaml.ScalarNode) and node.value == "" and node.style is None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
