"""The real server process, for tests that go through real sockets."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

ROOT = Path(__file__).resolve().parents[2]
_STARTED = re.compile(r"started successfully on: (\S+?)[, ]")
STOP_LIMIT_S = 20


@define
class Server:
    """A running server: where it is, and what it wrote."""

    url: str
    process: "subprocess.Popen[str]"
    log_path: Path
    greeting: list[str] = field(factory=list)

    def log(self) -> str:
        """Return the log so far."""
        return self.log_path.read_text(encoding="utf-8")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the server to stop and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_S)


@contextmanager
def running(
    directory: Path,
    *arguments: str,
    config: str = "",
    command: Sequence[str] = (sys.executable, "-m", "cliproxy"),
    **environment: str,
) -> Iterator[Server]:
    """Run the server in a directory of its own, on a free port, and stop it at the end."""
    (directory / "config.yaml").write_text(
        f"port: 0\nauth-dir: {directory / 'auth'}\n{config}", encoding="utf-8"
    )
    log_path = directory / "server.log"
    inherited = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    with log_path.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*command, "server", *arguments],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**inherited, "HOME": str(directory), "PYTHONPATH": str(ROOT), **environment},
        )
        try:
            yield _started(process, log_path)
        finally:
            process.terminate()
            try:
                process.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            finally:
                assert process.stdout is not None
                process.stdout.close()


def _started(process: "subprocess.Popen[str]", log_path: Path) -> Server:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if found := _STARTED.search(line + " "):
            return Server(found[1], process, log_path, lines)
    raise AssertionError(f"the server did not start:\n{''.join(lines)}\n{log_path.read_text()}")
