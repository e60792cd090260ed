"""openai-agents' `Runner.run_streamed()`, with tools that it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agents import Agent, CustomTool, FunctionTool, OpenAIResponsesModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, in_loop, serve
from clients.tools import ANSWER, CUSTOM, FUNCTIONS, PARAMETERS


def tools(reading: Reading) -> list[Any]:
    """Give tools that note that they ran."""

    async def run(context: Any, given: str) -> str:
        reading.calls.append([context.tool_name, context.tool_call_id, given])
        return ANSWER

    functions = [
        FunctionTool(
            name=name, description=name, params_json_schema=PARAMETERS, on_invoke_tool=run, strict_json_schema=False
        )
        for name in FUNCTIONS
    ]
    return [*functions, CustomTool(name=CUSTOM, description=CUSTOM, on_invoke_tool=run)]


async def read(reading: Reading, name: str) -> None:
    """Run an agent to its end."""
    agent = Agent(name="tests", model=model, tools=tools(reading))
    result = Runner.run_streamed(agent, prompt(name))
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            reading.streamed_text += event.data.delta
        elif event.type == "raw_response_event" and event.data.type == "response.refusal.delta":
            reading.streamed_refusal += event.data.delta
        elif event.type == "raw_response_event" and event.data.type == "response.reasoning_summary_text.delta":
            reading.streamed_reasoning += event.data.delta
        elif event.type == "run_item_stream_event" and event.item.type == "reasoning_item":
            reading.summaries.append("".join(part.text for part in event.item.raw_item.summary))
    reading.status = "completed"
    reading.texts = [text for text in [str(result.final_output)] if text]
    usage = result.context_wrapper.usage
    reading.usage = {
        "input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": usage.total_tokens,
    }  # fmt: skip


if __name__ == "__main__":
    url, _ = arguments()
    set_tracing_disabled(disabled=True)
    model = OpenAIResponsesModel("replay", AsyncOpenAI(base_url=url, api_key="none"))
    serve("openai-agents", in_loop(read))
