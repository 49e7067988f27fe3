"""The directory of the log files: who may read them, and how much room they take.

Files are readable by their owner only. All that end in ``.log`` count together: when they take more than they
may, the oldest are deleted, whatever they are, except the one that is being written. A symbolic link in place
of a file is not followed.
"""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field

SUFFIX: Final = ".log"
PART: Final = ".part"
"""Ending of a file that is not complete yet."""
OWNER_ONLY: Final = 0o600
OWNER_ONLY_DIRECTORY: Final = 0o700
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
MEGABYTE: Final = 1024 * 1024
FILLED: Final = 0.9
"""How much of the room is left filled, so that not every further line deletes something."""


@define(eq=False)
class Folder:
    """A directory of logs. To be used by one thread."""

    path: Path
    most_bytes: int = 100 * MEGABYTE
    """What all files may take together; 0: any amount."""
    active: str = ""
    """Name of the file that is being written."""
    part_bytes: int = field(default=0, init=False)
    """What files take that are not complete yet."""
    _known_bytes: int | None = field(default=None, init=False)
    """What they take, as far as is known."""

    def open(self, name: str) -> int:
        """Open a file to append to; return its descriptor. Raises ``OSError``."""
        self.path.mkdir(mode=OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_FOLLOW
        return os.open(self.path / name, flags, OWNER_ONLY)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name. Raises ``OSError``."""
        (self.path / old).replace(self.path / new)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        with suppress(OSError):
            (self.path / name).unlink()

    def grown(self, by: int) -> None:
        """Note that files have grown, and delete old ones if that is too much."""
        if self._known_bytes is None:
            self._known_bytes = sum(size for _, size, _ in self._files())
        else:
            self._known_bytes += by
        if 0 < self.most_bytes < self._known_bytes + self.part_bytes:
            self._known_bytes = self._shrunk()

    def part_grown(self, by: int) -> None:
        """Note that incomplete files have grown, at the cost of old ones."""
        self.part_bytes += by
        self.grown(0)

    def has_room_for(self, size: int) -> bool:
        """Tell whether incomplete files, which nobody can delete, may grow: to half of the room there is."""
        return not self.most_bytes or self.part_bytes + size <= self.most_bytes // 2

    def keep(self, prefix: str, most: int) -> None:
        """Keep the newest files whose names begin in some way; 0: all."""
        if most > 0:
            mine = [file for file in self._files() if file[2].startswith(prefix)]
            self._delete(mine[: max(len(mine) - most, 0)])

    def clear_parts(self, before: float) -> None:
        """Delete what was left incomplete and not touched after a moment, in Unix seconds."""
        with suppress(OSError):
            for each in self.path.glob(f"*{PART}"):
                if each.stat().st_mtime < before:
                    self.remove(each.name)

    def _shrunk(self) -> int:
        """Delete the oldest files that are too many; return what the others take."""
        files = self._files()
        wanted = int(self.most_bytes * FILLED) - self.part_bytes
        excess = sum(size for _, size, _ in files) - wanted
        doomed: list[tuple[float, int, str]] = []
        for file in files:
            if excess <= 0:
                break
            if file[2] != self.active:
                doomed.append(file)
                excess -= file[1]
        self._delete(doomed)
        return wanted + excess

    def _delete(self, files: Iterable[tuple[float, int, str]]) -> None:
        for _, _, name in files:
            self.remove(name)

    def _files(self) -> list[tuple[float, int, str]]:
        """Return age, size and name of all files, the oldest first."""
        found: list[tuple[float, int, str]] = []
        with suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with suppress(OSError):
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode) and entry.name.endswith(SUFFIX):
                        found.append((facts.st_mtime, facts.st_size, entry.name))
        return sorted(found)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of some bytes. Raises ``OSError``."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def is_usable(directory: Path) -> bool:
    """Tell whether files can be made in a directory, which is made if it is not there."""
    try:
        directory.mkdir(mode=OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK | os.X_OK)
