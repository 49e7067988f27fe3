"""The corpus: small realistic bodies of every dialect, and whatever the fuzzer found to break a promise.

``scripts/fuzz.sh`` begins with these files and adds what fails; see :mod:`support.properties` for what must
hold.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.corpus import CORPUS, entries
from support.properties import TARGETS, Target


def cases() -> Iterator[object]:
    for target in TARGETS:
        for path in entries(target):
            yield pytest.param(target, path, id=str(path.relative_to(CORPUS)))


@pytest.mark.parametrize(("target", "path"), [*cases()])
def test_entry(target: Target, path: Path) -> None:
    target.check(path.read_bytes())


def test_every_file_belongs_to_a_target() -> None:
    known = {path for target in TARGETS for path in entries(target)}
    assert {path for path in CORPUS.rglob("*") if path.is_file()} == known
