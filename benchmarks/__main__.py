"""``python -m benchmarks relay|memory|startup|all``; see README.md."""

import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Final

import trio

from benchmarks import (
    accounts,
    affinity,
    estimate,
    ledger,
    memory,
    relay,
    selection,
    soak,
    startup,
    translation,
)
from benchmarks.processes import StartFailed

COMMANDS: Final = {
    "relay": relay,
    "translation": translation,
    "estimate": estimate,
    "selection": selection,
    "affinity": affinity,
    "accounts": accounts,
    "ledger": ledger,
    "memory": memory,
    "startup": startup,
    "soak": soak,
}
TIME_LIMIT_S: Final = 3600.0
INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = parser().parse_args(arguments)
    code = 1
    try:
        code = trio.run(_bounded, options)
    except* StartFailed as group:
        for exc in group.exceptions:
            print(exc, file=sys.stderr)
    except* KeyboardInterrupt:
        code = INTERRUPTED
    return code


def parser() -> ArgumentParser:
    """Declare commands and options."""
    result = ArgumentParser(prog="python -m benchmarks", description="Times; never tests. See README.md.")
    commands = result.add_subparsers(dest="command", required=True)
    every = commands.add_parser("all", help="all commands with their default options")
    for name, module in COMMANDS.items():
        assert module.__doc__ is not None
        module.add_options(commands.add_parser(name, help=module.__doc__.partition("\n")[0]))
        module.add_options(every)
    return result


async def _bounded(options: Namespace) -> int:
    """Run under a time limit; SIGTERM stops it like an interrupt, so that no process is left behind."""
    chosen = COMMANDS.values() if options.command == "all" else (COMMANDS[options.command],)
    code = INTERRUPTED
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, nursery.cancel_scope)
        with trio.move_on_after(TIME_LIMIT_S):
            code = max([await module.main(options) for module in chosen])
        nursery.cancel_scope.cancel(reason="done")
    return code


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as received:
        async for _ in received:
            scope.cancel(reason="SIGTERM")


if __name__ == "__main__":
    sys.exit(main())
