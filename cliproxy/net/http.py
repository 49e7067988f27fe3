"""HTTP towards upstreams.

A call that no proxy has a part in goes straight to the HTTP library's connections
(:mod:`cliproxy.net.direct`), every other through the library's client. :class:`Upstreams` owns one client for
each proxy setting, because a client's pool and proxy go together. All connections share one TLS context (the
system's trust store, and ``SSL_CERT_FILE`` where it is set). Four decisions deserve their reasons:

* a pool is unlimited and keeps few idle connections. Concurrency is limited in front of the pool, by
  the credential; a bounded pool would queue requests invisibly, and every idle connection makes each later
  request a little slower;
* time limits other than connecting and writing are not the library's: it measures per read. First byte, idle
  and total limits are cancel scopes around these calls;
* redirects are never followed. They would carry credentials to a host nobody configured;
* requests are built here and not by the client, which would add the cookies of earlier answers: two accounts
  at one host must not share them.

Library exceptions leave this module as :class:`~cliproxy.errors.TransportError`, by the table below.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import lru_cache, partial
from http import HTTPStatus
from math import inf
from typing import Final, Protocol
from urllib.request import getproxies

import httpcore2
import httpx2 as httpx
import trio
from attrs import frozen

from cliproxy import __version__
from cliproxy.errors import Kind, TransportError
from cliproxy.net import faults
from cliproxy.net.direct import IDLE_S, MAX_IDLE, SEND_LIMIT_S, DirectConnections, Target
from cliproxy.net.faults import Fault, no_answer, transport_error
from cliproxy.net.memory import answer_from
from cliproxy.net.rest import read_rest
from cliproxy.wire.compression import CODINGS, CompressionError, Inflater, is_plain
from cliproxy.wire.http import (
    PROXY_SCHEMES,
    Headers,
    HttpAnswer,
    HttpCall,
    MemoryCall,
    MemoryUpstream,
    UpstreamCall,
)
from cliproxy.wire.secret import Secret
from cliproxy.wire.veil import secrets_of_proxy, veil_of

USER_AGENT: Final = f"cliproxy/{__version__}"
NO_PROXY_WORDS: Final = frozenset({"", "direct", "none"})
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
CLOSE_LIMIT_S: Final = 2.0
_PORTS: Final = {"http": 80, "https": 443}
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods that say how long their body is even if they have none."""

_HEADERS: Final = (
    ("Accept", "*/*"),
    ("Accept-Encoding", ", ".join(CODINGS)),
    ("Connection", "keep-alive"),
    ("User-Agent", USER_AGENT),
)
"""Sent unless a call says otherwise."""
_STREAM_HEADERS: Final = tuple(
    # Compression would hold events back until its window is full.
    (name, "identity" if name == "Accept-Encoding" else value)
    for name, value in _HEADERS
)

_FAULTS: Final[tuple[tuple[type[Exception], Fault], ...]] = (
    *((getattr(layer, name), fault) for layer in (httpx, httpcore2) for name, fault in faults.BY_NAME),
    (httpx.InvalidURL, Fault(Kind.INVALID_REQUEST, "connect", "the URL is not valid")),
    (httpx.HTTPError, Fault(Kind.UNAVAILABLE, "body", "the HTTP exchange failed")),
    (httpx.StreamError, Fault(Kind.UNAVAILABLE, "body", "the HTTP exchange failed")),
)
_ERRORS: Final = tuple(error for error, _ in _FAULTS)


class UpstreamStream(Protocol):
    """An upstream's answer whose head has arrived. After a cancelled ``read`` the stream is dead."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Headers: ...

    async def read(self) -> bytes:
        """Return what came next, decompressed; empty at the end. Raises
        :class:`~cliproxy.errors.TransportError`."""
        ...

    async def read_all(self, limit: int) -> bytes:
        """Return the rest of the body, at most ``limit`` bytes of it or
        :class:`~cliproxy.errors.TransportError`."""
        ...


def _fault(exc: Exception, host: str) -> TransportError:
    for kind_of_exception, fault in _FAULTS:
        if isinstance(exc, kind_of_exception):
            # The library quotes what is illegal about our own request, and that may be a key.
            return transport_error(host, fault, None if fault is faults.ILLEGAL else exc)
    raise exc


class Body:
    """The body of a response of the HTTP library, read as it arrives."""

    def __init__(self, body: AsyncIterator[bytes], host: str) -> None:
        self._host = host
        self._body = body
        self.is_at_end = False
        """Nothing more will come; nothing is left to be closed."""

    async def read(self) -> bytes:
        """Return the next piece; empty at the end."""
        try:
            async for data in self._body:
                if data:
                    return data
        except _ERRORS as exc:
            self.is_at_end = True
            raise _fault(exc, self._host) from exc
        self.is_at_end = True
        return b""

    async def aclose(self) -> None:
        """End the library's chain of generators.

        Closing the outermost would leave the inner ones to the garbage collector; a cancelled read unwinds
        them all. What is buffered already comes out first, and if it is broken nobody cares.
        """
        with trio.CancelScope() as scope:
            scope.cancel(reason="the answer is not wanted any more")
            with suppress(*_ERRORS):
                async for _ in self._body:
                    pass
        await trio.lowlevel.checkpoint()


class HttpStream:
    """An answer over HTTP, whatever kind of connection it comes on."""

    def __init__(
        self, status: int, headers: Headers, read: Callable[[], Awaitable[bytes]], host: str
    ) -> None:
        self.status = status
        self.headers = headers
        self._read = read
        self._host = host
        coding = headers.get("content-encoding")
        self._inflater = None if is_plain(coding) else self._inflate(coding)

    def _inflate(self, coding: str) -> Inflater:
        try:
            return Inflater(coding)
        except CompressionError as exc:
            raise self._broken(exc) from exc

    def _broken(self, exc: CompressionError) -> TransportError:
        return TransportError(f"{self._host}: {exc}", kind=Kind.UPSTREAM, phase="body")

    async def read(self) -> bytes:
        """Return the next piece of the body; see :class:`UpstreamStream`."""
        while data := await self._read():
            if self._inflater is None:
                return data
            try:
                data = self._inflater.feed(data, MAX_ANSWER_BYTES)
            except CompressionError as exc:
                raise self._broken(exc) from exc
            # A decompressor may have nothing to give yet; only the exhausted body ends the stream.
            if data:
                return data
        return b""

    async def read_all(self, limit: int) -> bytes:
        """Return the rest of the body; see :class:`UpstreamStream`."""
        return await read_rest(self.read, limit, f"{self._host}: the answer")


@frozen
class Arrived:
    """An answer of the HTTP library whose head has come."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]
    host: str
    aclose: Callable[[], Awaitable[None]]


class Exchanged:
    """A call that is sent on entering and whose connection is free, or closed, on leaving.

    A class of its own, as a decorated generator for every call costs more than what it does here.
    """

    def __init__(self, ask: Callable[[], Awaitable[Arrived]]) -> None:
        self._ask = ask

    async def __aenter__(self) -> UpstreamStream:
        self._arrived = arrived = await self._ask()
        self._body = Body(arrived.body, arrived.host)
        stream: UpstreamStream | None = None
        try:
            stream = HttpStream(arrived.status, arrived.headers, self._body.read, arrived.host)
            return stream
        finally:
            if stream is None:  # its head cannot be made sense of
                with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
                    await self._aclose()

    async def __aexit__(self, *exc_info: object) -> None:
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await self._aclose()

    async def _aclose(self) -> None:
        if not self._body.is_at_end:
            await self._body.aclose()
        await self._arrived.aclose()


def _as_text(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Decode header fields: nearly always ASCII, else what servers commonly mean."""
    try:
        return [(name.decode(), value.decode()) for name, value in fields]
    except UnicodeDecodeError:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


class Upstreams:
    """Opens calls of every kind. Use as an async context manager; leaving it closes all connections."""

    def __init__(
        self, memory: Mapping[str, MemoryUpstream] | None = None, proxy_url: Secret | None = None
    ) -> None:
        self._memory = dict(memory or {})
        self._default_proxy = proxy_url
        self._clients: dict[str | None, httpx.AsyncClient] = {}
        self._tls = httpx.create_ssl_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._direct = DirectConnections(self._tls)
        self._has_proxies = names_proxies(getproxies())

    async def __aenter__(self) -> "Upstreams":
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        with trio.move_on_after(CLOSE_LIMIT_S, shield=True):
            await self._direct.aclose()
            for client in self._clients.values():
                await client.aclose()
            await trio.lowlevel.checkpoint()
        self._clients.clear()

    def use_proxy(self, proxy_url: Secret | None) -> None:
        """Send calls that name no proxy through this one from now on; those under way are not affected."""
        self._default_proxy = proxy_url

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamStream]:
        """Send a call and enter with the head of its answer; leaving closes the connection unless it was read
        to the end.

        Entering raises :class:`~cliproxy.errors.TransportError`, also when the first-byte limit passes.
        """
        if isinstance(call, MemoryCall):
            return self._open_memory(call)
        return self._open_http(call)

    @asynccontextmanager
    async def _open_memory(self, call: MemoryCall) -> AsyncIterator[UpstreamStream]:
        yield answer_from(self._memory, call)

    def _open_http(self, call: HttpCall) -> AbstractAsyncContextManager[UpstreamStream]:
        secret = call.proxy_url if call.proxy_url is not None else self._default_proxy
        proxy = None if secret is None else secret.reveal().strip()
        is_direct = not self._has_proxies if proxy is None else proxy.lower() in NO_PROXY_WORDS
        target = target_of(call.url) if is_direct else None
        if target is not None:
            return Exchanged(partial(self._ask_directly, call, target))
        return Exchanged(partial(self._ask_by_client, call, proxy))

    async def _ask_directly(self, call: HttpCall, target: Target) -> Arrived:
        try:
            response = await self._direct.ask(call, target, direct_fields(call, target))
        except _ERRORS as exc:
            raise _fault(exc, target.host) from exc
        headers = Headers(_as_text(response.headers))
        return Arrived(response.status, headers, response.aiter_stream(), target.host, response.aclose)

    async def _ask_by_client(self, call: HttpCall, proxy: str | None) -> Arrived:
        request = build_request(call)
        response = await self._send(self._client(proxy), request, call.limits.first_byte)
        headers = Headers(response.headers.multi_items())
        return Arrived(response.status_code, headers, response.aiter_raw(), request.url.host, response.aclose)

    async def _send(
        self, client: httpx.AsyncClient, request: httpx.Request, first_byte: float | None
    ) -> httpx.Response:
        host = request.url.host
        try:
            with trio.move_on_after(inf if first_byte is None else first_byte):
                return await client.send(request, stream=True, follow_redirects=False)
        except _ERRORS as exc:
            raise _fault(exc, host) from exc
        raise no_answer(host, first_byte or 0.0)

    async def fetch(self, call: HttpCall, limit: int = MAX_ANSWER_BYTES) -> HttpAnswer:
        """Send a call and return the whole answer, whatever its status. An error does not quote what was sent
        in confidence. Raises :class:`~cliproxy.errors.TransportError`, also for more bytes than the limit."""
        async with self.open(call) as stream:
            body = await stream.read_all(limit)
            if stream.status >= HTTPStatus.BAD_REQUEST:
                veil = veil_of(call)
                if call.proxy_url is None and self._default_proxy is not None:
                    veil.cover(secrets_of_proxy(self._default_proxy))
                body = veil.data(body)
            return HttpAnswer(status=stream.status, headers=stream.headers, body=body)

    def _client(self, proxy: str | None) -> httpx.AsyncClient:
        client = self._clients.get(proxy)
        if client is None:
            client = self._clients[proxy] = self._new_client(proxy)
        return client

    def _new_client(self, proxy: str | None) -> httpx.AsyncClient:
        explicit = proxy is not None and proxy.lower() not in NO_PROXY_WORDS
        if explicit and proxy is not None:
            check_proxy_url(proxy)
        return httpx.AsyncClient(
            verify=self._tls,
            proxy=proxy if explicit else None,
            trust_env=proxy is None,
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=MAX_IDLE,
                keepalive_expiry=IDLE_S,
            ),
            follow_redirects=False,
        )


def names_proxies(environment: Mapping[str, str]) -> bool:
    """Tell whether the environment sends any call through a proxy; which ones, the library finds out."""
    return any(environment.get(scheme) for scheme in ("http", "https", "all"))


# The same few addresses are called over and over.
_parsed_url = lru_cache(maxsize=256)(httpx.URL)


@lru_cache(maxsize=256)
def target_of(address: str) -> Target | None:
    """Return where a plain URL leads; ``None`` for one that needs the library: with a password, or wrong."""
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return None
    if url.scheme not in _PORTS or not url.host or url.userinfo:
        return None
    origin = httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port or _PORTS[url.scheme], target=url.raw_path
    )
    return Target(url=origin, authority=url.netloc.decode())


def direct_fields(call: HttpCall, target: Target) -> list[tuple[bytes, bytes]]:
    """Return all header fields of a call, in the order in which the client would send them.

    Raises :class:`~cliproxy.errors.TransportError`.
    """
    fields, named = _fields_of(call)
    if "host" not in named:
        fields.insert(0, ("Host", target.authority))
    if "content-length" not in named and (call.body or call.method in _WITH_BODY):
        fields.append(("Content-Length", str(len(call.body))))
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in fields]
    except UnicodeEncodeError:
        raise transport_error(target.host, faults.ILLEGAL) from None


def build_request(call: HttpCall) -> httpx.Request:
    """Turn a call into a request of the library. Raises :class:`~cliproxy.errors.TransportError`."""
    limits = {"connect": call.limits.connect, "read": None, "write": SEND_LIMIT_S, "pool": None}
    try:
        return httpx.Request(
            call.method,
            _parsed_url(call.url),
            headers=_fields_of(call)[0],
            content=call.body or None,
            extensions={"timeout": limits},
        )
    except httpx.InvalidURL as exc:
        raise _fault(exc, "the upstream") from exc
    except UnicodeEncodeError:
        raise transport_error("the upstream", faults.ILLEGAL) from None


def _fields_of(call: HttpCall) -> tuple[list[tuple[str, str]], set[str]]:
    """Return the header fields of a call, the general ones first, and the lower-case names of its own."""
    named = {name.lower() for name, _ in call.headers}
    general = _STREAM_HEADERS if call.stream else _HEADERS
    return [*(field for field in general if field[0].lower() not in named), *call.headers], named


def check_proxy_url(proxy: str) -> None:
    """Raise :class:`~cliproxy.errors.TransportError` for a proxy URL that cannot work: never fall back to a
    direct connection."""
    try:
        url = httpx.URL(proxy)
    except httpx.InvalidURL as exc:
        raise TransportError("the proxy URL is not valid", kind=Kind.UNAVAILABLE, phase="connect") from exc
    if url.scheme not in PROXY_SCHEMES or not url.host:
        raise TransportError(
            f"the proxy URL must start with one of {', '.join(sorted(PROXY_SCHEMES))}, followed by ://host",
            kind=Kind.UNAVAILABLE,
            phase="connect",
        )
