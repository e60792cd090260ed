"""LangChain's `ChatOpenAI(use_responses_api=True).stream()`; the interface is its output version."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, serve


def blocks(content: Any, kind: str) -> list[Any]:
    """Give the content blocks of one kind; what is no list is text."""
    return [block for block in content if block.get("type") == kind] if isinstance(content, list) else []


def summary(content: Any, extra: dict[str, Any]) -> str:
    """Give the reasoning's summary, which older output versions keep beside the content."""
    found = blocks(content, "reasoning") or ([extra["reasoning"]] if "reasoning" in extra else [])
    return "".join(part.get("text", "") for block in found for part in block.get("summary", []))


def read(reading: Reading, name: str) -> None:
    """Add up the chunks, as the documentation shows it."""
    whole: Any = None
    for chunk in model.stream(prompt(name)):
        reading.streamed_text += chunk.text
        reading.streamed_reasoning += summary(chunk.content, chunk.additional_kwargs)
        whole = chunk if whole is None else whole + chunk
    if whole is None:
        return
    reading.status = whole.response_metadata.get("status")
    reading.texts = [text for text in [str(whole.text)] if text]
    refusals = [block["refusal"] for block in blocks(whole.content, "refusal")]
    reading.refusals = [text for text in [*refusals, whole.additional_kwargs.get("refusal")] if text]
    reading.summaries = [text for text in [summary(whole.content, whole.additional_kwargs)] if text]
    reading.calls = [[call["name"], call["id"], json.dumps(call["args"])] for call in whole.tool_calls]
    reading.calls += [[call["name"], call["id"], call["args"]] for call in whole.invalid_tool_calls]
    reading.usage = dict(whole.usage_metadata) if whole.usage_metadata else None


if __name__ == "__main__":
    url, interface = arguments()
    model = ChatOpenAI(model="replay", base_url=url, api_key="none", use_responses_api=True, output_version=interface)
    serve("langchain-openai", read)
