"""The log in a file, whatever the disk does."""

import errno
import os
from pathlib import Path

import pytest

from cliproxy.observe import folder as folders
from cliproxy.observe import logfile
from cliproxy.observe.folder import Folder
from cliproxy.observe.logfile import LogFile
from cliproxy.observe.writer import Writer


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def subject(tmp_path: Path, writer: Writer) -> LogFile:
    return LogFile(Folder(tmp_path), writer)


def wait_for(writer: Writer) -> None:
    """Wait until all that was handed over is done."""
    assert writer.close(10)
    writer._is_closed, writer._thread = False, None


def put(subject: LogFile, *lines: str) -> None:
    for line in lines:
        subject.put(f"{line}\n")
    wait_for(subject.writer)


def text(path: Path) -> str:
    return (path / "main.log").read_text(encoding="utf-8")


def test_lines_are_appended(subject: LogFile, tmp_path: Path) -> None:
    put(subject, "one", "two")
    put(subject, "thr\u00e9e \ud800")
    assert text(tmp_path) == "one\ntwo\nthr\u00e9e \\ud800\n"


def test_a_full_file_is_moved_aside(
    subject: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MOST_BYTES", 10)
    for number in range(3):
        put(subject, f"line {number}")
    old = sorted(tmp_path.glob("main-*.log"))
    assert [each.read_text() for each in old] == ["line 0\n", "line 1\n"]
    assert text(tmp_path) == "line 2\n"


def test_all_files_together_stay_within_the_limit(
    subject: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MOST_BYTES", 1000)
    subject.folder.most_bytes = 4000
    for number in range(200):
        put(subject, f"{number:04}" + "x" * 95)
        assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 4000
    assert text(tmp_path).splitlines()[-1].startswith("0199")


def test_a_small_limit_makes_small_files(subject: LogFile, tmp_path: Path) -> None:
    subject.folder.most_bytes = 400
    for _ in range(20):
        put(subject, "x" * 49)
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 400
    assert len(list(tmp_path.iterdir())) > 1


@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_file_that_somebody_took_away_is_begun_anew(subject: LogFile, tmp_path: Path, how: str) -> None:
    put(subject, "one")
    if how == "moved":
        (tmp_path / "main.log").rename(tmp_path / "mine.log")
    else:
        (tmp_path / "main.log").unlink()
    put(subject, "two")
    assert text(tmp_path) == "two\n"
    if how == "moved":
        assert (tmp_path / "mine.log").read_text() == "one\n"


def test_a_full_disk_loses_lines_and_says_so_later(
    subject: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(subject, "one")

    def full(_descriptor: int, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(logfile, "write_all", full)
        put(subject, "two", "three")
        put(subject, "four")
    assert subject.lost == 3
    put(subject, "five")
    first, lost, last = text(tmp_path).splitlines()
    assert (first, last) == ("one", "five")
    assert lost.endswith("3 lines were lost here")
    put(subject, "six")
    assert text(tmp_path).count("lost") == 1
    assert folders.write_all is logfile.write_all


def test_lines_that_come_too_fast_are_counted(tmp_path: Path, writer: Writer) -> None:
    subject = LogFile(Folder(tmp_path), writer, most_waiting=10)
    writer._is_closed = True
    subject.put("x" * 10)
    subject.put("y")
    writer._is_closed = False
    assert subject.lost == 1


def test_a_file_can_be_closed_and_used_again(subject: LogFile, tmp_path: Path) -> None:
    subject.put("one\n")
    subject.close()
    put(subject, "two")
    assert text(tmp_path) == "one\ntwo\n"
