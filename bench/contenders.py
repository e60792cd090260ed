"""Who stands between the load and the origin, and how each is set up: for streams, with as little else as can be."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import processes

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "bench"
LITELLM = "litellm[proxy]==1.106.2"
SETTLE = 1.0  # seconds from the first connection that is accepted to the first request
START = 180.0  # seconds; LiteLLM takes twenty on an idle machine


class MissingError(Exception):
    """A contender that is not here; the message says why."""


@dataclass(frozen=True)
class Running:
    """A contender that takes requests."""

    port: int
    pids: tuple[int, ...]  # none for the direct way


NGINX = """\
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log stderr;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_read_timeout 300s; tcp_nodelay on;
    }}
  }}
}}
"""

HAPROXY = """\
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  option http-no-delay
  timeout connect 10s
  timeout client 300s
  timeout server 300s
frontend front
  bind 127.0.0.1:{port} backlog 4096
  default_backend back
backend back
  server origin 127.0.0.1:{origin}
"""

LITELLM_CONFIG = """\
model_list:
  - model_name: "bench"
    litellm_params: {{model: "openai/bench", api_base: "http://127.0.0.1:{origin}/v1", api_key: "sk-bench"}}
litellm_settings: {{telemetry: false, request_timeout: 600}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}  # it listens on loopback, for a minute
"""


def _python(*words: str) -> list[str]:
    return [sys.executable, *words]


def _nginx(directory: Path, port: int, origin: int) -> list[str]:
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=port, origin=origin))
    return [_found("nginx", "nginx-light"), "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]


def _haproxy(directory: Path, port: int, origin: int) -> list[str]:
    (directory / "haproxy.cfg").write_text(HAPROXY.format(port=port, origin=origin))
    return [_found("haproxy", "haproxy"), "-db", "-f", str(directory / "haproxy.cfg")]


def _found(program: str, package: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if path is None:
        raise MissingError(f"{program} is not installed (apt-get install {package})")
    return path


def _bare(_: Path, port: int, origin: int) -> list[str]:
    return _python("-m", "bench.relays", "bare", str(port), f"http://127.0.0.1:{origin}")


def _json(_: Path, port: int, origin: int) -> list[str]:
    return _python("-m", "bench.relays", "json", str(port), f"http://127.0.0.1:{origin}")


def _respfix(_: Path, port: int, origin: int) -> list[str]:
    return _python(
        "-m", "respfix", "serve", "--upstream", f"http://127.0.0.1:{origin}", "--listen", f"127.0.0.1:{port}"
    )


def _respfix_off(directory: Path, port: int, origin: int) -> list[str]:
    return [*_respfix(directory, port, origin), "--repair", "off"]


def _litellm(directory: Path, port: int, origin: int) -> list[str]:
    home = CACHE / "litellm"
    installed = home / "installed"
    if not installed.exists() or installed.read_text() != LITELLM:
        steps = ([sys.executable, "-m", "venv", str(home)], [str(home / "bin/pip"), "install", "--quiet", LITELLM])
        for step in steps:
            done = subprocess.run(step, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            if done.returncode:
                raise MissingError(f"{LITELLM} cannot be installed: {done.stderr.strip().splitlines()[-1]}")
        installed.write_text(LITELLM)
    (directory / "litellm.yaml").write_text(LITELLM_CONFIG.format(origin=origin))
    program = [str(home / "bin/litellm"), "--config", str(directory / "litellm.yaml")]
    return [*program, "--host", "127.0.0.1", "--port", str(port)]


@dataclass(frozen=True)
class Contender:
    """One way from the load to the origin."""

    name: str
    title: str
    command: Callable[[Path, int, int], list[str]] | None  # by directory, its port, the origin's; None: no one between
    repairs: bool = False
    is_faithful: bool = True  # every byte leaves as it came, unless it is repaired
    slow: float = 1.0  # paced this many times slower, because it could not keep up
    instances: int = 1  # on the same port
    is_pinned: bool = True  # on the core that is kept for contenders

    @property
    def expects(self) -> str:
        """What must be true of a stream that came this way (`bench.checks`)."""
        return "repaired" if self.repairs else "same" if self.is_faithful else "text"


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender("direct", "no proxy", None),
        Contender("nginx", "nginx", _nginx),
        Contender("haproxy", "HAProxy", _haproxy),
        Contender("bare", "bare aiohttp + uvloop relay", _bare),
        Contender("json", "relay that parses and dumps", _json, is_faithful=False),
        Contender("litellm", "LiteLLM", _litellm, is_faithful=False, slow=8),
        Contender("off", "respfix, repair off", _respfix_off),
        Contender("respfix", "respfix", _respfix, repairs=True),
        Contender("one", "respfix, any core", _respfix, repairs=True, is_pinned=False),
        Contender("two", "two of respfix on one port", _respfix, repairs=True, is_pinned=False, instances=2),
    )
}


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def started(contender: Contender, directory: Path, origin: int, core: int | None) -> Iterator[Running]:
    """The contender for the time of a block, once it takes connections; raises MissingError if it cannot be had."""
    if contender.command is None:
        yield Running(origin, ())
        return
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = contender.command(directory, port, origin)
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_DOCS": "True"}
    env |= {"RESPFIX_REUSE_PORT": "true"} if contender.instances > 1 else {}
    with contextlib.ExitStack() as stack:
        members = [
            stack.enter_context(processes.running(command, core=core, log=directory / f"log.{number}", env=env))
            for number in range(contender.instances)
        ]
        deadline = time.monotonic() + START
        while not accepts(port):
            if members[0].poll() is not None or time.monotonic() > deadline:
                last = (directory / "log.0").read_text().strip().splitlines()[-1:] or ["it said nothing"]
                raise MissingError(f"{contender.name} does not start: {last[0]}")
            time.sleep(0.05)
        time.sleep(SETTLE)
        yield Running(port, tuple(member.pid for member in members))


def accepts(port: int) -> bool:
    """Somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
