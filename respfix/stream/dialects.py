"""What one family of clients needs that others do not: a row each.

A dialect never changes what a stream says, only the order in which open items may speak, which frames beside the
protocol are let through, and which of two ways of saying one thing is taken. Adding one is adding a row: the relay
tells the client by it, the configuration and the command line take its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Dialect:
    """The needs of one family of clients."""

    name: str
    agents: tuple[str, ...] = ()  # words in Originator or User-Agent that tell such a client, in lower case
    header: str = ""  # how the names of request headers begin that only such a client sends, in lower case
    speakers: frozenset[str] = frozenset()  # item types that nobody may interrupt, from first word to done
    faders: frozenset[str] = frozenset()  # item types that fall silent once interrupted: their done says it all
    phases: frozenset[str] | None = None  # the values of a message's `phase` it can read
    vendor_frames: bool = False  # it acts on codex.* and responsesapi.* frames
    data_keepalive: bool = False  # comments do not reset its idle timer; a keepalive event does
    tail_before_item_done: bool = False  # it shows deltas only, so a late tail must come as one
    one_breath: bool = False  # a closing value replaces only what was said since another item spoke, and is added else


DEFAULT = Dialect("default")

# Codex has one active slot: every `added` takes it and every `done` of any item empties it, so text deltas after
# another item's done are lost ("OutputTextDelta without active item", measured with 0.135.0 and 0.169.0).
CODEX = Dialect(
    "codex",
    agents=("codex",),
    header="x-codex-",  # the app-server sends the embedding program's name as originator
    speakers=frozenset({"message"}),
    faders=frozenset({"reasoning"}),
    phases=frozenset({"commentary", "final_answer", "partial_answer"}),
    vendor_frames=True,
    data_keepalive=True,
    tail_before_item_done=True,
)

# Microsoft's agent framework for Python (1.17.0 of its OpenAI client, `_coalesce_text_content`): what was said before
# another item spoke stays, and the closing value is put beside it, so the final text has everything twice. A message
# that another item interrupts, in OpenAI's streams too, becomes two with a blank between them: "t1 t2".
AGENT_FRAMEWORK = Dialect(
    "agent-framework",
    agents=("agent-framework-python",),
    speakers=frozenset({"message"}),
    one_breath=True,
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType({row.name: row for row in (DEFAULT, CODEX, AGENT_FRAMEWORK)})
