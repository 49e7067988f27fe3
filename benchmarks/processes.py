"""The processes that are measured: started on free loopback ports, watched through ``/proc``, always stopped.

A process says where it listens in its first lines; that line is waited for. Its processor time comes from the
scheduler's own count (nanoseconds) where the kernel keeps one, else from the clock ticks of ``stat``.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen

from benchmarks.dialects import DIALECTS, MODES, model_name
from benchmarks.load import CLIENT_KEY

ROOT: Final = Path(__file__).resolve().parent.parent
START_LIMIT_S: Final = 60.0
STOP_LIMIT_S: Final = 5.0
SHOWN_LOG_LINES: Final = 15
FILES_NEEDED: Final = 8192
_ADDRESS: Final = re.compile(rb"http://127\.0\.0\.1:(\d+)")
_NS: Final = 1e9


class StartFailed(Exception):
    """A process ended or kept silent instead of listening."""


@frozen
class Running:
    """A process that listens."""

    pid: int
    port: int
    started: float
    """When it was started, monotonic seconds."""

    def cpu_seconds(self) -> float:
        """Return the processor time used so far by all its threads."""
        try:
            tasks = Path(f"/proc/{self.pid}/task").iterdir()
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / _NS
        except OSError:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Return the resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def open_files(self) -> int:
        """Return how many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def cores() -> int:
    """Return the number of processors."""
    return os.cpu_count() or 1


class Neighbours:
    """What others on the machine did since this was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._machine = _machine_seconds()
        self._own = _own_seconds()

    def cores_used(self) -> float:
        """Return how many processors others kept busy, on average. Our processes must have ended."""
        machine = _machine_seconds() - self._machine
        others = machine - (_own_seconds() - self._own)
        return max(others, 0.0) / (time.monotonic() - self._began)


def _machine_seconds() -> float:
    """Return the processor time that was not idle, since the machine was started."""
    user, nice, system, _idle, _waiting, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Return the processor time of this process and its ended children."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Return an environment without proxies and without the caller's own files."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "SHIV_ROOT", "XDG_CACHE_HOME"):
        kept.pop(name, None)
    return {**kept, "HOME": str(home), **extra}


@asynccontextmanager
async def running(
    command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Running]:
    """Start a process, wait until it listens, and stop it at the end, whatever happens."""
    log = directory / f"{time.monotonic_ns()}.log"
    with log.open("wb") as errors:
        started = time.monotonic()
        process = await trio.lowlevel.open_process(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            env=dict(environ if environ is not None else environment(directory)),
        )
    try:
        port = await _address(process, log)
        yield Running(process.pid, port, started)
    finally:
        await _stop(process)


async def _address(process: trio.Process, log: Path) -> int:
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(START_LIMIT_S):
        while data := await process.stdout.receive_some():
            said += data
            if found := _ADDRESS.search(said):
                return int(found[1])
    log_bytes = await trio.Path(log).read_bytes()
    shown = (said + log_bytes).decode(errors="replace").splitlines()[-SHOWN_LOG_LINES:]
    raise StartFailed("\n".join([f"{process.args!r}: not listening", *shown]))


async def _stop(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                process.send_signal(signal_number)
            with trio.move_on_after(STOP_LIMIT_S):
                await process.wait()
                break
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                await pipe.aclose()


def upstream(directory: Path) -> AbstractAsyncContextManager[Running]:
    """Run the upstream."""
    return running([sys.executable, "-m", "benchmarks.upstream"], directory)


def bare_relay(directory: Path, upstream_port: int) -> AbstractAsyncContextManager[Running]:
    """Run the yardstick."""
    base = f"http://127.0.0.1:{upstream_port}"
    return running([sys.executable, "-m", "benchmarks.bare_relay", base], directory)


def server(directory: Path, upstream_port: int) -> AbstractAsyncContextManager[Running]:
    """Run the server, configured for the upstream's four dialects."""
    config = directory / "config.yaml"
    config.write_text(json.dumps(configuration(upstream_port, directory)))
    return running([sys.executable, "-m", "cliproxy", "server", "-config", str(config)], directory)


def configuration(upstream_port: int, directory: Path, *, accounts: int = 1) -> dict[str, Any]:
    """Return the server's configuration (JSON is YAML), with so many accounts of each dialect."""
    keys = [f"bench-upstream-key-{number}" for number in range(accounts)]
    lists: dict[str, Any] = {}
    for dialect in DIALECTS.values():
        names = [model_name(dialect.id, mode) for mode in MODES]
        entry: dict[str, Any] = {
            "base-url": f"http://127.0.0.1:{upstream_port}{dialect.base_path}",
            "models": [{"name": name, "alias": name} for name in names],
        }
        if dialect.config_key == "openai-compatibility":
            entries = [entry | {"name": "bench", "api-key-entries": [{"api-key": key} for key in keys]}]
        else:
            entries = [entry | {"api-key": key} for key in keys]
        lists[dialect.config_key] = entries
    return {
        "host": "127.0.0.1",
        "port": 0,
        "api-keys": [CLIENT_KEY],
        "auth-dir": str(directory / "auths"),
        "timeouts": {"drain-seconds": 1},
        **lists,
    }


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a temporary directory, and let this process and its children open enough sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_NEEDED:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_NEEDED, hard), hard))
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as path:
        yield Path(path)
