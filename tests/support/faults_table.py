"""The table of faults at the end of a run: what was seen of each, and whether that is what must be seen.

What is seen comes with the reports, as properties of the tests (:func:`name_of` says of which row), so that
it does not matter which process played a fault. The rows are those of ``docs/faults.md``, which say what must
be seen.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import pytest
from attrs import define, field

from support.faultrows import CLIENTS, MACHINE, UPSTREAMS, Case, Upstream

PLAYED: Final = "fault"
"""The property that names the row a test has played."""
COLUMNS: Final = ("stream", "whole", "asked", "rests", "slowest")
"""The properties that say what was seen of it."""
_WIDTH: Final = 17


@define
class Found:
    """What the reports say about one row."""

    is_good: bool = True
    seen: dict[str, str] = field(factory=dict)

    def add(self, report: pytest.TestReport) -> None:
        """Take in one more report."""
        self.is_good = self.is_good and report.passed
        self.seen |= {name: str(value) for name, value in report.user_properties}


def name_of(row: Upstream) -> str:
    """Name a row; some are played before the first word and after it."""
    group = next(group for group, rows in UPSTREAMS.items() if any(each is row for each in rows))
    return f"{group}: {row.what}"


def write_table(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what became of each fault, if any was played against the server."""
    reports = [
        report
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if isinstance(report, pytest.TestReport) and (report.when == "call" or report.failed)
    ]
    played = _played(reports)
    if not played:
        return
    write = terminalreporter.write_line
    names = [row.what for rows in UPSTREAMS.values() for row in rows]
    width = max(map(len, (*names, *(case.what for case in (*CLIENTS, *MACHINE))))) + 2
    terminalreporter.section("faults: what was seen; + as it must be, F not so, . did not run")
    for group, rows in UPSTREAMS.items():
        write(f"{f'upstreams, {group}':{width}}  {''.join(f'{name:{_WIDTH}}' for name in COLUMNS)}".rstrip())
        for row in rows:
            found = played.get(name_of(row))
            cells = "".join(f"{found.seen.get(name, '–'):{_WIDTH}}" for name in COLUMNS) if found else ""
            write(f"{row.what:{width}}{_mark(found)} {cells}".rstrip())
    for title, cases in (("clients", CLIENTS), ("the machine", MACHINE)):
        write(title)
        for case in cases:
            write(f"{case.what:{width}}{_mark(_found(case, reports))}")


def _played(reports: Iterable[pytest.TestReport]) -> Mapping[str, Found]:
    """Return what was played of the faults of upstreams."""
    played: dict[str, Found] = {}
    for report in reports:
        for name, value in report.user_properties:
            if name == PLAYED:
                played.setdefault(str(value), Found()).add(report)
    return played


def _found(case: Case, reports: Iterable[pytest.TestReport]) -> Found | None:
    """Return what became of the test that plays a fault of a client or of the machine."""
    mine = [report for report in reports if report.nodeid.partition("[")[0].endswith(case.test)]
    found = Found()
    for report in mine:
        found.add(report)
    return found if mine else None


def _mark(found: Found | None) -> str:
    return "." if found is None else "+" if found.is_good else "F"
