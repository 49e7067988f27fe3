"""Start an upstream emulator as a process of its own, and steer it from a test.

    async with start_emulator("openai") as emulator:
        await emulator.script([{"fault": "half_event_fin"}, {"status": 429, "retry_after": 3}])
        …                                     # let the code under test talk to emulator.base_url
        [first, *_] = await emulator.log()
        assert first.body["model"] == "gpt-4o"

The control connection is a plain socket, so that nothing of the proxy's own HTTP code is trusted here.
Times in the log are comparable with `time.monotonic()` of the test.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
from attrs import field, frozen

TESTS = Path(__file__).resolve().parents[1]
START_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0
CONTROL_LIMIT_S = 15.0


class EmulatorError(Exception):
    """The emulator did not start, or did not accept a control request."""


@frozen(kw_only=True)
class Seen:
    """One request as the emulator saw it, and what became of it."""

    number: int
    connection: int
    method: str
    target: str
    headers: list[list[str]]
    body: Any
    body_size: int
    body_sha256: str
    received_at: float
    status: int | None
    head_at: float | None
    first_event_at: float | None
    finished_at: float | None
    disconnected_at: float | None
    disconnect: str | None
    events: int
    sent: int
    refused: str | None
    played: dict[str, Any]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@frozen
class Emulator:
    """A running emulator."""

    name: str
    host: str
    port: int
    control_port: int
    """The same as `port` unless the service speaks TLS."""
    extra_port: int | None = None
    scheme: str = "http"
    process: trio.Process | None = field(default=None, repr=False)

    @property
    def base_url(self) -> str:
        """Where the emulated service lives, without a trailing slash."""
        return f"{self.scheme}://{self.host}:{self.port}"

    async def log(self) -> list[Seen]:
        """Every request since the start or the last reset."""
        return _read_log(await self._control("GET", "log"))

    async def refusals(self) -> list[str]:
        """Why requests were turned down by a strict check; empty when all were well-formed."""
        return [seen.refused for seen in await self.log() if seen.refused is not None]

    async def script(self, entries: Sequence[dict[str, Any]], *, append: bool = False) -> None:
        """Set what the next requests get; README.md of the emulators has the vocabulary."""
        await self._control("POST", "script?append=1" if append else "script", list(entries))

    async def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings of the emulated service (and `clock_offset`); returns all of them."""
        return await self._control("POST", "state", settings)

    async def state(self) -> dict[str, Any]:
        """The emulated service's settings."""
        return await self._control("GET", "state")

    async def release(self, count: int = 1) -> None:
        """Let answers go that wait at a `hold`."""
        await self._control("POST", "release", {"count": count})

    async def wait(self, *, timeout: float = 5.0, **figures: int) -> list[Seen]:  # noqa: ASYNC109
        """Wait until the log has so many requests, finished, disconnected, holding or events.

        The limit is the emulator's own: it answers with what it has, and that is a failure here.
        """
        wanted = {**figures, "timeout": timeout}
        return _read_log(await self._control("POST", "wait", wanted, limit=timeout + CONTROL_LIMIT_S))

    async def drop(self, how: str = "fin") -> None:
        """Close every connection of the service, idle ones included."""
        await self._control("POST", "drop", {"how": how})

    async def reset(self) -> None:
        """Forget log, script and settings made since the start."""
        await self._control("POST", "reset")

    async def forget(self) -> None:
        """Forget log and script; whoever was logged in stays so."""
        await self._control("POST", "forget")

    async def _control(
        self, method: str, name: str, value: Any = None, *, limit: float = CONTROL_LIMIT_S
    ) -> Any:
        body = b"" if value is None else json.dumps(value).encode()
        head = f"{method} /__control/{name} HTTP/1.1\r\nhost: {self.host}\r\nconnection: close\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        with trio.fail_after(limit):
            async with await trio.open_tcp_stream(self.host, self.control_port) as stream:
                await stream.send_all(head.encode() + body)
                answer = b"".join([data async for data in stream])
        status_line, _, rest = answer.partition(b"\r\n")
        status, answered = int(status_line.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])
        if status != 200:
            msg = f"{method} {name}: {status} {answered if status != 408 else _told(answered)}"
            raise EmulatorError(msg)
        return answered


@asynccontextmanager
async def start_emulator(
    name: str, *arguments: str, quiet: bool = True, **settings: Any
) -> AsyncIterator[Emulator]:
    """Run the emulator `name` (`openai`, `claude`, `gemini`, `gitlab`) for the length of the block.

    `arguments` go to its command line, `settings` to `--set`. The process ends with the block, and also
    when the test process dies, because it watches its standard input.
    """
    process = await trio.lowlevel.open_process(
        _command(name, arguments, settings, quiet=quiet),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
    )
    try:
        yield _emulator(name, await _ready_line(name, process), arguments, process)
    finally:
        with trio.move_on_after(STOP_LIMIT_S, shield=True):
            await _stop(process)
        if process.returncode is None:
            process.kill()
            with trio.move_on_after(STOP_LIMIT_S, shield=True):
                await process.wait()


@contextmanager
def running_emulator(name: str, *arguments: str, quiet: bool = True, **settings: Any) -> Iterator[Emulator]:
    """Do the same for a module's worth of tests that are not async.

    They steer it with `trio.run(emulator.script, …)`.
    """
    process = subprocess.Popen(
        _command(name, arguments, settings, quiet=quiet),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EmulatorError(_NOT_STARTED.format(name))
        yield _emulator(name, json.loads(line), arguments)


_NOT_STARTED = "emulator {} did not start; its standard error says why"


def _command(name: str, arguments: Sequence[str], settings: dict[str, Any], *, quiet: bool) -> list[str]:
    command = [sys.executable, "-m", f"emulators.{name}", "--exit-with-stdin", *arguments]
    command += [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
    return [*command, "--quiet"] if quiet else command


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"}


def _emulator(
    name: str, ready: dict[str, int], arguments: Sequence[str], process: trio.Process | None = None
) -> Emulator:
    return Emulator(
        name,
        "127.0.0.1",
        ready["port"],
        ready.get("control_port", ready["port"]),
        ready.get("extra_port"),
        "https" if "--tls" in arguments else "http",
        process,
    )


async def _ready_line(name: str, process: trio.Process) -> dict[str, int]:
    assert process.stdout is not None
    line = b""
    with trio.move_on_after(START_LIMIT_S):
        while not line.endswith(b"\n"):
            data = await process.stdout.receive_some(1024)
            if not data:
                break
            line += data
    if not line.endswith(b"\n"):
        raise EmulatorError(_NOT_STARTED.format(name))
    return json.loads(line)


async def _stop(process: trio.Process) -> None:
    """Ask it to end by closing its input."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.aclose()
    await process.stdout.aclose()
    await process.wait()


def _read_log(records: list[dict[str, Any]]) -> list[Seen]:
    return [Seen(**record) for record in records]


def _told(records: list[dict[str, Any]]) -> str:
    """A short account of a log for a failed wait."""
    lines = [
        f"#{seen['number']} {seen['method']} {seen['target']} -> {seen['status']}, {seen['events']} events,"
        f" {seen['disconnect'] or ('finished' if seen['finished_at'] else 'under way')}"
        for seen in records
    ]
    return "the wait ran out; seen so far: " + ("; ".join(lines) or "nothing")
