"""The ``__main__`` of cliproxy.pyz: find the unpacked package, unpack it if this is the first start, run it.

The archive was made by shiv and is unpacked by shiv's own function: under a lock, into a directory named after a hash of the
content, with byte code compiled once. Choosing *where*, and what happens to the directories of older builds, is done here:

* **Where.** ``SHIV_ROOT`` when set, else the user's cache directory, else a directory of the user's under the system's
  temporary one, else a fresh temporary directory that is removed at exit. What is unpacked is code that will be run, so a
  directory qualifies only if nobody else can have prepared it or can swap it: it belongs to this user, only the owner may
  write to it, and the directory around it belongs to this user or root or has the sticky bit. A file system that
  cannot hold shared libraries (``noexec``) does not qualify either. ``SHIV_ROOT`` was named by the user and is trusted.
* **Old builds.** Each process holds a shared lock beside the directory it runs from, for as long as it lives. After a new
  build was unpacked, the directories of other builds are removed except the most recently started ones and those in use.

A warm start imports nothing but ``os``, ``stat``, ``sys`` and ``fcntl`` before the package's own entry point. The syntax stays
readable for old interpreters so that they can say what is missing.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys

BUILD_ID = "@BUILD_ID@"
"""Hash of the archive's content, filled in by the build."""

OLDEST_PYTHON = (3, 11)
KEPT_BUILDS = 2
"""How many directories of other builds survive the first start of a new one."""

TREE_PREFIX = "cliproxy_"


class Unusable(Exception):
    """A directory that cannot or must not hold the unpacked package."""


def main() -> None:
    """Run the packaged program with this process's arguments; does not return."""
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            "cliproxy needs Python {}.{} or newer; this is {} {}.{}.".format(
                *OLDEST_PYTHON, sys.executable, *sys.version_info[:2]
            )
        )
    archive = os.path.abspath(sys.argv[0])
    try:
        tree = find_or_unpack(archive, candidate_roots(os.environ))
    except Unusable as reason:
        sys.exit("cliproxy: found no directory to unpack into; set SHIV_ROOT to a writable one.\n{}".format(reason))
    except KeyboardInterrupt:
        sys.exit(130)
    # The archive itself leaves the path: everything is in the tree, and looking into a zip first costs every import.
    sys.path[:] = [tree] + [entry for entry in sys.path if os.path.abspath(entry) != archive]
    from cliproxy.__main__ import main as program

    sys.exit(program())


# ------------------------------------------------------------------------------------------------- where


def candidate_roots(environ):
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

    yield os.path.join(tempfile.gettempdir(), "cliproxy-{}".format(os.geteuid())), False
    yield throw_away_directory(), True


def throw_away_directory():
    """Make a private directory that lives as long as this process."""
    import atexit
    import shutil
    import tempfile

    root = tempfile.mkdtemp(prefix="cliproxy-")
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def find_or_unpack(archive, roots):
    """Return the importable directory of this build from the first root that has it or can take it."""
    reasons = []
    for root, is_trusted in roots:
        try:
            if not is_trusted:
                require_private(root)
            return tree_in(root, archive)
        except (Unusable, OSError) as reason:
            reasons.append("  {}: {}".format(root, reason))
    raise Unusable("\n".join(reasons))


def require_private(root):
    """Make ``root`` if it is missing; refuse it unless this user alone decides what is in it."""
    os.makedirs(os.path.dirname(root), mode=0o700, exist_ok=True)
    try:
        os.mkdir(root, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(root)
    if not stat.S_ISDIR(found.st_mode):
        raise Unusable("is not a directory")
    if found.st_uid != os.geteuid():
        raise Unusable("belongs to another user")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Unusable("others may write to it")
    around = os.stat(os.path.dirname(root))
    is_sticky = bool(around.st_mode & stat.S_ISVTX)
    if around.st_uid not in (0, os.geteuid()) and not is_sticky:
        raise Unusable("the directory around it belongs to another user")
    if around.st_mode & stat.S_IWOTH and not is_sticky:
        raise Unusable("others may replace it")
    if os.statvfs(root).f_flag & os.ST_NOEXEC:
        raise Unusable("its file system is mounted noexec")


# ------------------------------------------------------------------------------------------------ unpack


def tree_in(root, archive):
    """Return this build's importable directory under ``root``, unpacking it first if need be."""
    tree = os.path.join(root, TREE_PREFIX + BUILD_ID)
    packages = os.path.join(tree, "site-packages")
    hold(tree)
    if not os.path.isdir(packages):
        unpack(archive, tree)
        remove_old_builds(root, tree)
    return packages


def unpack(archive, tree):
    """Unpack ``archive`` to ``tree`` in one step: the directory is complete when it has its name."""
    import pathlib
    import zipfile

    from _bootstrap import extract_site_packages

    with zipfile.ZipFile(archive) as content:
        # One worker: a pool of processes is no faster on two cores and does not work without shared memory.
        extract_site_packages(content, pathlib.Path(tree), compile_pyc=True, compile_workers=1)


# -------------------------------------------------------------------------------------------- old builds


def users_lock(tree):
    """Return the path of the lock that says who runs from ``tree``."""
    return os.path.join(os.path.dirname(tree), ".{}_users".format(os.path.basename(tree)))


def hold(tree):
    """Keep ``tree`` from being removed while this process lives, and note that it was started now.

    The descriptor is left open on purpose. Where locks cannot be made (a read-only root that was unpacked beforehand)
    nobody can remove the tree either.
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


def is_same_file(descriptor, path):
    """Tell whether ``path`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def remove_old_builds(root, current):
    """Remove the trees of builds that were not started lately and that no process runs from."""
    trees = set()
    for name in os.listdir(root):
        if name.startswith(TREE_PREFIX):
            trees.add(os.path.join(root, name[: -len(".tmp")] if name.endswith(".tmp") else name))
    trees.discard(current)
    for tree in sorted(trees, key=last_start, reverse=True)[KEPT_BUILDS:]:
        try:
            remove_unless_used(tree)
        except OSError:
            pass  # in use, or somebody else is removing it: the next new build tries again


def last_start(tree):
    """Return when a process last started from ``tree``, as seconds since the epoch."""
    try:
        return os.stat(users_lock(tree)).st_mtime
    except OSError:
        return 0.0


def remove_unless_used(tree):
    """Remove ``tree`` and what belongs to it; raise ``OSError`` if a process runs from it."""
    import shutil

    path = users_lock(tree)
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(tree, ignore_errors=True)
        shutil.rmtree(tree + ".tmp", ignore_errors=True)
        for leftover in (os.path.join(os.path.dirname(tree), ".{}_lock".format(os.path.basename(tree))), path):
            if os.path.exists(leftover):
                os.unlink(leftover)
    finally:
        os.close(lock)


if __name__ == "__main__":
    main()
