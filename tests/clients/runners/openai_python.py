"""openai-python: `responses.stream()`, its asynchronous twin, and plain iteration over `create(stream=True)`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, OpenAI

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, in_loop, serve

STREAMED = {
    "response.output_text.delta": "streamed_text",
    "response.refusal.delta": "streamed_refusal",
    "response.reasoning_summary_text.delta": "streamed_reasoning",
    "response.reasoning_text.delta": "streamed_reasoning",
}
ENDED = {"response.completed", "response.incomplete", "response.failed"}


def joined(parts: Iterable[Any] | None, kind: str, key: str) -> str:
    """Join the values of all parts of one kind."""
    return "".join(getattr(part, key, None) or "" for part in parts or () if getattr(part, "type", None) == kind)


def take(reading: Reading, response: Any) -> None:
    """Take from the final response what a program would take."""
    reading.status = response.status
    usage = getattr(response, "usage", None)
    reading.usage = getattr(usage, "to_dict", usage.model_dump)() if usage is not None else None
    for item in response.output or ():
        reading.kinds.append(item.type)
        if item.type == "message":
            reading.texts.append(joined(item.content, "output_text", "text"))
            reading.refusals.append(joined(item.content, "refusal", "refusal"))
        elif item.type == "reasoning":
            reading.summaries.append(joined(item.summary, "summary_text", "text"))
            reading.reasonings.append(joined(getattr(item, "content", None), "reasoning_text", "text"))
        elif item.type == "function_call":
            reading.calls.append([item.name, item.call_id, item.arguments])
        elif item.type == "custom_tool_call":
            reading.calls.append([item.name, item.call_id, item.input])
    for texts in (reading.texts, reading.refusals, reading.summaries, reading.reasonings):
        texts[:] = filter(None, texts)


def note(reading: Reading, event: Any) -> Any:
    """Note what one event shows; gives the response that it ends with, if it ends."""
    held = STREAMED.get(event.type)
    if held is not None:
        setattr(reading, held, getattr(reading, held) + event.delta)
    return event.response if event.type in ENDED else None


def stream(reading: Reading, name: str) -> None:
    """Read as the SDK's documentation shows it; only a response that did not succeed is taken from its event."""
    ended: Any = None
    with client.responses.stream(model="replay", input=prompt(name)) as events:
        for event in events:
            ended = note(reading, event) or ended
        take(reading, ended if ended and ended.status != "completed" else events.get_final_response())


async def stream_async(reading: Reading, name: str) -> None:
    """Do the same in an event loop."""
    ended: Any = None
    async with async_client.responses.stream(model="replay", input=prompt(name)) as events:
        async for event in events:
            ended = note(reading, event) or ended
        take(reading, ended if ended and ended.status != "completed" else await events.get_final_response())


def create(reading: Reading, name: str) -> None:
    """Iterate over the events; the answer is the response of the last."""
    ended: Any = None
    for event in client.responses.create(model="replay", input=prompt(name), stream=True):
        ended = note(reading, event) or ended
        if event.type == "error":
            reading.error = f"error event: {event.message}"
    if ended is not None:
        take(reading, ended)


if __name__ == "__main__":
    url, interface = arguments()
    client = OpenAI(base_url=url, api_key="none", timeout=30)
    async_client = AsyncOpenAI(base_url=url, api_key="none", timeout=30)
    serve("openai", {"stream": stream, "async": in_loop(stream_async), "create": create}[interface])
