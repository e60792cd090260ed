"""Every fault that is repaired, by name: what is wrong, whom it hurts, what is done about it.

A row is what a switch, a counter, a log line and the documentation speak of. The engine asks `Triage.mend(slug)` before
every repair, so a defect that is not in this table cannot be repaired, and one that is switched off cannot be touched.

A `companion` never starts a repair: OpenAI itself left such keys out in some era, and healthy vendors still do. It is
mended only in a stream in which something else was wrong already.

`breaks` and `may_break` are what was measured: one defect at a time with two releases of Codex and the AI SDK, every
stream of the corpus with both OpenAI SDKs (a test repeats that). Where nobody measured, they are empty. `spares` says
in which events (without `response.`) a fault was seen to do no harm to a family that it breaks elsewhere, `may_spare`
in which it was seen to do harm and none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from respfix.stream.contract import Limits, Options, Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from respfix.stream.event import Event


class Family(StrEnum):
    """Clients that read a stream alike."""

    CODEX = "Codex"  # 0.135.0 and 0.169.0: exec, app-server and the terminal interface
    OPENAI_PYTHON = "openai-python"  # 2.54 and 3.51, `responses.stream()`
    OPENAI_NODE = "openai-node"  # 6.49 and 7.55, `responses.stream()`
    AI_SDK = "AI SDK"  # ai 6 and 7 with @ai-sdk/openai or @ai-sdk/open-responses
    TYPED = "typed clients"  # Rust with serde and their kin, by async-openai's source and Grok CLI's messages


@dataclass(frozen=True, slots=True)
class Defect:
    """A named fault."""

    slug: str
    wrong: str
    hurts: str
    remedy: str
    breaks: frozenset[Family] = frozenset()  # one of their measured clients fails, or hands on less than was sent
    may_break: frozenset[Family] = frozenset()  # likewise, but only in some of the shapes that this fault has
    spares: frozenset[tuple[Family, str]] = frozenset()  # this family does not mind it in this event
    may_spare: frozenset[tuple[Family, str]] = frozenset()  # nor, in some of its shapes, in this one
    is_companion: bool = False
    is_on: bool = True


def _of(*families: Family) -> frozenset[Family]:
    return frozenset(families)


CODEX, PYTHON, NODE, AI_SDK, TYPED = Family
EVERY_FAMILY = frozenset(Family)

GROUPS: Mapping[str, tuple[Defect, ...]] = MappingProxyType(
    {
        "brackets that were not opened": (
            Defect(
                "missing-response-created",
                "the stream does not begin with response.created",
                "openai-python and openai-node: Expected to have received `response.created` before …",
                "it is made and sent first",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "missing-response-in-progress",
                "no response.in_progress after response.created",
                "nobody measured; OpenAI sends it",
                "it is sent before the first item",
                is_companion=True,
            ),
            Defect(
                "missing-output-item-added",
                "an event for an item that was never announced",
                "Codex: OutputTextDelta without active item; openai-python, openai-node raise; AI SDK: part not found",
                "the item is announced first",
                breaks=_of(CODEX, PYTHON, NODE, AI_SDK),
                spares=frozenset({(PYTHON, "completed"), (NODE, "completed")}),
            ),
            Defect(
                "missing-part-added",
                "no content_part.added or reasoning_summary_part.added",
                "openai-python: list index out of range in accumulate_event; openai-node: missing content at index",
                "the part is opened before its first word",
                breaks=_of(PYTHON, NODE),
                spares=frozenset(
                    {(PYTHON, "completed"), (PYTHON, "reasoning_summary_text.delta"), (NODE, "completed")}
                ),
            ),
            Defect(
                "call-without-name",
                "a call was announced without its name or call_id",
                "AI SDK, openai-node, LangChain, agent-framework lose the call",
                "its events wait until an event or the terminal supplies the name",
                breaks=_of(PYTHON, NODE, AI_SDK, TYPED),
            ),
            Defect(
                "call-without-call-id",
                "a call never got a call_id",
                "every client: the result cannot be answered",
                "the item's id takes its place",
                breaks=EVERY_FAMILY,
            ),
            Defect(
                "unannounceable-call",
                "a call never got a name",
                "every client: there is no tool to run",
                "its events leave as they came; nothing can be made up",
                breaks=EVERY_FAMILY,
            ),
        ),
        "brackets that were not closed": (
            Defect(
                "missing-value-done",
                "no output_text.done, arguments.done or the like",
                "readers that act on closing values (agent-framework, strands), chiefly for arguments",
                "it is sent with what was streamed",
            ),
            Defect(
                "missing-part-done",
                "no content_part.done or reasoning_summary_part.done",
                "readers that count brackets",
                "it is sent with what was streamed",
            ),
            Defect(
                "missing-output-item-done",
                "an item was never closed",
                "Codex: the answer is not printed, the tool never runs; AI SDK, agno, llm lose the call",
                "it is closed before the end, with what was streamed",
                breaks=_of(CODEX, AI_SDK),
            ),
            Defect(
                "missing-terminal",
                "the stream ends without response.completed although everything in it is complete",
                "Codex: stream closed before response.completed, and the request is repeated",
                "response.completed is sent",
                breaks=_of(CODEX, PYTHON, NODE),
            ),
            Defect(
                "truncated-stream",
                "the stream breaks off",
                "18 of 25 client set-ups take a clean end for success; opencode repeats the request without pause",
                "response.failed is sent, in the form that every measured client notices",
                breaks=EVERY_FAMILY,
            ),
        ),
        "values": (
            Defect(
                "empty-value-done",
                "output_text.done, arguments.done or the like without their value",
                "agent-framework: the final text is empty; openai-node: reading 'length'",
                "the value is what was streamed",
                may_break=_of(NODE, AI_SDK, TYPED),
            ),
            Defect(
                "empty-part",
                "a closing part without its text",
                "readers of the final object",
                "the text is what was streamed",
                may_break=_of(TYPED),
            ),
            Defect(
                "incomplete-item",
                "output_item.done without its content, summary, arguments or input",
                "Codex: blank reply and exit 0, the tool never runs; openai-node: output.content is not iterable",
                "they are what was streamed",
                breaks=_of(CODEX),
                may_break=_of(PYTHON, NODE, AI_SDK, TYPED),
            ),
            Defect(
                "missing-delta",
                "a value came whole, without a delta",
                "everybody who shows text as it comes: nothing is shown",
                "the whole is sent as one delta first",
                breaks=_of(PYTHON, NODE, AI_SDK),
                may_break=_of(CODEX),
            ),
            Defect(
                "whole-call",
                "a call's arguments or input came whole, without a delta (LM Studio)",
                "LangChain, litellm's Chat bridge, agno, Haystack: the tool is run with {}",
                "the whole is sent as one delta first",
            ),
            Defect(
                "missing-tail",
                "the closing value is longer than what was streamed",
                "Codex 0.135: the end of the text is not shown",
                "the rest is sent as a delta first",
                breaks=_of(CODEX, PYTHON, NODE),
            ),
            Defect(
                "late-tail",
                "the item has more text than its part, which is closed already",
                "Codex 0.135: the end of the text is not shown",
                "the rest is sent as a delta before the item is closed (Codex only)",
                breaks=_of(CODEX, PYTHON, NODE),
            ),
            Defect(
                "empty-arguments",
                "a call without arguments has an empty text for them",
                "Codex cannot parse it: the tool is not run",
                "they are {}",
                breaks=_of(CODEX, PYTHON, NODE),
                spares=frozenset({(PYTHON, "function_call_arguments.done"), (NODE, "function_call_arguments.done")}),
            ),
            Defect(
                "doubled-arguments",
                "the arguments are exactly twice what was streamed (Sub2API 0.1.134 to 0.1.138)",
                "every client: two JSON objects in a row do not parse",
                "they are what was streamed",
                breaks=EVERY_FAMILY,
            ),
            Defect(
                "filled-snapshot",
                "an announcement has text in it already",
                "openai-node: missing content at index; accumulators that append show that text twice",
                "it is announced empty; the text is said once",
                breaks=_of(NODE),
            ),
            Defect(
                "delta-without-text",
                "a delta event without `delta`, or an empty one for which nothing is open",
                "nearly all: TypeError",
                "it is dropped",
                breaks=_of(PYTHON, NODE, AI_SDK, TYPED),
            ),
            Defect(
                "delta-not-text",
                "`delta` is an object or a list",
                "nearly all: TypeError, [object Object]",
                "it is the text inside",
                breaks=EVERY_FAMILY,
            ),
        ),
        "names": (
            Defect(
                "missing-item-id",
                "an event inside an item without item_id",
                "openai-node: expected a non-empty item_id; AI SDK",
                "it is the announced item's",
                breaks=_of(NODE, AI_SDK, TYPED),
            ),
            Defect(
                "changed-item-id",
                "an item's id is not the one it was announced with",
                "openai-node: expected item_id …, got …; AI SDK: part not found; openai-python: identity changed",
                "it is the announced one everywhere",
                breaks=_of(PYTHON, NODE, AI_SDK),
                may_spare=frozenset({(PYTHON, "completed")}),  # the id of a message; not that of a call
            ),
            Defect(
                "item-without-id",
                "an item without an id",
                "openai-node, AI SDK: schema error",
                "one id is derived from the response and the index",
                breaks=_of(NODE, AI_SDK, TYPED),
            ),
            Defect(
                "missing-output-index",
                "an event inside an item without output_index (Go's omitempty drops a zero)",
                "openai-node, AI SDK, openai-python 2.x",
                "it is the item's place in the order of announcement",
                breaks=_of(NODE, AI_SDK, TYPED),
                may_break=_of(PYTHON),
            ),
            Defect(
                "wrong-output-index",
                "output_index is not the item's place: all zero, from one, with gaps, or used twice",
                "openai-python: Duplicate response output index; LangChain merges two calls",
                "it is the item's place in the order of announcement",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "missing-part-index",
                "no content_index or summary_index",
                "openai-python: list indices must be integers; openai-node: missing content at index undefined",
                "it is the part's place",
                breaks=_of(PYTHON, NODE, TYPED),
                may_break=_of(CODEX, AI_SDK),
            ),
            Defect(
                "wrong-part-index",
                "content_index or summary_index is not the part's place",
                "openai-node: missing content at index; openai-python where the first is not 0",
                "it is the part's place",
                breaks=_of(NODE),
                may_break=_of(PYTHON),
            ),
            Defect(
                "reused-output-index",
                "an item is announced on the index of one that is still open "
                "(opencode-llm-proxy 1.10.0, text then tool)",
                "openai-python: Duplicate response output index",
                "the elder is closed first",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "response-without-id",
                "the response has no id",
                "Codex: failed to parse ResponseCompleted: missing field id; the request is repeated",
                "it is the announced one, or one derived from the request",
                breaks=_of(CODEX, PYTHON, NODE, TYPED),
            ),
            Defect(
                "changed-response-id",
                "the response's id is not the one it was announced with",
                "openai-python: Lifecycle response identity changed.",
                "it is the announced one",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "late-response-id",
                "only the terminal event says the response's id",
                "openai-python: Lifecycle response identity changed.",
                "it is the one that respfix had to make up",
                breaks=_of(PYTHON, NODE),
            ),
        ),
        "numbers": (
            Defect(
                "missing-sequence-number",
                "events without sequence_number",
                "Rust clients (async-openai, Grok): missing field",
                "they are counted",
                breaks=_of(TYPED),
                is_companion=True,
            ),
            Defect(
                "sequence-number-not-rising",
                "sequence_number repeats or falls",
                "resuming clients; strict readers",
                "it is the next one",
            ),
        ),
        "repeats": (
            Defect(
                "repeated-response-created",
                "response.created comes twice",
                "accumulators that start anew",
                "the second is dropped",
            ),
            Defect(
                "repeated-item-added",
                "an item is announced twice",
                "openai-python: Duplicate response output index",
                "the second is dropped",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "repeated-part-added",
                "a part is opened twice",
                "openai-node: missing content at index",
                "the second is dropped",
                breaks=_of(NODE),
            ),
            Defect(
                "repeated-value-done",
                "a value is closed twice",
                "text shown twice",
                "the second is dropped",
            ),
            Defect(
                "repeated-part-done",
                "a part is closed twice",
                "readers that count brackets",
                "the second is dropped",
            ),
            Defect(
                "repeated-item-done",
                "an item is closed twice",
                "Codex runs the tool twice, or prints the text twice",
                "the second is dropped",
                breaks=_of(CODEX, AI_SDK),
            ),
            Defect(
                "repeated-delta",
                "a delta says again what was said",
                "text shown twice",
                "it is dropped",
            ),
            Defect(
                "cumulative-deltas",
                "each delta repeats the whole text so far (Aether)",
                "everybody who joins deltas: the text is there many times",
                "only what is new is sent; three deltas that grow are taken for proof, so the second one waits",
                breaks=_of(PYTHON, NODE),
                is_on=False,
            ),
            Defect(
                "replayed-prefix",
                "each item says all that the ones before it said, and goes on (Bedrock Mantle: 27 times the answer)",
                "everybody who shows text as it comes: the answer starts again and again",
                "only what is new is sent; an item that begins like the one before waits until it says something else",
                breaks=_of(PYTHON, NODE),
                is_on=False,
            ),
            Defect(
                "delta-after-done",
                "an item goes on speaking after its done (Sub2API, reasoning resumed after text)",
                "openai-node, AI SDK: unknown item",
                "a new item says it",
                may_break=_of(NODE, AI_SDK),
            ),
            Defect(
                "event-after-done",
                "an event for an item that is done",
                "openai-node, where the event is of a kind that needs an open item",
                "it is dropped",
                may_break=_of(NODE),
            ),
            Defect(
                "event-after-terminal",
                "something follows the terminal event",
                "openai-node: unhandled event; usage counted twice",
                "it is dropped; a second terminal event after response.failed makes way for an error event",
                breaks=_of(NODE),
                may_break=_of(PYTHON),
            ),
        ),
        "keys": (
            Defect(
                "missing-item-keys",
                "an item without content, summary, role, status, arguments or input",
                "Codex: OutputTextDelta without active item; openai-python: 'NoneType' has no attribute 'append'",
                "they are filled, empty",
                breaks=_of(CODEX, PYTHON, NODE, TYPED),
                may_break=_of(AI_SDK),
            ),
            Defect(
                "missing-part-keys",
                "a part without text or annotations",
                "agent-framework, LangChain, Grok CLI: missing field annotations; without text also Codex, OpenAI SDKs",
                "they are filled, empty",
                breaks=_of(TYPED),
                may_break=_of(CODEX, PYTHON, NODE),
            ),
            Defect(
                "missing-response-keys",
                "a response without object, model, status or output",
                "AI SDK, Grok CLI, openai-python 2.x",
                "they are filled with neutral values",
                breaks=_of(TYPED),
                may_break=_of(PYTHON, NODE, AI_SDK),
            ),
            Defect(
                "missing-created-at",
                "a response without created_at",
                "@ai-sdk/openai: AI_TypeValidationError; agent-framework dies; Grok CLI: missing field created_at",
                "it is the time of the request",
                breaks=_of(AI_SDK, TYPED),
            ),
            Defect(
                "changed-created-at",
                "created_at differs between events of one response",
                "strict readers",
                "it is the first one",
            ),
            Defect(
                "neutral-keys",
                "keys are absent that OpenAI always sends",
                "Rust clients; schema checks",
                "they are filled with neutral values",
                may_break=_of(TYPED),
                is_companion=True,
            ),
            Defect(
                "item-without-type",
                "an item without a type, or with an unknown one",
                "Codex drops it",
                "its keys tell",
                breaks=_of(CODEX, PYTHON, NODE, TYPED),
            ),
            Defect(
                "wrong-part-type",
                "a part without a type, or of Chat Completions' type `text`",
                "Codex drops the whole item",
                "it is the item's usual one",
                breaks=_of(CODEX, PYTHON, NODE, TYPED),
            ),
            Defect(
                "wrong-role",
                "an output message whose role is not assistant",
                "Codex drops it",
                "it is assistant",
                breaks=_of(CODEX),
            ),
            Defect(
                "wrong-kind",
                "a value of the wrong JSON type that has only one reading",
                "Codex skips the event",
                "it is that reading",
                breaks=_of(TYPED),
                may_break=_of(CODEX, PYTHON, NODE, AI_SDK),
            ),
            Defect(
                "event-without-item",
                "output_item.added or done without an item",
                "accumulators that look into the item",
                "it is dropped",
                may_break=_of(PYTHON, NODE),
            ),
        ),
        "the terminal event": (
            Defect(
                "empty-output",
                "the terminal response's output is empty, null or absent although items were streamed",
                "10 to 15 of 25 client set-ups lose the answer, most of them with a TypeError after it was shown",
                "it is built from the items",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "wrong-output",
                "the terminal response's output has other ids, another order, too many or too few items",
                "openai-node refuses it; agents see two identities of one call",
                "ids and order are the announced ones, missing items are added, empty values filled",
                breaks=_of(PYTHON, NODE),
            ),
            Defect(
                "missing-usage",
                "no usage in a completed response",
                "the opencode CLI repeats the request about a hundred times in 14 seconds",
                "zeros",
                may_break=_of(AI_SDK),
            ),
            Defect(
                "incomplete-usage",
                "usage in Chat Completions' words, or without its total or its details",
                "Codex: failed to parse ResponseCompleted, and the request is repeated",
                "the Responses API's words; a missing total is the sum",
                breaks=_of(CODEX),
                may_break=_of(AI_SDK),
            ),
            Defect(
                "response-done",
                "the terminal event is called response.done",
                "all: no terminal event",
                "it is named by its status",
                breaks=_of(CODEX, PYTHON, NODE, TYPED),
            ),
            Defect(
                "unwrapped-response",
                "the response object is not under `response`",
                "Codex: stream closed before response.completed",
                "it is wrapped",
                breaks=_of(CODEX, PYTHON, NODE, TYPED),
            ),
            Defect(
                "incomplete-as-completed",
                "response.completed says status incomplete",
                "clients that take a cut answer for a whole one",
                "it is renamed response.incomplete, which makes SDK helpers raise and Codex retry",
                is_on=False,
            ),
        ),
        "errors": (
            Defect(
                "error-without-failed",
                "an error is not followed by response.failed",
                "Codex ignores `error` events: the message is lost and the request repeated",
                "response.failed is sent with the upstream's code and words",
                breaks=_of(CODEX),
                may_break=_of(PYTHON),
            ),
            Defect(
                "failed-without-message",
                "response.failed does not say why",
                "Codex: response.failed event received",
                "the message of the error that came with or before it",
                breaks=_of(CODEX),
                may_break=_of(PYTHON, NODE),
            ),
            Defect(
                "failed-unnoticed",
                "response.failed without a top-level error",
                "LangChain.js, llama-index, agno, Haystack, agent-framework and llm take it for a good end",
                "the error stands in both places",
                is_companion=True,
            ),
            Defect(
                "completed-after-error",
                "response.completed follows an error",
                "Codex takes it for success",
                "it is response.failed",
                breaks=_of(CODEX),
            ),
            Defect(
                "failed-as-completed",
                "response.completed says status failed or cancelled",
                "Codex goes by the event's name and takes it for success",
                "it is response.failed",
                breaks=_of(CODEX),
                may_break=_of(PYTHON, NODE),
            ),
        ),
        "foreign frames": (
            Defect(
                "missing-type",
                "the event's type stands only in the event: line",
                "nearly all",
                "it is copied into the body",
                breaks=EVERY_FAMILY,
            ),
            Defect(
                "ping",
                "a ping event",
                "openai-node: unhandled event; Grok: unknown variant ping",
                "it becomes a comment (for Codex a keepalive event)",
                breaks=_of(NODE, TYPED),
                may_break=_of(PYTHON),
            ),
            Defect(
                "empty-frame",
                "an empty object, or null, as data",
                "openai-node, AI SDK, litellm, opencode",
                "it becomes a comment (for Codex a keepalive event)",
                breaks=_of(NODE, AI_SDK, TYPED),
                may_break=_of(PYTHON),
            ),
            Defect(
                "early-keepalive",
                "a keepalive before response.created",
                "openai-python: Expected to have received `response.created`",
                "it becomes a comment",
                breaks=_of(PYTHON, NODE, TYPED),
            ),
            Defect(
                "bare-lifecycle-event",
                "response.in_progress without a response",
                "Grok, OpenCode, openai-python",
                "it becomes a comment",
                breaks=_of(PYTHON, NODE, AI_SDK, TYPED),
            ),
            Defect(
                "vendor-frame",
                "codex.* or responsesapi.* frames",
                "openai-node: unhandled event; serde readers: unknown variant (Codex itself uses them)",
                "they become comments, except for Codex",
                breaks=_of(NODE, TYPED),
                may_break=_of(PYTHON),
            ),
            Defect(
                "foreign-protocol",
                "frames of Chat Completions or of Anthropic's API",
                "AI SDK: AI_TypeValidationError",
                "they are dropped",
                breaks=_of(NODE, AI_SDK, TYPED),
                may_break=_of(PYTHON),
            ),
            Defect(
                "wrong-event-name",
                "the event: line and the type disagree",
                "readers that go by the event: line",
                "the type wins",
            ),
            Defect(
                "block-without-data",
                "a block with fields but no data",
                "openai-python: JSONDecodeError; openai-node",
                "it becomes a comment",
                breaks=_of(PYTHON, NODE),
            ),
        ),
        "framing and spelling": (
            Defect(
                "byte-order-mark",
                "the stream begins with a byte order mark",
                "Codex and aiohttp-sse-client lose the first event",
                "it is taken off",
                breaks=_of(CODEX),
            ),
            Defect(
                "cr-line-ends",
                "lines end in CR alone",
                "Codex sees nothing; AI SDK loses the last event",
                "they end in LF",
                breaks=_of(CODEX, AI_SDK),
            ),
            Defect(
                "missing-blank-line",
                "events are divided by one newline only",
                "Codex sees nothing; openai-python and openai-node: the JSON does not parse",
                "a blank line follows each",
                breaks=_of(CODEX, PYTHON, NODE),
            ),
            Defect(
                "unterminated-event",
                "the last event lacks its blank line",
                "21 of 25 set-ups and Codex lose it",
                "it gets one",
                breaks=_of(CODEX, PYTHON, AI_SDK),
                may_break=_of(NODE),
            ),
            Defect(
                "cut-frame",
                "the body ends in the middle of an event",
                "what follows would be read as the rest of it",
                "the half is left out",
            ),
            Defect(
                "raw-json",
                "a JSON object without data: in the stream",
                "everybody skips it",
                "it becomes an event",
                may_break=EVERY_FAMILY,
            ),
            Defect(
                "duplicate-keys",
                "a body with the same key twice",
                "Codex skips the event",
                "the last one counts",
                breaks=_of(CODEX),
                may_break=_of(TYPED),
            ),
            Defect(
                "not-a-number",
                "NaN or Infinity in a body",
                "Codex skips the event; openai-node: malformed server-sent event JSON",
                "it is null",
                breaks=_of(CODEX, NODE),
            ),
        ),
        "against the request": (
            Defect(
                "json-for-stream",
                "a stream was asked for, and a whole response came as JSON",
                "Codex: stream closed before response.completed; every SDK waits for events that never come",
                "it leaves as the stream that would have ended with it",
                breaks=EVERY_FAMILY,
            ),
            Defect(
                "error-for-stream",
                "a stream was asked for, and an error came as JSON with a status of 200",
                "Codex: stream closed before response.completed; no SDK says what the error was",
                "it leaves as a stream that failed with it",
                breaks=EVERY_FAMILY,
            ),
            Defect(
                "custom-tool-as-function",
                "a custom tool that the request declared came back as a function_call",
                "openai-python and openai-node hand on a call of another kind than the tool that was declared",
                "it waits for its arguments; if they are exactly one text, `input`, it leaves as a custom_tool_call",
                breaks=_of(PYTHON, NODE),
            ),
        ),
        "for one family of clients": (
            Defect(
                "interrupted-message",
                "another item speaks inside a message, which is legal",
                "Codex: OutputTextDelta without active item, text cut; agent-framework puts a blank into the text",
                "for Codex and agent-framework, it waits until the message is done",
                breaks=_of(CODEX),
            ),
            Defect(
                "codex-phase",
                "a message's phase that Codex does not know",
                "Codex drops the message",
                "for Codex, it is taken away",
                breaks=_of(CODEX),
            ),
            Defect(
                "value-done-after-others",
                "a text is closed after another item has spoken, which is legal",
                "Microsoft's agent framework: the final message has the text or the reasoning twice",
                "for it, the closing value is left out",
            ),
        ),
    }
)
"""Every defect, by what it is about."""

DEFECTS: Mapping[str, Defect] = MappingProxyType({row.slug: row for rows in GROUPS.values() for row in rows})
"""Every defect by its slug."""

CLASSES: Mapping[str, frozenset[str]] = MappingProxyType(
    {group.replace(" ", "-"): frozenset(row.slug for row in rows) for group, rows in GROUPS.items()}
)
"""The defects of each group, by its name in the configuration."""


@cache
def _left_alone(off: frozenset[str], on: frozenset[str]) -> frozenset[str]:
    """Give the defects that are left alone; what is said of one counts more than what is said of its class."""
    left = set()
    for group, slugs in CLASSES.items():
        for slug in slugs:
            said = next((name for name in (slug, group) if name in off or name in on), None)
            if said in off or (said is None and not DEFECTS[slug].is_on):
                left.add(slug)
    return frozenset(left)


def by_weight(defects: Mapping[str, int]) -> list[str]:
    """Their names: first what breaks most kinds of clients, then what is most frequent."""
    return sorted(defects, key=lambda slug: (-len(DEFECTS[slug].breaks), -defects[slug], slug))


class BoundExceededError(Exception):
    """The stream is larger than what is remembered of it; the repair stops, the bytes flow on."""


class Triage:
    """Decides what is mended, and counts it."""

    def __init__(self, options: Options, report: Report) -> None:
        self.report = report
        self.limits: Limits = options.limits
        self.is_dirty = False
        self.witness: Callable[[str], None] | None = None  # is told of each defect when it is seen
        self.recent: list[str] = []  # since whoever reads it last cleared it
        self.off = _left_alone(options.off, options.on)
        self.room = options.limits.text_bytes  # for text that has to be remembered
        self._held_bytes = 0

    def mend(self, slug: str) -> bool:
        """Say whether this defect, which was just found, is to be mended; count it if so."""
        defect = DEFECTS[slug]
        if slug in self.off or (defect.is_companion and not self.is_dirty):
            return False
        self.is_dirty = True
        self.report.defects[slug] += 1
        self.recent.append(slug)
        if self.witness is not None:
            self.witness(slug)
        return True

    def repairs(self, slug: str) -> bool:
        """Say whether this defect would be mended if it were found."""
        return slug not in self.off

    def count_item(self, items: int) -> None:
        """Raise beyond the bound."""
        if items >= self.limits.items:
            raise BoundExceededError("too-many-items")

    def count_text(self, length: int) -> None:
        """Count remembered text; raise beyond the bound."""
        self.room -= length
        if self.room < 0:
            raise BoundExceededError("too-much-text")

    def hold(self, event: Event) -> None:
        """Count an event that has to wait; raise beyond the bound."""
        self.report.held += 1
        self._held_bytes += len(event.text)
        if self.report.held > self.limits.held_frames or self._held_bytes > self.limits.held_bytes:
            raise BoundExceededError("too-much-held")

    def release(self, event: Event) -> None:
        """An event waits no longer."""
        self.report.held -= 1
        self._held_bytes -= len(event.text)


class Unswitched(Triage):
    """For events that respfix makes itself: they are whole, whatever is switched off, and count as no defect."""

    def __init__(self, options: Options, report: Report) -> None:
        super().__init__(options, report)
        self.is_dirty = True

    def mend(self, slug: str) -> bool:
        """Mend everything."""
        return slug in DEFECTS
