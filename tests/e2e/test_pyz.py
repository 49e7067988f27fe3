"""The built executable: what it prints, where it unpacks, and that building it twice gives the same bytes.

One build serves all tests: the one that ``CLIPROXY_TEST_PYZ`` names, or a new one. It is run as a user would
run it, with a home directory of its own.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]
START_LIMIT_S = 30
READY_LIMIT_S = 20
STOP_LIMIT_S = 20


def build(output: Path) -> None:
    """Build the executable at ``output``; the build's own output is shown when it fails."""
    done = subprocess.run(
        [ROOT / "scripts/build_pyz.sh", output],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pyz(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("built") / "cliproxy.pyz"
    if given := os.environ.get("CLIPROXY_TEST_PYZ"):
        shutil.copy(ROOT / given, path)
    else:
        build(path)
    return path


@pytest.fixture(scope="module")
def warm_home(pyz, tmp_path_factory) -> Path:
    """A home directory in which this build was started before."""
    home = tmp_path_factory.mktemp("warm")
    assert run(pyz, "--version", home=home).returncode == 0
    return home


def run(pyz: Path, *arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the executable to its end with this home; of the caller's environment it gets the path only."""
    return subprocess.run(
        [sys.executable, pyz, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
        capture_output=True,
        check=False,
        text=True,
        timeout=START_LIMIT_S,
        cwd=pyz.parent,
    )


def test_help_names_the_commands(pyz, warm_home) -> None:
    done = run(pyz, "--help", home=warm_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert "server" in done.stdout


def test_version_is_the_package_s(pyz, warm_home) -> None:
    namespace: dict[str, str] = {}
    exec((ROOT / "cliproxy/__init__.py").read_text(encoding="utf-8"), namespace)
    done = run(pyz, "--version", home=warm_home)
    assert (done.returncode, done.stderr) == (0, "")
    assert namespace["__version__"] in done.stdout


def test_an_unknown_flag_is_a_usage_error(pyz, warm_home) -> None:
    done = run(pyz, "--no-such-flag", home=warm_home)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_imports_nothing_of_others(pyz, warm_home) -> None:
    """The help must be instant, so nothing is imported that is not needed to print it."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", pyz, "--help"],
        env={"PATH": os.environ["PATH"], "HOME": str(warm_home)},
        capture_output=True,
        check=False,
        text=True,
        timeout=START_LIMIT_S,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "cliproxy" in imported
    assert imported.isdisjoint(
        {"trio", "attr", "attrs", "yaml", "quart", "httpx2", "asyncio", "zipfile", "json"}
    )


@pytest.mark.parametrize("flags", [["-I"], ["-E", "-s"], ["-P"]], ids=" ".join)
def test_isolated_interpreters_run_it(pyz, warm_home, flags) -> None:
    done = subprocess.run(
        [sys.executable, *flags, pyz, "--version"],
        env={"PATH": os.environ["PATH"], "HOME": str(warm_home)},
        capture_output=True,
        check=False,
        text=True,
        timeout=START_LIMIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_foreign_packages_on_the_path_are_not_used(pyz, warm_home, tmp_path) -> None:
    """A ``PYTHONPATH`` made for other programs must not replace a part of this one."""
    (tmp_path / "cliproxy").mkdir()
    (tmp_path / "cliproxy/__init__.py").write_text("raise SystemExit('the wrong package')")
    done = run(pyz, "--version", home=warm_home, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_home_that_takes_no_files_is_no_obstacle(pyz, tmp_path) -> None:
    """As in a container whose user has no home: it unpacks, privately, below the temporary directory."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    (tmp_path / "home").write_text("a file where a directory should be")
    for _ in range(2):
        done = run(pyz, "--version", home=tmp_path / "home", TMPDIR=str(temporary))
        assert (done.returncode, done.stderr) == (0, "")
    [root] = temporary.iterdir()
    assert root.name == f"cliproxy-{os.geteuid()}"
    assert root.stat().st_mode & 0o077 == 0


def test_building_twice_gives_the_same_bytes(pyz, tmp_path) -> None:
    """The second build is made of a copy elsewhere, with other permissions."""
    other = tmp_path / "elsewhere"
    ignored = shutil.ignore_patterns(
        ".git", ".venv*", ".build", "*.pyz", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, other, ignore=ignored, copy_function=shutil.copyfile)
    for script in (other / "scripts").glob("*.sh"):
        script.chmod(0o700)
    if (ROOT / ".git").exists():
        shutil.copytree(ROOT / ".git", other / ".git")
        subprocess.run(["git", "-C", other, "config", "core.fileMode", "false"], check=True)
    shutil.copytree(ROOT / ".build", other / ".build", symlinks=True)  # fetched packages, not built ones
    done = subprocess.run(
        [other / "scripts/build_pyz.sh", tmp_path / "second.pyz"],
        env={**os.environ, "PYTHON": sys.executable, "LC_ALL": "C"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "second.pyz").read_bytes() == pyz.read_bytes()


def test_it_lists_what_it_contains(pyz) -> None:
    """The bill of materials names every pinned package with its version."""
    with zipfile.ZipFile(pyz) as archive:
        bill = json.loads(archive.read("sbom.cdx.json"))
    listed = {component["purl"] for component in bill["components"]}
    pinned = re.findall(
        r"(?m)^([\w.-]+)==(\S+)", (ROOT / "requirements/runtime.txt").read_text(encoding="utf-8")
    )
    assert listed == {f"pkg:pypi/{name}@{version}" for name, version in pinned}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def demo_url(pyz, warm_home, tmp_path) -> Iterator[str]:
    """A server with the demo model, started from the executable; stopped politely and within its limit."""
    port = free_port()
    log = (tmp_path / "server.log").open("w+")
    server = subprocess.Popen(
        [sys.executable, pyz, "server", "-demo", "-host", "127.0.0.1", "-port", str(port)],
        env={"PATH": os.environ["PATH"], "HOME": str(warm_home)},
        cwd=tmp_path,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_ready(url, server)
        yield url
        server.terminate()
        assert server.wait(STOP_LIMIT_S) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        log.seek(0)
        print(log.read())
        log.close()


def wait_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the server says that it is ready."""
    deadline = time.monotonic() + READY_LIMIT_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=READY_LIMIT_S).close()
        except OSError:
            server_had_a_moment(server)
        else:
            return
    pytest.fail(f"the server did not become ready (exit code {server.poll()})")


def server_had_a_moment(server: subprocess.Popen[bytes]) -> None:
    """Give the other process 50 ms, or less if it ends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(0.05)


def test_the_demo_model_answers_as_a_stream(demo_url) -> None:
    models = json.load(urllib.request.urlopen(f"{demo_url}/v1/models", timeout=READY_LIMIT_S))
    request = urllib.request.Request(
        f"{demo_url}/v1/chat/completions",
        json.dumps(
            {
                "model": models["data"][0]["id"],
                "stream": True,
                "messages": [{"role": "user", "content": "Hello"}],
            }
        ).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=READY_LIMIT_S) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
