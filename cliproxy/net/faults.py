"""What can go wrong on the way to an upstream, in one wording for every kind of connection."""

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


def transport_error(host: str, fault: Fault, exc: BaseException | None = None) -> TransportError:
    """Describe a failure of a host. Of the cause only what is short and names no address is quoted."""
    reason = str(exc).split("\n", 1)[0] if exc is not None else ""
    detail = f" ({reason})" if reason and "://" not in reason else ""
    return TransportError(f"{host}: {fault.text}{detail}", kind=fault.kind, phase=fault.phase)


def no_answer(host: str, seconds: float) -> TransportError:
    """Say that the head of an answer did not come."""
    return TransportError(f"{host}: no answer within {seconds:g} s", kind=Kind.TIMEOUT, phase="head")
