"""agno's `Agent.run(stream=True)`, with tools that it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from agno.agent import Agent
from agno.models.openai import OpenAIResponses
from agno.run.agent import ReasoningContentDeltaEvent, RunContentEvent, RunErrorEvent, RunOutput
from agno.tools.function import Function

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, serve
from clients.tools import ANSWER, FUNCTIONS, PARAMETERS


def run(**_: Any) -> str:
    """Answer as every tool does."""
    return ANSWER


def read(reading: Reading, name: str) -> None:
    """Run an agent to its end."""
    model = OpenAIResponses(id="replay", base_url=url, api_key="none")
    tools = [
        Function(name=tool, description=tool, parameters=PARAMETERS, entrypoint=run, skip_entrypoint_processing=True)
        for tool in FUNCTIONS
    ]
    agent = Agent(model=model, tools=tools, telemetry=False)
    for event in agent.run(prompt(name), stream=True, stream_events=True, yield_run_output=True):
        match event:
            case RunContentEvent():
                reading.streamed_text += event.content or ""
                reading.streamed_reasoning += event.reasoning_content or ""
            case ReasoningContentDeltaEvent():
                reading.streamed_reasoning += event.reasoning_content or ""
            case RunErrorEvent():
                reading.error = f"{event.error_type}: {event.content}"
            case RunOutput():
                take(reading, event)


def take(reading: Reading, output: RunOutput) -> None:
    """Take from the final output what a program would take."""
    reading.status = output.status.value.lower()
    reading.texts = [text for text in [output.content] if text]
    reading.summaries = [text for text in [output.reasoning_content] if text]
    # What it calls the tool call's id is the item's, which a server may choose as it likes.
    reading.calls = [[tool.tool_name, None, json.dumps(tool.tool_args)] for tool in output.tools or ()]
    if output.metrics:
        reading.usage = {"input_tokens": output.metrics.input_tokens, "output_tokens": output.metrics.output_tokens}


if __name__ == "__main__":
    url, _ = arguments()
    serve("agno", read)
