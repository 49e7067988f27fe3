"""Start an emulator as a process: arguments, listening sockets, the ready line.

With `--exit-with-stdin` the process ends when its standard input closes, so that no emulator outlives a
test run that was killed.
"""

import argparse
import os
import ssl
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TypeAlias

import trio

from emulators.connection import Connection
from emulators.engine import EmulatorClock, Engine
from emulators.values import Clock, Family, JsonObject, dumps, loads

Build: TypeAlias = Callable[[Clock], Family]


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
    parser.add_argument("--quiet", action="store_true", help="no access lines on standard error")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")
    return parser.parse_args(argv)


async def _run(build: Build, arguments: argparse.Namespace) -> None:
    clock = EmulatorClock()
    family = build(clock)
    wanted: dict[str, int] = {"port": arguments.port}
    if arguments.extra_port is not None:
        wanted["extra_port"] = arguments.extra_port
    if arguments.tls is not None:
        wanted["control_port"] = 0
    listeners = {
        name: await trio.open_tcp_listeners(port, host=arguments.host) for name, port in wanted.items()
    }
    ready: JsonObject = {name: group[0].socket.getsockname()[1] for name, group in listeners.items()}
    family.configure({**ready, **_settings(arguments.set)})
    server = _Server(Engine(family, clock), quiet=arguments.quiet, context=_tls_context(arguments.tls))
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

    def __init__(self, engine: Engine, *, quiet: bool, context: ssl.SSLContext | None) -> None:
        self._engine = engine
        self._quiet = quiet
        self._context = context
        self._numbers = count(1)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection, inside TLS if there is a certificate."""
        outer: trio.abc.Stream = stream
        if self._context is not None:
            outer = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
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


def _tls_context(pem: str | None) -> ssl.SSLContext | None:
    if pem is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(pem))
    return context


async def _wait_for_stdin() -> None:
    """Return when the parent has closed our standard input."""
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        while await stdin.receive_some(1024):
            pass
