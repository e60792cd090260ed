"""THE TABLE: what opens, grows, values and closes the brackets of a Responses stream.

A stream is nested brackets: response > item > part > value. Every event opens, grows, values, closes or remarks on one
of them; nearly everything that servers get wrong is a bracket that was not opened or not closed, or a bracket under
another name. So the protocol stands here, as rows that can be read aloud, and `repair.py` knows none of it:

    response  created (queued)? in_progress?           items           completed | incomplete | failed
      item      output_item.added                      parts                         output_item.done
        part      content_part.added                   value                         content_part.done
        part      reasoning_summary_part.added         value                         reasoning_summary_part.done
          value                   output_text.delta*        output_text.done
          value                   refusal.delta*            refusal.done
          value                   reasoning_text.delta*     reasoning_text.done
          value                   reasoning_summary_text.delta*  reasoning_summary_text.done
        value                   function_call_arguments.delta*  function_call_arguments.done
        value                   custom_tool_call_input.delta*   custom_tool_call_input.done
        value                   mcp_call_arguments.delta*       mcp_call_arguments.done
        value                   code_interpreter_call_code.delta*   code_interpreter_call_code.done
        value                   apply_patch_call_operation_diff.delta*   apply_patch_call_operation_diff.done
        part      shell_call_command.added
          value                   shell_call_command.delta*     shell_call_command.done
        (remarks)               web_search_call.searching, image_generation_call.partial_image and their like

The value of a call is the item's own; a message's and a reasoning item's values stand in parts, one in each. Parts of
one array follow one another; items may overlap (parallel calls do). An event name that has no row passes untouched, so
what OpenAI adds tomorrow arrives intact.

Which keys a bracket needs, and which value is neutral, is a column. `wants` are keys that a measured client breaks
without: their absence alone starts a repair. `also` are keys that OpenAI itself left out in some era and that no
measured client needs: they are filled only in a stream that is being repaired anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

CREATE = "response.create"  # the client's, over a WebSocket
CREATED = "response.created"
QUEUED = "response.queued"
IN_PROGRESS = "response.in_progress"
COMPLETED = "response.completed"
INCOMPLETE = "response.incomplete"
FAILED = "response.failed"
ITEM_ADDED = "response.output_item.added"
ITEM_DONE = "response.output_item.done"
ERROR = "error"
KEEPALIVE = "keepalive"
PREFIX = "response."


def _nothing() -> Mapping[str, Any]:
    return field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Array:
    """An array of parts in an item, and the events that open and close one of them."""

    key: str
    index: str
    added: str
    done: str = ""  # empty: the part is closed by its value's done
    inside: tuple[str, ...] = ()  # the keys of the item that lead to the array
    is_bare: bool = False  # its parts are texts, and their events carry the text itself and no item_id

    @property
    def path(self) -> tuple[str, ...]:
        """Where it stands in the item."""
        return (*self.inside, self.key)


CONTENT = Array("content", "content_index", "response.content_part.added", "response.content_part.done")
SUMMARY = Array(
    "summary", "summary_index", "response.reasoning_summary_part.added", "response.reasoning_summary_part.done"
)
COMMANDS = Array("commands", "command_index", "response.shell_call_command.added", inside=("action",), is_bare=True)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that grows by deltas: in a part of an array, or (no array) the item's own."""

    name: str  # the part's type, or the key of the item
    item: str  # the type of item that an orphan delta implies
    value: str  # the key that holds the whole in the done event, the part and the item
    delta: str
    done: str
    array: Array | None = None
    note: str | None = None  # remarks on the part, to be gathered into `annotations`
    wants: Mapping[str, Any] = _nothing()  # keys of the part
    also: Mapping[str, Any] = _nothing()
    event_also: Mapping[str, Any] = _nothing()  # keys of the delta and done events
    is_json: bool = False  # the value is the text of a JSON object, so an empty one is {}
    unsaid: str = "missing-delta"  # the defect where it comes whole, without deltas; '' where healthy servers do that
    is_hosted: bool = False  # a hosted tool's: what upstream did not stream or close of it is left at that
    inside: tuple[str, ...] = ()  # the keys of the item that lead to it

    @property
    def path(self) -> tuple[str, ...]:
        """Where it stands in the item, or in the part."""
        return (*self.inside, self.value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of item."""

    type: str
    prefix: str  # of made-up ids
    arrays: tuple[Array, ...] = ()
    wants: Mapping[str, Any] = _nothing()
    needs: tuple[str, ...] = ()  # without these it cannot be announced, and nobody can make them up
    status_is_wanted: bool = False  # AI SDK 6 and 7 refuse a call without status, @openai/agents 0.20 a message
    has_status: bool = True
    id_binds_content: bool = False  # its ciphertext is bound to its id
    whole_is_said_once: bool = False  # what stands only in its done event is not said after other parts were
    ends_turn: bool = False  # a turn may end with it, so a clean end after it is an end
    may_stay_open: bool = False  # OpenAI itself never closes some (openai, mcp_list_tools, 2025-11)


LEAVES = (
    Leaf(
        "output_text",
        "message",
        "text",
        "response.output_text.delta",
        "response.output_text.done",
        CONTENT,
        note="response.output_text.annotation.added",
        wants={"text": "", "annotations": []},
        also={"logprobs": []},
        event_also={"logprobs": []},
    ),
    Leaf(
        "refusal",
        "message",
        "refusal",
        "response.refusal.delta",
        "response.refusal.done",
        CONTENT,
        wants={"refusal": ""},
    ),
    Leaf(
        "reasoning_text",
        "reasoning",
        "text",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        CONTENT,
        wants={"text": ""},
        unsaid="",
    ),
    Leaf(
        "summary_text",
        "reasoning",
        "text",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        SUMMARY,
        wants={"text": ""},
    ),
    Leaf(
        "arguments",
        "function_call",
        "arguments",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        is_json=True,
        unsaid="whole-call",
    ),
    Leaf(
        "input",
        "custom_tool_call",
        "input",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
        unsaid="whole-call",
    ),
    Leaf(
        "arguments",
        "mcp_call",
        "arguments",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        is_hosted=True,
    ),
    Leaf(
        "code",
        "code_interpreter_call",
        "code",
        "response.code_interpreter_call_code.delta",
        "response.code_interpreter_call_code.done",
        is_hosted=True,
    ),
    Leaf(  # not in the SDKs' unions, but on OpenAI's wire
        "diff",
        "apply_patch_call",
        "diff",
        "response.apply_patch_call_operation_diff.delta",
        "response.apply_patch_call_operation_diff.done",
        is_hosted=True,
        inside=("operation",),
    ),
    Leaf(
        "command",
        "shell_call",
        "command",
        "response.shell_call_command.delta",
        "response.shell_call_command.done",
        COMMANDS,
        is_hosted=True,
    ),
)

# What a hosted tool says of its progress: an event each, by the type of its item. None is ever made up; Azure leaves
# some out.
PROGRESS = {
    "mcp_call": ("mcp_call.in_progress", "mcp_call.completed", "mcp_call.failed"),
    "mcp_list_tools": ("mcp_list_tools.in_progress", "mcp_list_tools.completed", "mcp_list_tools.failed"),
    "web_search_call": ("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
    "file_search_call": ("file_search_call.in_progress", "file_search_call.searching", "file_search_call.completed"),
    "code_interpreter_call": (
        "code_interpreter_call.in_progress",
        "code_interpreter_call.interpreting",
        "code_interpreter_call.completed",
    ),
    "image_generation_call": (
        "image_generation_call.in_progress",
        "image_generation_call.generating",
        "image_generation_call.partial_image",
        "image_generation_call.completed",
    ),
    "compaction": ("compaction.compacting",),
    "shell_call_output": ("shell_call_output_content.delta", "shell_call_output_content.done"),
}
AUDIO = ("audio.delta", "audio.done", "audio.transcript.delta", "audio.transcript.done")  # of no item

KINDS = {
    kind.type: kind
    for kind in (
        Kind(
            "message",
            "msg_",
            (CONTENT,),
            wants={"role": "assistant", "content": []},
            status_is_wanted=True,
            ends_turn=True,
        ),
        Kind(
            "reasoning",
            "rs_",
            (SUMMARY, CONTENT),
            wants={"summary": []},
            has_status=False,
            id_binds_content=True,
            whole_is_said_once=True,
        ),
        Kind(
            "function_call",
            "fc_",
            wants={"arguments": ""},
            needs=("name", "call_id"),
            status_is_wanted=True,
            ends_turn=True,
        ),
        Kind(
            "custom_tool_call",
            "ctc_",
            wants={"input": ""},
            needs=("name", "call_id"),
            status_is_wanted=True,
            ends_turn=True,
        ),
        Kind("mcp_list_tools", "mcpl_", has_status=False, may_stay_open=True),
        Kind("mcp_call", "mcp_", needs=("name", "server_label"), has_status=False),
        Kind("mcp_approval_request", "mcpr_", has_status=False, ends_turn=True),
        Kind("web_search_call", "ws_"),
        Kind("file_search_call", "fs_", wants={"queries": []}),
        Kind("code_interpreter_call", "ci_", wants={"code": ""}),
        Kind("image_generation_call", "ig_"),
        Kind(
            "shell_call",
            "sh_",
            (COMMANDS,),
            wants={"action": {"commands": [], "max_output_length": None, "timeout_ms": None}},
            needs=("call_id",),
            ends_turn=True,
        ),
        Kind("shell_call_output", "sho_"),
        Kind("local_shell_call", "lsh_", ends_turn=True),
        Kind("apply_patch_call", "apc_", needs=("call_id",), ends_turn=True),
        Kind("tool_search_call", "tsc_", ends_turn=True),
        Kind("tool_search_output", "tso_"),
        Kind("computer_call", "cu_", ends_turn=True),
        Kind("program", "prog_", has_status=False),
        Kind("program_output", "prgo_"),
        Kind("compaction", "cmp_", has_status=False, ends_turn=True),
    )
}


def kind_of(item_type: str) -> Kind:
    """Give the row of an item type; a type without one is bracketed like any other and otherwise passes."""
    return KINDS.get(item_type) or Kind(item_type, "item_", has_status=False)


# A type that is absent is told by the keys that only one kind of item has.
TELLING_KEYS = (
    ("summary", "reasoning"),
    ("encrypted_content", "reasoning"),
    ("arguments", "function_call"),
    ("input", "custom_tool_call"),
    ("role", "message"),
    ("content", "message"),
)

# What a response object needs. `created_at`: @ai-sdk/openai 3 and 4 refuse the event without it, agent-framework dies;
# `model`: Grok CLI and the AI SDK; `output`: openai-python 2.x, and 14 of 25 set-ups in the terminal event.
RESPONSE_WANTS: Mapping[str, Any] = MappingProxyType({"object": "response", "model": "", "output": []})
# What OpenAI's has always had besides (March 2025), and what that is if nobody asked for anything else.
RESPONSE_ALSO: Mapping[str, Any] = MappingProxyType(
    {
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
    }
)
# What it has in 2026, and the schema of Open Responses (2026-04-24) requires. A response that lacks some of the above
# was never made after OpenAI's and gets these, too; one that lacks only these is older, and is not made newer. Of
# `store`: a server that does not say that it stores is not known to.
RESPONSE_NOW: Mapping[str, Any] = MappingProxyType(
    {
        "background": False,
        "completed_at": None,
        "frequency_penalty": 0.0,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "text": {"format": {"type": "text"}},
        "top_logprobs": 0,
        "truncation": "disabled",
        "usage": None,
    }
)
STATUS_OF = {
    CREATED: "in_progress",
    QUEUED: "queued",
    IN_PROGRESS: "in_progress",
    COMPLETED: "completed",
    INCOMPLETE: "incomplete",
    FAILED: "failed",
}
TERMINAL_OF = {"completed": COMPLETED, "incomplete": INCOMPLETE, "failed": FAILED, "cancelled": FAILED}

# Tokens in Chat Completions' words and in the Responses API's, with the details object of each.
USAGE = (
    ("input_tokens", "prompt_tokens", "input_tokens_details", "prompt_tokens_details", "cached_tokens"),
    ("output_tokens", "completion_tokens", "output_tokens_details", "completion_tokens_details", "reasoning_tokens"),
)
NO_USAGE: Mapping[str, Any] = MappingProxyType(
    {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }
)


class Scope(Enum):
    """A bracket."""

    RESPONSE = auto()
    ITEM = auto()
    PART = auto()
    VALUE = auto()


class Role(Enum):
    """What an event does to its bracket."""

    OPEN = auto()
    GROW = auto()
    NOTE = auto()
    CLOSE = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: its bracket, what it does to it, and the row it comes from."""

    scope: Scope
    role: Role
    leaf: Leaf | None = None
    array: Array | None = None
    owners: frozenset[str] = frozenset()  # the item types it fits


def _places() -> dict[str, Place]:
    places = {
        CREATED: Place(Scope.RESPONSE, Role.OPEN),
        QUEUED: Place(Scope.RESPONSE, Role.OPEN),
        IN_PROGRESS: Place(Scope.RESPONSE, Role.OPEN),
        COMPLETED: Place(Scope.RESPONSE, Role.CLOSE),
        INCOMPLETE: Place(Scope.RESPONSE, Role.CLOSE),
        FAILED: Place(Scope.RESPONSE, Role.CLOSE),
        ITEM_ADDED: Place(Scope.ITEM, Role.OPEN),
        ITEM_DONE: Place(Scope.ITEM, Role.CLOSE),
    }
    for array in (CONTENT, SUMMARY, COMMANDS):
        owners = frozenset(kind.type for kind in KINDS.values() if array in kind.arrays)
        places[array.added] = Place(Scope.PART, Role.OPEN, None, array, owners)
        if array.done:
            places[array.done] = Place(Scope.PART, Role.CLOSE, None, array, owners)
    for leaf in LEAVES:
        owners = frozenset((leaf.item,))
        places[leaf.delta] = Place(Scope.VALUE, Role.GROW, leaf, leaf.array, owners)
        places[leaf.done] = Place(Scope.VALUE, Role.CLOSE, leaf, leaf.array, owners)
        if leaf.note:
            places[leaf.note] = Place(Scope.VALUE, Role.NOTE, leaf, leaf.array, owners)
    for item_type, events in PROGRESS.items():
        places |= {PREFIX + event: Place(Scope.ITEM, Role.NOTE, owners=frozenset((item_type,))) for event in events}
    return places | {PREFIX + event: Place(Scope.RESPONSE, Role.NOTE) for event in AUDIO}


PLACES: Mapping[str, Place] = MappingProxyType(_places())  # the only dispatch in the program


def leaf_of(item_type: str, array: Array, part_type: object) -> Leaf | None:
    """Give the row of a part; one without a type, or of Chat Completions' type `text`, is the item's usual one."""
    fitting = [leaf for leaf in LEAVES if leaf.array is array and leaf.item == item_type]
    if part_type is None or part_type == "text":
        return fitting[0] if fitting else None
    return next((leaf for leaf in fitting if leaf.name == part_type), None)


def owners_of_part(array: Array, part_type: object) -> frozenset[str]:
    """Give the item types that a part of this type stands in; none for a type without a row."""
    return frozenset(leaf.item for leaf in LEAVES if leaf.array is array and leaf.name == part_type)


def own_leaf(item_type: str) -> Leaf | None:
    """Give the row of the value that is the item's own, if its kind has one."""
    return next((leaf for leaf in LEAVES if leaf.array is None and leaf.item == item_type), None)
