"""`llm`, as a library: a model that speaks the Responses API."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from llm.default_plugins.openai_models import Responses

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, serve


def read(reading: Reading, name: str) -> None:
    """Take the pieces as they come, then the whole."""
    response = model.prompt(prompt(name), stream=True, key="none")
    for piece in response:
        reading.streamed_text += piece
    reading.texts = [text for text in [response.text()] if text]
    reading.calls = [[call.name, call.tool_call_id, json.dumps(call.arguments)] for call in response.tool_calls()]
    usage = response.usage()
    reading.usage = {"input_tokens": usage.input, "output_tokens": usage.output}


if __name__ == "__main__":
    url, _ = arguments()
    model = Responses("replay", api_base=url)
    serve("llm", read)
