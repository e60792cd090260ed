"""What a client is told when the upstream gives no answer: one code and one text for each thing that can be wrong.

A text says who is at fault and what to look at; the words of the libraries are not repeated, they speak of objects.
"""

from __future__ import annotations

import errno
import os
import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponseError,
    ConnectionTimeoutError,
)

from respfix.config import Config
from respfix.relay.refusal import Refusal
from respfix.relay.upstream import Upstream


def refusal_for(error: ClientError | OSError, upstream: Upstream, config: Config) -> Refusal:
    """The answer in place of the upstream's."""
    if isinstance(error, ConnectionTimeoutError):
        waited = f"within {config.timeouts.connect:g} s (timeouts.connect)"
        message = f"the upstream {upstream} accepted no connection {waited}"
        if upstream.scheme == "https":
            message += "; if it runs, it may speak plain HTTP: http:// in --upstream"
        return Refusal(504, "upstream_connect_timeout", message)
    if isinstance(error, ClientConnectorCertificateError):
        return _untrusted(error.certificate_error, upstream)
    if tls := _tls_error(error):
        return _no_tls(tls, upstream)
    if isinstance(error, ClientConnectorError):
        return _unreachable(error, upstream)
    if isinstance(error, ClientResponseError):
        message = f"the upstream {upstream} answered with something that is not HTTP; check --upstream"
        return Refusal(502, "upstream_invalid_answer", message)
    message = f"the upstream {upstream} closed the connection without an answer; its own log may say why"
    if upstream.scheme == "https" and config.upstream_tls.certificate is None:
        message += ", or it may want a certificate: upstream_tls.certificate"  # what TLS 1.3 says after the handshake
    return Refusal(502, "upstream_disconnected", message)


def _tls_error(error: BaseException | None) -> OSError | None:
    """The TLS failure behind an error; a connection that is reset while it begins is reset by TLS."""
    if isinstance(error, ClientConnectorError):
        error = error.os_error
        if isinstance(error, ConnectionResetError):
            return error
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    return error


def _untrusted(error: Exception, upstream: Upstream) -> Refusal:
    reason = getattr(error, "verify_message", "") or "it cannot be verified"
    message = f"the certificate of the upstream {upstream} is not trusted ({reason.rstrip('.')})"
    return Refusal(502, "upstream_untrusted", f"{message}; check it, and upstream_tls.ca")


def _no_tls(error: OSError, upstream: Upstream) -> Refusal:
    reason = (getattr(error, "reason", "") or "connection reset").replace("_", " ").lower()
    advice = "it may want a certificate: upstream_tls.certificate"
    if "wrong version" in reason or "record layer" in reason:
        advice = "it may speak plain HTTP: http:// in --upstream"
    return Refusal(502, "upstream_tls_failed", f"no TLS connection to the upstream {upstream} ({reason}); {advice}")


def _unreachable(error: ClientConnectorError, upstream: Upstream) -> Refusal:
    if isinstance(error, ClientConnectorDNSError):
        message = f"the name of the upstream {upstream} cannot be resolved; check --upstream and the DNS"
        return Refusal(502, "upstream_name_unknown", message)
    number = error.os_error.errno or 0
    reason = os.strerror(number) if number > 0 else "no reason known"  # asyncio's own words repeat the address
    advice = "check that it runs, and --upstream"
    if upstream.socket and number == errno.EACCES:
        advice = "let respfix's user write to the socket and enter its folder"
    elif number == errno.EPERM:  # what a filter of the kernel says, such as IPAddressDeny= of systemd
        advice = "a firewall of this machine forbids it; in a service of systemd's, allow it with IPAddressAllow="
    message = f"cannot connect to the upstream {upstream} ({reason}); {advice}"
    return Refusal(502, "upstream_unreachable", message)
