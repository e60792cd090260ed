"""TLS on both sides. OpenSSL's own defaults decide about versions and ciphers: TLS 1.2 at least."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from respfix.config import Config, Tls, UpstreamTls
from respfix.config.kinds import NamedFile


class Renewable(ssl.SSLContext):
    """Lets a listening server change its context: each handshake takes the one that is current.

    A server cannot be given another one, and one that is replaced loses the connections it has just accepted.
    """

    def __new__(cls, _: object) -> Self:
        """Only what `current` says is ever used."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, on_failure: Callable[[ssl.SSLError], None]) -> None:
        """Event loops keep a failed handshake to themselves; `on_failure` hears of it."""
        self.current: ssl.SSLContext | None = None

        class Greeting(ssl.SSLObject):
            def do_handshake(self) -> None:
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except ssl.SSLError as error:
                    on_failure(error)
                    raise

        self._greeting = Greeting

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """The only method that event loops call."""
        assert self.current is not None  # noqa: S101 (whoever opens the server has set it)
        self.current.sslobject_class = self._greeting
        return self.current.wrap_bio(*args, **options)


def look_at_files(config: Config) -> None:
    """Open every file that a start with this configuration would; raises ConfigError for one that cannot be used."""
    server_context(config.tls)
    for each in (config, *(route.config for route in config.routes)):
        if urlsplit(each.upstream).scheme == "https":
            client_context(each.upstream_tls)


def server_context(tls: Tls) -> ssl.SSLContext | None:
    """How respfix shows itself to clients, or nothing; raises ConfigError for a file that cannot be used."""
    if tls.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    _show(context, tls.certificate, tls.key)
    if tls.client_ca is not None:
        _believe(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: UpstreamTls) -> ssl.SSLContext:
    """Whom respfix believes to be its upstream; raises ConfigError for a file that cannot be used."""
    context = ssl.create_default_context() if tls.ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None:
        _believe(context, tls.ca)
    if tls.certificate is not None:
        _show(context, tls.certificate, tls.key)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _believe(context: ssl.SSLContext, authorities: NamedFile) -> None:
    try:
        context.load_verify_locations(authorities.path)
    except ssl.SSLError:
        raise authorities.error("holds no certificate in PEM form") from None
    except OSError as error:
        raise authorities.error(f"cannot be read: {error.strerror}; respfix's user must be able to") from None


def _show(context: ssl.SSLContext, certificate: NamedFile, key: NamedFile | None) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in _content(certificate):
        raise certificate.error("holds no certificate in PEM form")
    if b" PRIVATE KEY-----" not in _content(key or certificate):
        advice = "" if key else "; put the key there, too, or name its file as `key`"
        raise (key or certificate).error(f"holds no private key in PEM form{advice}")
    key = key or certificate

    def refuse() -> str:
        raise key.error("is encrypted, and nobody is there to give the password")

    try:
        context.load_cert_chain(certificate.path, key.path, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise key.error("is not the key of the certificate") from None
        reason = (error.reason or "no reason known").replace("_", " ").lower()
        raise certificate.error(f"and its key cannot be used: OpenSSL says {reason}") from None


def _content(file: NamedFile) -> bytes:
    try:
        return file.path.read_bytes()
    except OSError as error:
        raise file.error(f"cannot be read: {error.strerror}; respfix's user must be able to") from None
