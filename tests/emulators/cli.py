"""Start an emulator as a process: arguments, listening sockets, the ready line.

With `--exit-with-stdin` the process ends when its standard input closes, so that no emulator outlives a
test run that was killed.
"""

import argparse
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import trio

from emulators.connection import Connection
from emulators.engine import EmulatorClock, Engine
from emulators.internet import Internet
from emulators.values import Clock, Family, JsonObject, dumps, loads

Build: TypeAlias = Callable[[Clock], Family]
Entrance: TypeAlias = Callable[[trio.SocketStream], Awaitable[trio.abc.Stream | None]]
"""Makes the stream that requests come on; `None` when the connection is of no use."""


@runtime_checkable
class Hosting(Protocol):
    """A family that plays several hosts."""

    @property
    def hosts(self) -> frozenset[str]: ...


def main(build: Build, argv: Sequence[str] | None = None) -> None:
    """Run one emulator until interrupted."""
    arguments = _arguments(argv)
    try:
        trio.run(_run, build, arguments)
    except* KeyboardInterrupt:
        sys.exit(130)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A strict stand-in for a model service.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--extra-port", type=int, help="a second port for the same service")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="a setting")
    parser.add_argument("--tls", metavar="PEM", help="file with certificate chain and key")
    parser.add_argument(
        "--authority", metavar="PEM", help="be a proxy server; write the certificate to trust to this file"
    )
    parser.add_argument("--quiet", action="store_true", help="no access lines on standard error")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")
    return parser.parse_args(argv)


async def _run(build: Build, arguments: argparse.Namespace) -> None:
    clock = EmulatorClock()
    family = build(clock)
    wanted: dict[str, int] = {"port": arguments.port}
    if arguments.extra_port is not None:
        wanted["extra_port"] = arguments.extra_port
    if arguments.tls is not None or arguments.authority is not None:
        wanted["control_port"] = 0
    listeners = {
        name: await trio.open_tcp_listeners(port, host=arguments.host) for name, port in wanted.items()
    }
    ready: JsonObject = {name: group[0].socket.getsockname()[1] for name, group in listeners.items()}
    family.configure({**ready, **_settings(arguments.set)})
    entrance = _entrance(arguments, family)
    server = _Server(Engine(family, clock), quiet=arguments.quiet, entrance=entrance)
    async with trio.open_nursery() as nursery:
        for name, group in listeners.items():
            handler = server.serve_plainly if name == "control_port" else server.serve
            await nursery.start(trio.serve_listeners, handler, group)
        sys.stdout.write(dumps(ready).decode() + "\n")
        sys.stdout.flush()
        if arguments.exit_with_stdin:
            await _wait_for_stdin()
            nursery.cancel_scope.cancel()


class _Server:
    """Hands each accepted connection to a `Connection`; one that fails never takes the others down."""

    def __init__(self, engine: Engine, *, quiet: bool, entrance: Entrance) -> None:
        self._engine = engine
        self._quiet = quiet
        self._entrance = entrance
        self._numbers = count(1)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection, inside TLS if there is a certificate."""
        try:
            outer = await self._entrance(stream)
        except trio.BrokenResourceError:
            outer = None
        if outer is None:
            await trio.aclose_forcefully(stream)
        else:
            await self._serve(outer, stream)

    async def serve_plainly(self, stream: trio.SocketStream) -> None:
        """Serve one connection without TLS."""
        await self._serve(stream, stream)

    async def _serve(self, outer: trio.abc.Stream, stream: trio.SocketStream) -> None:
        connection = Connection(self._engine, next(self._numbers), outer, stream, quiet=self._quiet)
        try:
            await connection.serve()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass


def _settings(pairs: Sequence[str]) -> JsonObject:
    settings: JsonObject = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        try:
            settings[key] = loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _entrance(arguments: argparse.Namespace, family: Family) -> Entrance:
    """How a connection begins: plainly, with TLS, or as one to a proxy server."""
    if arguments.authority is not None:
        assert isinstance(family, Hosting), "only a family that plays hosts can stand behind a proxy"
        internet = Internet(family.hosts)
        internet.write_authority(Path(arguments.authority))
        return internet.enter
    if arguments.tls is None:
        return _plainly
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(arguments.tls))

    async def enter(stream: trio.SocketStream) -> trio.abc.Stream:
        return trio.SSLStream(stream, context, server_side=True, https_compatible=True)

    return enter


async def _plainly(stream: trio.SocketStream) -> trio.abc.Stream:
    return stream


async def _wait_for_stdin() -> None:
    """Return when the parent has closed our standard input."""
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        while await stdin.receive_some(1024):
            pass
