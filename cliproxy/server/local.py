"""Who may use a route: everybody with a client key, or programs on the same machine only.

The second kind of route is for programs that send a token of their vendor's where a client key would be.
What counts is the address of the connection's other end, which nobody can forge. Two things are behind such
an address without being on this machine: a reverse proxy here, which tells that it is one, and a page in a
browser here, which the browser tells. Neither is let in.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Final

from quart import Request

from cliproxy.errors import Forbidden
from cliproxy.server.access import Client
from cliproxy.server.world import World

_NOT_ALONE: Final = ("forwarded", "via", "x-forwarded-for", "x-real-ip", "origin", "sec-fetch-site")
"""Headers that a reverse proxy or a browser adds."""


def admit(
    world: World, request: Request, headers: Mapping[str, str], query: Mapping[str, str], *, is_local: bool
) -> Client:
    """Return who sent a request; nobody in particular where that is a local program.

    Raises :class:`~cliproxy.errors.Unauthorized` and :class:`~cliproxy.errors.Forbidden`.
    """
    if not is_local:
        return world.keys().admit(headers, query)
    if not is_near(request):
        raise Forbidden("This address is served to programs on the same machine only.", code="local_only")
    if not is_alone(headers):
        raise Forbidden(
            "This address is served to programs on the same machine only, not through a proxy or a web page.",
            code="local_only",
        )
    return Client()


def admit_observer(
    world: World, request: Request, headers: Mapping[str, str], query: Mapping[str, str]
) -> None:
    """Let in whose business the state of the server is: programs on this machine, and holders of a client
    key. Where there are no keys, nobody from elsewhere has one.

    Raises :class:`~cliproxy.errors.Unauthorized` and :class:`~cliproxy.errors.Forbidden`.
    """
    if is_near(request) and is_alone(headers):
        return
    keys = world.keys()
    if not len(keys):
        raise Forbidden("This address is served to programs on the same machine only.", code="local_only")
    keys.admit(headers, query)


def is_near(request: Request) -> bool:
    """Tell whether the other end of a request's connection is on this machine."""
    peer = request.scope.get("client")
    return peer is not None and is_loopback(str(peer[0]))


def is_alone(headers: Mapping[str, str]) -> bool:
    """Tell whether nobody stands behind the other end who is somewhere else."""
    return not any(name in headers for name in _NOT_ALONE)


def is_loopback(address: str) -> bool:
    """Tell whether an address is one of this machine's loopback interface, in any of its spellings."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped.is_loopback
    return parsed.is_loopback
