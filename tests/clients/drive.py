"""Clients as processes: a name in, a reading out; one that hangs or dies is started again for the rest.

A hang is one that happens again: litellm 1.106 stops for ever in one of 600 readings of a healthy answer, without
anything between it and the server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any, Self

from clients.install import HERE, installed, node, python
from clients.reading import Reading
from clients.table import Client

START = 180.0  # seconds until the first line; some libraries import for ten on a busy machine
QUIET = {  # what clients would tell their makers, or ask them; where nothing leaves the machine they would only wait
    "AGNO_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(slots=True)
class Outcome:
    """What came of one stream."""

    reading: Reading = field(default_factory=Reading)
    hung: bool = False  # killed after its time


def command(client: Client, url: str) -> list[str]:
    """Give the command line of a client's runner; `UnavailableError` says why there is none."""
    folder = installed(client.environment)
    program = node() if client.runner.endswith(".mjs") else python(folder)
    return [program, str(HERE / "runners" / client.runner), str(folder), url, client.interface]


class Session:
    """One client, asked for one reading after the other; a context manager that ends its processes."""

    def __init__(self, client: Client, url: str) -> None:
        self.client = client
        self.command = command(client, url)
        self.version = ""
        self._process: subprocess.Popen[str] | None = None
        self._lines: Queue[str | None] = Queue()
        self._listener = threading.Thread()
        self._home = tempfile.TemporaryDirectory(prefix="respfix-client-", ignore_cleanup_errors=True)
        self._log: IO[str] | None = None

    def __enter__(self) -> Self:
        """Start it, so that its version is known."""
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End it, and all that it started."""
        self._stop()
        self._home.cleanup()

    def read(self, name: str) -> Outcome:
        """Let it read one stream, and once more if it hangs; requests of the second time count by themselves."""
        seen = self._read(name)
        return self._read(f"{name}@again") if seen.hung else seen

    def _read(self, name: str) -> Outcome:
        process = self._process or self._start()
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it is dead, and the missing answer says so
            process.stdin.write(name + "\n")
            process.stdin.flush()
        try:
            answer = self._answer(self.client.patience)
        except Empty:
            self._stop()
            return Outcome(Reading(error="hang: killed after its time"), hung=True)
        except EOFError as death:
            return Outcome(Reading(error=f"the process died: {death}"))
        if answer["name"] != name:
            raise RuntimeError(f"{self.client.name} was asked for {name} and answered {answer['name']}")
        return Outcome(Reading.from_json(answer["reading"]))

    def _start(self) -> subprocess.Popen[str]:
        self._lines = Queue()
        self._log = Path(self._home.name, "log").open("w+")  # noqa: SIM115 (closed by _stop)
        surroundings = {"PATH": os.environ["PATH"], "HOME": self._home.name, "LANG": "C.UTF-8", **QUIET}
        self._process = process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            env=surroundings, cwd=self._home.name, start_new_session=True,
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, args=(process, self._lines))
        self._listener.start()
        try:
            self.version = self._answer(START)["version"]
        except (Empty, EOFError) as silence:
            self._stop()
            raise RuntimeError(f"{self.client.name} does not start: {silence}") from None
        return process

    @staticmethod
    def _listen(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.put(line)
        lines.put(None)

    def _answer(self, patience: float) -> dict[str, Any]:
        line = self._lines.get(timeout=patience)
        if line is None:
            raise EOFError(self._stop())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _stop(self) -> str:
        """End the process and its children; gives the end of its log."""
        process, self._process = self._process, None
        said = ""
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.close()
            self._listener.join()
        if self._log is not None:
            self._log.seek(0)
            said = self._log.read()[-2000:]
            self._log.close()
            self._log = None
        return said


@dataclass(slots=True)
class Outcomes:
    """What one client made of many streams."""

    version: str
    by_name: dict[str, Outcome]


def read_all(client: Client, url: str, names: Iterable[str]) -> Outcomes:
    """Let one client read these streams from a server, in as many processes as it may have."""
    waiting = iter(list(names))
    lock = threading.Lock()

    def shared() -> Iterator[str]:
        while True:
            with lock:
                name = next(waiting, None)
            if name is None:
                return
            yield name

    def work() -> Outcomes:
        with Session(client, url) as session:
            return Outcomes(session.version, {name: session.read(name) for name in shared()})

    with ThreadPoolExecutor(client.at_once) as pool:
        parts = [task.result() for task in [pool.submit(work) for _ in range(client.at_once)]]
    return Outcomes(parts[0].version, {name: seen for part in parts for name, seen in part.by_name.items()})
