"""Strands' `Agent.stream_async()` on its `OpenAIResponsesModel`, with tools that it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from strands import Agent
from strands.models.openai_responses import OpenAIResponsesModel
from strands.tools.tools import PythonAgentTool

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, in_loop, serve
from clients.tools import ANSWER, FUNCTIONS, PARAMETERS


def tools(reading: Reading) -> list[Any]:
    """Give tools that note that they ran."""

    def run(use: Any, **_: Any) -> Any:
        reading.calls.append([use["name"], use["toolUseId"], json.dumps(use["input"])])
        return {"toolUseId": use["toolUseId"], "status": "success", "content": [{"text": ANSWER}]}

    return [
        PythonAgentTool(name, {"name": name, "description": name, "inputSchema": {"json": PARAMETERS}}, run)
        for name in FUNCTIONS
    ]


async def read(reading: Reading, name: str) -> None:
    """Run an agent to its end."""
    agent = Agent(model=model, tools=tools(reading), callback_handler=None)
    async for event in agent.stream_async(prompt(name)):
        reading.streamed_text += event.get("data", "")
        reading.streamed_reasoning += event.get("reasoningText", "")
        if "result" in event:
            result = event["result"]
            reading.status = result.stop_reason
            content = result.message["content"]
            reading.texts = [block["text"] for block in content if block.get("text")]
            reading.summaries = [
                block["reasoningContent"]["reasoningText"]["text"] for block in content if "reasoningContent" in block
            ]
            usage = result.metrics.accumulated_usage
            reading.usage = {"input_tokens": usage["inputTokens"], "output_tokens": usage["outputTokens"]}
    reading.calls.sort(key=lambda call: str(call[1]))  # tools run at the same time


if __name__ == "__main__":
    url, _ = arguments()
    model = OpenAIResponsesModel(client_args={"base_url": url, "api_key": "none"}, model_id="replay")
    serve("strands-agents", in_loop(read))
