"""Microsoft's agent-framework: `OpenAIChatClient.get_response(stream=True)`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agent_framework import Message
from agent_framework.openai import OpenAIChatClient

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, in_loop, serve


def text_of(contents: Any, kind: str) -> str:
    """Join the contents of one kind; one that replaces what came before says nothing new to who prints it."""
    return "".join(one.text or "" for one in contents if one.type == kind and one.merge_mode != "replace")


async def read(reading: Reading, name: str) -> None:
    """Take the updates, and then the response that they make."""
    stream = client.get_response([Message("user", [prompt(name)])], stream=True)
    async for update in stream:
        reading.streamed_text += text_of(update.contents, "text")
        reading.streamed_reasoning += text_of(update.contents, "text_reasoning")
        for content in update.contents:
            if content.type == "error":
                reading.error = f"error content: {content.message}"
    whole = await stream.get_final_response()
    contents = [content for message in whole.messages for content in message.contents]
    reading.status = str(whole.finish_reason) if whole.finish_reason else None
    reading.texts = [text for text in [whole.text] if text]
    reading.summaries = [one.text for one in contents if one.type == "text_reasoning" and one.text]
    reading.calls = [
        [content.name, content.call_id, str(content.arguments)]
        for content in contents
        if content.type == "function_call"
    ]
    reading.usage = dict(whole.usage_details) if whole.usage_details else None


if __name__ == "__main__":
    url, _ = arguments()
    client = OpenAIChatClient("replay", base_url=url, api_key="none")
    serve("agent-framework-openai", in_loop(read))
