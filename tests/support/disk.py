"""A disk of a few megabytes for one process: it can be filled, and it can be protected against writing.

It is a file system in memory that only the process and its children see (a mount namespace of Linux), which
an ordinary user may make as well. Where the system does not allow that, :data:`needs_disk` skips a test.

    disk = Disk(directory / "auth", size="2m")
    with running(directory, command=disk.command) as server:
        disk.fill(server.process)
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

PROGRAM: Final = (sys.executable, "-m", "cliproxy")
_NAMESPACE: Final = ("unshare", "--user", "--map-root-user", "--mount")
_BEGIN: Final = """\
set -e
mount -t tmpfs -o "size=$1" none "$0"
if [ -d "$0.before" ]; then cp -a "$0.before/." "$0"; fi
mount -o "remount,$2" "$0"
shift 2
exec "$@"
"""
_FILLER: Final = "filler"


def _is_possible() -> bool:
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    made = subprocess.run(
        [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return made.returncode == 0


needs_disk = pytest.mark.skipif(not _is_possible(), reason="the system allows no file systems of one's own")


@frozen(kw_only=True)
class Disk:
    """A disk at a path; what is in the directory of the same name with `.before` is on it from the start."""

    path: Path
    size: str
    mode: str = "rw"

    @property
    def command(self) -> tuple[str, ...]:
        """The program, with the disk in its place."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        return (*_NAMESPACE, "sh", "-c", _BEGIN, str(self.path), self.size, self.mode, *PROGRAM)

    def seen_by(self, process: "subprocess.Popen[str]") -> Path:
        """Where the disk is for everybody else."""
        return Path(f"/proc/{process.pid}/root{self.path}")

    def fill(self, process: "subprocess.Popen[str]") -> None:
        """Leave no room."""
        with (self.seen_by(process) / _FILLER).open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                pass

    def free(self, process: "subprocess.Popen[str]") -> None:
        """Make room again."""
        (self.seen_by(process) / _FILLER).unlink()

    def allow_writing(self, process: "subprocess.Popen[str]") -> None:
        """End the protection against writing."""
        target = ("--target", str(process.pid), "--user", "--mount", "--preserve-credentials")
        subprocess.run(["nsenter", *target, "mount", "-o", "remount,rw", str(self.path)], check=True)
