"""Run flake8-async over the package: its usual rules everywhere, the strict ones where the program waits.

    async_rules.py [PYTHON_FILE...]      default: every file of the package

ruff implements a part of these rules only. Three things are decided here. The strict rules (no async
generator that is not a context manager; every path through a coroutine passes a checkpoint) hold in the rooms
that do I/O. The second of them is a promise to callers, so it binds public coroutines; a private one is a
part of its public caller, and a checkpoint of its own would be paid for every event of a stream. And the rule
that watches ``start_soon`` wants to know every function that can be started with ``nursery.start``; they are
found by their ``task_status`` parameter instead of being listed by hand.

The checker takes a millisecond for each line. Most files neither wait nor name anything that its rules are
about, and are not given to it; the others are divided among the processors.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cliproxy"

STRICT_ROOMS = ("net", "stores", "exchange", "service")
# A coroutine without an await may be one because a protocol or the web framework asks for a coroutine.
LEFT_OUT = ("ASYNC124",)
OPTIONAL = ("ASYNC900", "ASYNC910", "ASYNC911", "ASYNC912", "ASYNC913")
STRICT = ("ASYNC900", "ASYNC910")

_CONCERNED = re.compile(
    r"\b(?:async|await|trio|anyio|asyncio)\b"
    r"|\b(?:BaseException|BaseExceptionGroup|ExceptionGroup|Cancelled|CancelledError|KeyboardInterrupt)\b"
    r"|\bexcept\s*[:*]|\.exceptions\b"
)
_CHECKPOINT = re.compile(r"^(?P<file>[^:]+):\d+:\d+: ASYNC910 .* definition on line (?P<line>\d+)")


def main(arguments: list[str]) -> int:
    """Check everything; return 0 when nothing was found."""
    files = [Path(name).resolve() for name in arguments] or sorted(PACKAGE.rglob("*.py"))
    chosen = [path for path in files if is_concerned(path.read_text(encoding="utf-8"))]
    startable = startable_option(chosen)
    running = [
        begin(part, startable, disabled)
        for group, disabled in (
            ([path for path in chosen if not is_strict(path)], (*LEFT_OUT, *OPTIONAL)),
            ([path for path in chosen if is_strict(path)], (*LEFT_OUT, *(set(OPTIONAL) - set(STRICT)))),
        )
        for part in divided(group, os.cpu_count() or 1)
    ]
    return max([finish(process) for process in running], default=0)


def is_concerned(source: str) -> bool:
    """Tell whether there is anything in a file that a rule could be about."""
    return _CONCERNED.search(source) is not None


def divided(files: Sequence[Path], count: int) -> list[list[Path]]:
    """Divide files into at most so many parts of about the same size."""
    parts: list[list[Path]] = [[] for _ in range(count)]
    sizes = [0] * count
    for path in sorted(files, key=lambda path: path.stat().st_size, reverse=True):
        smallest = sizes.index(min(sizes))
        parts[smallest].append(path)
        sizes[smallest] += path.stat().st_size
    return [part for part in parts if part]


def begin(files: list[Path], startable: str, disabled: Iterable[str]) -> "subprocess.Popen[str]":
    """Start the checker over some files."""
    names = [os.path.relpath(path, ROOT) for path in sorted(files)]
    command = [sys.executable, "-m", "flake8_async", startable, f"--disable={','.join(sorted(disabled))}"]
    return subprocess.Popen(
        [*command, *names], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]") -> int:
    """Print what a checker has found; return 1 when that is anything."""
    said, errors = process.communicate()
    findings = [line for line in said.splitlines() if not is_about_private(line, ROOT)]
    print("\n".join([*findings, errors.rstrip()]).strip(), end="\n" if findings or errors else "")
    return 1 if findings or errors.strip() or process.returncode not in {0, 1} else 0


def is_about_private(finding: str, root: Path) -> bool:
    """Tell whether a missing checkpoint is that of a private coroutine."""
    found = _CHECKPOINT.search(finding)
    if not found:
        return False
    line = (root / found["file"]).read_text(encoding="utf-8").splitlines()[int(found["line"]) - 1]
    name = line.partition("def ")[2].partition("(")[0].partition("[")[0]
    return name.startswith("_") and not name.endswith("__")


def is_strict(path: Path) -> bool:
    """Tell whether the file belongs to a room that does I/O."""
    return any(path.is_relative_to(PACKAGE / room) for room in STRICT_ROOMS)


def startable_option(files: list[Path]) -> str:
    """Return the option that names the functions which take a ``task_status``."""
    names = {
        node.name
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(argument.arg == "task_status" for argument in node.args.kwonlyargs + node.args.args)
    }
    return f"--startable-in-context-manager={','.join(sorted(names))}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
