"""What is let in: how large, how many at a time, and whose word counts about who asks."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator

import pytest
from downstream import Client, config_for, connected, request, through
from upstream import END, STREAM_HEAD, Exchange, answer, chunk, header_values, serving

from respfix.app import running, started
from respfix.config import Address, Admission, UnixSocket
from respfix.config.kinds import Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"),)


async def refusal(client: Client, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """The status, the error and the head of what respfix says to this."""
    head, body = await client.ask(sent)
    return int(head.split()[1]), json.loads(body)["error"], head


# Sizes


async def test_a_body_beyond_the_bound_is_refused_before_anything_is_sent() -> None:
    """Its length tells; off by default, because images are large."""
    async with serving(answer()) as upstream, through(upstream, admission=Admission(body_bytes=10)) as client:
        status, error, _ = await refusal(client, request(body=b"x" * 11))

        assert (413, "body_too_large", "invalid_request_error") == (status, error["code"], error["type"])
        assert "admission.body_bytes" in error["message"]
        assert upstream.exchanges == []
    assert Admission().body_bytes == 0


async def test_a_body_of_just_the_bound_passes() -> None:
    """With its length, and in chunks."""
    chunked = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"0123456789") + END
    async with serving(answer()) as upstream, through(upstream, admission=Admission(body_bytes=10)) as client:
        for sent in (request("/x", body=b"0123456789"), chunked):
            head, _ = await client.ask(sent)
            assert head.startswith(b"HTTP/1.1 200 ")
            assert upstream.last.body == b"0123456789"


async def test_a_body_without_a_length_is_cut_at_the_bound() -> None:
    """The upstream sees a broken body, never a whole one; the client is told why."""
    seen = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await exchange.read_body()
            seen.set()

    chunked = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 11)
    async with (
        serving(script, reads_bodies=False) as upstream,
        through(upstream, admission=Admission(body_bytes=10)) as client,
    ):
        status, error, _ = await refusal(client, chunked)

        assert (413, "body_too_large") == (status, error["code"])
        assert not seen.is_set()


async def test_header_lines_are_bounded_as_it_was_said() -> None:
    """In requests and in answers."""
    big = b"X-Big: " + b"x" * 9000
    bound = Admission(header_bytes=10_000)
    async with serving(answer(b"{}", big)) as upstream, through(upstream, admission=bound) as client:
        assert (await client.ask(request("/x", big)))[0].startswith(b"HTTP/1.1 200 ")
        assert (await client.ask(request("/x", big + b"x" * 1100)))[0].split()[1] == b"400"
    small = Admission(header_bytes=8000)
    async with serving(answer(b"{}", big)) as upstream, through(upstream, admission=small) as client:
        status, error, _ = await refusal(client, request("/x"))
        assert (502, "upstream_invalid_answer") == (status, error["code"])


# Counts


@contextlib.asynccontextmanager
async def busy(admission: Admission, *, trusted: tuple[Network, ...] = ()) -> AsyncIterator[Address]:
    """A respfix with one stream running, of a client at 127.0.0.1; gives its address."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        await exchange.gone()

    async with (
        serving(script) as upstream,
        running(config_for(upstream, admission=admission, trusted_proxies=trusted)) as address,
        connected(address) as client,
    ):
        await client.send(request("/x", "X-Forwarded-For: 192.0.2.1"))
        await client.head()
        yield address


async def test_one_request_too_many_is_told_to_come_again() -> None:
    """503 with Retry-After, in OpenAI's shape; nothing was sent. The official SDKs try again by themselves."""
    async with busy(Admission(requests=1)) as address, connected(address) as client:
        status, error, head = await refusal(client, request())

        assert (503, "too_many_requests", "server_error") == (status, error["code"], error["type"])
        assert "admission.requests" in error["message"]
        assert header_values(head, b"Retry-After") == [b"1"]


async def test_one_request_too_many_of_a_client_is_its_own_fault() -> None:
    """429 for this client, and others are served."""
    async with (
        busy(Admission(requests_per_client=1), trusted=LOOPBACK) as address,
        connected(address) as client,
        connected(address) as other,
    ):
        status, error, head = await refusal(client, request("/x", "X-Forwarded-For: 192.0.2.1"))
        assert (429, "too_many_requests") == (status, error["code"])
        assert "admission.requests_per_client" in error["message"]
        assert header_values(head, b"Retry-After") == [b"1"]

        await other.send(request("/x", "X-Forwarded-For: 192.0.2.2"))
        assert (await other.head()).startswith(b"HTTP/1.1 200 ")


async def test_a_client_cannot_choose_who_it_is() -> None:
    """The header of somebody who is no trusted proxy is not believed."""
    async with busy(Admission(requests_per_client=1)) as address, connected(address) as client:
        status, _, _ = await refusal(client, request("/x", "X-Forwarded-For: 192.0.2.99"))

        assert status == 429


async def test_a_place_is_free_again_when_a_request_has_ended() -> None:
    """However it ended."""
    async with serving(answer()) as upstream, started(config_for(upstream, admission=Admission(requests=1))) as service:
        async with connected(service.address) as client:
            for _ in range(3):
                head, _ = await client.ask(request("/x"))
                assert head.startswith(b"HTTP/1.1 200 ")
        assert len(service.roll) == 0


# Who asked


async def told(*headers: str, **changes: object) -> dict[str, list[str]]:
    """What the upstream hears about the client, for a request with these headers."""
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
    async with serving(answer()) as upstream, through(upstream, **changes) as client:
        await client.ask(request("/x", *headers))
        found = {name: header_values(upstream.last.head, name.encode()) for name in names}
        return {name: [value.decode() for value in values] for name, values in found.items() if values}


async def test_nothing_is_said_about_the_client_unasked() -> None:
    """And what it says itself is relayed like any header."""
    assert await told() == {}
    assert await told("X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1") == {
        "X-Forwarded-For": ["192.0.2.1"],
        "Forwarded": ["for=192.0.2.1"],
    }


async def test_the_upstream_is_told_who_asked() -> None:
    """What a stranger says about itself is replaced."""
    expected = {
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Proto": ["http"],
        "X-Forwarded-Host": ["127.0.0.1"],
    }
    lies = ("X-Forwarded-For: 192.0.2.1", "x-forwarded-proto: https", "X-Forwarded-Port: 1", "Forwarded: for=192.0.2.1")

    assert expected == await told(forwarded=True)
    assert expected == await told(*lies, forwarded=True)


async def test_a_trusted_proxy_is_quoted() -> None:
    """Its address is added to the way, and what it says of the client's request stays."""
    said = ("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 198.51.100.2", "X-Forwarded-Proto: https")
    expected = {
        "X-Forwarded-For": ["192.0.2.1, 198.51.100.2, 127.0.0.1"],
        "X-Forwarded-Proto": ["https"],
        "X-Forwarded-Host": ["127.0.0.1"],
    }

    assert expected == await told(*said, forwarded=True, trusted_proxies=LOOPBACK)


@pytest.mark.parametrize("trusted", [(), ("unix",)])
async def test_a_unix_socket_has_no_address_to_tell(tmp_path: object, trusted: tuple[Network, ...]) -> None:
    """What came through it counts only if such sockets are trusted."""
    listen = UnixSocket(f"{tmp_path}/r.sock")
    async with (
        serving(answer()) as upstream,
        started(config_for(upstream, listen=listen, forwarded=True, trusted_proxies=trusted)),
        connected(listen) as client,
    ):
        await client.ask(request("/x", "X-Forwarded-For: 192.0.2.1"))

        assert header_values(upstream.last.head, b"X-Forwarded-For") == ([b"192.0.2.1"] if trusted else [])
