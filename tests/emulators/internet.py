"""The way out to the internet, as a proxy server: every host a client asks for is played in this process.

A client that goes through this proxy uses the vendors' real addresses over real TLS. `CONNECT host:443` is
answered, the connection goes on under TLS with a certificate made for that host by an authority of the
test's own, and the requests end at the emulators. A host that nobody plays gets 502, as from a proxy that
cannot reach it.
"""

import ssl
from collections.abc import Container
from pathlib import Path

import trio
import trustme
from attrs import define, field

HEAD_LIMIT = 64 * 1024
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_NO_SUCH_HOST = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NOT_CONNECT = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@define(eq=False)
class Internet:
    """Makes a TLS stream to a played host out of a client's connection to the proxy."""

    hosts: Container[str]
    authority: trustme.CA = field(factory=trustme.CA)
    asked: list[str] = field(factory=list)
    """Hosts that were asked for and are not played."""
    _contexts: dict[str, ssl.SSLContext] = field(factory=dict)

    def write_authority(self, path: Path) -> None:
        """Write the certificate that clients have to trust."""
        self.authority.cert_pem.write_to_path(path)

    async def enter(self, stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream] | None:
        """Do the proxy's part of a connection; `None` when it has ended."""
        head = await _head(stream)
        method, _, rest = head.partition(b" ")
        host = rest.partition(b" ")[0].decode("ascii", "replace").rpartition(":")[0].lower()
        if method != b"CONNECT":
            await stream.send_all(_NOT_CONNECT)
            return None
        if host not in self.hosts:
            self.asked.append(host)
            await stream.send_all(_NO_SUCH_HOST)
            return None
        await stream.send_all(_ESTABLISHED)
        return trio.SSLStream(stream, self._context(host), server_side=True, https_compatible=True)

    def _context(self, host: str) -> ssl.SSLContext:
        context = self._contexts.get(host)
        if context is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.authority.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        return context


async def _head(stream: trio.SocketStream) -> bytes:
    """Read up to the empty line. A client says nothing more before it has its answer."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_LIMIT:
        data = await stream.receive_some(4096)
        if not data:
            break
        head += data
    return head
