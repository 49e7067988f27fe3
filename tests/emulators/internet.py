"""The way out to the internet, as a proxy server: every host a client asks for is played in this process.

A client that goes through this proxy uses the vendors' real addresses over real TLS. One port speaks three
languages, told apart by the first byte, as a client's setting `http://`, `https://` or `socks5://` wants it:
`CONNECT host:443` in the open or inside TLS, and SOCKS5 (RFC 1928, with passwords by RFC 1929). The
connection then goes on under TLS with a certificate made for that host by an authority of the test's own, and
the requests end at the emulators. A host that nobody plays is refused, as by a proxy that cannot reach it;
one that is named by its number is refused, too: the client is to leave the lookup to the proxy.

No password is needed; one that is given must be `owner:let-me-out`.
"""

import ssl
from base64 import b64encode
from collections.abc import Container
from pathlib import Path

import trio
import trustme
from attrs import define, field

HEAD_LIMIT = 64 * 1024
USER, PASSWORD = b"owner", b"let-me-out"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_NO_SUCH_HOST = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NOT_CONNECT = b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_WRONG_PASSWORD = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)
_TLS_HANDSHAKE, _SOCKS5 = 0x16, 0x05
_NO_PASSWORD, _BY_PASSWORD, _NO_METHOD = 0x00, 0x02, 0xFF
_CONNECT, _BY_NAME = 0x01, 0x03
_GRANTED, _UNREACHABLE, _NO_COMMAND, _NO_ADDRESS = 0x00, 0x04, 0x07, 0x08

Inside = trio.SSLStream[trio.abc.Stream]


class Hangup(Exception):
    """The client left, or said what makes no sense."""


@define(eq=False)
class Internet:
    """Makes a TLS stream to a played host out of a client's connection to the proxy."""

    hosts: Container[str]
    authority: trustme.CA = field(factory=trustme.CA)
    asked: list[str] = field(factory=list)
    """Hosts that were asked for and are not played."""
    entered: list[tuple[str, str]] = field(factory=list)
    """How a client came, and the host it went on to."""
    _contexts: dict[str, ssl.SSLContext] = field(factory=dict)

    def write_authority(self, path: Path) -> None:
        """Write the certificate that clients have to trust."""
        self.authority.cert_pem.write_to_path(path)

    async def enter(self, stream: trio.SocketStream) -> Inside | None:
        """Do the proxy's part of a connection; `None` when it has ended."""
        first = await stream.socket.recv(1, trio.socket.MSG_PEEK)
        try:
            if first == bytes([_SOCKS5]):
                return await self._by_socks(stream)
            if first == bytes([_TLS_HANDSHAKE]):
                outer = trio.SSLStream(
                    stream, self._context("127.0.0.1"), server_side=True, https_compatible=True
                )
                return await self._by_connect(outer, "https")
            return await self._by_connect(stream, "http")
        except Hangup:
            return None

    def _inside(self, stream: trio.abc.Stream, way: str, host: str) -> Inside:
        self.entered.append((way, host))
        return trio.SSLStream(stream, self._context(host), server_side=True, https_compatible=True)

    def _context(self, host: str) -> ssl.SSLContext:
        context = self._contexts.get(host)
        if context is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self.authority.issue_cert(host).configure_cert(context)
            self._contexts[host] = context
        return context

    # --- CONNECT ----------------------------------------------------------------------------------------

    async def _by_connect(self, stream: trio.abc.Stream, way: str) -> Inside | None:
        line, *fields = (await _head(stream)).split(b"\r\n")
        method, _, rest = line.partition(b" ")
        host = rest.partition(b" ")[0].decode("ascii", "replace").rpartition(":")[0].lower()
        passwords = [
            x.partition(b":")[2].strip() for x in fields if x.lower().startswith(b"proxy-authorization:")
        ]
        if method != b"CONNECT":
            answer = _NOT_CONNECT
        elif passwords and passwords != [b"Basic " + b64encode(USER + b":" + PASSWORD)]:
            answer = _WRONG_PASSWORD
        elif host not in self.hosts:
            self.asked.append(host)
            answer = _NO_SUCH_HOST
        else:
            await stream.send_all(_ESTABLISHED)
            return self._inside(stream, way, host)
        await stream.send_all(answer)
        return None

    # --- SOCKS5 -----------------------------------------------------------------------------------------

    async def _by_socks(self, stream: trio.SocketStream) -> Inside | None:
        _, count = await _take(stream, 2)
        methods = await _take(stream, count)
        method = next((each for each in (_BY_PASSWORD, _NO_PASSWORD) if each in methods), _NO_METHOD)
        await stream.send_all(bytes([_SOCKS5, method]))
        if method == _NO_METHOD or (method == _BY_PASSWORD and not await self._is_known(stream)):
            return None
        version, command, reserved, kind = await _take(stream, 4)
        if (version, reserved) != (_SOCKS5, 0):
            return None
        host = (await _take(stream, (await _take(stream, 1))[0])).decode("ascii") if kind == _BY_NAME else ""
        port = int.from_bytes(await _take(stream, 2)) if host else 0
        verdict = self._verdict(command, host, port)
        await stream.send_all(bytes([_SOCKS5, verdict, 0, 1, 0, 0, 0, 0, 0, 0]))
        return self._inside(stream, "socks5", host) if verdict == _GRANTED else None

    def _verdict(self, command: int, host: str, port: int) -> int:
        if command != _CONNECT:
            return _NO_COMMAND
        if not host:
            return _NO_ADDRESS
        if host not in self.hosts or port != 443:
            self.asked.append(host)
            return _UNREACHABLE
        return _GRANTED

    async def _is_known(self, stream: trio.SocketStream) -> bool:
        version, size = await _take(stream, 2)
        user = await _take(stream, size)
        password = await _take(stream, (await _take(stream, 1))[0])
        is_known = (version, user, password) == (1, USER, PASSWORD)
        await stream.send_all(bytes([1, not is_known]))
        return is_known


async def _take(stream: trio.abc.Stream, count: int) -> bytes:
    """Read exactly so many bytes."""
    taken = b""
    while len(taken) < count:
        data = await stream.receive_some(count - len(taken))
        if not data:
            raise Hangup
        taken += data
    return taken


async def _head(stream: trio.abc.Stream) -> bytes:
    """Read up to the empty line. A client says nothing more before it has its answer."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some(4096)
        if not data or len(head) > HEAD_LIMIT:
            raise Hangup
        head += data
    return head
