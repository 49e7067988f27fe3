"""The log in a file: ``main.log``, moved aside when it has grown.

Lines are collected and written together by the thread of a :class:`~cliproxy.observe.writer.Writer`. Whatever
goes wrong with the file, the server goes on: lines that could not be written are counted, and as soon as
there is room again, a line in their place says how many there were. A file that somebody else has moved or
deleted is begun anew.
"""

import os
import threading
import time
from contextlib import suppress
from typing import Final

from attrs import define, field

from cliproxy.observe.folder import MEGABYTE, SUFFIX, Folder, write_all
from cliproxy.observe.writer import Writer

NAME: Final = "main"
MOST_BYTES: Final = 10 * MEGABYTE
"""Size at which a file is moved aside."""
MOST_WAITING: Final = 4 * MEGABYTE
"""Characters of lines that wait to be written."""
SHARE: Final = 4
"""A file is moved aside at this part of the room there is, if that is less."""


@define(eq=False)
class LogFile:
    """Takes lines from any thread, and never waits."""

    folder: Folder
    writer: Writer
    most_waiting: int = MOST_WAITING
    lost: int = field(default=0, init=False)
    """Lines that were not written, in all."""
    _lines: list[str] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _is_due: bool = field(default=False, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    _descriptor: int = field(default=-1, init=False)
    _unsaid: int = field(default=0, init=False)
    """Lost lines that the file does not speak of yet."""

    def put(self, line: str) -> None:
        """Take a line with its end."""
        with self._lock:
            if self._size + len(line) > self.most_waiting:
                self._lose(1)
                return
            self._lines.append(line)
            self._size += len(line)
            is_due, self._is_due = self._is_due, True
        if not is_due and not self.writer.submit(self._flush):
            self._is_due = False

    def close(self) -> None:
        """Close the file once what was taken is written. Lines that come later are kept back."""
        self.writer.submit(self._close)

    def _lose(self, count: int) -> None:
        self.lost += count
        self._unsaid += count

    # --- in the writer's thread ------------------------------------------------------------------------

    def _flush(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            self._size, self._is_due = 0, False
            unsaid = self._unsaid
        if unsaid:
            when = time.strftime("%Y-%m-%d %H:%M:%S")
            lines.insert(0, f"[{when}] [--------] [warn ] [logfile] {unsaid} lines were lost here\n")
        data = "".join(lines).encode("utf-8", "backslashreplace")
        try:
            self._write(data)
        except OSError:
            self._close()
            with self._lock:
                self._lose(len(lines) - bool(unsaid))
        else:
            with self._lock:
                self._unsaid -= unsaid

    def _write(self, data: bytes) -> None:
        self._move_aside(len(data))
        if self._descriptor < 0:
            self._descriptor = self.folder.open(NAME + SUFFIX)
            self.folder.active = NAME + SUFFIX
        write_all(self._descriptor, data)
        self.folder.grown(len(data))

    def _move_aside(self, coming: int) -> None:
        """Make room for some bytes: in a new file, where this one is full or not ours any more."""
        if self._descriptor < 0:
            return
        size, is_there = os.fstat(self._descriptor).st_size, self._is_there()
        if is_there and (not size or size + coming <= self._most_bytes()):
            return
        self._close()
        if is_there:
            self.folder.rename(NAME + SUFFIX, f"{NAME}-{_moment()}{SUFFIX}")

    def _most_bytes(self) -> int:
        room = self.folder.most_bytes
        return min(MOST_BYTES, room // SHARE) if room else MOST_BYTES

    def _is_there(self) -> bool:
        try:
            found = (self.folder.path / (NAME + SUFFIX)).stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def _close(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1


def _moment() -> str:
    """Return the time as part of a file name that sorts by it."""
    now = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H%M%S', time.gmtime(now // 10**9))}-{now // 1000 % 10**6:06}"
