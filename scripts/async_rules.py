"""Run flake8-async over the package: its usual rules everywhere, the strict ones where the program waits.

    async_rules.py [PYTHON_FILE...]      default: every file of the package

ruff implements a part of these rules only. Three things are decided here. The strict rules (no async
generator that is not a context manager; every path through a coroutine passes a checkpoint) hold in the rooms
that do I/O. The second of them is a promise to callers, so it binds public coroutines; a private one is a
part of its public caller, and a checkpoint of its own would be paid for every event of a stream. And the rule
that watches ``start_soon`` wants to know every function that can be started with ``nursery.start``; they are
found by their ``task_status`` parameter instead of being listed by hand.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "cliproxy"

STRICT_ROOMS = ("net", "stores", "exchange", "service")
STRICT_RULES = ("ASYNC900", "ASYNC910")
# A coroutine without an await may be one because a protocol or the web framework asks for a coroutine.
LEFT_OUT = ("ASYNC124",)

_CHECKPOINT = re.compile(r"^(?P<file>[^:]+):\d+:\d+: ASYNC910 .* definition on line (?P<line>\d+)")


def main(arguments: list[str]) -> int:
    """Run both passes; return 0 when neither found anything."""
    files = [Path(name).resolve() for name in arguments] or sorted(PACKAGE.rglob("*.py"))
    usual = run(files, f"--disable={','.join((*LEFT_OUT, 'ASYNC9'))}", startable_option(files))
    strict = run(
        [path for path in files if is_strict(path)], f"--enable={','.join(STRICT_RULES)}", "--disable="
    )
    return usual or strict


def run(files: list[Path], *options: str) -> int:
    """Run the checker over the files and print what it finds; return 1 when that is anything."""
    if not files:
        return 0
    names = [str(path.relative_to(ROOT)) for path in files]
    command = [sys.executable, "-m", "flake8_async", *options, *names]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    findings = [line for line in result.stdout.splitlines() if not is_about_private(line)]
    print("\n".join([*findings, result.stderr.rstrip()]).strip(), end="\n" if findings else "")
    return 1 if findings or result.stderr.strip() else 0


def is_about_private(finding: str, root: Path = ROOT) -> bool:
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
