"""The loopback listener a browser comes back to at the end of a login.

It serves one path, takes the first answer that has a ``code`` or an ``error``, and holds the browser's
request open until the login has come to its end, so that the page tells the truth: signed in, or failed and
why. A login that goes on in the terminal lets the browser go (:meth:`CallbackListener.release`).
Whether the answer belongs to this login is not decided here: the flow compares the state.

The listener binds ``127.0.0.1`` and, where there is one, ``::1`` on the same port, because browsers disagree
on what ``localhost`` means. Containers publish ports from another address; they name it explicitly.
"""

import errno
import html
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
from attrs import frozen

from cliproxy.errors import LoginError

LOOPBACK: Final = ("127.0.0.1", "::1")
REQUEST_LIMIT_S: Final = 10.0
VERDICT_LIMIT_S: Final = 60.0
"""How long the browser is kept waiting for the end of the login before it gets a page without a verdict."""
FAREWELL_LIMIT_S: Final = 2.0
READ_BYTES: Final = 16 * 1024


@frozen(kw_only=True)
class _Page:
    status: HTTPStatus
    title: str
    text: str

    def render(self) -> bytes:
        """Write the page; everything in it is escaped."""
        title, text = html.escape(self.title), html.escape(self.text)
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
            "<style>body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:36em}</style>"
            f"<h1>{title}</h1><p>{text}</p></html>\n"
        ).encode()


_WRONG_METHOD: Final = _Page(
    status=HTTPStatus.METHOD_NOT_ALLOWED,
    title="Not allowed",
    text="This address only takes the answer of a login.",
)
_WRONG_PATH: Final = _Page(
    status=HTTPStatus.NOT_FOUND, title="Nothing here", text="This address only takes the answer of a login."
)
_NO_CODE: Final = _Page(
    status=HTTPStatus.BAD_REQUEST,
    title="No code received",
    text="The address has neither a code nor an error in it. Start again from the link in the terminal.",
)
_SECOND: Final = _Page(
    status=HTTPStatus.CONFLICT,
    title="Already answered",
    text="This login was answered before. You can close this tab.",
)
_DONE: Final = _Page(
    status=HTTPStatus.OK, title="Signed in", text="The account is ready to be used. You can close this tab."
)
_UNDECIDED: Final = _Page(
    status=HTTPStatus.ACCEPTED,
    title="Answer received",
    text="The login goes on. Return to the terminal: it tells how it ended.",
)
_BROKEN: Final = _Page(
    status=HTTPStatus.BAD_REQUEST, title="Not understood", text="This was not a web request."
)


def _failed(reason: str) -> _Page:
    return _Page(
        status=HTTPStatus.BAD_REQUEST,
        title="The login failed",
        text=f"{reason} Close this tab and start the login again from the terminal or the control panel.",
    )


class CallbackListener:
    """An open listener. :func:`open_listener` makes one."""

    def __init__(self, url: str, path: str) -> None:
        self.url = url
        """The redirect URL, with the port really bound."""
        self._path = path
        self._parameters: Mapping[str, str] | None = None
        self._arrived = trio.Event()
        self._verdict: _Page | None = None
        self._decided = trio.Event()
        self._told = trio.Event()

    async def wait(self) -> Mapping[str, str]:
        """Return the parameters the browser brought; ``state`` is always among them, possibly empty."""
        await self._arrived.wait()
        assert self._parameters is not None
        return self._parameters

    async def release(self) -> None:
        """Let the waiting browser go before it is known how the login ends; the page says that it goes on."""
        await trio.lowlevel.checkpoint()
        self._decided.set()

    async def conclude(self, error: str | None) -> None:
        """Tell the waiting browser how the login ended, and give it a moment to take that."""
        await trio.lowlevel.checkpoint()
        self._verdict = _DONE if error is None else _failed(error)
        self._decided.set()
        if self._parameters is not None:
            with trio.move_on_after(FAREWELL_LIMIT_S):
                await self._told.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        await trio.lowlevel.checkpoint()
        try:
            request = None
            with trio.move_on_after(REQUEST_LIMIT_S):
                request = await _read_request(connection, stream)
            if request is not None:
                await self._answer(connection, stream, request)
        except h11.RemoteProtocolError:
            await _write(connection, stream, _BROKEN)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The browser left; if it had brought the answer, the login goes on without it.
            self._told.set()

    async def _answer(
        self, connection: h11.Connection, stream: trio.SocketStream, request: h11.Request
    ) -> None:
        parts = urlsplit(request.target.decode("ascii", "replace"))
        parameters = {"state": "", **dict(parse_qsl(parts.query, keep_blank_values=True))}
        if parts.path != self._path:
            await _write(connection, stream, _WRONG_PATH)
        elif request.method != b"GET":
            await _write(connection, stream, _WRONG_METHOD)
        elif not parameters.get("code") and not parameters.get("error"):
            await _write(connection, stream, _NO_CODE)
        elif self._parameters is not None:
            await _write(connection, stream, _SECOND)
        else:
            self._parameters = parameters
            self._arrived.set()
            with trio.move_on_after(VERDICT_LIMIT_S):
                await self._decided.wait()
            await _write(connection, stream, self._verdict or _UNDECIDED)
            self._told.set()


async def _read_request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """Return the request once its head is complete; ``None`` when the peer closed before."""
    await trio.lowlevel.checkpoint()
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await stream.receive_some(READ_BYTES))


async def _write(connection: h11.Connection, stream: trio.SocketStream, page: _Page) -> None:
    await trio.lowlevel.checkpoint()
    if connection.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        return
    body = page.render()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    head = h11.Response(status_code=page.status, headers=headers, reason=page.status.phrase.encode())
    pieces = [connection.send(event) for event in (head, h11.Data(data=body), h11.EndOfMessage())]
    await stream.send_all(b"".join(piece for piece in pieces if piece))
    await stream.send_eof()
    with trio.move_on_after(FAREWELL_LIMIT_S):
        # Closing with unread input resets the connection, and the page might never be seen.
        while await stream.receive_some(READ_BYTES):
            pass


@asynccontextmanager
async def open_listener(
    port: int, path: str, *, host_in_url: str = "localhost", bind: tuple[str, ...] = LOOPBACK
) -> AsyncIterator[CallbackListener]:
    """Listen while the block runs. Port 0 takes a free one.

    Raises :class:`~cliproxy.errors.LoginError` with code ``port_in_use`` when the port is taken.
    """
    listeners = await _bind_all(bind, port)
    bound = listeners[0].socket.getsockname()[1]
    listener = CallbackListener(f"http://{host_in_url}:{bound}{path}", path)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        name = f"login callback on port {bound}"
        await nursery.start(trio.serve_listeners, listener._serve, listeners, name=name)
        try:
            yield listener
        except Exception as exc:
            # Raised again outside of the nursery, which would wrap it in a group.
            failure = exc
        nursery.cancel_scope.cancel(reason="the login has ended")
    if failure is not None:
        raise failure


async def _bind_all(hosts: tuple[str, ...], port: int) -> list[trio.SocketListener]:
    listeners: list[trio.SocketListener] = []
    try:
        await trio.lowlevel.checkpoint()
        for host in hosts:
            wanted = listeners[0].socket.getsockname()[1] if listeners else port
            try:
                listeners += await trio.open_tcp_listeners(wanted, host=host)
            except OSError as exc:
                # A machine without IPv6 is fine; a port that somebody else holds on either address is not.
                if not listeners or _is_in_use(exc):
                    raise _cannot_listen(exc, port) from exc
    except BaseException:
        for opened in listeners:
            opened.socket.close()
        raise
    return listeners


def _is_in_use(exc: OSError) -> bool:
    return exc.errno in {errno.EADDRINUSE, errno.EACCES}


def _cannot_listen(exc: OSError, port: int) -> LoginError:
    if _is_in_use(exc):
        return LoginError(
            f"port {port}, which the login comes back to, is already in use",
            code="port_in_use",
            hint="Close the program that holds it, or choose another with --oauth-callback-port.",
        )
    return LoginError(f"cannot listen on port {port}: {exc.strerror or exc}", code="cannot_listen")
