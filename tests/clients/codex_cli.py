"""Codex itself, in front of a replayed upstream: ``unshare -n python codex_cli.py < job.json``.

Meant to run in a network namespace of its own, so that nothing that Codex does at start can leave the machine; loopback
is brought up here. Standard input is a `Job`, standard output a JSON list of what each run showed (`Seen`).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

if __name__ == "__main__":  # as a script, this folder's parent is not on the path
    sys.path.insert(0, str(Path(__file__).parents[1]))

from clients.replay import Upstream, prompt, serving
from clients.surroundings import loopback_up, relaying

Json = dict[str, Any]
HOME = Path(__file__).with_name("codex") / "config.toml"
INACTIVE = "without active item"
PATIENCE = 30.0  # seconds; a run takes half a second, one that retries two
AT_ONCE = 4


@dataclass(slots=True)
class Run:
    """One run: which Codex, which front end, which stream, and through what."""

    binary: str
    front: str  # "exec" or "app-server"
    name: str  # of the recording
    turns: int = 1
    relayed: bool = True  # through the relay, or straight from the upstream


@dataclass(slots=True)
class Job:
    """Everything a process of this module is told."""

    bodies: dict[str, str]  # recordings by name, base64
    relay: list[str]  # a command that takes --upstream URL --listen HOST:PORT
    runs: list[Run]
    cut: list[str] = field(default_factory=list)  # recordings after which the connection breaks


@dataclass(slots=True)
class Seen:
    """What one run showed."""

    printed: str = ""  # exec: standard output
    streamed: str = ""  # app-server: the deltas of all messages
    messages: list[str] = field(default_factory=list)  # app-server: the final texts, in order
    thoughts: list[str] = field(default_factory=list)  # app-server: the final reasoning, in order
    unpaired: list[str] = field(default_factory=list)  # app-server: ids of deltas of which no item was started
    errors: list[str] = field(default_factory=list)
    exit: int | None = None
    inactive: int = 0  # how often Codex logged that a delta has no active item
    ran: int = 0  # how often the tool ran
    posts: int = 0
    history: list[str] = field(default_factory=list)  # what the last request said that the assistant had said
    log: str = ""


@dataclass(slots=True)
class Place:
    """Where one run happens: its folders, and the process's surroundings."""

    work: Path
    home: Path
    base_url: str

    def command(self, run: Run, *words: str) -> list[str]:
        """Give the command line of a front end."""
        return [run.binary, run.front, "-c", f'model_providers.replay.base_url="{self.base_url}"', *words]

    @property
    def environment(self) -> dict[str, str]:
        """Keep start-up traffic on the machine, even where the network is not a namespace of its own."""
        away = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
        own = {"CODEX_HOME": str(self.home), "REPLAY_KEY": "none", "RUST_LOG": "error", "HOME": str(self.home)}
        return {"PATH": os.environ["PATH"], **away, **own}


def read_exec(run: Run, place: Place, seen: Seen) -> None:
    """Run `codex exec`; its answer is on standard output, and its exit code says little."""
    done = subprocess.run(
        place.command(run, "--skip-git-repo-check", prompt(run.name)),
        cwd=place.work, env=place.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=PATIENCE,
    )  # fmt: skip
    seen.printed, seen.exit, seen.log = done.stdout.strip(), done.returncode, done.stderr


class AppServer:
    """`codex app-server`: JSON-RPC in lines, on standard input and output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: Queue[Json] = Queue()
        self.log: list[str] = []
        self.last = 0
        self.readers = [
            threading.Thread(target=self._read, args=(process.stdout, lambda line: self.lines.put(json.loads(line)))),
            threading.Thread(target=self._read, args=(process.stderr, self.log.append)),
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(pipe: IO[str], take: Any) -> None:
        for line in pipe:
            take(line)

    def send(self, **message: Any) -> None:
        """Write one message."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def messages(self) -> Iterator[Json]:
        """Give the server's messages as they come; what it asks for is allowed."""
        while True:
            message = self.lines.get(timeout=PATIENCE)
            if "method" in message and "id" in message:
                self.send(id=message["id"], result={"decision": "accept"})
            yield message

    def ask(self, method: str, **params: Any) -> Json:
        """Send a request and give its answer."""
        self.last += 1
        self.send(id=self.last, method=method, params=params)
        for message in self.messages():
            if message.get("id") == self.last and "method" not in message:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
        raise AssertionError  # the generator above never ends

    def close(self) -> str:
        """End the server; gives its log."""
        self.process.terminate()
        self.process.wait(PATIENCE)
        for reader in self.readers:
            reader.join()
        return "".join(self.log)


def note(message: Json, seen: Seen, started: set[str]) -> bool:
    """Note what one message of the app-server says; true when the turn is over."""
    params = message.get("params", {})
    item = params.get("item", {})
    match message.get("method"):
        case "item/started":
            started.add(item["id"])
        case "item/agentMessage/delta":
            seen.streamed += params["delta"]
            if params["itemId"] not in started:
                seen.unpaired.append(params["itemId"])
        case "item/completed" if item["type"] == "agentMessage":
            seen.messages.append(item["text"])
        case "item/completed" if item["type"] == "reasoning":
            seen.thoughts.append("".join(item["summary"]) + "".join(item["content"]))
        case "error":
            seen.errors.append(str(params.get("error", {}).get("message")))
        case "turn/completed":
            seen.exit = 0 if params["turn"]["status"] == "completed" else 1
            return True
    return False


def read_app_server(run: Run, place: Place, seen: Seen) -> None:
    """Take some turns with `codex app-server`."""
    with subprocess.Popen(
        place.command(run), cwd=place.work, env=place.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        server = AppServer(process)
        try:
            server.ask("initialize", clientInfo={"name": "tests", "title": "tests", "version": "1"})
            server.send(method="initialized")
            thread = server.ask(
                "thread/start", cwd=str(place.work), approvalPolicy="never", sandbox="danger-full-access"
            )["thread"]["id"]
            for _ in range(run.turns):
                server.ask("turn/start", threadId=thread, input=[{"type": "text", "text": prompt(run.name)}])
                started: set[str] = set()
                for message in server.messages():
                    if note(message, seen, started):
                        break
        except Empty:
            seen.errors.append("the app-server fell silent")
        finally:
            seen.log = server.close()


def said_before(request: bytes) -> list[str]:
    """Read off a request what the assistant is said to have said."""
    return [
        "".join(part.get("text", "") for part in item["content"])
        for item in json.loads(request)["input"]
        if item.get("type") == "message" and item["role"] == "assistant"
    ]


def take(number: int, run: Run, upstream: Upstream, url: str) -> Seen:
    """Do one run, in folders of its own and under a name of its own."""
    seen = Seen()
    run.name = f"{run.name}@{number}"
    with tempfile.TemporaryDirectory(prefix="respfix-codex-") as folder:
        work, home = Path(folder, "work"), Path(folder, "home")
        work.mkdir()
        home.mkdir()
        shutil.copy(HOME, home)
        read = {"exec": read_exec, "app-server": read_app_server}[run.front]
        try:
            read(run, Place(work, home, f"{url}/v1"), seen)
        except (RuntimeError, subprocess.TimeoutExpired) as broken:
            seen.errors.append(str(broken))
        ran = work / "ran"
        seen.ran = len(ran.read_text().splitlines()) if ran.exists() else 0
    requests = upstream.received.get(run.name, [])
    seen.inactive = seen.log.count(INACTIVE)
    seen.posts = len(requests)
    seen.history = said_before(requests[-1]) if requests else []
    return seen


def main() -> None:
    """Do the job on standard input."""
    given = json.load(sys.stdin)
    job = Job(given["bodies"], given["relay"], [Run(**run) for run in given["runs"]], given["cut"])
    bodies = {name: base64.b64decode(body) for name, body in job.bodies.items()}
    loopback_up()
    with serving(bodies, cut=frozenset(job.cut)) as upstream:
        origin = upstream.url.removesuffix("/v1")
        with relaying(job.relay, origin) as url, ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = [
                pool.submit(take, number, run, upstream, url if run.relayed else origin)
                for number, run in enumerate(job.runs)
            ]
            seen = [task.result() for task in tasks]
    json.dump([asdict(one) for one in seen], sys.stdout)


if __name__ == "__main__":
    main()
