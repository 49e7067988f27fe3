"""Hold every file of the pure rooms to its coverage floor.

    coverage_floor.py COVERAGE_JSON

Reads a report of ``coverage json`` and fails, naming each file, when one is below the floor of its room. A
total hides a file that nobody tests; a floor per file does not. To raise a floor, change its number in
:data:`FLOORS`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

PACKAGE = "cliproxy"

# room → the least share of executed lines of each of its files, in percent
FLOORS: Mapping[str, float] = {
    "errors": 90.0,
    "wire": 90.0,
    "ir": 90.0,
    "dialects": 90.0,
    "login": 90.0,
    "providers": 90.0,
    "routing": 90.0,
}


def main(report: Path) -> int:
    """Print the files below their floor; return 1 if there are any, or if none was measured."""
    files = json.loads(report.read_text(encoding="utf-8"))["files"]
    held = {path: room for path in files if (room := room_of(path)) in FLOORS}
    if not held:
        print("coverage: the report names no file of a room with a floor")
        return 1
    failures = list(below(files, held))
    for failure in failures:
        print(failure)
    print(f"coverage: {len(held)} files held to their floor, {len(failures)} below")
    return 1 if failures else 0


def room_of(path: str) -> str:
    """Return the room of a source path: ``wire`` for ``cliproxy/wire/sse.py``."""
    parts = PurePosixPath(path).parts
    return parts[1].removesuffix(".py") if len(parts) > 1 and parts[0] == PACKAGE else ""


def below(files: Mapping[str, dict[str, Any]], held: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each held file that is below its floor, with the lines to look at."""
    for path, room in sorted(held.items()):
        summary = files[path]["summary"]
        statements = summary["num_statements"]
        share = 100.0 * summary["covered_lines"] / statements if statements else 100.0
        if share < FLOORS[room]:
            missing = ", ".join(map(str, files[path]["missing_lines"][:20]))
            yield f"{path}: {share:.1f} % of lines, floor {FLOORS[room]:.0f} %; not run: {missing}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
