"""What stays behind: memory, tasks and open files after many requests of every kind.

Clients of all four dialects ask upstreams of all four, in one piece and streamed, in some hundred
conversations. One request in five fails upstream, in one of four ways, and is answered by another account.
One in ten is left by its client in the middle of the stream. No other may fail.

After a warm-up, in which caches fill, the resident size is noted every second beside the number of requests;
the slope of the line through these points is what a request leaves behind. When the clients have gone, the
server must have the tasks and the open files that it had before they came.
"""

import json
import os
import random
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from statistics import linear_regression
from typing import Final

import trio
from attrs import define, field, frozen

from benchmarks import processes
from benchmarks.dialects import DIALECTS
from benchmarks.load import Connection, Target, WrongAnswer, check, percentile
from benchmarks.report import OVER, print_overruns, show_progress, verdict

MB: Final = 1e6
SLOPE_BUDGET_MB: Final = 1.0
"""For each ten thousand requests."""
PER: Final = 10_000
CLIENTS: Final = 16
CONVERSATIONS: Final = 256
LEAVING: Final = 10
"""One request in so many is left in the middle."""
WARM_UP: Final = 0.3
"""Share of the time."""
FIRST_MINUTES: Final = 0.1
"""What the server has done before it is first looked at: the modules are loaded, the connections are open."""
SAMPLE_S: Final = 1.0
FAILING: Final = 5
"""One request in so many fails upstream."""
REPORT_LIMIT_S: Final = 10.0
REST_S: Final = 8.0
"""Longer than unused connections are kept."""
EXTRA_FILES: Final = 8
"""What may be open afterwards and was not before: connections to the upstream that are kept."""
MODES: Final = ("unary", "unary", "coalesced", "burst")
FIRST_WORDS: Final = b"The quick"
SEED: Final = 1
SHOWN: Final = 5
ENOUGH: Final = 5_000


@frozen(kw_only=True)
class Rest:
    """The server when nobody asks anything."""

    files: int
    tasks: int
    objects: int


@define(eq=False)
class Traffic:
    """Clients that never stop asking, and what they saw."""

    port: int
    rng: random.Random
    answers: int = 0
    left: int = 0
    times: list[float] = field(factory=list)
    wrong: list[str] = field(factory=list)

    @property
    def requests(self) -> int:
        """Everything that was asked."""
        return self.answers + self.left

    async def client(self, until: float) -> None:
        """Ask one thing after the other on a connection; after leaving, on a new one."""
        while time.monotonic() < until:
            async with aclosing(await Connection.open(self.port)) as connection:
                try:
                    while time.monotonic() < until and self.rng.randrange(LEAVING):
                        await self._ask(connection)
                    await connection.begin(self._request(self._target(), self.rng.choice(("idle", "burst"))))
                    self.left += 1
                except WrongAnswer as exc:
                    self.wrong.append(str(exc))

    async def _ask(self, connection: Connection) -> None:
        target, mode = self._target(), self.rng.choice(MODES)
        answer = await connection.ask(self._request(target, mode))
        check(target.dialect, answer, is_stream=mode != "unary")
        self.answers += 1
        self.times.append(answer.last - answer.sent)

    def _target(self) -> Target:
        client, upstream = self.rng.choice(tuple(DIALECTS.values())), self.rng.choice(tuple(DIALECTS))
        return Target(name="server", port=self.port, dialect=client, upstream=upstream)

    def _request(self, target: Target, mode: str) -> bytes:
        """Return a request of one of the conversations; their first words tell them apart."""
        request = target.request(mode, stream=mode != "unary")
        return request.replace(FIRST_WORDS, b"T%08d" % self.rng.randrange(CONVERSATIONS), 1)


@frozen
class Watched:
    """The server's process, and what can be seen of it."""

    process: processes.Running
    report: Path

    async def rest(self) -> Rest:
        """Look at the server when what is on its way has ended."""
        await trio.sleep(REST_S)
        self.report.unlink(missing_ok=True)
        os.kill(self.process.pid, signal.SIGUSR1)
        with trio.fail_after(REPORT_LIMIT_S):
            while not self.report.exists():  # noqa: ASYNC110 - the server's process writes it
                await trio.sleep(0.05)
        return Rest(files=self.process.open_files(), **json.loads(self.report.read_text()))


@asynccontextmanager
async def watched(directory: Path) -> AsyncIterator[Watched]:
    """Run an upstream that fails now and then, and the server with two accounts of each dialect there."""
    command = [sys.executable, "-m", "benchmarks.upstream", str(FAILING)]
    async with processes.running(command, directory) as upstream:
        config = processes.configuration(upstream.port, directory, accounts=2) | {"disable-cooling": True}
        path, report = directory / "config.yaml", directory / "report.json"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-m", "benchmarks.watched", str(report)]
        async with processes.running([*command, "server", "-config", str(path)], directory) as process:
            yield Watched(process, report)


async def soak(server: Watched, minutes: float) -> tuple[Traffic, list[tuple[int, int]]]:
    """Let the clients ask; return what they saw, and requests and bytes of memory after the warm-up."""
    began = time.monotonic()
    seconds = minutes * 60
    traffic = Traffic(server.process.port, random.Random(SEED))  # noqa: S311 - no secret
    points: list[tuple[int, int]] = []
    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(traffic.client, began + seconds)
        while (gone := time.monotonic() - began) < seconds:
            await trio.sleep(SAMPLE_S)
            memory = server.process.memory_bytes()
            show_progress(f"{gone:.0f} s: {traffic.requests} requests, {memory / MB:.1f} MB")
            if gone > seconds * WARM_UP:
                points.append((traffic.requests, memory))
    show_progress("")
    return traffic, points


def slope_mb(points: Sequence[tuple[int, int]]) -> float:
    """Return how many megabytes ten thousand requests leave behind."""
    requests, memory = zip(*points, strict=True)
    return linear_regression(requests, memory).slope * PER / MB


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--minutes", type=float, default=5.0, help="how long to ask (default: 5)")


async def main(options: Namespace) -> int:
    """Soak a fresh server, print, and return 1 if something was left behind or a request failed."""
    with processes.workplace() as directory:
        async with watched(directory) as server:
            await soak(server, FIRST_MINUTES)
            before = await server.rest()
            traffic, points = await soak(server, options.minutes)
            after = await server.rest()
    return _judge(traffic, points, before, after)


def _judge(traffic: Traffic, points: list[tuple[int, int]], before: Rest, after: Rest) -> int:
    slope = slope_mb(points)
    measured, first, last = points[-1][0] - points[0][0], points[0][1] / MB, points[-1][1] / MB
    verdicts = (
        verdict(slope, SLOPE_BUDGET_MB),
        verdict(after.files, before.files + EXTRA_FILES),
        verdict(after.tasks, before.tasks),
    )
    p50, p99 = (percentile(traffic.times, share) * 1e3 for share in (0.5, 0.99))
    print(f"Soak: {traffic.answers} answers and {traffic.left} streams that were left, {CLIENTS} clients.")
    print(f"resident size over {measured} requests: {first:.1f} MB to {last:.1f} MB")
    print(f"left by {PER} requests: {slope:.2f} MB (budget {SLOPE_BUDGET_MB:g}) {verdicts[0]}")
    print(f"open files at rest: {before.files} before, {after.files} after {verdicts[1]}")
    print(f"tasks at rest: {before.tasks} before, {after.tasks} after {verdicts[2]}")
    print(f"objects at rest: {before.objects} before, {after.objects} after")
    print(f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    for complaint in traffic.wrong[:SHOWN]:
        print(f"WRONG {complaint}")
    if traffic.wrong:
        print(f"{len(traffic.wrong)} wrong answers")
    if measured < ENOUGH:
        print(f"fewer than {ENOUGH} requests say little about memory: give it more minutes")
    print_overruns(verdicts.count(OVER))
    return 1 if OVER in verdicts or traffic.wrong else 0
