"""The ``__main__`` of cliproxy.pyz: find the unpacked package, unpack it if this is the first start, run it.

The archive was made by shiv and is unpacked by shiv's own function: under a lock, into a directory named
after a hash of the content, with byte code compiled once. Choosing *where*, and what happens to the
directories of older builds, is done here:

* **Where.** ``SHIV_ROOT`` when set, else the user's cache directory, else a directory of the user's under the
  system's temporary one, else a fresh temporary directory that is removed at exit. What is unpacked is code
  that will be run, so a directory qualifies only if nobody else can have prepared it or can swap it: it
  belongs to this user, only the owner may write to it, and the directory around it belongs to this user or
  root or has the sticky bit. A file system that cannot hold shared libraries (``noexec``) does not qualify
  either. ``SHIV_ROOT`` was named by the user and is trusted.
* **Old builds.** Each process holds a shared lock beside the directory it runs from, for as long as it lives.
  After a new build was unpacked, the directories of other builds are removed except the most recently started
  ones and those in use.

A warm start imports nothing but what the interpreter has loaded anyway, and ``fcntl``, before the package's
own entry point. The syntax stays readable for old interpreters so that they can say what is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BUILD_ID = "@BUILD_ID@"
"""Hash of the archive's content, filled in by the build."""

OLDEST_PYTHON = (3, 11)
KEPT_BUILDS = 2
"""How many directories of other builds survive the first start of a new one."""

TREE_PREFIX = "cliproxy_"


class UnusableError(Exception):
    """A directory that cannot or must not hold the unpacked package."""


def main() -> None:
    """Run the packaged program with this process's arguments; does not return."""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        running = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"cliproxy needs Python {oldest} or newer; this is {sys.executable}, {running}.")
    archive = os.path.abspath(sys.argv[0])
    try:
        tree = find_or_unpack(archive, candidate_roots(os.environ))
    except (UnusableError, OSError) as reason:
        sys.exit(f"cliproxy: found no directory to unpack into; set SHIV_ROOT to a writable one.\n{reason}")
    except KeyboardInterrupt:
        sys.exit(130)
    # The archive itself leaves the path: the tree has everything, and imports need not look into a zip first.
    sys.path[:] = [tree] + [entry for entry in sys.path if os.path.abspath(entry) != archive]
    from cliproxy.__main__ import main as program

    sys.exit(program())


# ------------------------------------------------------------------------------------------------- where


def candidate_roots(environ: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield (directory, whether its user vouches for it), best first."""
    if environ.get("SHIV_ROOT"):
        yield os.path.expanduser(environ["SHIV_ROOT"]), True
    cache = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(cache):
        yield os.path.join(cache, "cliproxy"), False
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        yield os.path.join(home, ".cache", "cliproxy"), False
    import tempfile

    yield os.path.join(tempfile.gettempdir(), f"cliproxy-{os.geteuid()}"), False
    yield throw_away_directory(), True


def throw_away_directory() -> str:
    """Make a private directory that lives as long as this process."""
    import atexit
    import shutil
    import tempfile

    root = tempfile.mkdtemp(prefix="cliproxy-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def find_or_unpack(archive: str, roots: Iterable[tuple[str, bool]]) -> str:
    """Return the importable directory of this build from the first root that has it or can take it."""
    reasons = []
    for root, is_trusted in roots:
        try:
            if not is_trusted:
                require_private(root)
            return tree_in(root, archive)
        except (UnusableError, OSError) as reason:
            reasons.append(f"  {root}: {reason}")
    raise UnusableError("\n".join(reasons))


def require_private(root: str) -> None:
    """Make ``root`` if it is missing; refuse it unless this user alone decides what is in it."""
    os.makedirs(os.path.dirname(root), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(root, 0o700)
    found = os.lstat(root)
    if not stat.S_ISDIR(found.st_mode):
        raise UnusableError("is not a directory")
    if found.st_uid != os.geteuid():
        raise UnusableError("belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnusableError("others may write to it")
    around = os.stat(os.path.dirname(root))
    is_sticky = bool(around.st_mode & stat.S_ISVTX)
    if around.st_uid not in (0, os.geteuid()) and not is_sticky:
        raise UnusableError("the directory around it belongs to another user")
    if around.st_mode & stat.S_IWOTH and not is_sticky:
        raise UnusableError("others may replace it")
    if os.statvfs(root).f_flag & os.ST_NOEXEC:
        raise UnusableError("its file system is mounted noexec")


# ------------------------------------------------------------------------------------------------ unpack


def tree_in(root: str, archive: str) -> str:
    """Return this build's importable directory under ``root``, unpacking it first if need be."""
    tree = os.path.join(root, TREE_PREFIX + BUILD_ID)
    packages = os.path.join(tree, "site-packages")
    hold(tree)
    if not os.path.isdir(packages):
        unpack(archive, tree)
        remove_old_builds(root, tree)
    return packages


def unpack(archive: str, tree: str) -> None:
    """Unpack ``archive`` to ``tree`` in one step: the directory is complete when it has its name."""
    import pathlib
    import shutil
    import zipfile

    from _bootstrap import extract_site_packages

    try:
        with zipfile.ZipFile(archive) as content:
            # One worker: a pool of processes is hardly faster and does not work without shared memory.
            extract_site_packages(content, pathlib.Path(tree), compile_pyc=True, compile_workers=1)
    except OSError:  # above all a full disk, which must not stay full of half a tree
        shutil.rmtree(tree + ".tmp", ignore_errors=True)
        raise


# -------------------------------------------------------------------------------------------- old builds


def users_lock(tree: str) -> str:
    """Return the path of the lock that says who runs from ``tree``."""
    return os.path.join(os.path.dirname(tree), f".{os.path.basename(tree)}_users")


def hold(tree: str) -> None:
    """Keep ``tree`` from being removed while this process lives, and note that it was started now.

    The descriptor is left open on purpose. Where locks cannot be made (a read-only root that was unpacked
    beforehand) nobody can remove the tree either.
    """
    path = users_lock(tree)
    try:
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if is_same_file(lock, path):
                os.utime(lock)
                return
            os.close(lock)  # a clean-up removed the file between the two calls
    except OSError:
        return


def is_same_file(descriptor: int, path: str) -> bool:
    """Tell whether ``path`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def remove_old_builds(root: str, current: str) -> None:
    """Remove the trees of builds that were not started lately and that no process runs from."""
    names = {name.removesuffix(".tmp") for name in os.listdir(root) if name.startswith(TREE_PREFIX)}
    trees = {os.path.join(root, name) for name in names}
    trees.discard(current)
    for tree in sorted(trees, key=last_start, reverse=True)[KEPT_BUILDS:]:
        with contextlib.suppress(OSError):  # in use, or being removed: the next new build tries again
            remove_unless_used(tree)


def last_start(tree: str) -> float:
    """Return when a process last started from ``tree``, as seconds since the epoch."""
    try:
        return os.stat(users_lock(tree)).st_mtime
    except OSError:
        return 0.0


def remove_unless_used(tree: str) -> None:
    """Remove ``tree`` and what belongs to it; raise ``OSError`` if a process runs from it."""
    import shutil

    path = users_lock(tree)
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(tree, ignore_errors=True)
        shutil.rmtree(tree + ".tmp", ignore_errors=True)
        for leftover in (
            os.path.join(os.path.dirname(tree), f".{os.path.basename(tree)}_lock"),
            path,
        ):
            if os.path.exists(leftover):
                os.unlink(leftover)
    finally:
        os.close(lock)


if __name__ == "__main__":
    main()
