"""Fragments become a section of the change log, newest first, and are used up by it."""

from pathlib import Path

import pytest

import collect_changes


@pytest.fixture
def root(tmp_path) -> Path:
    changes = tmp_path / "changes"
    changes.mkdir()
    (changes / "README.md").write_text("about fragments")
    (changes / "a-thing.fix.md").write_text("A thing works.\nAlways.\n")
    (changes / "new-thing.feature.md").write_text("A new thing.\n")
    (changes / "inner-thing.internal.md").write_text("Nobody sees it.\n")
    return tmp_path


def test_a_section_is_written_on_top(root) -> None:
    (root / "CHANGELOG.md").write_text("# Changes\n\n## 0.1.0 (2025-01-01)\n")
    assert collect_changes.main(["0.2.0", "2025-02-01"], root) == 0
    assert (root / "CHANGELOG.md").read_text() == (
        "# Changes\n\n"
        "## 0.2.0 (2025-02-01)\n\n"
        "### Added\n\n- A new thing.\n\n"
        "### Fixed\n\n- A thing works.\n  Always.\n\n"
        "## 0.1.0 (2025-01-01)\n"
    )
    assert [path.name for path in (root / "changes").iterdir()] == ["README.md"]


def test_checking_changes_nothing(root) -> None:
    assert collect_changes.main(["--check"], root) == 0
    assert not (root / "CHANGELOG.md").exists()
    assert (root / "changes/a-thing.fix.md").exists()


@pytest.mark.parametrize(
    "name", ["thing.md", "thing.bug.md", "Big.fix.md", "a_thing.fix.md", "thing.fix.txt"]
)
@pytest.mark.parametrize("arguments", [["--check"], ["0.2.0", "2025-02-01"]], ids=" ".join)
def test_a_misnamed_fragment_stops_everything(root, name, arguments, capsys) -> None:
    (root / "changes" / name).write_text("Something.")
    assert collect_changes.main(arguments, root) == 1
    assert name in capsys.readouterr().out
    assert not (root / "CHANGELOG.md").exists()


def test_an_empty_fragment_is_a_problem(root, capsys) -> None:
    (root / "changes/b.fix.md").write_text(" \n")
    assert collect_changes.main(["--check"], root) == 1
    assert "says nothing" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["0.2.0"], ["a", "b", "c"]])
def test_anything_else_shows_the_usage(root, arguments, capsys) -> None:
    assert collect_changes.main(arguments, root) == 2
    assert "VERSION" in capsys.readouterr().out
    assert (root / "changes/a-thing.fix.md").exists()
