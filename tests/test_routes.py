"""Several upstreams behind one respfix, chosen by path or by address, each with rules of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from downstream import config_for, connected, request
from upstream import END, STREAM_HEAD, Upstream, answer, chunk, header_values, serving

from respfix.app import running, started
from respfix.config import Address, Config, Route, UnixSocket

DELTA = b'data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"Hi"}\n\n'


@pytest.fixture
async def other() -> AsyncIterator[Upstream]:
    """A second upstream."""
    async with serving(answer(b"other")) as upstream:
        yield upstream


def routed(config: Config, path: str = "", listen: tuple[Address | UnixSocket, ...] = (), **own: object) -> Config:
    """The configuration with one more route."""
    rules = replace(config, **own)  # type: ignore[arg-type]
    return replace(config, routes=(*config.routes, Route(path, listen, rules)))


async def test_a_path_chooses_the_upstream_and_is_not_sent_on(other: Upstream) -> None:
    """It is respfix's own word; whole segments count, and the rest of the target stays byte for byte."""
    async with serving(answer(b"first")) as first:
        config = routed(config_for(first), "/oc", upstream=other.url)
        async with running(config) as address, connected(address) as client:
            for target, server, expected in (
                ("/oc/v1/mod%65ls?a=/oc", other, b"/v1/mod%65ls?a=/oc"),
                ("/oc", other, b"/"),
                ("/oc?x=1", other, b"/?x=1"),
                ("/oc//x", other, b"//x"),
                ("/ocx", first, b"/ocx"),
                ("/v1/oc", first, b"/v1/oc"),
                ("/%6fc", first, b"/%6fc"),
            ):
                _, body = await client.ask(request(target))
                assert body == (b"other" if server is other else b"first")
                assert server.last.target == expected


async def test_the_longest_path_wins(other: Upstream) -> None:
    """In whatever order they stand in the file."""
    async with serving(answer(b"first")) as first:
        config = routed(routed(config_for(first), "/a", upstream=first.url), "/a/b", upstream=other.url)
        async with running(config) as address, connected(address) as client:
            assert (await client.ask(request("/a/b/c")))[1] == b"other"
            assert (await client.ask(request("/a/c")))[1] == b"first"


async def test_the_path_of_the_upstream_is_put_in_front(other: Upstream) -> None:
    """As for the one upstream of the simple form, and said once where both say it."""
    config = routed(config_for("http://127.0.0.1:1"), "/oc", upstream=f"{other.url}/openai/v1")
    async with running(config) as address, connected(address) as client:
        await client.ask(request("/oc/v1/models"))

        assert other.last.target == b"/openai/v1/models"


async def test_an_address_chooses_the_upstream_and_is_opened_for_that(other: Upstream) -> None:
    """Two ports, two servers; the path stays as it is."""
    async with serving(answer(b"first")) as first:
        own = Address("127.0.0.2", 0)
        config = routed(config_for(first), listen=(own,), upstream=other.url)
        async with started(config) as service:
            for listener, expected in zip(service.bound, (b"first", b"other"), strict=True):
                async with connected(listener) as client:
                    assert (await client.ask(request("/v1/x")))[1] == expected
            assert other.last.target == b"/v1/x"


async def test_each_route_has_its_own_rules(other: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """One is repaired, the other passes as it is; the log names the upstream."""
    caplog.set_level(logging.INFO, "respfix")
    sent = STREAM_HEAD + chunk(DELTA) + END
    async with serving(sent) as first:
        config = routed(config_for(first), "/raw", repair="off")
        config = routed(config, "/other", upstream=other.url, pass_host=True)
        async with running(config) as address, connected(address) as client:
            _, repaired = await client.ask(request("/v1/responses"))
            _, raw = await client.ask(request("/raw/v1/responses"))
            await client.ask(request("/other/v1/models"))

    assert b"response.content_part.added" in repaired
    assert raw == DELTA
    assert header_values(other.last.head, b"Host") == [b"127.0.0.1"]
    assert any(f"upstream={other.url}" in message for message in caplog.messages)


# Unix sockets


async def test_clients_and_upstream_can_use_unix_sockets(tmp_path: Path) -> None:
    """No port at all; any Host is fine, because no web page reaches a socket in the file system."""
    path = tmp_path / "r.sock"
    async with serving(STREAM_HEAD + chunk(DELTA) + END, path=tmp_path / "u.sock") as upstream:
        async with started(config_for(upstream, listen=UnixSocket(str(path)))) as service:
            (listener,) = service.bound
            async with connected(listener) as client:
                head, body = await client.ask(request().replace(b"Host: 127.0.0.1", b"Host: anything.example"))

            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"response.content_part.added" in body
            assert header_values(upstream.last.head, b"Host") == [b"localhost"]
            assert path.stat().st_mode & 0o777 == 0o666
        assert not path.exists()


async def test_a_missing_socket_of_the_upstream_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the system's reason, in the log and in the answer."""
    path = tmp_path / "absent.sock"
    async with running(config_for(f"unix:{path}")) as address, connected(address) as client:
        head, body = await client.ask(request())

    assert head.startswith(b"HTTP/1.1 502 ")
    message = json.loads(body)["error"]["message"]
    assert f"cannot connect to the upstream unix:{path} (No such file or directory)" in message
    assert f"upstream unix:{path} is not reachable (No such file or directory)" in caplog.text
