"""Where the executable unpacks: only where nobody else decides what is run, and not without bound."""

import os
import zipfile
from pathlib import Path

import pytest

import pyz_launcher
from pyz_launcher import UnusableError

TREE = f"{pyz_launcher.TREE_PREFIX}{pyz_launcher.BUILD_ID}"


@pytest.fixture
def private(tmp_path) -> Path:
    root = tmp_path / "cache" / "cliproxy"
    pyz_launcher.require_private(str(root))
    return root


def make_tree(root: Path, build: str, started_at: float) -> Path:
    """Make what a start of an older build leaves behind."""
    tree = root / f"{pyz_launcher.TREE_PREFIX}{build}"
    (tree / "site-packages").mkdir(parents=True)
    lock = Path(pyz_launcher.users_lock(str(tree)))
    lock.touch()
    os.utime(lock, (started_at, started_at))
    return tree


# ------------------------------------------------------------------------------------------------- where


def test_the_user_s_choice_comes_first_and_is_trusted(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    roots = pyz_launcher.candidate_roots({"SHIV_ROOT": "/srv/unpacked", "XDG_CACHE_HOME": "/cache"})
    assert next(roots) == ("/srv/unpacked", True)
    assert next(roots) == ("/cache/cliproxy", False)
    assert next(roots) == (f"{Path.home()}/.cache/cliproxy", False)


def test_a_relative_cache_folder_is_ignored() -> None:
    """The XDG rules say so, and the working directory may be anybody's."""
    roots = pyz_launcher.candidate_roots({"XDG_CACHE_HOME": "cache"})
    assert next(roots) == (f"{Path.home()}/.cache/cliproxy", False)


def test_the_last_resort_is_fresh_and_private() -> None:
    first, second = pyz_launcher.throw_away_directory(), pyz_launcher.throw_away_directory()
    assert first != second
    assert Path(first).stat().st_mode & 0o777 == 0o700


def test_a_new_root_is_for_its_owner_only(private) -> None:
    assert private.stat().st_mode & 0o777 == 0o700
    pyz_launcher.require_private(str(private))


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_root_that_others_may_write_to_is_refused(private, mode) -> None:
    private.chmod(mode)
    with pytest.raises(UnusableError, match="others may write to it"):
        pyz_launcher.require_private(str(private))


def test_a_link_is_refused(private, tmp_path) -> None:
    """Another user could have laid it in the temporary directory, and could point it elsewhere later."""
    link = tmp_path / "link"
    link.symlink_to(private)
    with pytest.raises(UnusableError, match="not a directory"):
        pyz_launcher.require_private(str(link))


def test_another_user_s_directory_is_refused(private, monkeypatch) -> None:
    """As when a superuser keeps the home of the account that it came from."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UnusableError, match="belongs to another user"):
        pyz_launcher.require_private(str(private))


@pytest.mark.parametrize(("mode", "is_refused"), [(0o777, True), (0o1777, False), (0o755, False)])
def test_a_root_that_others_could_swap_is_refused(private, mode, is_refused) -> None:
    """In a shared directory only the sticky bit keeps others from renaming what is not theirs."""
    private.parent.chmod(mode)
    if is_refused:
        with pytest.raises(UnusableError, match="others may replace it"):
            pyz_launcher.require_private(str(private))
    else:
        pyz_launcher.require_private(str(private))


# ------------------------------------------------------------------------------------------------ unpack


def test_a_root_that_has_the_build_is_used_without_the_archive(private) -> None:
    packages = private / TREE / "site-packages"
    packages.mkdir(parents=True)
    assert pyz_launcher.find_or_unpack("/no/such/archive", [(str(private), False)]) == str(packages)


def test_the_next_root_serves_when_one_fails(private, tmp_path) -> None:
    (tmp_path / "file").touch()
    packages = private / TREE / "site-packages"
    packages.mkdir(parents=True)
    roots = [(str(tmp_path / "file" / "cliproxy"), False), (str(private), False)]
    assert pyz_launcher.find_or_unpack("/no/such/archive", roots) == str(packages)


def test_the_complaint_says_what_was_wrong_with_each_root(private, tmp_path) -> None:
    (tmp_path / "file").touch()
    private.chmod(0o777)
    roots = [(str(tmp_path / "file" / "cache" / "cliproxy"), False), (str(private), False)]
    with pytest.raises(UnusableError) as caught:
        pyz_launcher.find_or_unpack("/no/such/archive", roots)
    first, second = str(caught.value).splitlines()
    assert "Not a directory" in first
    assert "others may write to it" in second


# -------------------------------------------------------------------------------------------- old builds


def test_the_builds_started_last_are_kept(private) -> None:
    oldest, older, newer = (make_tree(private, name, at) for name, at in [("a", 1e9), ("b", 2e9), ("c", 3e9)])
    current = make_tree(private, "now", 0.0)
    pyz_launcher.remove_old_builds(str(private), str(current))
    assert [tree.exists() for tree in (oldest, older, newer, current)] == [False, True, True, True]
    assert not Path(pyz_launcher.users_lock(str(oldest))).exists()


def test_a_build_that_somebody_runs_is_kept(private) -> None:
    trees = [make_tree(private, name, 1e9) for name in "abcd"]
    for tree in trees:
        pyz_launcher.hold(str(tree))
        os.utime(pyz_launcher.users_lock(str(tree)), (1e9, 1e9))
    pyz_launcher.remove_old_builds(str(private), str(private / TREE))
    assert all(tree.exists() for tree in trees)


def test_half_a_tree_of_a_killed_start_goes_too(private) -> None:
    for name in "abc":
        make_tree(private, name, 1e9)
    broken = private / f"{pyz_launcher.TREE_PREFIX}killed.tmp"
    broken.mkdir()
    pyz_launcher.remove_old_builds(str(private), str(private / TREE))
    assert not broken.exists()


def test_files_of_others_are_left_alone(private) -> None:
    (private / "notes").mkdir()
    pyz_launcher.remove_old_builds(str(private), str(private / TREE))
    assert (private / "notes").exists()


def test_holding_notes_the_start(private) -> None:
    tree = make_tree(private, "a", 1e9)
    pyz_launcher.hold(str(tree))
    assert pyz_launcher.last_start(str(tree)) > 1e9


def test_a_read_only_root_needs_no_lock(tmp_path) -> None:
    pyz_launcher.hold(str(tmp_path / "missing" / "tree"))
    assert not (tmp_path / "missing").exists()


def test_a_full_disk_leaves_nothing_behind(private, monkeypatch, tmp_path) -> None:
    """The unpacking function of the archive fails half-way; what it wrote is removed."""

    def extract_site_packages(archive, target, **options) -> None:
        Path(f"{target}.tmp").mkdir()
        raise OSError(28, "No space left on device")

    bootstrap = type("bootstrap", (), {"extract_site_packages": staticmethod(extract_site_packages)})
    monkeypatch.setitem(__import__("sys").modules, "_bootstrap", bootstrap)
    archive = tmp_path / "some.pyz"
    zipfile.ZipFile(archive, "w").close()
    with pytest.raises(OSError, match="No space"):
        pyz_launcher.unpack(str(archive), str(private / TREE))
    assert not (private / f"{TREE}.tmp").exists()
