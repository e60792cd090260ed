"""Haystack's `OpenAIResponsesChatGenerator` with a streaming callback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from haystack.components.generators.chat import OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, serve


def read(reading: Reading, name: str) -> None:
    """Run the generator; its reply is the answer."""

    def note(chunk: Any) -> None:
        reading.streamed_text += chunk.content or ""
        reading.streamed_reasoning += chunk.reasoning.reasoning_text if chunk.reasoning else ""

    [reply] = generator.run([ChatMessage.from_user(prompt(name))], streaming_callback=note)["replies"]
    reading.status = reply.meta.get("status") or reply.meta.get("finish_reason")
    reading.texts = [text for text in [reply.text] if text]
    reading.summaries = [text for text in [reply.reasoning and reply.reasoning.reasoning_text] if text]
    reading.calls = [
        [call.tool_name, (call.extra or {}).get("call_id"), json.dumps(call.arguments)] for call in reply.tool_calls
    ]
    reading.calls.sort(key=lambda call: str(call[1]))  # it sorts them by the item's id, which means nothing
    reading.usage = reply.meta.get("usage")


if __name__ == "__main__":
    url, _ = arguments()
    generator = OpenAIResponsesChatGenerator(api_key=Secret.from_token("none"), model="replay", api_base_url=url)
    serve("haystack-ai", read)
