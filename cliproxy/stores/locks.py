"""Locks on names, held against the tasks of this process and against other processes on the same directory.

Two locks in a row: one of the event loop, fair and without polling, and one of the operating system on a
small file, which the system releases even if its holder is killed. Lock files are never deleted: a deleted
one could be held by one process and made anew by another.

Where the file system knows no locks, or the lock file cannot be made, only the first kind remains. A
directory that refuses the lock file refuses the write as well, and that error is the one worth reporting.
"""

import errno
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import trio
from attrs import define, field

from cliproxy.stores.atomic import PRIVATE_DIRECTORY, PRIVATE_FILE

FIRST_WAIT_S: Final = 0.02
LONGEST_WAIT_S: Final = 0.5

_BUSY: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK})

if sys.platform == "win32":  # pragma: no cover - covered on that system
    import msvcrt

    def _lock_now(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_now(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Busy(Exception):
    """Another process holds the lock."""


def take_now(path: Path) -> int | None:
    """Take the lock of a file or raise ``_Busy``.

    Returns what to close in the end; ``None`` where there are no such locks.
    """
    try:
        path.parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), PRIVATE_FILE)
    except OSError:
        return None
    try:
        _lock_now(descriptor)
    except OSError as exc:
        os.close(descriptor)
        if exc.errno in _BUSY:
            raise _Busy from exc
        return None
    return descriptor


@define(eq=False)
class Locks:
    """Hands out locks by name. One object serves one directory."""

    directory: Path
    limiter: trio.CapacityLimiter
    _local: WeakValueDictionary[str, trio.Lock] = field(factory=WeakValueDictionary, init=False)

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Wait for the lock of a name and hold it. Not re-entrant. Waiting may be cancelled."""
        local = self._local.setdefault(name, trio.Lock())
        async with local:
            descriptor = await self._take(self.directory / f"{name}.lock")
            try:
                yield
            finally:
                if descriptor is not None:
                    with suppress(OSError):
                        os.close(descriptor)

    async def _take(self, path: Path) -> int | None:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                return await trio.to_thread.run_sync(take_now, path, limiter=self.limiter)
            except _Busy:
                await trio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
