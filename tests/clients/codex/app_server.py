"""`codex app-server`, as editors embed it: JSON-RPC in lines, on standard input and output."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from queue import Empty, Queue
from typing import IO, Any

from clients.codex.place import PATIENCE, Place, Seen
from clients.replay import prompt

Json = dict[str, Any]


class AppServer:
    """The running server, and the messages that it sends."""

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


def read_app_server(name: str, turns: int, place: Place, seen: Seen) -> None:
    """Take some turns with the server."""
    with subprocess.Popen(
        place.command("app-server"), cwd=place.work, env=place.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        server = AppServer(process)
        try:
            server.ask("initialize", clientInfo={"name": "tests", "title": "tests", "version": "1"})
            server.send(method="initialized")
            thread = server.ask(
                "thread/start", cwd=str(place.work), approvalPolicy="never", sandbox="danger-full-access"
            )["thread"]["id"]
            for _ in range(turns):
                server.ask("turn/start", threadId=thread, input=[{"type": "text", "text": prompt(name)}])
                started: set[str] = set()
                for message in server.messages():
                    if note(message, seen, started):
                        break
        except Empty:
            seen.errors.append("the app-server fell silent")
        finally:
            seen.log = server.close()
