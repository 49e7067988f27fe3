"""The command line: flags, commands, exit codes. The only place that starts the event loop.

Nothing but the standard library is imported before the arguments are understood, so that ``--help`` and usage
errors are instant; each command's module is imported when the command runs.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

from cliproxy.cli.exits import INTERRUPTED, OK, USAGE
from cliproxy.cli.flags import Arguments, UsageError, parse
from cliproxy.cli.usage import help_text, version_text

__all__ = [
    "COMMAND_MODULES",
    "check",
    "exits",
    "flags",
    "init",
    "login",
    "main",
    "models",
    "prompts",
    "server",
    "usage",
]

COMMAND_MODULES: Final = {
    "server": "cliproxy.cli.server",
    "login": "cliproxy.cli.login",
    "models": "cliproxy.cli.models",
    "check": "cliproxy.cli.check",
    "init": "cliproxy.cli.init",
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
    if arguments.wants_help:
        print(help_text())
        return OK
    if arguments.wants_version:
        print(version_text())
        return OK
    command = cast("_Command", importlib.import_module(COMMAND_MODULES[arguments.command]))
    code = INTERRUPTED
    try:
        code = command.run(arguments)
    except* KeyboardInterrupt:
        pass
    return code
