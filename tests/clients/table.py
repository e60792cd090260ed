"""Every client that is measured: which package, which of its interfaces, where it is pinned, and who runs it."""

from __future__ import annotations

from dataclasses import dataclass

from clients.variants import BASES


@dataclass(frozen=True, slots=True)
class Client:
    """One interface of one release of a client."""

    name: str  # the row's name: "openai-python-stream"
    title: str  # as people know it: "openai-python, `responses.stream()`"
    environment: str  # a folder of `pins/`
    runner: str  # a file of `runners/`
    interface: str = ""  # handed to the runner; what it may be is the runner's own affair
    bases: tuple[str, ...] = tuple(BASES)  # the conformant streams whose variants it reads; fewer where runs are slow
    at_once: int = 1  # how many processes share the work; more where most of a run is waiting
    patience: float = 30.0  # seconds for one reading, after which the process is killed and the reading is a hang
    words: tuple[tuple[bytes, bytes], ...] = ()  # replaced in every stream: calls become calls of its own tool
    daily: bool = False  # whether the continuous check measures it anew


# What makes a call in the streams one of a tool that an agent has of its own. Codex's leaves a line each time it runs.
CODEX = ((b'"shell"', b'"exec_command"'), (b"pwd", b"echo ran >> ran"))
OPENCODE = (
    (b'"shell"', b'"bash"'),
    (b'{\\"cmd\\":', b'{\\"description\\":\\"x\\",\\"command\\":'),
    (b'{"cmd":', b'{"description":"x","command":'),
)
SOME = ("text", "reasoning", "call", "all")  # for those whose runs are slow, or whose library another row reads in full
NO_CUSTOM_TOOLS = tuple(base for base in BASES if base != "custom")

ROWS = (
    # OpenAI's own libraries
    Client(
        "openai-python-stream",
        "openai-python 3, `responses.stream()`",
        "openai-python-3",
        "openai_python.py",
        "stream",
        daily=True,
    ),
    Client(
        "openai-python-async",
        "openai-python 3, `responses.stream()` of `AsyncOpenAI`",
        "openai-python-3",
        "openai_python.py",
        "async",
        bases=SOME,
    ),
    Client(
        "openai-python-create",
        "openai-python 3, `responses.create(stream=True)`",
        "openai-python-3",
        "openai_python.py",
        "create",
    ),
    Client(
        "openai-python-2-stream",
        "openai-python 2, `responses.stream()`",
        "openai-python-2",
        "openai_python.py",
        "stream",
        daily=True,
    ),
    Client(
        "openai-python-2-async",
        "openai-python 2, `responses.stream()` of `AsyncOpenAI`",
        "openai-python-2",
        "openai_python.py",
        "async",
        bases=SOME,
    ),
    Client(
        "openai-python-2-create",
        "openai-python 2, `responses.create(stream=True)`",
        "openai-python-2",
        "openai_python.py",
        "create",
        bases=SOME,
    ),
    Client("openai-agents-python", "openai-agents (Python)", "openai-agents-python", "openai_agents.py"),
    Client(
        "openai-node-7-stream",
        "openai-node 7, `responses.stream()`",
        "openai-node-7",
        "openai_node.mjs",
        "stream",
        daily=True,
    ),
    # From npm
    Client(
        "openai-node-7-create",
        "openai-node 7, `responses.create()`",
        "openai-node-7",
        "openai_node.mjs",
        "create",
    ),
    Client(
        "openai-node-6-stream",
        "openai-node 6, `responses.stream()`",
        "openai-node-6",
        "openai_node.mjs",
        "stream",
    ),
    Client(
        "openai-node-6-create",
        "openai-node 6, `responses.create()`",
        "openai-node-6",
        "openai_node.mjs",
        "create",
        bases=SOME,
    ),
    # It waits between its attempts after a failure.
    Client("ai-sdk-7", "AI SDK 7, `@ai-sdk/openai`", "ai-sdk-7", "ai_sdk.mjs", "openai", at_once=3, daily=True),
    Client(
        "ai-sdk-7-open-responses",
        "AI SDK 7, `@ai-sdk/open-responses`",
        "ai-sdk-7",
        "ai_sdk.mjs",
        "open-responses",
        bases=NO_CUSTOM_TOOLS,
        at_once=3,
        daily=True,
    ),
    Client("ai-sdk-6", "AI SDK 6, `@ai-sdk/openai`", "ai-sdk-6", "ai_sdk.mjs", "openai"),
    Client("openai-agents-js", "openai-agents (JavaScript)", "openai-agents-js", "openai_agents.mjs"),
    Client("langchain-js", "LangChain.js, `ChatOpenAI`", "langchain-js", "langchain.mjs"),
    # Frameworks in Python
    Client(
        "langchain-python",
        "LangChain (Python), output version responses/v1",
        "langchain-python",
        "langchain_chat.py",
        "responses/v1",
        daily=True,
    ),
    Client(
        "langchain-python-v0",
        "LangChain (Python), output version v0",
        "langchain-python",
        "langchain_chat.py",
        "v0",
        bases=SOME,
    ),
    Client(
        "agent-framework", "Microsoft agent-framework", "agent-framework", "microsoft_agent_framework.py", daily=True
    ),
    Client("pydantic-ai", "pydantic-ai", "pydantic-ai", "pydantic_agent.py", bases=SOME),
    Client(
        "litellm-responses", "litellm, `responses(stream=True)`", "litellm", "litellm_sdk.py", "responses", bases=SOME
    ),
    Client("litellm-chat", "litellm, `completion(stream=True)`", "litellm", "litellm_sdk.py", "chat", bases=SOME),
    Client("llama-index", "LlamaIndex", "llama-index", "llamaindex.py", bases=SOME),
    Client("agno", "agno", "agno", "agno_agent.py", bases=(*SOME, "calls")),
    Client("haystack", "Haystack", "haystack", "haystack_chat.py"),
    Client("strands", "Strands Agents", "strands", "strands_agent.py", bases=SOME),
    Client("llm", "llm", "llm", "llm_library.py"),
    Client(
        "opencode",
        "opencode CLI, `opencode run`",
        "opencode",
        "opencode.py",
        bases=("all",),
        at_once=2,
        patience=60.0,
        words=OPENCODE,
    ),
    *(
        Client(
            f"codex-{release}-{front}",
            f"Codex {release}, {title}",
            "codex",
            "codex.py",
            f"{release} {front}",
            bases=bases,
            at_once=4,
            words=CODEX,
        )
        for release in ("0.135.0", "0.169.0")
        for front, title, bases in (
            ("exec", "`codex exec`", ("text",)),  # prints a text and nothing else
            ("app-server", "`codex app-server`", ("all",)),
            ("tui", "the screen", ("all",)),
        )
    ),
)

CLIENTS = {row.name: row for row in ROWS}
