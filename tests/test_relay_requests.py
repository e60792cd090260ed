"""What the upstream sees of a request: exactly what the client sent."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket

import pytest
from downstream import config_for, connected, request, through
from upstream import Exchange, answer, header_values, serving

from respfix.app import running
from respfix.relay.upstream import Upstream as Address, is_responses

TARGETS = [
    "/",
    "/v1/responses",
    "/v1/a%2Fb//c/../d/%7e?p=[1]",
    "//x//y",
    "/..//x",
    "/x?",
    "/x??a=b?c",
    "/x#y?z#",
    "/x?key=a%20b+c&key=%zz",
    "/a:b@c;d=e,f!$&'()*",
    "/a|b{c}^`",
]


@pytest.mark.parametrize("target", TARGETS)
async def test_path_and_query_arrive_byte_for_byte(target: str) -> None:
    """URL libraries requote, resolve dots and drop an empty query."""
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request(target))

        assert upstream.last.target == target.encode()


@pytest.mark.parametrize(
    ("url", "target", "expected"),
    [
        ("http://h", "/v1/responses", "/v1/responses"),
        ("http://h/", "/v1/responses", "/v1/responses"),
        ("http://h/v1", "/v1/responses", "/v1/responses"),
        ("http://h/v1/", "/v1/responses", "/v1/responses"),
        ("http://h/v1", "/responses", "/v1/responses"),
        ("http://h/v1", "/v1", "/v1"),
        ("http://h/v1", "/v1?x=/v1", "/v1?x=/v1"),
        ("http://h/v1", "/v10/responses", "/v1/v10/responses"),
        ("http://h/v1", "/", "/v1/"),
        ("http://h/api/v1", "/v1/responses", "/api/v1/responses"),
        ("http://h/api/v1", "/api/v1/responses", "/api/v1/responses"),
        ("http://h/api/v1", "/responses", "/api/v1/responses"),
        ("http://h/api", "/v1/api/x", "/api/v1/api/x"),
        ("http://h/a/a", "/a/a/x", "/a/a/x"),
        ("http://h/v1", "//v1/x", "/v1//v1/x"),
    ],
)
def test_an_upstream_path_is_joined_without_doubling_it(url: str, target: str, expected: str) -> None:
    """`/v1` on both sides is the likeliest user error."""
    assert expected == Address.parse(url).target(target)


async def test_an_upstream_path_is_used() -> None:
    """The join is the one that requests go through."""
    async with serving() as upstream, through(upstream.url + "/v1") as client:
        await client.ask(request("/v1/responses?a=%7e"))
        await client.ask(request("/models", method="GET", body=None))

        assert [exchange.target for exchange in upstream.exchanges] == [b"/v1/responses?a=%7e", b"/v1/models"]


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("POST", "/v1/responses", True),
        ("POST", "/responses", True),
        ("POST", "/a/b/responses?x=1", True),
        ("POST", "/v1/responses/", True),
        ("POST", "/v1/responses//", False),
        ("GET", "/v1/responses", False),
        ("POST", "/v1/responses/compact", False),
        ("POST", "/v1/responses/input_tokens", False),
        ("POST", "/v1/responses/resp_1", False),
        ("POST", "/v1/myresponses", False),
        ("POST", "/v1/chat/completions?x=/responses", False),
    ],
)
def test_only_posts_to_responses_are_looked_at(method: str, target: str, *, expected: bool) -> None:
    """Sub-paths of the API answer with other things."""
    assert expected == is_responses(method, target)


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "http://evil.example/v1/responses", "https://evil/x"])
async def test_an_absolute_target_is_refused(target: str) -> None:
    """A relay that joins it to its base could be sent to another host."""
    async with serving() as upstream, through(upstream) as client:
        head, body = await client.ask(request(target))

        assert head.split(b"\r\n")[0] == b"HTTP/1.1 400 Bad Request"
        assert json.loads(body)["error"]["code"] == "bad_target"
        assert upstream.exchanges == []


async def test_who_takes_respfix_for_a_proxy_is_told_so() -> None:
    """HTTP_PROXY names the other server in Host as well; to allow that name would be no help."""
    async with serving() as upstream, through(upstream) as client:
        _, body = await client.ask(b"GET http://llm.example/v1 HTTP/1.1\r\nHost: llm.example\r\n\r\n")

        assert "this is not an open proxy; ask for a path such as" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("target", ["@evil.example/x", "*", "x"])
async def test_a_target_without_a_slash_is_refused(target: str) -> None:
    """`http://upstream` + `@evil` would be another host."""
    async with serving() as upstream, through(upstream) as client:
        head, _ = await client.ask(request(target, method="OPTIONS"))

        assert head.split()[1] == b"400"
        assert upstream.exchanges == []


async def test_connect_is_refused() -> None:
    """A relay with one upstream is no open proxy."""
    async with serving() as upstream, through(upstream) as client:
        await client.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

        assert (await client.head()).startswith(b"HTTP/1.1 400 ")
        assert upstream.exchanges == []


async def test_headers_arrive_as_they_were_with_all_their_duplicates() -> None:
    """A dict would keep one of each."""
    sent = [
        b"Authorization: Bearer k",
        b"X-Dup: 1",
        b'x-codex-turn-metadata: {"a": 1}',
        b"X-Dup: 2",
        b'Cookie: a=1; b="2"',
        b"X-Dup: 3",
        b"User-Agent: codex_exec/0.135.0 (Debian)",
        b"Accept: text/event-stream",
        b"X-Utf8: caf\xc3\xa9",
        b"X-Empty: ",
    ]
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request("/v1/models", *sent, method="GET", body=None))
        lines = upstream.last.head.split(b"\r\n")

        assert [b"GET /v1/models HTTP/1.1", b"Host: 127.0.0.1:%d" % upstream.port] == lines[:2]
        assert sorted(sent) == sorted(lines[2:-2])
        assert header_values(upstream.last.head, b"X-Dup") == [b"1", b"2", b"3"]


async def test_one_name_in_two_spellings_is_one_header() -> None:
    """The aiohttp client takes them for two and lets the second replace the first."""
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request("/x", "X-A: 1", "x-a: 2", "X-a: 3"))

        assert header_values(upstream.last.head, b"x-a") == [b"1", b"2", b"3"]


async def test_nothing_is_added_to_a_request() -> None:
    """The aiohttp client adds User-Agent, Accept, Accept-Encoding and Content-Type if it is let."""
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request("/x"))

        expected = [b"POST /x HTTP/1.1", b"Host: 127.0.0.1:%d" % upstream.port, b"Content-Length: 2", b"", b""]
        assert expected == upstream.last.head.split(b"\r\n")


async def test_hop_by_hop_headers_end_here() -> None:
    """Also those that Connection names: a naive list forwards X-Secret."""
    hops = (
        b"Connection: keep-alive, X-Secret",
        b"X-Secret: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic eDp5",
        b"Proxy-Authenticate: Basic",
        b"TE: trailers",
        b"Trailer: X-Sum",
        b"Upgrade: h2c",
        b"X-Kept: 1",
    )
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request("/x", *hops))
        names = {line.split(b":")[0] for line in upstream.last.head.split(b"\r\n")[1:-2]}

        assert {b"Host", b"X-Kept", b"Content-Length"} == names


async def test_only_a_possible_stream_is_asked_for_uncompressed() -> None:
    """It may have to be read; everything else keeps the client's wish."""
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request("/v1/responses", "Accept-Encoding: gzip, br"))
        await client.ask(request("/v1/models", "Accept-Encoding: gzip, br"))

        seen = [header_values(exchange.head, b"Accept-Encoding") for exchange in upstream.exchanges]
        assert seen == [[b"identity"], [b"gzip, br"]]


@pytest.mark.parametrize("repair", ["observe", "off"])
async def test_without_repair_nothing_of_a_request_changes(repair: str) -> None:
    """Observing changes nothing, not even the request."""
    async with serving() as upstream, through(upstream, repair=repair) as client:
        await client.ask(request("/v1/responses", "Accept-Encoding: gzip"))

        assert header_values(upstream.last.head, b"Accept-Encoding") == [b"gzip"]


async def test_the_host_is_the_upstreams_unless_it_is_passed() -> None:
    """As if the client had been pointed there; virtual hosts and TLS names depend on it."""
    async with serving() as upstream:
        async with through(upstream, pass_host=True) as client:
            await client.ask(request())
        async with through(upstream) as client:
            await client.ask(request())

        seen = [header_values(exchange.head, b"Host") for exchange in upstream.exchanges]
        assert [[b"127.0.0.1"], [b"127.0.0.1:%d" % upstream.port]] == seen


async def test_credentials_in_the_upstream_url_are_used_only_where_the_client_has_none() -> None:
    """The aiohttp library refuses a request that has both."""
    async with serving() as upstream, through(upstream.url.replace("//", "//bob:p%40ss@")) as client:
        await client.ask(request())
        await client.ask(request("/x", "Authorization: Bearer k"))

        seen = [header_values(exchange.head, b"Authorization") for exchange in upstream.exchanges]
        assert seen == [[b"Basic Ym9iOnBAc3M="], [b"Bearer k"]]


async def test_a_compressed_request_body_is_relayed_untouched() -> None:
    """The aiohttp server inflates it by default and leaves the old encoding and length standing."""
    body = gzip.compress(b'{"input": "hello"}' * 50)
    async with serving() as upstream, through(upstream) as client:
        await client.ask(request("/v1/responses", "Content-Encoding: gzip", body=body))

        assert body == upstream.last.body
        assert header_values(upstream.last.head, b"Content-Encoding") == [b"gzip"]


async def test_a_large_body_keeps_its_length() -> None:
    """The aiohttp library refuses more than 1 MiB where a handler reads the body; histories with images are larger."""
    body = bytes(range(256)) * 12_000
    async with serving() as upstream, through(upstream) as client:
        head, _ = await client.ask(request(body=body))

        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == upstream.last.body
        assert [b"%d" % len(body)] == header_values(upstream.last.head, b"Content-Length")
        assert header_values(upstream.last.head, b"Transfer-Encoding") == []


async def test_a_chunked_body_stays_chunked() -> None:
    """Both framings in one request would be a smuggling primitive."""
    body = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"
    async with serving() as upstream, through(upstream) as client:
        await client.ask(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n" + body)

        assert upstream.last.body == b"hello world"
        assert header_values(upstream.last.head, b"Transfer-Encoding") == [b"chunked"]
        assert header_values(upstream.last.head, b"Content-Length") == []


async def test_a_body_streams_to_the_upstream_while_it_arrives() -> None:
    """A relay that reads it first doubles the time and holds it in memory."""
    first = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        assert await exchange.reader.readexactly(3) == b"one"
        first.set()
        assert await exchange.reader.readexactly(3) == b"two"
        await exchange.send(answer())

    async with serving(script, reads_bodies=False) as upstream, through(upstream) as client:
        await client.send(request("/x", "Content-Length: 6", body=None) + b"one")
        await asyncio.wait_for(first.wait(), 2)
        head, _ = await client.ask(b"two")

        assert head.startswith(b"HTTP/1.1 200 ")


async def test_expect_is_answered_here() -> None:
    """Forwarded, it makes aiohttp wait for the upstream's 100, and servers that ignore it never get the body."""
    async with serving() as upstream, through(upstream) as client:
        await client.send(request("/x", "Expect: 100-continue", "Content-Length: 5", body=None))
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        head, _ = await client.ask(b"hello")

        assert head.startswith(b"HTTP/1.1 200 ")
        assert upstream.last.body == b"hello"
        assert header_values(upstream.last.head, b"Expect") == []


async def test_a_refused_request_is_not_invited_to_send_its_body() -> None:
    """The point of Expect is to be told first."""
    async with serving() as upstream, through(upstream) as client:
        await client.send(b"POST /x HTTP/1.1\r\nHost: evil\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")

        assert (await client.head()).startswith(b"HTTP/1.1 403 ")


async def test_a_nine_kilobyte_token_is_relayed() -> None:
    """The aiohttp header limit is 8190 on both sides; tokens with many claims are longer."""
    token = b"Bearer " + b"k" * 9000
    async with serving(answer(b"{}", b"X-Long: " + token)) as upstream, through(upstream) as client:
        head, _ = await client.ask(request("/x", b"Authorization: " + token))

        assert [token] == header_values(upstream.last.head, b"Authorization")
        assert [token] == header_values(head, b"X-Long")


async def test_two_hundred_headers_are_relayed() -> None:
    """The aiohttp limit is 128."""
    many = [b"X-%d: %d" % (number, number) for number in range(200)]
    async with serving(answer(b"{}", *many)) as upstream, through(upstream) as client:
        head, _ = await client.ask(request("/x", *many))

        assert all(line in upstream.last.head for line in many)
        assert all(line in head for line in many)


async def test_a_header_that_is_not_utf8_is_refused_by_name() -> None:
    """The aiohttp writer would leave the byte out without a word."""
    async with serving() as upstream, through(upstream) as client:
        head, body = await client.ask(request("/x", b"X-Name: caf\xe9"))

        assert head.startswith(b"HTTP/1.1 400 ")
        assert "X-Name" in json.loads(body)["error"]["message"]
        assert upstream.exchanges == []


async def test_cookies_of_one_user_never_reach_another() -> None:
    """The aiohttp jar is shared, and works only for host names, so 127.0.0.1 would hide the leak."""
    script = answer(b"{}", b"Set-Cookie: session=alice; Path=/")
    async with serving(script, host="localhost") as upstream, through(f"http://localhost:{upstream.port}") as client:
        head, _ = await client.ask(request("/x"))
        await client.ask(request("/x"))

        assert header_values(head, b"Set-Cookie") == [b"session=alice; Path=/"]
        assert header_values(upstream.last.head, b"Cookie") == []


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY would capture the traffic of the loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving() as upstream, through(upstream) as client:
        head, _ = await client.ask(request("/x"))

        assert head.startswith(b"HTTP/1.1 200 ")


async def test_connections_to_the_upstream_are_reused() -> None:
    """Pipelined and repeated requests keep their order on one connection."""
    async with serving() as upstream, through(upstream) as client:
        await client.send(request("/1") + request("/2") + request("/3"))
        for _ in range(3):
            await client.body(await client.head())

        assert [exchange.target for exchange in upstream.exchanges] == [b"/1", b"/2", b"/3"]
        assert upstream.connections == 1


async def test_no_connection_is_reused_where_that_is_switched_off() -> None:
    """For upstreams that close idle connections at once."""
    timeouts = {"upstream_keepalive": 0}
    async with serving() as upstream, through(upstream, timeouts=timeouts) as client:
        await client.ask(request("/1"))
        await client.ask(request("/2"))

        assert upstream.connections == 2
        assert header_values(upstream.last.head, b"Connection") == [b"close"]


@pytest.mark.parametrize("cut", [0, -1, None], ids=["in one read", "with the last byte", "later"])
async def test_what_nobody_asked_for_is_nobodys_answer(cut: int | None) -> None:
    """An upstream that answers twice: the next request, perhaps of another client, would get the second answer."""

    async def script(exchange: Exchange) -> None:
        whole = answer(b"for %d" % len(upstream.exchanges))
        await exchange.send(whole[:cut])
        await asyncio.sleep(0.05)
        await exchange.send((whole[cut:] if cut is not None else b"") + answer(b"for nobody"))

    async with serving(script) as upstream, running(config_for(upstream)) as address:
        got = []
        for _ in range(3):
            async with connected(address) as client:
                got.append((await client.ask(request("/x")))[1])
            await asyncio.sleep(0.1)

        assert [b"for 1", b"for 2", b"for 3"] == got
        assert 3 == upstream.connections


async def test_a_post_at_the_edge_of_keepalive_is_never_sent_twice() -> None:
    """The upstream reads it and closes: it may have been worked on, so the client must decide."""

    async def script(exchange: Exchange) -> None:
        if len(upstream.exchanges) % 2:
            await exchange.send(answer())
        else:
            exchange.writer.close()

    async with serving(script) as upstream, through(upstream) as client:
        for number in range(1, 9):
            head, body = await client.ask(request(f"/{number}"))
            status = 200 if number % 2 else 502
            assert int(head.split()[1]) == status
        assert json.loads(body)["error"]["code"] == "upstream_disconnected"
        assert len(upstream.exchanges) == 8


async def test_a_request_that_could_not_connect_is_tried_again() -> None:
    """Nothing was sent; an upstream that restarts is back within two seconds."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    async with through(f"http://127.0.0.1:{port}", connect_retries=3) as client:
        await client.send(request(body=b"hello"))
        await asyncio.sleep(0.4)
        async with serving() as upstream:
            server = await asyncio.start_server(upstream.connected, "127.0.0.1", port)
            head = await client.head()
            server.close()

            assert head.startswith(b"HTTP/1.1 200 ")
            assert [exchange.body for exchange in upstream.exchanges] == [b"hello"]


async def test_an_early_answer_ends_the_upload() -> None:
    """An upstream may refuse a body before it has read it."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(answer(b'{"error": 1}', status=b"413 Payload Too Large"))
        await exchange.gone()

    async with serving(script, reads_bodies=False) as upstream, through(upstream) as client:
        await client.send(request("/x", "Content-Length: 1000000", body=None) + b"x" * 1000)
        head = await client.head()

        assert head.startswith(b"HTTP/1.1 413 Payload Too Large")
        assert await client.body(head) == b'{"error": 1}'


async def test_a_body_that_the_client_breaks_off_never_looks_whole_upstream() -> None:
    """The upstream must not act on half a request."""
    async with serving(reads_bodies=False) as upstream, through(upstream) as client:
        broke = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await exchange.read_body()
                return
            broke.set()

        upstream.script = script
        await client.send(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        client.leave()
        await asyncio.wait_for(broke.wait(), 2)


async def test_a_body_with_broken_chunking_is_the_clients_fault() -> None:
    """Not the upstream's, although the request is already on its way."""
    async with serving(reads_bodies=False) as upstream, through(upstream) as client:

        async def script(exchange: Exchange) -> None:
            await exchange.gone()

        upstream.script = script
        await client.send(b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        await client.send(b"zz\r\n")

        assert (await client.head()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8081", 200),
        ("localhost", 200),
        ("LOCALHOST.:80", 200),
        ("[::1]:8081", 200),
        ("127.9.9.9", 200),
        ("respfix.lan", 200),
        ("Respfix.LAN:8081", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.1.1", 403),
        ("[2001:db8::1]", 403),
        ("", 403),
    ],
)
async def test_only_known_names_are_answered(host: str, status: int) -> None:
    """A page that rebinds its own name to 127.0.0.1 still sends that name."""
    async with serving() as upstream, through(upstream, hosts=("respfix.lan",)) as client:
        head, body = await client.ask(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

        assert status == int(head.split()[1])
        assert (status == 200) == (len(upstream.exchanges) == 1)
        if status == 403:
            error = json.loads(body)["error"]
            assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "host_not_allowed")
            assert host not in error["message"] or not host


async def test_who_listens_everywhere_answers_to_every_address() -> None:
    """Only names can be rebound."""
    async with serving() as upstream, running(config_for(upstream, listen="0.0.0.0")) as address:
        for host, status in (("192.168.1.1", 200), ("evil.example", 403)):
            async with connected(address) as client:
                head, _ = await client.ask(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())

                assert status == int(head.split()[1])
