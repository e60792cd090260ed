"""Codex with its built-in provider, which asks for a WebSocket first: ``unshare -n python websocket.py < job.json``.

Standard input is a list of `Run`, standard output a JSON list of what each showed, all in a network namespace of its
own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script, this folder's parent is not on the path
    sys.path.pop(0)  # this folder, whose name is not meant by `import websocket`
    sys.path.insert(0, str(Path(__file__).parents[2]))

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from clients.replay import prompt, serving
from clients.surroundings import PATIENCE, loopback_up, relaying

CONFIG = """model = "gpt-5.5"
approval_policy = "never"
sandbox_mode = "danger-full-access"
check_for_update_on_startup = false
[analytics]
enabled = false
"""
INACTIVE = "without active item"
RELAY = [sys.executable, "-m", "respfix", "serve"]
TIME = re.compile(r"(\d+):(\d+):(\d+),(\d+) INFO (GET|POST) ")


@dataclass(slots=True)
class Run:
    """One run: which Codex, what the upstream says, whether it has a WebSocket, and through what."""

    binary: str
    messages: list[str]
    has_socket: bool = True
    relayed: bool = True


@dataclass(slots=True)
class Seen:
    """What one run showed."""

    printed: str = ""
    inactive: int = 0  # how often Codex logged that a delta has no active item
    log: str = ""
    relay: list[str] = field(default_factory=list)  # respfix's line for each request
    fallback: float | None = None  # seconds between the refused upgrade and the POST's end


def speak(messages: list[str]) -> Any:
    """Make an upstream that answers a warm-up with nothing, and every other request with these messages."""

    def handler(server: ServerConnection) -> None:
        try:
            for request in server:
                if json.loads(request).get("generate") is False:
                    response = {"id": "resp_warm", "object": "response", "created_at": 1, "model": "m", "output": []}
                    for kind, status in (("created", "in_progress"), ("completed", "completed")):
                        event = {"type": f"response.{kind}", "response": {**response, "status": status, "usage": None}}
                        server.send(json.dumps(event))
                    continue
                for message in messages:
                    server.send(message)
        except ConnectionClosed:
            pass

    return handler


@contextmanager
def upstream(run: Run) -> Iterator[str]:
    """Serve what the run is about; gives the origin."""
    if not run.has_socket:
        body = "".join(f"data: {message}\n\n" for message in run.messages).encode()
        with serving({"x": body}) as replayed:
            yield replayed.url.removesuffix("/v1")
        return
    with serve(speak(run.messages), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()


def take(run: Run) -> Seen:
    """Do one run."""
    seen = Seen()
    with tempfile.TemporaryDirectory(prefix="respfix-codex-") as folder, upstream(run) as origin:
        work, home, log = Path(folder, "work"), Path(folder, "home"), Path(folder, "relay.log")
        work.mkdir()
        home.mkdir()
        (home / "config.toml").write_text(CONFIG)
        (home / "auth.json").write_text('{"OPENAI_API_KEY":"none"}')
        away = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost", "RUST_LOG": "error"}
        own = {"CODEX_HOME": str(home), "HOME": str(home), "OPENAI_API_KEY": "none", "CODEX_API_KEY": "none"}

        def ask(url: str) -> None:
            done = subprocess.run(
                [run.binary, "exec", "-c", f'openai_base_url="{url}/v1"', "--skip-git-repo-check", prompt("x")],
                cwd=work, env={"PATH": os.environ["PATH"], **away, **own}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False, timeout=2 * PATIENCE,
            )  # fmt: skip
            seen.printed, seen.log, seen.inactive = done.stdout.strip(), done.stderr, done.stderr.count(INACTIVE)

        if run.relayed:
            command = ["sh", "-c", f'exec "$@" 2>{log}', "sh", *RELAY]
            with relaying(command, origin) as url:
                ask(url)
            seen.relay = [line for line in log.read_text().splitlines() if TIME.search(line)]
            times = [seconds(line) for line in seen.relay]
            seen.fallback = None if run.has_socket or len(times) < 2 else times[1] - times[0]
        else:
            ask(origin)
    return seen


def seconds(line: str) -> float:
    """Read when a line of the log was written."""
    found = TIME.search(line)
    assert found is not None
    hours, minutes, whole, thousandths = map(int, found.groups()[:4])
    return hours * 3600 + minutes * 60 + whole + thousandths / 1000


def main() -> None:
    """Do the runs on standard input."""
    runs = [Run(**run) for run in json.load(sys.stdin)]
    loopback_up()
    json.dump([asdict(take(run)) for run in runs], sys.stdout)


if __name__ == "__main__":
    main()
