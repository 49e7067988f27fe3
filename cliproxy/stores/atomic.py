"""Files that are whole at any time: reading with bounds, writing so that nothing is ever half there.

A write goes to a temporary file in the same directory, is forced to disk, takes the place of the old file by
a rename, and the directory is forced to disk as well. Whoever reads, or is killed, sees the old content or
the new one.

There is one case where a rename is impossible: a single file mounted into a container (the kernel answers
"busy"), or a directory in which this process may not create files. Then the file is overwritten in place,
with the complete new content already lying beside it where that is possible, so that even a crash in this
instant loses nothing for good.

Everything here blocks; it is called in worker threads. Errors become :class:`~cliproxy.errors.StoreError` by
:func:`refused`, whose message says which path, and with which mode and owner, stands in the way.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Final

from attrs import field, frozen

from cliproxy.errors import StoreError

PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
OTHERS: Final = 0o077
"""The rights of everybody but the owner."""
TEMP_SUFFIX: Final = ".cliproxy-tmp"
STALE_TEMP_S: Final = 3600.0

IS_POSIX: Final = os.name == "posix"
# Absent on some systems, where the file type is checked before and after opening instead.
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_NO_BLOCK: Final = getattr(os, "O_NONBLOCK", 0)
_BINARY: Final = getattr(os, "O_BINARY", 0)
_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)

_RENAME_IMPOSSIBLE: Final = frozenset({errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES})
_NO_NEW_FILES: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_DIRECTORY_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})
_RIGHTS: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@frozen(kw_only=True)
class FileContent:
    """What was read, and the rights of the file."""

    content: bytes = field(repr=False)
    mode: int


def read_file(path: Path, limit: int, *, follow: bool = False) -> FileContent | None:
    """Read a regular file of at most ``limit`` bytes; ``None`` when there is none.

    A symbolic link is refused unless ``follow``; anything that is no regular file is never opened for long.
    """
    try:
        if not follow and path.is_symlink():
            raise StoreError(f"{path} is a symbolic link, which is not followed here")
        flags = os.O_RDONLY | _NO_BLOCK | _BINARY | (0 if follow else _NO_FOLLOW)
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(_wrong_kind(path, status.st_mode))
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(limit + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise refused("read", path, exc) from exc
    if len(content) > limit:
        raise StoreError(f"{path} is larger than {limit} bytes")
    return FileContent(content=content, mode=stat.S_IMODE(status.st_mode))


def _wrong_kind(path: Path, mode: int) -> str:
    if stat.S_ISDIR(mode):
        return (
            f"{path} is a directory, not a file; a container runtime makes one when the file "
            "to be mounted does not exist"
        )
    return f"{path} is not a regular file"


def write_file(path: Path, content: bytes, *, keep_rights: bool = False) -> None:
    """Replace a file, or make it, readable by its owner alone.

    ``keep_rights`` keeps mode and owner of the old one instead, and writes through a symbolic link, which is
    otherwise replaced by the file.
    """
    target = Path(os.path.realpath(path)) if keep_rights else path
    try:
        temporary = _write_temporary(target, content)
    except OSError as exc:
        if exc.errno not in _NO_NEW_FILES or not target.exists():
            raise refused("write", path, exc) from exc
        _write_in_place(target, content)
        return
    try:
        if keep_rights:
            _copy_rights(target, temporary)
        _replace(temporary, target, content)
    except OSError as exc:
        raise refused("write", path, exc) from exc
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _write_temporary(target: Path, content: bytes) -> Path:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMP_SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _replace(temporary: Path, target: Path, content: bytes) -> None:
    try:
        temporary.replace(target)
    except OSError as exc:
        if exc.errno not in _RENAME_IMPOSSIBLE:
            raise
        # The temporary file stays until the content is safe in its place.
        _write_in_place(target, content)
    else:
        sync_directory(target.parent)


def _write_in_place(target: Path, content: bytes) -> None:
    """Overwrite a file, shortening it last, so that there is no instant at which it is empty."""
    try:
        with os.fdopen(os.open(target, os.O_WRONLY | _NO_FOLLOW | _BINARY), "wb") as file:
            file.write(content)
            file.flush()
            file.truncate(len(content))
            os.fsync(file.fileno())
    except OSError as exc:
        raise refused("write", target, exc) from exc


def _copy_rights(source: Path, temporary: Path) -> None:
    """Give a file the mode and, where that is allowed, the owner of another that may not exist."""
    try:
        status = source.stat()
    except FileNotFoundError:
        return
    if IS_POSIX:
        with contextlib.suppress(PermissionError):
            os.chown(temporary, status.st_uid, status.st_gid)
    temporary.chmod(stat.S_IMODE(status.st_mode))


def sync_directory(directory: Path) -> None:
    """Force a directory's entries to disk, where the system can do that."""
    if not IS_POSIX:
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY | _DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as exc:
        if exc.errno not in _NO_DIRECTORY_SYNC:
            raise


def delete_file(path: Path) -> bool:
    """Remove a file; tell whether there was one."""
    try:
        path.unlink()
        sync_directory(path.parent)
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise refused("delete", path, exc) from exc
    return True


def make_directory(path: Path) -> None:
    """Make a directory that only its owner can enter, with those above it; an existing one stays as it is."""
    try:
        path.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    except FileExistsError as exc:
        raise StoreError(f"{path} is not a directory") from exc
    except OSError as exc:
        raise refused("create", path, exc) from exc


def remove_stale_temporaries(directory: Path) -> None:
    """Remove temporary files that a killed process left behind; errors do not matter here."""
    oldest = time.time() - STALE_TEMP_S
    with contextlib.suppress(OSError):
        for path in directory.glob(f".*{TEMP_SUFFIX}"):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime < oldest:
                    path.unlink()


def refused(action: str, path: Path, exc: OSError) -> StoreError:
    """Say why the system refused something, and whose rights are in the way."""
    reason = os.strerror(exc.errno).lower() if exc.errno else str(exc)
    message = f"cannot {action} {path}: {reason}"
    if exc.errno not in _RIGHTS:
        return StoreError(message)
    obstacle = _nearest(Path(os.fsdecode(exc.filename)) if exc.filename else path)
    return StoreError(f"{message}; {_rights_of(obstacle)}")


def _nearest(path: Path) -> Path:
    """Return the path itself if it can be seen, else the nearest directory above it that can."""
    for candidate in (path, *path.parents):
        with contextlib.suppress(OSError):
            candidate.lstat()
            return candidate
    return path


def _rights_of(path: Path) -> str:
    try:
        status = path.lstat()
    except OSError:
        return f"{path} cannot be looked at"
    text = f"{path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if IS_POSIX:
        text += f" and belongs to uid {status.st_uid}, this process runs as uid {os.geteuid()}"
    return text
