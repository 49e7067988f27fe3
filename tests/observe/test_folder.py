"""The directory of the logs: private, and of a bounded size."""

import os
import stat
from pathlib import Path

import pytest

from cliproxy.observe.folder import FILLED, Folder, is_usable, write_all


def filled(path: Path, *names: str, size: int = 10) -> Folder:
    """A folder with files, the oldest first."""
    path.mkdir(exist_ok=True)
    for age, name in enumerate(names):
        (path / name).write_bytes(b"x" * size)
        os.utime(path / name, (1000 + age, 1000 + age))
    return Folder(path)


def names(folder: Folder) -> list[str]:
    return sorted(each.name for each in folder.path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX systems")
def test_files_are_the_owners(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a" / "logs")
    os.close(folder.open("x.log"))
    assert stat.S_IMODE((folder.path / "x.log").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="systems that can tell")
def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "x.log").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"x\.log"):
        folder.open("x.log")
    assert not (tmp_path / "precious").exists()


def test_the_oldest_files_make_room_but_not_the_one_in_use(tmp_path: Path) -> None:
    folder = filled(tmp_path, "main.log", "a.log", "b.log", "c.log", "d.log", "notes.txt")
    folder.active, folder.most_bytes = "main.log", 40
    folder.grown(0)
    assert names(folder) == ["c.log", "d.log", "main.log", "notes.txt"]
    assert 40 * FILLED >= 30


def test_growth_is_added_up_between_looks(tmp_path: Path) -> None:
    folder = filled(tmp_path, "a.log", "b.log")
    folder.most_bytes = 50
    folder.grown(0)
    folder.grown(30)
    assert names(folder) == ["a.log", "b.log"]
    (tmp_path / "c.log").write_bytes(b"x" * 31)
    folder.grown(1)
    assert names(folder) == ["b.log", "c.log"]


def test_without_a_limit_nothing_is_deleted(tmp_path: Path) -> None:
    folder = filled(tmp_path, "a.log", size=1000)
    folder.most_bytes = 0
    folder.grown(10**12)
    assert names(folder) == ["a.log"]


def test_the_newest_of_a_kind_are_kept(tmp_path: Path) -> None:
    folder = filled(tmp_path, "error-1.log", "error-2.log", "error-3.log", "main.log")
    folder.keep("error-", 2)
    assert names(folder) == ["error-2.log", "error-3.log", "main.log"]
    folder.keep("error-", 0)
    assert len(names(folder)) == 3


def test_what_was_left_incomplete_is_cleared(tmp_path: Path) -> None:
    folder = filled(tmp_path, "a.log", "b.log.part", "c.log.part")
    folder.clear_parts(1002)
    assert names(folder) == ["a.log", "c.log.part"]


def test_incomplete_files_take_half_of_the_room(tmp_path: Path) -> None:
    folder = Folder(tmp_path, most_bytes=100)
    folder.part_bytes = 40
    assert folder.has_room_for(10)
    assert not folder.has_room_for(11)
    folder.most_bytes = 0
    assert folder.has_room_for(10**12)


def test_they_push_old_files_out(tmp_path: Path) -> None:
    """All together take no more than they may."""
    folder = filled(tmp_path, "a.log", "b.log", "c.log", "d.log")
    size = sum(each.stat().st_size for each in tmp_path.iterdir())
    folder.most_bytes = size + 10
    folder.part_grown(10)
    assert names(folder) == ["a.log", "b.log", "c.log", "d.log"]
    folder.part_grown(10)
    assert names(folder)[-1] == "d.log"
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) + 20 <= size + 10


def test_a_directory_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "gone", most_bytes=1)
    folder.grown(10)
    folder.keep("x", 1)
    folder.clear_parts(0)
    folder.remove("x.log")


def test_all_of_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    descriptor = Folder(tmp_path).open("x.log")
    write_all(descriptor, b"0123456789")
    os.close(descriptor)
    assert (tmp_path / "x.log").read_bytes() == b"0123456789"


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX systems")
def test_a_place_is_tried_before_it_is_used(tmp_path: Path) -> None:
    assert is_usable(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("")
    assert not is_usable(tmp_path / "file" / "b")
