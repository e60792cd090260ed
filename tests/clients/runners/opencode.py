"""The opencode CLI: `opencode run`, with its events as lines of JSON.

It asks again and again while a turn does not end as it expects, until the upstream stops answering. After an error it
tries again, too, ever slower and for ever: two errors are enough to see that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.reading import Reading
from clients.replay import prompt
from clients.serve import arguments, serve

MODEL = "replay/gpt-5.5"  # known to reason
STATUS = {"stop": "completed", "tool-calls": "completed", "length": "incomplete", "error": "failed"}
TRIED = 2  # errors after which it is clear that it tries again


def configuration(url: str) -> dict[str, Any]:
    """Give an opencode.json for a provider at this address."""
    provider = {
        "npm": "@ai-sdk/openai",
        "options": {"baseURL": url, "apiKey": "none"},
        "models": {"gpt-5.5": {"reasoning": True, "tool_call": True, "limit": {"context": 200000, "output": 32000}}},
    }
    return {
        "autoupdate": False,
        "share": "disabled",
        "model": MODEL,
        "small_model": MODEL,
        "permission": {"bash": "allow", "webfetch": "deny"},
        "provider": {"replay": provider},
    }


def note(reading: Reading, event: dict[str, Any]) -> None:
    """Note what one line says."""
    part = event.get("part", {})
    match event["type"]:
        case "text":
            reading.texts.append(part["text"])
        case "reasoning":
            reading.summaries.append(part["text"])
        case "tool_use":
            reading.calls.append([part["tool"], part["callID"], json.dumps(part["state"]["input"])])
        case "step_finish":
            reading.status = STATUS.get(part["reason"], part["reason"])
            tokens = part["tokens"]
            usage = {"input_tokens": tokens["input"], "output_tokens": tokens["output"] + tokens["reasoning"]}
            reading.usage = reading.usage or usage
        case "error":
            reading.error = json.dumps(event["error"])


def fill(reading: Reading, name: str) -> None:
    """Let it run one prompt, in a new folder."""
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile("w+") as said:
        Path(place, "opencode.json").write_text(json.dumps(configuration(url)))
        process = subprocess.Popen(
            [binary, "run", "--format", "json", "--print-logs", "--log-level", "ERROR", "--title", "t", prompt(name)],
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.PIPE, cwd=place, text=True,
            env=os.environ | {"OPENCODE_DISABLE_MODELS_FETCH": "1"},
        )  # fmt: skip
        failures: list[str] = []
        assert process.stderr is not None
        for line in process.stderr:
            if "stream error" in line:
                failures.append(line.partition(" error.error")[2].strip()[:300])
            if len(failures) == TRIED:
                break
        process.kill()
        process.stderr.close()
        process.wait()
        said.seek(0)
        for told in said:
            note(reading, json.loads(told))
    if failures:
        reading.error = failures[0]


if __name__ == "__main__":
    url, _ = arguments()
    binary = str(Path(sys.argv[1], "node_modules", "opencode-linux-x64-baseline", "bin", "opencode"))
    version = json.loads(Path(binary).parents[1].joinpath("package.json").read_text())["version"]
    serve("opencode", fill, version)
