"""Start-up of the executable: the first start on a machine, which unpacks it, and every later one.

*Ready* is the first successful answer of ``/healthz``: what a supervisor waits for. Every start has its own
directory for unpacked files and settings, so that nothing of the user's is used or left behind.
"""

import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Final

import trio

from benchmarks import processes
from benchmarks.load import Connection, WrongAnswer
from benchmarks.report import OVER, print_overruns, print_table, verdict

HELP_BUDGET_S: Final = 0.12
READY_BUDGET_S: Final = 0.7
HEAD: Final = ("start", "seconds", "budget", "")
HEALTH: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

Command = list[str]


async def help_seconds(command: Command, directory: Path) -> float:
    """Time ``--help``."""
    start = time.monotonic()
    await trio.run_process(
        [*command, "--help"],
        stdout=subprocess.DEVNULL,
        env=processes.environment(directory),
        cwd=processes.ROOT,
    )
    return time.monotonic() - start


async def ready_seconds(command: Command, directory: Path) -> float:
    """Time a server's start up to its first answer."""
    config = directory / "config.yaml"
    config.write_text(f'host: 127.0.0.1\nport: 0\nauth-dir: "{directory}/auths"\n')
    server = [*command, "server", "-config", str(config)]
    async with processes.running(server, directory) as process:
        async with aclosing(await Connection.open(process.port)) as connection:
            answer = await connection.ask(HEALTH)
        seconds = time.monotonic() - process.started
    if answer.status != HTTPStatus.OK:
        raise WrongAnswer(f"/healthz answered {answer.status}")
    return seconds


Timing = Callable[[Command, Path], Awaitable[float]]


async def measured(timing: Timing, command: Command, runs: int) -> tuple[float, float]:
    """Return the time of a first start and the median of later ones."""
    with processes.workplace() as directory:
        cold = await timing(command, directory)
        return cold, median([await timing(command, directory) for _ in range(runs)])


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--pyz",
        type=Path,
        default=processes.ROOT / "cliproxy.pyz",
        help="the executable (default: ./cliproxy.pyz)",
    )
    parser.add_argument("--runs", type=int, default=7, help="warm starts of each kind (default: 7)")


async def main(options: Namespace) -> int:
    """Measure, print, and return 1 if there is no executable."""
    if not options.pyz.is_file():
        print(f"{options.pyz}: there is no such file; scripts/build_pyz.sh makes it", file=sys.stderr)
        return 1
    command = [sys.executable, str(options.pyz.resolve())]
    help_cold, help_warm = await measured(help_seconds, command, options.runs)
    ready_cold, ready_warm = await measured(ready_seconds, command, options.runs)
    values: tuple[tuple[str, float, float | None], ...] = (
        ("--help, cold (unpacks)", help_cold, None),
        ("--help, warm", help_warm, HELP_BUDGET_S),
        ("ready, cold (unpacks)", ready_cold, None),
        ("ready, warm", ready_warm, READY_BUDGET_S),
    )
    rows = [
        [name, f"{seconds:.3f}", f"{budget:g}" if budget else "-", verdict(seconds, budget)]
        for name, seconds, budget in values
    ]
    print(f"Start-up of {options.pyz.name}, {options.pyz.stat().st_size / 1e6:.1f} MB.")
    print_table(HEAD, rows)
    print_overruns(sum(row[-1] == OVER for row in rows))
    return 0
