"""The store that is always there: a configuration file and a directory of credential files.

Blocking work runs in threads behind a limiter of this store's own, one hop for a whole listing or write, so
that a slow disk delays nothing else. The configuration may be a symbolic link (it is written through) and
keeps its mode and owner; credential files are private, and links among them are refused, since a link could
make the server read or reveal a file that is none of its business.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final, TypeVar

import trio
from attrs import define, field

from cliproxy.credentials.naming import SUFFIX, is_plain_name
from cliproxy.errors import StoreError
from cliproxy.stores.atomic import (
    IS_POSIX,
    OTHERS,
    delete_file,
    make_directory,
    read_file,
    refused,
    remove_stale_temporaries,
    write_file,
)
from cliproxy.stores.base import (
    Change,
    Fingerprint,
    Listing,
    Stamp,
    StoreConflict,
    StoredFile,
    digest_of,
)
from cliproxy.stores.locks import Locks

MAX_CONFIG_BYTES: Final = 8 * 1024 * 1024
MAX_CREDENTIAL_BYTES: Final = 1024 * 1024
BACKUP_SUFFIX: Final = ".bak"
LOCK_DIRECTORY: Final = ".locks"
THREADS: Final = 4

_READABLE_BY_ALL: Final = 0o004
_WRITABLE_BY_OTHERS: Final = 0o022

T = TypeVar("T")


@define(eq=False)
class FileStore:
    """A configuration file and an auth directory. Build it with absolute paths."""

    config_path: Path
    auth_dir: Path
    _limiter: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(THREADS), init=False)
    _locks: Locks = field(init=False)
    _config_lock: trio.Lock = field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._locks = Locks(self.auth_dir / LOCK_DIRECTORY, self._limiter)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)

    async def prepare(self) -> tuple[str, ...]:
        """Make the auth directory and clear what a killed process left in it."""
        return await self._in_thread(self._prepare_now)

    def _prepare_now(self) -> tuple[str, ...]:
        make_directory(self.auth_dir)
        remove_stale_temporaries(self.auth_dir)
        status = self.auth_dir.stat()
        warnings = []
        if not os.access(self.auth_dir, os.W_OK):
            reason = refused(
                "write into", self.auth_dir, PermissionError(errno.EACCES, "", str(self.auth_dir))
            )
            warnings.append(f"{reason}; logins and renewed tokens cannot be saved")
        if IS_POSIX and status.st_mode & OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            warnings.append(f"{self.auth_dir} is open to other users (mode {mode:04o}); chmod 700 closes it")
        return tuple(warnings)

    # ------------------------------------------------------------------------------------- configuration

    async def read_config(self) -> StoredFile | None:
        """Read the configuration; ``None`` when there is none."""
        return await self._in_thread(self._read_config_now)

    def _read_config_now(self) -> StoredFile | None:
        found = read_file(self.config_path, MAX_CONFIG_BYTES, follow=True)
        if found is None:
            return None
        warnings = []
        if IS_POSIX and found.mode & (_READABLE_BY_ALL | _WRITABLE_BY_OTHERS):
            warnings.append(
                f"{self.config_path} may hold keys and is open to other users (mode {found.mode:04o}); "
                "chmod 600 closes it"
            )
        return _stored(str(self.config_path), found.content, warnings)

    async def write_config(self, text: str, *, expected: str | None) -> StoredFile:
        """Replace the configuration; the text before is kept beside it as ``.bak`` where that is possible."""
        async with self._config_lock:
            return await self._in_thread(lambda: self._write_config_now(text, expected))

    def _write_config_now(self, text: str, expected: str | None) -> StoredFile:
        current = self._read_config_now()
        if (current.digest if current else None) != expected:
            raise StoreConflict(f"{self.config_path} was changed meanwhile; nothing was written")
        content = text.encode("utf-8")
        if current is not None:
            backup = self.config_path.with_name(self.config_path.name + BACKUP_SUFFIX)
            with contextlib.suppress(StoreError):
                write_file(backup, current.content)
        write_file(self.config_path, content, keep_rights=True)
        return _stored(str(self.config_path), content)

    # --------------------------------------------------------------------------------------- credentials

    async def list_credentials(self) -> Listing:
        """Read all credential files. One bad file does not hide the others."""
        return await self._in_thread(self._list_now)

    def _list_now(self) -> Listing:
        files: list[StoredFile] = []
        problems: list[str] = []
        too_open: list[str] = []
        for path in sorted(self.auth_dir / entry.name for entry in self._entries()):
            try:
                found = read_file(path, MAX_CREDENTIAL_BYTES)
            except StoreError as exc:
                problems.append(str(exc))
                continue
            if found is None:
                continue
            files.append(_stored(path.name, found.content))
            if IS_POSIX and found.mode & OTHERS:
                too_open.append(path.name)
        return Listing(files=tuple(files), problems=tuple(problems), warnings=self._open_files(too_open))

    def _open_files(self, names: list[str]) -> tuple[str, ...]:
        """Say once that files are readable by others, however many they are."""
        if not names:
            return ()
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        return (f"{self.auth_dir / names[0]}{more}: open to other users; chmod 600 closes them",)

    def _entries(self) -> Iterator["os.DirEntry[str]"]:
        """Yield what is named like a credential file, whatever it is."""
        try:
            with os.scandir(self.auth_dir) as entries:
                for entry in entries:
                    hidden = entry.name.startswith(".")
                    if not hidden and entry.name.lower().endswith(SUFFIX) and not _is_directory(entry):
                        yield entry
        except FileNotFoundError:
            return
        except OSError as exc:
            raise refused("list", self.auth_dir, exc) from exc

    async def read_credential(self, name: str) -> StoredFile | None:
        """Read one credential file; ``None`` when there is none."""
        path = self._path(name)
        found = await self._in_thread(lambda: read_file(path, MAX_CREDENTIAL_BYTES))
        return _stored(name, found.content) if found else None

    async def update_credential(self, name: str, change: Change) -> bytes | None:
        """Change a credential file under its lock: read, change, write. Returns what is in it afterwards."""
        async with self.lock(name):
            stored = await self.read_credential(name)
            before = stored.content if stored else None
            after = change(before)
            if after is None or after == before:
                return before
            await self.write_credential(name, after)
            return after

    async def write_credential(self, name: str, content: bytes) -> None:
        """Write a credential file. The caller holds :meth:`lock` where others may write it, too."""
        path = self._path(name)

        def write_now() -> None:
            make_directory(self.auth_dir)
            write_file(path, content)

        await self._in_thread(write_now)

    async def delete_credential(self, name: str) -> bool:
        """Remove a credential file; tell whether there was one."""
        path = self._path(name)
        async with self.lock(name):
            return await self._in_thread(lambda: delete_file(path))

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a credential against all tasks and processes, for as long as a renewal takes."""
        return self._locks.hold(self._path(name).name)

    def _path(self, name: str) -> Path:
        if not is_plain_name(name):
            raise StoreError(f"{name!r} is not a plain file name that ends in {SUFFIX}")
        return self.auth_dir / name

    # ---------------------------------------------------------------------------------------- changes

    async def fingerprint(self) -> Fingerprint:
        """Look whether something changed, without reading it."""
        return await self._in_thread(self._fingerprint_now)

    def _fingerprint_now(self) -> Fingerprint:
        config = _stamp(self.config_path, follow=True)
        try:
            stamps = {e.name: stamp for e in self._entries() if (stamp := _stamp(e, follow=False))}
        except StoreError as exc:
            return Fingerprint(config=config, problem=str(exc))
        is_missing = not stamps and not self.auth_dir.exists()
        return Fingerprint(config=config, credentials=stamps, is_missing=is_missing)


def _stored(name: str, content: bytes, warnings: list[str] | None = None) -> StoredFile:
    return StoredFile(name=name, content=content, digest=digest_of(content), warnings=tuple(warnings or ()))


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _stamp(file: "Path | os.DirEntry[str]", *, follow: bool) -> Stamp | None:
    try:
        status = file.stat(follow_symlinks=follow)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)
