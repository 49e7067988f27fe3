"""Memory: of the server at rest, and of every open stream that says nothing.

Streams of thinking models are silent for minutes; what each of them holds decides how many a small machine
carries. The server holds both connections of a stream, so that its share is compared with the bare relay's,
which holds them, too. After the streams have been dropped, it is checked that their upstream connections are
closed, and whether a request costs what it did before: a pool full of dead connections slows every later one.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median
from typing import Final

import trio
from attrs import frozen

from benchmarks import processes
from benchmarks.dialects import DIALECTS
from benchmarks.load import Connection, Load, Target, judge, open_connections, run
from benchmarks.report import OVER, print_overruns, print_table, verdict

MB: Final = 1e6
KB: Final = 1e3
IDLE_BUDGET_MB: Final = 80.0
STREAM_BUDGET_KB: Final = 200.0
OPENING_AT_ONCE: Final = 16
SETTLE_S: Final = 1.0
CLOSE_LIMIT_S: Final = 10.0
POOLED: Final = 32
"""Connections that may stay open to the upstream when no stream is left."""
UNARY: Final = Load(mode="unary", connections=1)
COST_RUNS: Final = 5
COST_RUN_S: Final = 0.5


@frozen(kw_only=True)
class Held:
    """What some idle streams did to a process."""

    name: str
    at_rest: int
    """Bytes, after a few requests of every kind and before the streams."""
    per_stream: float
    after: int
    """Bytes, when the streams are gone."""
    left_open: int
    """Connections to the upstream at that time."""
    cost_before: float
    """Processor seconds of one small request before the streams."""
    cost_after: float

    def cells(self) -> list[str]:
        """Render the row."""
        return [
            self.name,
            f"{self.at_rest / MB:.1f}",
            f"{self.per_stream / KB:.1f}",
            f"{self.after / MB:.1f}",
            f"{self.left_open}",
            f"{self.cost_before * 1e6:.0f}",
            f"{self.cost_after * 1e6:.0f}",
        ]


HEAD: Final = (
    "process, client -> upstream",
    "at rest MB",
    "kB/stream",
    "after MB",
    "left open",
    "us/req before",
    "us/req after",
)


@asynccontextmanager
async def idle_streams(target: Target, count: int) -> AsyncIterator[None]:
    """Hold streams open that have begun; leaving drops them."""
    request = target.request("idle", stream=True)
    connections: list[Connection] = []
    limiter = trio.CapacityLimiter(OPENING_AT_ONCE)

    async def begin() -> None:
        async with limiter:
            connection = await Connection.open(target.port)
            connections.append(connection)
            await connection.begin(request)

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(begin)
        yield
    finally:
        for connection in connections:
            await connection.aclose()


async def hold(process: processes.Running, target: Target, upstream: processes.Running, streams: int) -> Held:
    """Measure one process."""
    for load in (UNARY, Load(mode="coalesced", connections=1), Load(mode="burst", connections=1)):
        await judge(target, load)
    cost_before = await _cost(process, target)
    await trio.sleep(SETTLE_S)
    at_rest = process.memory_bytes()
    async with idle_streams(target, streams):
        await trio.sleep(SETTLE_S)
        per_stream = (process.memory_bytes() - at_rest) / streams
    left_open = await _connections_left(upstream)
    await trio.sleep(SETTLE_S)
    cost_after = await _cost(process, target)
    return Held(
        name=f"{target.name}, {target.dialect.id} -> {target.upstream}",
        at_rest=at_rest,
        per_stream=per_stream,
        after=process.memory_bytes(),
        left_open=left_open,
        cost_before=cost_before,
        cost_after=cost_after,
    )


async def _cost(process: processes.Running, target: Target) -> float:
    """Return the processor time of one small request, the median of some runs."""
    costs: list[float] = []
    for _ in range(COST_RUNS):
        before = process.cpu_seconds()
        sample = await run(target, UNARY, COST_RUN_S)
        costs.append((process.cpu_seconds() - before) / sample.answers)
    return median(costs)


async def _connections_left(upstream: processes.Running) -> int:
    """Wait until the upstream's connections are closed, up to a limit, and return how many are left."""
    left = await open_connections(upstream.port)
    with trio.move_on_after(CLOSE_LIMIT_S):
        while left > POOLED:
            await trio.sleep(0.1)
            left = await open_connections(upstream.port)
    return left


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--streams", type=int, default=500, help="idle streams (default: 500; at most 2000)")


async def main(options: Namespace) -> int:
    """Measure fresh processes, print, and return 1 if connections were left open."""
    streams = min(options.streams, 2000)
    held: list[Held] = []
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(processes.workplace())
        for name, client, dialect in (
            ("bare", "openai", "openai"),
            ("server", "openai", "openai"),
            ("server", "claude", "openai"),
        ):
            async with processes.upstream(directory) as upstream:
                start = processes.bare_relay if name == "bare" else processes.server
                async with start(directory, upstream.port) as process:
                    fresh = process.memory_bytes()
                    target = Target(name=name, port=process.port, dialect=DIALECTS[client], upstream=dialect)
                    held.append(await hold(process, target, upstream, streams))
    print(f"Memory: {streams} idle streams; resident size.")
    print_table(HEAD, [row.cells() for row in held])
    return _judge(fresh, [row for row in held if row.name.startswith("server")])


def _judge(fresh: int, held: list[Held]) -> int:
    at_rest = max(row.at_rest for row in held) / MB
    per_stream = max(row.per_stream for row in held) / KB
    verdicts = (verdict(at_rest, IDLE_BUDGET_MB), verdict(per_stream, STREAM_BUDGET_KB))
    print(f"server, just started: {fresh / MB:.1f} MB")
    print(f"server at rest: {at_rest:.1f} MB (budget {IDLE_BUDGET_MB:g}) {verdicts[0]}")
    print(f"server, each idle stream: {per_stream:.1f} kB (budget {STREAM_BUDGET_KB:g}) {verdicts[1]}")
    print_overruns(verdicts.count(OVER))
    leaks = [row for row in held if row.left_open > POOLED]
    for row in leaks:
        print(f"NOT CLOSED {row.name}: {row.left_open} connections to the upstream")
    return 1 if leaks else 0
