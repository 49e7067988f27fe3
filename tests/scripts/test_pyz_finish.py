"""The archive's final form depends on its content only."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pyz_finish


def shiv_archive(
    path: Path, *, time: tuple[int, ...] = (2001, 2, 3, 4, 5, 6), backwards: bool = False
) -> Path:
    """Make an archive as shiv does, with the two things that differ between machines."""
    entries = {
        "environment.json": json.dumps({"build_id": "cafe"}),
        "__main__.py": "import _bootstrap",
        "site-packages/a.py": "A = 1",
        "site-packages/cliproxy-1.2.dist-info/METADATA": "Name: cliproxy\nVersion: 1.2\n",
        "site-packages/Some_Thing-3.dist-info/METADATA": (
            "Name: Some_Thing\nVersion: 3\nLicense-Expression: MIT\n\nText\n"
        ),
        "site-packages/b.cpython-311-x86_64-linux-gnu.so": "library",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(entries, reverse=backwards):
            archive.writestr(zipfile.ZipInfo(name, time), entries[name])
    return path


@pytest.fixture
def launcher(tmp_path) -> Path:
    path = tmp_path / "launcher.py"
    path.write_text("print('built as @BUILD_ID@')\n")
    return path


def test_time_and_order_of_the_entries_do_not_matter(tmp_path, launcher, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = shiv_archive(tmp_path / "first.zip")
    second = shiv_archive(tmp_path / "second.zip", time=(2020, 1, 1, 0, 0, 0), backwards=True)
    pyz_finish.main(first, launcher, tmp_path / "first.pyz")
    pyz_finish.main(second, launcher, tmp_path / "second.pyz")
    assert (tmp_path / "first.pyz").read_bytes() == (tmp_path / "second.pyz").read_bytes()


def test_the_result_runs_the_launcher_with_its_identity(tmp_path, launcher) -> None:
    output = tmp_path / "out.pyz"
    pyz_finish.main(shiv_archive(tmp_path / "in.zip"), launcher, output)
    assert output.stat().st_mode & 0o111 == 0o111
    assert output.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    done = subprocess.run([sys.executable, output], capture_output=True, text=True, check=True)
    assert done.stdout == "built as cafe\n"


def test_only_libraries_are_executable_inside(tmp_path, launcher) -> None:
    pyz_finish.main(shiv_archive(tmp_path / "in.zip"), launcher, tmp_path / "out.pyz")
    with zipfile.ZipFile(tmp_path / "out.pyz") as archive:
        modes = {entry.filename: entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert {name for name, mode in modes.items() if mode == 0o755} == {
        "site-packages/b.cpython-311-x86_64-linux-gnu.so"
    }
    assert set(modes.values()) == {0o755, 0o644}


def test_the_packages_are_listed_by_their_registry_names(tmp_path, launcher) -> None:
    pyz_finish.main(shiv_archive(tmp_path / "in.zip"), launcher, tmp_path / "out.pyz")
    with zipfile.ZipFile(tmp_path / "out.pyz") as archive:
        bill = json.loads(archive.read("sbom.cdx.json"))
    assert bill["metadata"]["component"]["version"] == "1.2"
    assert bill["components"] == [
        {
            "type": "library",
            "name": "some-thing",
            "version": "3",
            "purl": "pkg:pypi/some-thing@3",
            "licenses": [{"expression": "MIT"}],
        }
    ]


@pytest.mark.parametrize("source", ["no place for it", "@BUILD_ID@ and @BUILD_ID@"])
def test_a_launcher_with_another_number_of_placeholders_is_refused(source) -> None:
    with pytest.raises(SystemExit, match="exactly once"):
        pyz_finish.with_build_id(source, "cafe")


def test_path_files_are_refused(tmp_path) -> None:
    path = shiv_archive(tmp_path / "in.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("site-packages/hook.pth", "import os")
    with pytest.raises(SystemExit, match=r"hook\.pth"):
        pyz_finish.read_archive(path)
