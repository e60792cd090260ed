"""openai-python's `responses.stream()`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import openai

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import serve, told

STREAMED = {
    "response.output_text.delta": "streamed_text",
    "response.refusal.delta": "streamed_refusal",
    "response.reasoning_summary_text.delta": "streamed_reasoning",
    "response.reasoning_text.delta": "streamed_reasoning",
}


def joined(parts: Iterable[Any] | None, kind: str, key: str) -> str:
    """Join the values of all parts of one kind."""
    return "".join(getattr(part, key, None) or "" for part in parts or () if getattr(part, "type", None) == kind)


def take(reading: Reading, response: Any) -> None:
    """Take from the final response what a program would take."""
    reading.status = response.status
    usage = getattr(response, "usage", None)
    reading.usage = usage.to_dict() if usage is not None else None
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


def read(client: openai.OpenAI, name: str) -> Reading:
    """Read one stream to its end, as the SDK's documentation shows it."""
    reading = Reading()
    ended: Any = None
    try:
        with client.responses.stream(model="replay", input=prompt(name)) as stream:
            for event in stream:
                held = STREAMED.get(event.type)
                if held is not None:
                    setattr(reading, held, getattr(reading, held) + event.delta)  # type: ignore[union-attr]
                elif event.type in {"response.failed", "response.incomplete"}:
                    ended = event.response
            ended = ended or stream.get_final_response()
        take(reading, ended)
    except Exception as error:  # noqa: BLE001 (whatever the SDK raises is what the program gets)
        reading.error = told(error)
    return reading


if __name__ == "__main__":
    _, _, url, _ = sys.argv
    client = openai.OpenAI(base_url=url, api_key="none", timeout=30)
    serve(openai.__version__, lambda name: read(client, name))
