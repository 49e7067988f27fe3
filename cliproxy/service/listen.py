"""Where the server listens, why there, and the sockets themselves.

An empty ``host`` means this machine only as long as no client key is configured, and every address otherwise:
a server that anybody may use must not be reachable by everybody. An explicit address beyond this machine
without client keys is refused unless the owner says in so many words that he means it.

The sockets are made here rather than by the ASGI server, because of two options that accepted connections
inherit. The server sends to clients without a deadline, and a client that stops reading would block its task
for ever, the shutdown included: ``TCP_USER_TIMEOUT`` lets the kernel end such a connection. And the kernel
takes megabytes for a client that reads slowly, or not at all, before it lets the server notice: all of that
would be fetched, and paid for, from the upstream. ``TCP_NOTSENT_LOWAT`` bounds what waits there, not what is
on its way, so that fast clients are as fast as before.
"""

import errno
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from cliproxy.config.model import Config
from cliproxy.errors import ConfigError, Problem

LOOPBACKS: Final = ("127.0.0.1", "::1")
BACKLOG: Final = 1024
UNREAD_LIMIT_S: Final = 60.0
"""A client that acknowledges nothing for this long is gone."""

UNSENT_BYTES: Final = 128 * 1024
"""What the kernel keeps for a client beyond what its connection can carry at the moment."""
_OPTIONS: Final = (
    ("TCP_USER_TIMEOUT", int(UNREAD_LIMIT_S * 1000)),
    ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
)
"""Not every system has them."""

_REMEDIES: Final[Mapping[int, str]] = {
    errno.EADDRINUSE: "another program, perhaps a cliproxy, listens there: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this machine has no such address: correct `host`, or leave it empty",
    errno.EACCES: "this user may not listen on it: choose a port from 1024 on",
}


@frozen
class Binding:
    """The addresses to listen on, and the reason for people."""

    hosts: tuple[str, ...]
    port: int
    reason: str


def choose_binding(config: Config, source: str = "config", line: int | None = None) -> Binding:
    """Decide where to listen. Raises :class:`~cliproxy.errors.ConfigError` for an unsafe wish; ``line`` is
    where it stands."""
    host = config.host.strip("[]")
    if not host:
        if config.asks_for_keys:
            return Binding(("",), config.port, "all addresses, because client keys are configured")
        if config.allow_unauthenticated:
            return Binding(("",), config.port, "all addresses, because `allow-unauthenticated` is set")
        return Binding(
            LOOPBACKS, config.port, "this machine only, because no client keys (`api-keys`) are configured"
        )
    if not is_loopback(host) and not config.asks_for_keys and not config.allow_unauthenticated:
        message = (
            f"`{host}` is reachable from other machines and there are no `api-keys`: anybody could use "
            "your accounts. Configure keys, or set `allow-unauthenticated: true` if that is what you want"
        )
        raise ConfigError(source, [Problem(message, path="host", line=line)])
    return Binding((host,), config.port, "as configured by `host`")


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_sockets(binding: Binding) -> list[socket.socket]:
    """Open listening sockets. Raises ``OSError`` when none could be opened; further ones are optional.

    With port 0 all sockets share the port that the first was given.
    """
    opened: list[socket.socket] = []
    port = binding.port
    error: OSError | None = None
    for family, address in _addresses(binding.hosts):
        try:
            sock = _listening(family, address, port)
        except OSError as exc:
            error = error or exc
            continue
        opened.append(sock)
        port = sock.getsockname()[1]
    if not opened or (error is not None and _is_required(binding, opened)):
        for sock in opened:
            sock.close()
        raise error or OSError(f"no address to listen on: {binding.hosts}")
    return opened


def _is_required(binding: Binding, opened: Sequence[socket.socket]) -> bool:
    """An explicitly named address must work; of the two loopback addresses IPv4 must."""
    if binding.hosts == LOOPBACKS:
        return all(sock.family != socket.AF_INET for sock in opened)
    return binding.hosts != ("",)


def _addresses(hosts: Sequence[str]) -> list[tuple[socket.AddressFamily, str]]:
    if tuple(hosts) == ("",):
        # One IPv6 socket serves both families where the system has IPv6.
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "0.0.0.0")]  # noqa: S104
    found: list[tuple[socket.AddressFamily, str]] = []
    for host in hosts:
        try:
            known = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise OSError(
                exc.errno, f"cannot listen on {host}: {exc.strerror}; `host` takes an address of this machine"
            ) from exc
        for family, _, _, _, address in known:
            if (family, str(address[0])) not in found:
                found.append((family, str(address[0])))
    return found


def _listening(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        for name, value in _OPTIONS:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        sock.bind((address, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as exc:
        sock.close()
        remedy = _REMEDIES.get(exc.errno or 0)
        message = f"cannot listen on {address} port {port}: {exc.strerror}" + (
            f"; {remedy}" if remedy else ""
        )
        raise OSError(exc.errno, message) from exc
    return sock


def shown_url(sock: socket.socket, scheme: str) -> str:
    """Return the URL of a listening socket, as a person would type it."""
    host, port = sock.getsockname()[:2]
    if host in {"::", "0.0.0.0"}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
