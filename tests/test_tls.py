"""TLS on both sides: what is believed, what is refused, and in which words."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from downstream import Client, config_for, connected, request, said, through
from upstream import END, STREAM_HEAD, Exchange, chunk, serving

from respfix.app import running, started
from respfix.cli import main
from respfix.config import Address, Config, ConfigError, NamedFile, Tls, UpstreamTls, build
from respfix.config.sources import gather
from respfix.edge.probe import trouble_at
from respfix.relay.upstream import Upstream
from respfix.tls import client_context, server_context

EVENT = b'data: {"type":"x"}\n\n'


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Who signs the certificates of these tests."""
    return trustme.CA()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, trustme.Blob], NamedFile]:
    """Writes something to a file of the configuration."""

    def write(name: str, *blobs: trustme.Blob) -> NamedFile:
        path = tmp_path / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return NamedFile(path, f"config.yaml:3: tls.{name}")

    return write


Files = Callable[..., NamedFile]


def whole(certificate: trustme.LeafCert) -> list[trustme.Blob]:
    """A certificate with its chain and its key."""
    return [certificate.private_key_pem, *certificate.cert_chain_pems]


def server_side(certificate: trustme.LeafCert, *, asks: trustme.CA | None = None) -> ssl.SSLContext:
    """The context of a server, which may ask for a certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    if asks:
        asks.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_side(authority: trustme.CA, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """The context of a client, which may show a certificate."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate:
        certificate.configure_cert(context)
    return context


async def error_of(client: Client) -> dict[str, Any]:
    """What respfix says to a request."""
    head, body = await client.ask(request())
    assert head.startswith(b"HTTP/1.1 502 ")
    error: dict[str, Any] = json.loads(body)["error"]
    return error


# The upstream


async def test_an_upstream_with_a_certificate_of_ones_own_authority_is_believed(
    authority: trustme.CA, file: Files
) -> None:
    """The address is checked as well: it stands in the certificate."""
    tls = server_side(authority.issue_cert("127.0.0.1"))
    ca = file("ca", authority.cert_pem)
    async with (
        serving(STREAM_HEAD + chunk(EVENT) + END, tls=tls) as upstream,
        through(upstream, upstream_tls=UpstreamTls(ca=ca)) as client,
    ):
        head, body = await client.ask(request())

        assert head.startswith(b"HTTP/1.1 200 ")
        assert body.startswith(EVENT)


@pytest.mark.parametrize(
    ("head", "end", "is_last"),
    [(b"", b"", True), (b"Transfer-Encoding: chunked\r\n", chunk(EVENT) + b"zz\r\n", False)],
    ids=["closed", "broken"],
)
async def test_the_end_of_a_connection_is_seen_there_too(
    authority: trustme.CA, head: bytes, end: bytes, *, is_last: bool
) -> None:
    """aiohttp closes its transport twice, and asyncio's takes no other protocol from then on."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + head + b"\r\n")
        for _ in range(3):
            await asyncio.sleep(0.02)
            await exchange.send(chunk(EVENT) if head else EVENT)
        await asyncio.sleep(0.02)
        await exchange.send(end)
        exchange.is_last = is_last

    tls, own = server_side(authority.issue_cert("127.0.0.1")), UpstreamTls(verify=False)
    async with serving(script, tls=tls) as upstream, through(upstream, upstream_tls=own) as client:
        _, body = await client.ask(request())

        assert body.count(EVENT) == 3 + bool(head)
        assert b"response.failed" in body


@pytest.mark.parametrize(
    ("name", "reason"), [("127.0.0.1", "unable to get local issuer certificate"), ("other.lan", "IP address mismatch")]
)
async def test_an_upstream_that_is_not_believed_gets_nothing(
    authority: trustme.CA, file: Files, name: str, reason: str
) -> None:
    """Neither an unknown authority nor another's name will do; the answer says which."""
    tls = server_side(authority.issue_cert(name))
    own = UpstreamTls(ca=file("ca", authority.cert_pem)) if name == "other.lan" else UpstreamTls()
    async with serving(tls=tls) as upstream, through(upstream, upstream_tls=own) as client:
        error = await error_of(client)

        assert error["code"] == "upstream_untrusted"
        assert reason in error["message"]
        assert upstream.url in error["message"]
        assert upstream.exchanges == []


async def test_verifying_can_be_switched_off(authority: trustme.CA) -> None:
    """For a certificate nobody has signed, on a way that is trusted."""
    tls = server_side(authority.issue_cert("other.lan"))
    async with serving(tls=tls) as upstream, through(upstream, upstream_tls=UpstreamTls(verify=False)) as client:
        head, _ = await client.ask(request())

        assert head.startswith(b"HTTP/1.1 200 ")


async def test_an_upstream_that_asks_for_a_certificate_gets_one(authority: trustme.CA, file: Files) -> None:
    """Both parts in one file, or in two."""
    tls = server_side(authority.issue_cert("127.0.0.1"), asks=authority)
    own = authority.issue_cert("respfix.lan")
    ca = file("ca", authority.cert_pem)
    ways = (
        UpstreamTls(ca=ca, certificate=file("both", *whole(own))),
        UpstreamTls(ca=ca, certificate=file("crt", *own.cert_chain_pems), key=file("key", own.private_key_pem)),
    )
    for way in ways:
        async with serving(tls=tls) as upstream, through(upstream, upstream_tls=way) as client:
            head, _ = await client.ask(request())

            assert head.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("version", "code"),
    [(ssl.TLSVersion.TLSv1_2, "upstream_tls_failed"), (ssl.TLSVersion.TLSv1_3, "upstream_disconnected")],
)
async def test_an_upstream_that_misses_a_certificate_is_understood(
    authority: trustme.CA, file: Files, version: ssl.TLSVersion, code: str
) -> None:
    """With TLS 1.3 it complains after the handshake, in place of an answer, and may reset the connection at once."""
    tls = server_side(authority.issue_cert("127.0.0.1"), asks=authority)
    tls.minimum_version = tls.maximum_version = version
    own = UpstreamTls(ca=file("ca", authority.cert_pem))
    async with serving(tls=tls) as upstream, through(upstream, upstream_tls=own) as client:
        error = await error_of(client)

        assert error["code"] in (code, "upstream_tls_failed")
        assert "it may want a certificate: upstream_tls.certificate" in error["message"]


async def test_an_upstream_that_speaks_plain_http_is_understood() -> None:
    """The likeliest slip: https:// in front of a port that has none."""

    async def complain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(complain, "127.0.0.1", 0)
    async with server, through(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        error = await error_of(client)

        assert error["code"] == "upstream_tls_failed"
        assert "http:// in --upstream" in error["message"]


# The clients


async def test_clients_can_come_over_tls(authority: trustme.CA, file: Files) -> None:
    """A stream is repaired there as anywhere, and its chunks arrive one by one."""
    tls = Tls(certificate=file("both", *whole(authority.issue_cert("127.0.0.1"))))
    listen = Address("127.0.0.1", 0, is_tls=True)
    async with (
        serving(STREAM_HEAD + chunk(EVENT) + END) as upstream,
        running(config_for(upstream, listen=listen, tls=tls)) as address,
        connected(address, client_side(authority)) as client,
    ):
        _, body = await client.ask(request())

        assert str(address).startswith("https://127.0.0.1:")
        assert body.startswith(EVENT)
        assert b"response.failed" in body


async def test_clients_can_be_asked_for_a_certificate(authority: trustme.CA, file: Files) -> None:
    """Whoever has none, or one that somebody else has signed, does not get in."""
    own = authority.issue_cert("127.0.0.1")
    tls = Tls(file("crt", *own.cert_chain_pems), file("key", own.private_key_pem), file("ca", authority.cert_pem))
    config = config_for("http://127.0.0.1:1", listen=Address("127.0.0.1", 0, is_tls=True), tls=tls)
    async with running(config) as address:
        async with connected(address, client_side(authority, authority.issue_cert("codex.lan"))) as client:
            head, _ = await client.ask(request())
            assert head.startswith(b"HTTP/1.1 502 ")
        for stranger in (None, trustme.CA().issue_cert("codex.lan")):
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                async with connected(address, client_side(authority, stranger)) as client:
                    await client.ask(request())


async def test_old_protocols_are_refused(authority: trustme.CA, file: Files) -> None:
    """TLS 1.2 at least, on both sides."""
    certificate = file("both", *whole(authority.issue_cert("127.0.0.1")))
    server = server_context(Tls(certificate=certificate))

    assert server is not None
    assert {ssl.TLSVersion.TLSv1_2} == {server.minimum_version, client_context(UpstreamTls()).minimum_version}


async def test_a_reload_takes_a_renewed_certificate(authority: trustme.CA, file: Files) -> None:
    """New connections see it, those that are there go on."""
    listen = Address("127.0.0.1", 0, is_tls=True)
    tls = Tls(certificate=file("both", *whole(authority.issue_cert("127.0.0.1", common_name="old"))))

    def shown(client: Client) -> object:
        return client.writer.get_extra_info("peercert")["subject"][-1][0][1]

    async with (
        serving() as upstream,
        started(config_for(upstream, listen=listen, tls=tls)) as service,
        connected(service.address, client_side(authority)) as before,
    ):
        await before.ask(request())
        file("both", *whole(authority.issue_cert("127.0.0.1", common_name="new")))
        await service.reload(service.config)
        async with connected(service.address, client_side(authority)) as after:
            head, _ = await after.ask(request())
            assert head.startswith(b"HTTP/1.1 200 ")
            assert ("old", "new") == (shown(before), shown(after))
        head, _ = await before.ask(request())
        assert head.startswith(b"HTTP/1.1 200 ")


# What is said about a greeting that failed


async def test_a_client_that_does_not_speak_tls_is_logged(
    authority: trustme.CA, file: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets nothing that it could read, so whoever looks after respfix has to be told."""
    listen = Address("127.0.0.1", 0, is_tls=True)
    certificate = file("both", *whole(authority.issue_cert("127.0.0.1")))
    tls = Tls(certificate=certificate, client_ca=file("ca", authority.cert_pem))
    async with running(config_for("http://127.0.0.1:1", listen=listen, tls=tls)) as address:
        async with connected(address) as client:
            await client.send(request())
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.head()
        line = await said(caplog, "greeted")
        assert "a client could not be greeted over TLS: http request; write https:// in its base URL" == line
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            async with connected(address, client_side(authority)) as stranger:
                await stranger.ask(request())
        assert "over TLS: peer did not return a certificate" in await said(caplog, "certificate")


async def test_a_client_that_speaks_tls_where_nobody_expects_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A base URL with one letter too many; OpenSSL's words for the answer do not help."""
    async with running(config_for("http://127.0.0.1:1")) as address:
        with pytest.raises(ssl.SSLError):
            async with connected(address, ssl.create_default_context()):
                pass
        line = await said(caplog, "TLS")
        assert "a client speaks TLS where respfix listens without; write http:// in its base URL" == line


async def test_the_start_says_when_an_upstream_cannot_be_greeted(
    authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody takes connections there, and still every request would get a 502."""
    async with serving(tls=server_side(authority.issue_cert("127.0.0.1"))) as upstream:
        async with running(config_for(upstream)):
            line = await said(caplog, "not reachable")
        assert f"upstream {upstream.url} is not reachable (its certificate is not trusted: unable to get local" in line
        trusting = client_context(UpstreamTls())
        authority.configure_trust(trusting)
        assert "" == await trouble_at(Upstream.parse(upstream.url), trusting)

    def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        trouble = await trouble_at(Upstream.parse(f"https://127.0.0.1:{port}"), client_context(UpstreamTls()))
        assert trouble.startswith("no TLS connection: ")


# What is wrong with a file


def test_a_file_that_cannot_be_used_is_said_with_its_line(authority: trustme.CA, file: Files) -> None:
    """And with what is wrong with it."""
    one, other = authority.issue_cert("a.lan"), authority.issue_cert("b.lan")
    certificate, key = file("certificate", *one.cert_chain_pems), file("key", other.private_key_pem)
    absent = NamedFile(Path("/absent.pem"), "config.yaml:3: tls.certificate")
    empty = file("empty")
    broken = file("broken", *one.cert_chain_pems)
    broken.path.write_bytes(broken.path.read_bytes().replace(b"\nMII", b"\nIIM", 1))
    is_absent = "/absent.pem cannot be read: No such file or directory; respfix's user must be able to"
    wrongs: list[tuple[Callable[[], object], str]] = [
        (lambda: server_context(Tls(absent)), is_absent),
        (lambda: server_context(Tls(certificate, absent)), is_absent),
        (lambda: server_context(Tls(certificate, key)), f"tls.key: {key} is not the key of the certificate"),
        (
            lambda: server_context(Tls(certificate)),
            f"{certificate} holds no private key in PEM form; put the key there",
        ),
        (lambda: server_context(Tls(certificate, empty)), f"tls.empty: {empty} holds no private key in PEM form"),
        (lambda: server_context(Tls(key)), f"tls.key: {key} holds no certificate in PEM form"),
        (lambda: server_context(Tls(broken, key)), f"tls.broken: {broken} and its key cannot be used: OpenSSL says "),
        (lambda: client_context(UpstreamTls(ca=empty)), f"tls.empty: {empty} holds no certificate in PEM form"),
        (lambda: client_context(UpstreamTls(ca=absent)), is_absent),
        (lambda: client_context(UpstreamTls(certificate=certificate, key=key)), f"{key} is not the key of the cert"),
    ]
    for use, expected in wrongs:
        with pytest.raises(ConfigError) as error:
            use()
        assert str(error.value).startswith("config.yaml:3: tls.")
        assert expected in str(error.value)


WRONG_FILES = [
    # the lines of a configuration, and what is said of which
    ("listen: https://127.0.0.1:0\ntls:\n  certificate: {absent}", ":3: tls.certificate: {absent} cannot be read: "),
    (
        "listen: https://127.0.0.1:0\ntls:\n  certificate: {one}\n  key: {other}",
        ":4: tls.key: {other} is not the key of",
    ),
    (
        "listen: https://127.0.0.1:0\ntls:\n  certificate: {one}\n  key: {own}\n  client_ca: {empty}",
        ":5: tls.client_ca: {empty} holds no certificate",
    ),
    (
        "upstream: https://llm.lan\nupstream_tls:\n  ca: {empty}",
        ":3: upstream_tls.ca: {empty} holds no certificate",
    ),
    (
        "upstream: https://llm.lan\nupstream_tls:\n  certificate: {one}\n  key: {other}",
        ":4: upstream_tls.key: {other} is not the key of the certificate",
    ),
    (
        "routes:\n- path: /a\n  upstream: HTTPS://llm.lan\n  upstream_tls:\n    certificate: {absent}",
        ":5: routes.upstream_tls.certificate: {absent} cannot be read: No such file or directory",
    ),
    ("capture:\n  folder: {one}", ":2: capture.folder: {one} cannot be used: it is no folder"),
]


@pytest.fixture
def paths(authority: trustme.CA, file: Files, tmp_path: Path) -> dict[str, object]:
    """Files that can be used, and others, by what they are."""
    one, other = authority.issue_cert("127.0.0.1"), authority.issue_cert("b.lan")
    return {
        "one": file("one", *one.cert_chain_pems),
        "own": file("own", one.private_key_pem),
        "other": file("other", other.private_key_pem),
        "empty": file("empty"),
        "absent": tmp_path / "absent.pem",
    }


@pytest.mark.parametrize(("text", "said"), WRONG_FILES)
async def test_the_check_says_of_a_file_what_a_start_says(
    paths: dict[str, object], capfd: pytest.CaptureFixture[str], tmp_path: Path, text: str, said: str
) -> None:
    """systemd runs it before a start and before a reload: with a file that cannot be used, neither is tried."""
    config = tmp_path / "config.yaml"
    config.write_text(text.format(**paths))

    with pytest.raises(ConfigError) as error:
        async with started(build(gather(config, {}, {}))):
            pass
    assert str(error.value).startswith(f"{config}{said.format(**paths)}")
    assert 2 == main(["serve", "--check-config", "--config", str(config)])
    assert ("", f"respfix: error: {error.value}\n") == capfd.readouterr()


def test_the_check_is_content_with_files_that_a_start_can_use(
    authority: trustme.CA, file: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """All of them at once; and it makes nothing."""
    own = file("own", *whole(authority.issue_cert("127.0.0.1")))
    ca = file("ca", authority.cert_pem)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"listen: https://127.0.0.1:0\nupstream: https://llm.lan\ntls: {{certificate: {own}, client_ca: {ca}}}\n"
        f"upstream_tls: {{certificate: {own}, ca: {ca}}}\ncapture: {{folder: {tmp_path}/kept}}\n"
    )

    assert 0 == main(["serve", "--check-config", "--config", str(config)])
    assert not (tmp_path / "kept").exists()
    assert f'client_ca: "{ca}"' in capfd.readouterr().out


def test_an_encrypted_key_does_not_wait_for_a_password(authority: trustme.CA, file: Files, tmp_path: Path) -> None:
    """OpenSSL would ask the terminal, and a service has none."""
    own = authority.issue_cert("a.lan")
    key = serialization.load_pem_private_key(own.private_key_pem.bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "key").write_bytes(locked)
    key_file = NamedFile(tmp_path / "key", "config.yaml:4: tls.key")

    with pytest.raises(ConfigError, match=r"^config\.yaml:4: tls\.key: .*is encrypted, and nobody is there"):
        server_context(Tls(file("certificate", *own.cert_chain_pems), key_file))


def test_without_a_certificate_there_is_no_tls() -> None:
    """Nothing is made up."""
    assert server_context(Config().tls) is None
