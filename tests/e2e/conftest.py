"""The world of the matrix, a cell of it for each test, and the table of all cells at the end of a run.

A test that asks for ``cell`` runs once for each client and upstream, except where ``support.matrix`` says why
that cannot be. The table shows for every test what became of each pair.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from string import ascii_lowercase

import pytest

from support.matrix import CLIENTS, IMPOSSIBLE, UPSTREAMS, Cell, World, why_not, world

_CELL = re.compile(
    r"test_matrix\w*\.py::test_(?P<cell>\w+)\[(?P<client>\w+)>(?P<upstream>[\w-]+?)(?:-(?:True|False))?\]"
)
_GROUP = len(UPSTREAMS) + 1


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as started:
        yield started


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        name = metafunc.function.__name__.removeprefix("test_")
        pairs = [(c, u) for c in CLIENTS for u in UPSTREAMS if not why_not(name, c, u)]
        metafunc.parametrize("cell", pairs, ids=[f"{c}>{u}" for c, u in pairs], indirect=True)


@pytest.fixture
def cell(request: pytest.FixtureRequest, running_world: World) -> Iterator[Cell]:
    started = Cell(running_world, *request.param)
    yield started
    started.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
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
