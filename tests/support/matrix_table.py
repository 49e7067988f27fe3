"""The table of the matrix at the end of a run: what became of each client with each upstream, in every cell.

It is read from the ids of the tests that were reported, so that it does not matter which process ran them.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from string import ascii_lowercase

import pytest

from support.matrix import CLIENTS, IMPOSSIBLE, UPSTREAMS, why_not

_CELL = re.compile(
    r"test_matrix\w*\.py::test_(?P<cell>\w+)\[(?P<client>\w+)>(?P<upstream>[\w-]+?)(?:-(?:True|False))?\]"
)
_GROUP = len(UPSTREAMS) + 1


def write_table(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of each pair, if a test of a matrix ran."""
    rows: dict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
    for is_good, cell, pair in _outcomes(terminalreporter):
        rows[cell][pair] = rows[cell].get(pair, True) and is_good
    if not rows:
        return
    reasons = dict.fromkeys(each.reason for each in IMPOSSIBLE)
    letters = dict(zip(reasons, ascii_lowercase, strict=False))
    write = terminalreporter.write_line
    terminalreporter.section("clients and upstreams: + passes, F fails, . did not run")
    write(f"{'':32}{''.join(f'{client:{_GROUP}}' for client in CLIENTS)}")
    for cell, marks in rows.items():
        groups = (
            "".join(_mark(cell, client, name, marks, letters) for name in UPSTREAMS) for client in CLIENTS
        )
        write(f"{cell:32}{' '.join(groups)}")
    write(f"upstreams, in this order: {', '.join(UPSTREAMS)}")
    for reason, letter in letters.items():
        write(f"{letter}: cannot be, as {reason}")


def _mark(
    cell: str, client: str, upstream: str, marks: dict[tuple[str, str], bool], letters: dict[str, str]
) -> str:
    found = marks.get((client, upstream))
    if found is None:
        return letters.get(why_not(cell, client, upstream), ".")
    return "+" if found else "F"


def _outcomes(reporter: pytest.TerminalReporter) -> Iterator[tuple[bool, str, tuple[str, str]]]:
    for outcome in ("passed", "failed", "error"):
        for report in reporter.stats.get(outcome, []):
            found = _CELL.search(report.nodeid)
            if found is not None and (report.when == "call" or report.failed):
                yield report.passed, found["cell"], (found["client"], found["upstream"])
