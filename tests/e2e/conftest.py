"""Vendors to log in to, the world of the matrix, and a cell of it for each test.

A test that asks for ``cell`` runs once for each client and upstream, except where ``support.matrix`` says why
that cannot be.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import matrix
from support.accounts import Accounts, vendors
from support.matrix import CLIENTS, UPSTREAMS, Cell, World, why_not


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    """The emulated vendors' process."""
    with vendors(tmp_path_factory.mktemp("internet")) as started:
        yield started


@pytest.fixture
def world(internet: Accounts, tmp_path: Path) -> Accounts:
    """A directory to log in from, and vendors who know nobody."""
    return internet.anew(tmp_path)


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with matrix.world(tmp_path_factory.mktemp("world")) as started:
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
