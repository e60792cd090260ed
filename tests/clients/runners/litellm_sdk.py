"""litellm: `responses(stream=True)`, and `completion(stream=True)` through its bridge to the Responses API.

It streams from models that it knows only; from others it asks for no stream.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import litellm

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.runners.openai_python import note, take
from clients.serve import arguments, serve


def responses(reading: Reading, name: str) -> None:
    """Iterate over the events; the answer is the response of the last."""
    ended: Any = None
    for event in litellm.responses(
        model="openai/gpt-4o", input=prompt(name), stream=True, api_base=url, api_key="none"
    ):
        ended = note(reading, event) or ended
        if event.type == "error":
            reading.error = f"error event: {event}"
    if ended is not None:
        take(reading, ended)


def chat(reading: Reading, name: str) -> None:
    """Iterate over chunks of a chat completion, and build the whole from them with litellm's own function."""
    chunks = []
    messages = [{"role": "user", "content": prompt(name)}]
    for chunk in litellm.completion(
        model="openai/responses/gpt-4o", messages=messages, stream=True, api_base=url, api_key="none",
        stream_options={"include_usage": True},
    ):  # fmt: skip
        chunks.append(chunk)
        for choice in chunk.choices:
            reading.streamed_text += choice.delta.content or ""
            reading.streamed_reasoning += getattr(choice.delta, "reasoning_content", None) or ""
    whole = litellm.stream_chunk_builder(chunks)
    if whole is None:
        return
    [choice] = whole.choices
    reading.status = choice.finish_reason
    reading.texts = [text for text in [choice.message.content] if text]
    reading.summaries = [text for text in [getattr(choice.message, "reasoning_content", None)] if text]
    reading.calls = [[call.function.name, call.id, call.function.arguments] for call in choice.message.tool_calls or ()]
    reading.usage = {key: whole.usage[key] for key in ("prompt_tokens", "completion_tokens", "total_tokens")}


if __name__ == "__main__":
    url, interface = arguments()
    serve("litellm", {"responses": responses, "chat": chat}[interface])
