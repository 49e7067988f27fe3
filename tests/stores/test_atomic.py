"""Files are whole at any time, private, and refused with a reason that helps."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cliproxy.errors import StoreError
from cliproxy.stores import atomic
from cliproxy.stores.atomic import (
    STALE_TEMP_S,
    TEMP_SUFFIX,
    delete_file,
    make_directory,
    read_file,
    refused,
    remove_stale_temporaries,
    sync_directory,
    write_file,
)

posix_only = pytest.mark.skipif(os.name != "posix", reason="rights and links of POSIX systems")
LIMIT = 1000


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.json"


def failing(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code), str(args[0]) if args else None)

    return fail


# ------------------------------------------------------------------------------------------------- reading


def test_what_is_not_there_reads_as_nothing(path):
    assert read_file(path, LIMIT) is None


def test_content_and_mode_are_read(path):
    path.write_bytes(b"x" * LIMIT)
    path.chmod(0o640)
    found = read_file(path, LIMIT)
    assert (found.content, found.mode) == (b"x" * LIMIT, 0o640)
    assert "xxx" not in repr(found)


def test_a_file_over_the_limit_is_refused(path):
    path.write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(StoreError, match="larger than 1000 bytes"):
        read_file(path, LIMIT)


def test_a_directory_in_place_of_a_file_is_explained(path):
    path.mkdir()
    with pytest.raises(StoreError, match="container runtime"):
        read_file(path, LIMIT)


@posix_only
def test_a_link_is_followed_only_on_request(path, tmp_path):
    (tmp_path / "real").write_bytes(b"content")
    path.symlink_to(tmp_path / "real")
    with pytest.raises(StoreError, match="symbolic link"):
        read_file(path, LIMIT)
    assert read_file(path, LIMIT, follow=True).content == b"content"


@posix_only
def test_a_pipe_is_refused_without_waiting_for_a_writer(path):
    os.mkfifo(path)
    with pytest.raises(StoreError, match="not a regular file"):
        read_file(path, LIMIT)


# ------------------------------------------------------------------------------------------------- writing


@posix_only
def test_a_new_file_is_private_whatever_the_umask(path):
    old = os.umask(0)
    try:
        write_file(path, b"a")
    finally:
        os.umask(old)
    assert mode(path) == 0o600


@posix_only
def test_an_open_file_becomes_private_when_it_is_written(path):
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_file(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)


@posix_only
def test_rights_can_be_kept(path):
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_file(path, b"new", keep_rights=True)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o640)


@posix_only
def test_keeping_rights_of_what_is_not_there_makes_a_private_file(path):
    write_file(path, b"new", keep_rights=True)
    assert mode(path) == 0o600


@posix_only
def test_a_link_is_written_through_or_replaced(path, tmp_path):
    real = tmp_path / "real"
    real.write_bytes(b"old")
    path.symlink_to(real)
    write_file(path, b"through", keep_rights=True)
    assert path.is_symlink()
    assert real.read_bytes() == b"through"
    write_file(path, b"instead")
    assert not path.is_symlink()
    assert (path.read_bytes(), real.read_bytes()) == (b"instead", b"through")


def test_nothing_else_is_left_in_the_directory(path, tmp_path):
    write_file(path, b"a")
    write_file(path, b"b")
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("code", [errno.EBUSY, errno.EXDEV, errno.EPERM])
def test_a_file_that_cannot_be_renamed_over_is_overwritten_in_place(path, tmp_path, monkeypatch, code):
    """A single file mounted into a container: the kernel calls it busy."""
    path.write_bytes(b"a much longer old content")
    monkeypatch.setattr(Path, "replace", failing(code))
    inode = path.stat().st_ino
    write_file(path, b"new", keep_rights=True)
    assert (path.read_bytes(), path.stat().st_ino) == (b"new", inode)
    assert names(tmp_path) == ["file.json"]


def test_a_file_in_a_directory_without_rights_is_overwritten_in_place(path, tmp_path, monkeypatch):
    path.write_bytes(b"old content")
    monkeypatch.setattr(atomic, "_write_temporary", failing(errno.EACCES))
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_where_not_even_that_is_possible_the_reason_is_said(path, tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_write_temporary", failing(errno.EROFS))
    with pytest.raises(StoreError, match=r"cannot write .*read-only"):
        write_file(path, b"new")


def test_a_directory_in_the_way_is_said(path):
    path.mkdir()
    with pytest.raises(StoreError, match="cannot write"):
        write_file(path, b"new")


STEPS = {
    "opening": (os, "open"),
    "forcing to disk": (os, "fsync"),
    "renaming": (Path, "replace"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_leaves_the_old_content(path, tmp_path, monkeypatch, step, code):
    path.write_bytes(b"old")
    owner, name = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing(code))
        with pytest.raises(StoreError, match="cannot write"):
            write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.json"]


WRITER = """
import sys
from pathlib import Path
from cliproxy.stores.atomic import write_file
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in b"abcdef":
        write_file(path, bytes([letter]) * 200_000)
"""


@posix_only
def test_a_writer_killed_at_any_time_leaves_a_whole_file(path, tmp_path):
    """Readers meanwhile see whole contents only, too."""
    path.write_bytes(b"a" * 200_000)
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(Path(atomic.__file__).parents[2])}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            writer.stdout.readline()
            for _ in range(200):
                content = path.read_bytes()
                assert len(content) == 200_000
                assert len(set(content)) == 1
            writer.send_signal(signal.SIGKILL)
        content = read_file(path, 300_000).content
        assert (len(content), len(set(content))) == (200_000, 1)
    assert all(name == path.name or name.endswith(TEMP_SUFFIX) for name in names(tmp_path))


# ---------------------------------------------------------------------------------------------- directories


@posix_only
def test_a_directory_is_made_private_with_those_above_it(tmp_path):
    directory = tmp_path / "a" / "b"
    make_directory(directory)
    assert mode(directory) == 0o700
    make_directory(directory)


def test_a_file_in_place_of_a_directory_is_said(path):
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="is not a directory"):
        make_directory(path)


def test_a_directory_that_cannot_be_made_is_said(path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", failing(errno.EROFS))
    with pytest.raises(StoreError, match="cannot create"):
        make_directory(path)


def test_deleting_tells_whether_there_was_something(path):
    path.write_bytes(b"")
    assert delete_file(path) is True
    assert delete_file(path) is False


def test_what_cannot_be_deleted_is_said(path):
    path.mkdir()
    with pytest.raises(StoreError, match="cannot delete"):
        delete_file(path)


def test_old_temporary_files_are_removed_and_nothing_else(tmp_path):
    now = time.time()
    for name, age_s in [
        (f".a.json.1{TEMP_SUFFIX}", STALE_TEMP_S + 60),
        (f".a.json.2{TEMP_SUFFIX}", 0),
        ("a.json", STALE_TEMP_S + 60),
        (".other.tmp", STALE_TEMP_S + 60),
    ]:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (now - age_s, now - age_s))
    remove_stale_temporaries(tmp_path)
    assert names(tmp_path) == [f".a.json.2{TEMP_SUFFIX}", ".other.tmp", "a.json"]
    remove_stale_temporaries(tmp_path / "missing")


@posix_only
def test_a_directory_that_cannot_be_forced_to_disk_does_not_matter_unless_the_disk_fails(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    sync_directory(tmp_path)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        sync_directory(tmp_path)


# -------------------------------------------------------------------------------------------------- reasons


@posix_only
def test_a_refusal_names_what_stands_in_the_way(tmp_path):
    directory = tmp_path / "auths"
    directory.mkdir(mode=0o750)
    missing = directory / "a.json"
    message = str(refused("write", missing, PermissionError(errno.EACCES, "", str(missing))))
    assert message.startswith(f"cannot write {missing}: permission denied; {directory} has mode 0750")
    assert f"this process runs as uid {os.geteuid()}" in message


def test_other_failures_are_said_in_short(path):
    assert str(refused("read", path, OSError(errno.EIO, ""))) == f"cannot read {path}: input/output error"
    assert "odd" in str(refused("read", path, OSError("odd")))
