"""The pinned sets belong to the declared dependencies and say nothing about the machine that made them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
BUILD = [
    line
    for line in (ROOT / "requirements/build.in").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]

SETS = {
    "runtime.txt": PROJECT["dependencies"],
    "test.txt": PROJECT["dependencies"] + EXTRAS["dev"] + EXTRAS["orjson"],
    "build.txt": BUILD,
}


def pins(name: str) -> dict[str, str]:
    """Return package → version of a pinned set."""
    found = re.findall(r"(?m)^([\w.-]+)==(\S+)", read(name))
    return {canonicalize_name(package): version for package, version in found}


def read(name: str) -> str:
    return (ROOT / "requirements" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SETS)
def test_every_declared_dependency_is_pinned_within_its_bounds(name) -> None:
    pinned = pins(name)
    for declared in map(Requirement, SETS[name]):
        version = pinned.get(canonicalize_name(declared.name), "missing")
        assert version != "missing", f"{declared.name} is not in {name}: run scripts/lock.sh"
        assert declared.specifier.contains(version), (
            f"{name} has {version}, not {declared}: run scripts/lock.sh"
        )


@pytest.mark.parametrize("name", SETS)
def test_every_pin_has_hashes(name) -> None:
    blocks = re.split(r"(?m)^(?=[\w.-]+==)", read(name))[1:]
    assert blocks
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("name", SETS)
def test_no_set_names_a_host_or_a_path(name) -> None:
    options = r"--(?:index-url|extra-index-url|find-links|trusted-host)"
    assert re.findall(rf"https?://|{options}|(?m:^\s*#.*\s/\w.*)", read(name)) == []


def test_the_tests_run_with_what_the_executable_contains() -> None:
    """Otherwise the tests would judge other versions than users get."""
    tested = pins("test.txt")
    assert {name: tested.get(name) for name in pins("runtime.txt")} == pins("runtime.txt")
