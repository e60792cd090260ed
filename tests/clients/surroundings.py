"""Where clients run: a network namespace in which there is nothing but loopback, and a relay in it."""

from __future__ import annotations

import fcntl
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clients.install import UnavailableError

RELAY = (sys.executable, "-m", "respfix", "serve")
PATIENCE = 120.0  # seconds until a relay listens, and until it has ended; half a second on a machine of its own
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h


def separated() -> list[str]:
    """Give the command that starts a process in a network namespace of its own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise UnavailableError("unshare is not on the PATH: install util-linux to keep clients off the network")
    for flags in ("-n", "-rn"):
        if subprocess.run([unshare, flags, "true"], capture_output=True, check=False).returncode == 0:
            return [unshare, flags]
    raise UnavailableError("network namespaces are not allowed here: run as root, or allow user namespaces")


def loopback_up() -> None:
    """Bring up `lo`, as `ip link set lo up` would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


@contextmanager
def relaying(command: Sequence[str], upstream: str) -> Iterator[str]:
    """Run a relay in front of an upstream for as long as the block lasts; gives its origin."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with subprocess.Popen(
        [*command, "--upstream", upstream, "--listen", f"127.0.0.1:{port}"], stdout=sys.stderr
    ) as run:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if run.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"the relay did not start: {command}") from None
                    time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            run.terminate()
            run.wait(PATIENCE)
