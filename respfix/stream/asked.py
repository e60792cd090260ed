"""What the request said, as far as the repair of its answer can use it.

A response repeats most of its request: `model`, `tools`, `instructions` and others. Where a server leaves them out,
what was asked for is nearer the truth than a neutral default. It is knowledge, not an order: nothing that a server says
is ever changed to agree with the request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The keys that OpenAI's response repeats (recordings of 2025 and 2026), and the kinds under which they may stand there.
ECHOED: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "background": (bool,),
        "frequency_penalty": (int, float),
        "instructions": (str,),
        "max_output_tokens": (int,),
        "max_tool_calls": (int,),
        "metadata": (dict,),
        "parallel_tool_calls": (bool,),
        "presence_penalty": (int, float),
        "previous_response_id": (str,),
        "prompt_cache_key": (str,),
        "reasoning": (dict,),
        "safety_identifier": (str,),
        "store": (bool,),
        "temperature": (int, float),
        "text": (dict,),
        "tool_choice": (str, dict),
        "tools": (list,),
        "top_logprobs": (int,),
        "top_p": (int, float),
        "truncation": (str,),
        "user": (str,),
    }
)
# What may be left out of these in a request, and never is in a response.
WHOLE_TEXT: Mapping[str, Any] = MappingProxyType({"format": {"type": "text"}})
WHOLE_REASONING: Mapping[str, Any] = MappingProxyType({"effort": None, "summary": None})
WHOLE_FUNCTION: Mapping[str, Any] = MappingProxyType({"description": None, "parameters": None, "strict": None})
# How many values a request may have and be read. Each takes memory and time, whatever it says: 60 MB of `[],`, 58 kB of
# gzip, took 1.4 GiB and held everybody up for ten seconds; so many take 100 MiB and a fifth of a second.
VALUES = 2**20


@dataclass(frozen=True)
class Asked:
    """One request, as far as it is known; an unknown one asked for nothing."""

    stream: bool = False
    background: bool = False
    model: str = ""
    custom_tools: frozenset[str] = frozenset()  # names that only a custom tool has
    _echo: str = "{}"  # JSON text: parsed, the tools of one Codex request would take 200 kB for as long as it runs

    @classmethod
    def of(cls, body: bytes) -> Asked:
        """Read a request's body; one that cannot be read says nothing."""
        request = parsed(body)
        return cls() if request is None else cls.in_words(request)

    @classmethod
    def in_words(cls, request: Mapping[str, Any]) -> Asked:
        """Read a request that is parsed already."""
        given = {key: request[key] for key, kinds in ECHOED.items() if type(request.get(key)) in kinds}
        model = request.get("model")
        tools = [tool for tool in given.get("tools", ()) if isinstance(tool, dict)]
        return cls(
            stream=request.get("stream") is True,
            background=request.get("background") is True,
            model=model if isinstance(model, str) else "",
            custom_tools=_names(tools, "custom") - _names(tools, "function"),
            _echo=json.dumps(_repeated(given)),
        )

    @cached_property
    def echo(self) -> dict[str, Any]:
        """What the response repeats of it, besides the model."""
        given: dict[str, Any] = json.loads(self._echo)
        return given


def parsed(body: bytes) -> dict[str, Any] | None:
    """Give the JSON object that a request is; None for anything else, and for one of too many values."""
    if sum(map(body.count, (b",", b"[", b"{"))) > VALUES:
        return None
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _repeated(given: dict[str, Any]) -> dict[str, Any]:
    """Give what was asked for as a response says it: whole."""
    wholes = {"text": WHOLE_TEXT, "reasoning": WHOLE_REASONING}
    changes: dict[str, Any] = {key: {**whole, **given[key]} for key, whole in wholes.items() if key in given}
    if "tools" in given:
        changes["tools"] = [_whole_tool(tool) for tool in given["tools"]]
    return {**given, **changes}


def _whole_tool(tool: Any) -> Any:
    is_function = isinstance(tool, dict) and tool.get("type") == "function"
    return {**tool, **{key: value for key, value in WHOLE_FUNCTION.items() if key not in tool}} if is_function else tool


def _names(tools: Iterable[Mapping[str, Any]], kind: str) -> frozenset[str]:
    named = (tool.get("name") for tool in tools if tool.get("type") == kind)
    return frozenset(name for name in named if isinstance(name, str))
