"""LlamaIndex's `OpenAIResponses.stream_chat()`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAIResponses

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, serve


def read(reading: Reading, name: str) -> None:
    """Take the deltas, and the last state of the message."""
    last: Any = None
    for last in model.stream_chat([ChatMessage(role="user", content=prompt(name))]):
        reading.streamed_text += last.delta or ""
    if last is None:
        return
    blocks = last.message.blocks
    reading.texts = [text for text in [last.message.content] if text]
    reading.summaries = [block.content for block in blocks if block.block_type == "thinking" and block.content]
    reading.calls = [
        [block.tool_name, block.tool_call_id, str(block.tool_kwargs)]
        for block in blocks
        if block.block_type == "tool_call"
    ]
    usage = last.additional_kwargs.get("usage")
    reading.usage = usage.model_dump() if usage is not None else None


if __name__ == "__main__":
    url, _ = arguments()
    model = OpenAIResponses(model="gpt-4o", api_base=url, api_key="none")  # it must know the model's context window
    serve("llama-index-llms-openai", read)
