"""A file below its floor is named; a report about nothing is no success."""

import json
from pathlib import Path

import pytest

import coverage_floor


def report(tmp_path: Path, files: dict[str, tuple[int, int]]) -> Path:
    """Write a coverage report; ``files`` maps a path to its covered and all statements."""
    content = {
        name: {
            "summary": {"covered_lines": covered, "num_statements": statements},
            "missing_lines": list(range(covered, statements)),
        }
        for name, (covered, statements) in files.items()
    }
    path = tmp_path / "coverage.json"
    path.write_text(json.dumps({"files": content}))
    return path


def test_a_file_at_its_floor_passes(tmp_path) -> None:
    assert coverage_floor.main(report(tmp_path, {"cliproxy/wire/sse.py": (90, 100)})) == 0


def test_a_file_below_is_named_with_its_lines(tmp_path, capsys) -> None:
    files = {"cliproxy/wire/sse.py": (89, 100), "cliproxy/ir/events.py": (100, 100)}
    assert coverage_floor.main(report(tmp_path, files)) == 1
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("cliproxy/wire/sse.py: 89.0 % of lines, floor 90 %; not run: 89, 90")


def test_rooms_without_a_floor_are_not_held(tmp_path) -> None:
    files = {"cliproxy/server/app.py": (0, 100), "cliproxy/errors.py": (10, 10)}
    assert coverage_floor.main(report(tmp_path, files)) == 0


def test_an_empty_file_has_nothing_to_cover(tmp_path) -> None:
    assert coverage_floor.main(report(tmp_path, {"cliproxy/ir/__init__.py": (0, 0)})) == 0


@pytest.mark.parametrize("files", [{}, {"cliproxy/server/app.py": (1, 1)}, {"elsewhere/wire/sse.py": (1, 1)}])
def test_a_report_about_no_held_file_fails(tmp_path, files) -> None:
    assert coverage_floor.main(report(tmp_path, files)) == 1
