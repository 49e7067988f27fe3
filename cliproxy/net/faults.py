"""What can go wrong on the way to an upstream, in one wording for every kind of connection."""

import re
from http import HTTPStatus
from typing import Final

from attrs import frozen

from cliproxy.errors import Kind, TransportError


@frozen
class Fault:
    """A kind of failure."""

    kind: Kind
    phase: str
    text: str


CONNECT_SLOW: Final = Fault(Kind.TIMEOUT, "connect", "connecting took too long")
CONNECT_FAILED: Final = Fault(Kind.UNAVAILABLE, "connect", "the connection failed")
SEND_SLOW: Final = Fault(Kind.TIMEOUT, "send", "sending the request took too long")
SEND_FAILED: Final = Fault(Kind.UNAVAILABLE, "send", "the connection broke while sending")
ILLEGAL: Final = Fault(
    Kind.INTERNAL,
    "send",
    "the request is not legal HTTP; a key or a header holds characters that none may have",
)
READ_FAILED: Final = Fault(Kind.UNAVAILABLE, "body", "the connection broke while reading")
NOT_HTTP: Final = Fault(Kind.UPSTREAM, "body", "the upstream broke the HTTP protocol or closed early")
PROXY_FAILED: Final = Fault(Kind.UNAVAILABLE, "connect", "the proxy refused or failed")
_STATUS: Final = re.compile(r"(\d{3})\b.*", re.DOTALL)


BY_NAME: Final = (
    ("ConnectTimeout", CONNECT_SLOW),
    ("PoolTimeout", Fault(Kind.TIMEOUT, "connect", "no connection became free")),
    ("WriteTimeout", SEND_SLOW),
    ("ReadTimeout", Fault(Kind.TIMEOUT, "body", "reading took too long")),
    ("ProxyError", PROXY_FAILED),
    ("ConnectError", CONNECT_FAILED),
    ("WriteError", SEND_FAILED),
    ("ReadError", READ_FAILED),
    ("RemoteProtocolError", NOT_HTTP),
    ("LocalProtocolError", ILLEGAL),
    ("UnsupportedProtocol", Fault(Kind.INVALID_REQUEST, "connect", "the URL's scheme is not supported")),
)
"""What the errors of the HTTP library mean, by the names that both of its layers give them."""


def transport_error(host: str, fault: Fault, exc: BaseException | None = None) -> TransportError:
    """Describe a failure of a host. Of the cause only what is short and names no address is quoted, and of a
    proxy's words nothing: it was told a password."""
    reason = _reason(exc).split("\n", 1)[0]
    if fault is PROXY_FAILED:
        reason = _STATUS.sub(_standard, reason)
    detail = f" ({reason})" if reason and "://" not in reason else ""
    return TransportError(f"{host}: {fault.text}{detail}", kind=fault.kind, phase=fault.phase)


def _standard(status: re.Match[str]) -> str:
    """Return a status with its usual words in place of somebody's own."""
    try:
        return f"{status[1]} {HTTPStatus(int(status[1])).phrase}"
    except ValueError:
        return status[1]


def _reason(exc: BaseException | None) -> str:
    """Return what the error says, or the one below it: some only pass on what another has said."""
    while exc is not None:
        if said := str(exc):
            return said
        exc = exc.__cause__ or exc.__context__
    return ""


def no_answer(host: str, seconds: float) -> TransportError:
    """Say that the head of an answer did not come."""
    return TransportError(f"{host}: no answer within {seconds:g} s", kind=Kind.TIMEOUT, phase="head")
