"""The matrix of clients and upstreams as a table at the end of a run, with ``-v`` or where a cell failed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

_CELL = re.compile(
    r"test_matrix\.py::test_(?P<cell>\w+)\[(?P<client>\w+)>(?P<upstream>[\w-]+?)(?:-(?:True|False))?\]"
)
_MARKS = {"passed": "ok", "failed": "FAIL", "skipped": "skip"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    upstreams: dict[str, None] = {}
    for outcome, cell, client, upstream in _outcomes(terminalreporter):
        row = rows[cell, client]
        if row.get(upstream) != _MARKS["failed"]:
            row[upstream] = _MARKS[outcome]
        upstreams[upstream] = None
    is_wanted = config.get_verbosity() > 0 or any("FAIL" in row.values() for row in rows.values())
    if not rows or not is_wanted:
        return
    terminalreporter.section("clients and upstreams")
    terminalreporter.write_line(_line("", "", upstreams))
    for (cell, client), row in rows.items():
        terminalreporter.write_line(_line(cell, client, [row.get(upstream, "-") for upstream in upstreams]))


def _outcomes(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, str, str, str]]:
    for outcome in ("passed", "failed", "error"):
        for report in reporter.stats.get(outcome, []):
            found = _CELL.search(report.nodeid)
            if found is not None and (report.when == "call" or report.failed):
                yield report.outcome, found["cell"], found["client"], found["upstream"]


def _line(cell: str, client: str, marks: Iterable[str]) -> str:
    return f"{cell:28}{client:10}" + "".join(f"{mark:12}" for mark in marks)
