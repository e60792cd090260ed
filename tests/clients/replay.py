"""An upstream that answers `POST …/responses` with a recorded event stream, or with JSON where a body is that.

The name of the recording travels in the prompt, as ``recording=NAME``, because a prompt survives every proxy and every
client; headers, paths and model names do not. A request that brings a tool's answer back gets ``NAME.after-tool`` where
there is such a stream, so that an agent's second step can differ from its first.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

AFTER_TOOL = ".after-tool"  # no recording is named like this
IN_JSON = ".json"  # nor like this; what is, is served as JSON
NAME = re.compile(r"recording=([\w.+@-]+)")
TOOL_ANSWERS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
# What agents ask beside the conversation: Codex 0.169 and opencode want a title for it.
ASIDE = re.compile(rb'"thread_title|You are a title generator')
STORM = 20  # requests for one recording that are answered; no client needs more than ten, its turns
CHUNK = 64 * 1024  # bytes in one HTTP chunk; an event is far smaller, so events share chunks as they do in the wild


def prompt(name: str) -> str:
    """Give the words that make the server answer with this recording; NAME@ANYTHING tells requests for it apart."""
    return f"recording={name}"


def asked(body: bytes) -> str:
    """Find what a request asks for: the newest name in it, or nothing."""
    found = NAME.findall(body.decode("utf-8", "replace"))
    return str(found[-1]) if found else ""


def brings_answer(body: bytes) -> bool:
    """Say whether a tool has answered since the user last spoke."""
    answered = False
    spoken = json.loads(body).get("input")
    for item in spoken if isinstance(spoken, list) else ():
        if item.get("role") == "user":
            answered = False
        elif item.get("type") in TOOL_ANSWERS:
            answered = True
    return answered


def is_json(name: str, body: bytes) -> bool:
    """Say whether this is served as JSON: a whole response, or what is called so; other JSON stands in a stream."""
    if name.endswith(IN_JSON):
        return True
    with suppress(ValueError):
        return body.startswith(b"{") and json.loads(body).get("object") == "response"
    return False


@dataclass(slots=True)
class Upstream:
    """The running server: where it is, and what it was asked for."""

    bodies: Mapping[str, bytes]
    url: str = ""
    cut: frozenset[str] = frozenset()  # recordings after which the connection breaks instead of ending
    received: dict[str, list[bytes]] = field(default_factory=dict)  # the bodies of the requests, by what they asked for
    aside: dict[str, list[bytes]] = field(default_factory=dict)  # those that were no step of the conversation
    others: list[str] = field(default_factory=list)  # requests that asked for no recording: "GET /v1/models"
    lock: threading.Lock = field(default_factory=threading.Lock)

    def recording(self, body: bytes) -> str | None:
        """Find the recording that answers a request, if any does, and remember the request."""
        wanted = asked(body)
        name = wanted.partition("@")[0]
        if name not in self.bodies:
            return None
        with self.lock:
            received = (self.aside if ASIDE.search(body) else self.received).setdefault(wanted, [])
            received.append(body)
            if len(received) > STORM:
                return None
        after = name + AFTER_TOOL
        return after if after in self.bodies and brings_answer(body) else name


class Answer(BaseHTTPRequestHandler):
    """One request: read it whole, find the recording, send it in chunks."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the last chunk is a write of its own, and would wait 40 ms for an acknowledgement
    upstream: Upstream  # set on the subclass that `serving` makes

    def do_POST(self) -> None:
        """Answer with the recording, or with 404 where the request names none or is one of a storm."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.upstream.recording(body)
        if name is None:
            self.refuse()
            return
        stream = self.upstream.bodies[name]
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if is_json(name, stream) else "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(stream), CHUNK):
            chunk = stream[start : start + CHUNK]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if name in self.upstream.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def do_GET(self) -> None:
        """Refuse: this upstream has neither models nor a WebSocket."""
        self.refuse()

    def refuse(self) -> None:
        """Say 404 in OpenAI's error shape, and remember what was asked."""
        with self.upstream.lock:
            self.upstream.others.append(f"{self.command} {self.path}")
        body = b'{"error":{"message":"no such recording","type":"invalid_request_error","code":null,"param":null}}'
        self.send_response(404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's name)
        """Stay silent: the counters say what happened."""


class Server(ThreadingHTTPServer):
    """A server whose handlers may lose their client without a word."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that left; a client is free to stop reading at the terminal event."""


@contextmanager
def serving(bodies: Mapping[str, bytes], *, cut: frozenset[str] = frozenset(), port: int = 0) -> Iterator[Upstream]:
    """Serve these streams on a loopback port for as long as the block lasts; `url` ends with /v1."""
    upstream = Upstream(bodies, cut=cut)
    handler = type("Answer", (Answer,), {"upstream": upstream})
    with Server(("127.0.0.1", port), handler) as server:
        upstream.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield upstream
        finally:
            server.shutdown()
            thread.join()


def main(folder: str, port: int = 18080) -> None:
    """Serve every ``*.sse`` of a folder until interrupted: ``python replay.py FOLDER [PORT]``."""
    bodies = {path.stem: path.read_bytes() for path in sorted(Path(folder).glob("*.sse"))}
    with serving(bodies, port=port) as upstream, suppress(KeyboardInterrupt):
        print(upstream.url, *bodies, sep="\n")  # noqa: T201
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    import sys

    main(sys.argv[1], *map(int, sys.argv[2:3]))
