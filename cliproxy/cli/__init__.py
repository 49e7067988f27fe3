"""The command line: flags, commands, exit codes. The only place that starts the event loop.

Nothing but the standard library is imported before the arguments are understood, so that ``--help`` and usage
errors are instant; each command's module is imported when the command runs.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

from cliproxy.cli.collector import paused
from cliproxy.cli.exits import INTERRUPTED, OK, USAGE
from cliproxy.cli.flags import Arguments, UsageError, parse
from cliproxy.cli.usage import help_text, version_text

__all__ = [
    "COMMAND_MODULES",
    "accounts",
    "check",
    "collector",
    "desk",
    "exits",
    "flags",
    "health",
    "imports",
    "init",
    "keys",
    "login",
    "main",
    "models",
    "output",
    "prompts",
    "server",
    "usage",
    "usagereport",
    "world",
]

COMMAND_MODULES: Final = {
    "server": "cliproxy.cli.server",
    "login": "cliproxy.cli.login",
    "models": "cliproxy.cli.models",
    "check": "cliproxy.cli.check",
    "init": "cliproxy.cli.init",
    "keys": "cliproxy.cli.keys",
    "health": "cliproxy.cli.health",
    "usage": "cliproxy.cli.usagereport",
}


class _Command(Protocol):
    def run(self, arguments: Arguments) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
    except UsageError as exc:
        print(f"cliproxy: {exc}\nRun `cliproxy --help` for all commands and flags.", file=sys.stderr)
        return USAGE
    if arguments.wants_help or arguments.wants_version:
        return _show(help_text() if arguments.wants_help else version_text())
    with paused():
        command = cast("_Command", importlib.import_module(COMMAND_MODULES[arguments.command]))
    code = INTERRUPTED
    try:
        code = command.run(arguments)
    except* KeyboardInterrupt:
        pass
    return code


def _show(text: str) -> int:
    """Print a text; whoever reads it may stop reading early."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The interpreter flushes once more at its end; give it somewhere to write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK
