"""pydantic-ai's `Agent.run_stream_events()`, with tools that it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic_ai import Agent, AgentRunResultEvent, FunctionToolCallEvent, PartDeltaEvent, PartStartEvent, Tool
from pydantic_ai.messages import TextPart, TextPartDelta, ThinkingPart, ThinkingPartDelta
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, in_loop, serve
from clients.tools import ANSWER, FUNCTIONS, PARAMETERS


def run(**_: Any) -> str:
    """Answer as every tool does."""
    return ANSWER


async def read(reading: Reading, name: str) -> None:
    """Run an agent to its end."""
    async with agent.run_stream_events(prompt(name)) as events:
        async for event in events:
            match event:
                case (
                    PartStartEvent(part=TextPart(content=text))
                    | PartDeltaEvent(delta=TextPartDelta(content_delta=text))
                ):
                    reading.streamed_text += text
                case (
                    PartStartEvent(part=ThinkingPart(content=text))
                    | PartDeltaEvent(delta=ThinkingPartDelta(content_delta=text))
                ):
                    reading.streamed_reasoning += text or ""
                case FunctionToolCallEvent(part=part):
                    reading.calls.append([part.tool_name, part.tool_call_id, part.args_as_json_str()])
                case AgentRunResultEvent(result=result):
                    reading.status = "completed"
                    reading.texts = [text for text in [result.output] if text]
                    usage = result.usage
                    reading.usage = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
                    thoughts = [part for message in result.all_messages() for part in message.parts]
                    reading.summaries = [
                        part.content for part in thoughts if isinstance(part, ThinkingPart) and part.content
                    ]


if __name__ == "__main__":
    url, _ = arguments()
    model = OpenAIResponsesModel("replay", provider=OpenAIProvider(base_url=url, api_key="none"))
    agent = Agent(model, tools=[Tool.from_schema(run, name, name, PARAMETERS) for name in FUNCTIONS])
    serve("pydantic-ai-slim", in_loop(read))
