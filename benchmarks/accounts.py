"""Thousands of accounts: start, memory, the first answer, changes on disk, and doing nothing.

The memory that counts is what they add: a server without accounts is started first and measured at rest.

The credential files are of six vendors. The way out to all of them is a proxy server of this process, which
refuses everybody and counts: a start must not ask for thousands of accounts at once. Requests are answered by
another upstream, which is reached directly.

A change is timed from writing the file to the first list of models that shows it; a change counts only when
two looks in a row have seen it, so that a second of that is waiting.
"""

import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define

from benchmarks import processes
from benchmarks.dialects import DIALECTS
from benchmarks.load import CLIENT_KEY, Connection, Load, Target, judge
from benchmarks.report import OVER, VALUE_HEAD, Value, print_overruns, print_table

MB: Final = 1e6
OPENAI: Final = DIALECTS["openai"]
MEMORY_BUDGET_MB: Final = 100.0
READY_BUDGET_S: Final = 3.0
CHANGE_BUDGET_S: Final = 5.0
IDLE_BUDGET: Final = 0.02
"""Cores that a server may use that nobody asks anything."""
AT_ONCE_BUDGET: Final = 16
FIRST_BUDGET_S: Final = 0.1
SETTLE_S: Final = 20.0
ALONE_S: Final = 3.0
"""How long a server without accounts is left alone before it is measured."""
IDLE_S: Final = 20.0
CHANGE_LIMIT_S: Final = 60.0
POLL_S: Final = 0.1
REFUSAL: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NEVER: Final = "2099-01-01T00:00:00Z"
TOKENS: Final = {"access_token": "a" * 200, "refresh_token": "r" * 100, "expired": NEVER}
MODEL: Final = "bench-changed"

VENDORS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "claude", **TOKENS},
    {"type": "codex", "account_id": "acct-{}", **TOKENS},
    {
        "type": "gemini",
        "project_id": "project-{}",
        "checked": True,
        "token": {"access_token": "a", "refresh_token": "r", "expiry": NEVER},
    },
    {"type": "qwen", "resource_url": "portal.qwen.ai", **TOKENS},
    {"type": "antigravity", "project_id": "project-{}", **TOKENS},
    {"type": "gitlab", "auth_method": "pat", "personal_access_token": "glpat-{}"},
)
"""What stands in the files besides the address of their owners."""


@define(eq=False)
class WayOut:
    """A proxy server that lets nobody through."""

    now: int = 0
    most: int = 0
    asked: int = 0

    async def refuse(self, stream: trio.SocketStream) -> None:
        """Take some time, as the world does, and refuse."""
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            async with stream:
                await stream.receive_some()
                await trio.sleep(0.05)
                await stream.send_all(REFUSAL)
        except trio.BrokenResourceError:
            pass  # who is refused need not wait for it
        finally:
            self.now -= 1


def write_accounts(directory: Path, count: int) -> None:
    """Write the credential files."""
    directory.mkdir(mode=0o700, exist_ok=True)
    for number in range(count):
        write_account(directory, number)


def write_account(directory: Path, number: int, **members: str) -> None:
    """Write one of them."""
    vendor = VENDORS[number % len(VENDORS)]
    text = json.dumps({**vendor, "email": f"owner-{number}@example.org", **members})
    path = directory / f"{vendor['type']}-owner-{number}.json"
    path.write_text(text.replace("{}", str(number)))


@define(eq=False)
class Server:
    """The server that is measured, and its files."""

    process: processes.Running
    directory: Path
    config: dict[str, Any]

    async def models(self) -> str:
        """Return the list of models as it was sent."""
        async with aclosing(await Connection.open(self.process.port)) as connection:
            head = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n\r\n"
            return (await connection.ask(head.encode())).body().decode()

    async def seconds_until(self, name: str, change: Callable[[], object]) -> float:
        """Change a file and wait for a model that it brings."""
        change()
        began = time.monotonic()
        with trio.fail_after(CHANGE_LIMIT_S):
            while name not in await self.models():  # noqa: ASYNC110 - another process decides
                await trio.sleep(POLL_S)
        return time.monotonic() - began

    def change_account(self) -> None:
        """Give the first account a prefix."""
        write_account(self.directory / "auths", 0, prefix=MODEL)

    def change_config(self) -> None:
        """Add an upstream to the configuration."""
        [entry] = self.config[OPENAI.config_key]
        added = {**entry, "name": "added", "models": [{"name": "added", "alias": f"{MODEL}-added"}]}
        text = json.dumps({**self.config, OPENAI.config_key: [entry, added]})
        (self.directory / "config.yaml").write_text(text)

    async def cores_used(self) -> float:
        """Return how many processors it keeps busy while nobody asks anything."""
        before = self.process.cpu_seconds()
        await trio.sleep(IDLE_S)
        return (self.process.cpu_seconds() - before) / IDLE_S


async def at_rest_mb(process: processes.Running) -> float:
    """Return the resident size of a server without accounts, after an answer."""
    await first_answer_s(process)
    await trio.sleep(ALONE_S)
    return process.memory_bytes() / MB


async def first_answer_s(process: processes.Running) -> float:
    """Ask for an answer; return how long it took."""
    target = Target(name="server", port=process.port, dialect=OPENAI, upstream=OPENAI.id)
    began = time.monotonic()
    await judge(target, Load(mode="unary", connections=1))
    return time.monotonic() - began


async def measured(server: Server, way_out: WayOut, alone_mb: float) -> list[Value]:
    """Measure a server that has just been started; without accounts one needs ``alone_mb`` megabytes."""
    process = server.process
    async with aclosing(await Connection.open(process.port)) as connection:
        await connection.ask(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    ready_s = time.monotonic() - process.started
    first_s = await first_answer_s(process)
    start_cpu_s = process.cpu_seconds()
    await trio.sleep(SETTLE_S)
    settled_mb, idle = process.memory_bytes() / MB, await server.cores_used()
    account_s = await server.seconds_until(f"{MODEL}/", server.change_account)
    config_s = await server.seconds_until(f"{MODEL}-added", server.change_config)
    return [
        Value("ready, s", ready_s, READY_BUDGET_S),
        Value("processor time until then, s", start_cpu_s),
        Value("first answer, s", first_s, FIRST_BUDGET_S, 3),
        Value("resident size without accounts, MB", alone_mb, None, 1),
        Value("added by the accounts, MB", settled_mb - alone_mb, MEMORY_BUDGET_MB, 1),
        Value("added after changes, MB", process.memory_bytes() / MB - alone_mb, MEMORY_BUDGET_MB, 1),
        Value("an account changes, s", account_s, CHANGE_BUDGET_S),
        Value("the configuration changes, s", config_s, CHANGE_BUDGET_S),
        Value("cores used when idle", idle, IDLE_BUDGET, 3),
        Value("asked outside at once", way_out.most, AT_ONCE_BUDGET, 0),
        Value("asked outside in all", way_out.asked, None, 0),
    ]


def add_options(parser: ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--accounts", type=int, default=4000, help="credential files (default: 4000)")


async def main(options: Namespace) -> int:
    """Measure one server, print, and return 0."""
    way_out = WayOut()
    with processes.workplace() as directory:
        async with trio.open_nursery() as nursery, processes.upstream(directory) as upstream:
            [listener] = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), way_out.refuse, 0)
            config = configuration(upstream.port, listener.socket.getsockname()[1], directory)
            path = directory / "config.yaml"
            path.write_text(json.dumps(config))
            command = [sys.executable, "-m", "cliproxy", "server", "-config", str(path)]
            async with processes.running(command, directory) as process:
                alone_mb = await at_rest_mb(process)
            write_accounts(directory / "auths", options.accounts)
            async with processes.running(command, directory) as process:
                values = await measured(Server(process, directory, config), way_out, alone_mb)
            nursery.cancel_scope.cancel(reason="measured")
    print(f"{options.accounts} credential files of {len(VENDORS)} vendors.")
    print_table(VALUE_HEAD, [value.row() for value in values])
    print_overruns(sum(value.row()[-1] == OVER for value in values))
    return 0


def configuration(upstream_port: int, way_out_port: int, directory: Path) -> dict[str, Any]:
    """Return a configuration with one upstream that is reached directly."""
    config = processes.configuration(upstream_port, directory)
    for dialect in DIALECTS.values():
        if dialect is not OPENAI:
            del config[dialect.config_key]
    [entry] = config[OPENAI.config_key]
    entry["api-key-entries"][0]["proxy-url"] = "direct"
    return config | {"proxy-url": f"http://127.0.0.1:{way_out_port}"}
