"""The state database of a real server, in a bad world: killed, locked, damaged, no room, no right to write.

Whatever happens to the file, requests are answered, the owner can see what is wrong (in the log, at
``/readyz`` and at ``/metrics``), and when it is over nothing has to be done. Every request is looked for in
the file by its id. Accounts lie on the same disk; what becomes of a new token without room is seen here too.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
from attrs import define, field

from support.accounts import Accounts
from support.disk import PROGRAM, Disk, needs_disk
from support.emulator import running_emulator
from support.inside import yaml_of
from support.plainly import Way
from support.server import ROOT, Server, running
from support.threads import beside
from support.usage import rows_of

QUICK: Final = "quick"
KIMI: Final = "kimi-k2.5"
WAY: Final = Way("chat", stream=False)
AT_ONCE_S: Final = 5.0
"""Longer than an answer takes on the slowest machine."""
LIMIT_S: Final = 30.0
LOST_S: Final = 1.0
"""What may be missing after a kill."""
TRAFFIC: Final = 20
CLIENTS: Final = 6


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.05)  # noqa: TID251


Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    """The entry of an upstream that answers at once."""
    with running_emulator("openai", vendor="compatible") as emulator:
        entry = yaml_of(**{QUICK: (emulator.base_url, [QUICK], 1)})
        yield entry.replace("any-key", "any-key, proxy-url: direct")


@pytest.fixture
def start(tmp_path: Path, upstream: str) -> Start:
    """Runs a server with that upstream."""

    def begin(command: tuple[str, ...] = PROGRAM) -> AbstractContextManager[Server]:
        return running(tmp_path, config=upstream, command=command)

    return begin


@contextmanager
def client_of(server: Server) -> Iterator["Client"]:
    """A client with its connections."""
    with httpx.Client(base_url=server.url, trust_env=False, timeout=AT_ONCE_S) as http:
        yield Client(server, http)


@define(eq=False)
class Client:
    """Asks, and remembers which requests were answered, and when."""

    server: Server
    http: httpx.Client
    answered: dict[str, float] = field(factory=dict)

    def ask(self, name: str, model: str = QUICK) -> int:
        """Ask for something and return the status."""
        names = {"x-request-id": name}
        answer = self.http.post(WAY.path(model), json=WAY.body(model), headers=names)
        self.answered[name] = time.monotonic()
        return answer.status_code

    def get(self, path: str) -> httpx.Response:
        """Look at a page for the owner."""
        return self.http.get(path)

    def database(self) -> Any:
        """What is said about the database."""
        return self.get("/readyz").json()["database"]

    def is_troubled(self) -> bool:
        """Whether the figures say that the database cannot be written; they agree with the page."""
        [line] = [
            line
            for line in self.get("/metrics").text.splitlines()
            if line.startswith("cliproxy_database_troubled ")
        ]
        return float(line.split()[1]) == 1

    def see_trouble(self, words: str, logged: str) -> None:
        """Wait until the owner can see what is wrong, everywhere; requests are answered all the time."""
        until(lambda: self.database()["trouble"] == words, words)
        assert self.is_troubled()
        assert self.get("/readyz").status_code == 200
        assert logged in self.server.log()

    def see_its_end(self) -> None:
        """Wait until all is well, and nothing waits any more."""
        until(lambda: self.database() == {"trouble": None, "since": None, "waiting": 0}, "the end")
        assert not self.is_troubled()
        assert "Traceback" not in self.server.log()


def saved(path: Path) -> set[str]:
    """The ids of the requests in the file; its sums count each of them once."""
    ids = [name for (name,) in rows_of(path, "SELECT request_id FROM usage_request")]
    assert len(ids) == len(set(ids))
    for period in ("hour", "day"):
        assert rows_of(path, f"SELECT total(requests) FROM usage_{period}") == [(len(ids),)]
    return set(ids)


# --- killed -----------------------------------------------------------------------------------------------


@contextmanager
def busy(client: Client, name: str) -> Iterator[None]:
    """Let many clients ask without a pause, until the block ends."""
    is_over = threading.Event()

    def ask(who: int) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            with suppress(httpx.HTTPError):
                client.ask(f"{name}-{who}-{count}")

    with beside([partial(ask, who) for who in range(CLIENTS)], is_over):
        yield


def test_a_kill_loses_less_than_a_second_and_the_next_start_goes_on(tmp_path: Path, start: Start) -> None:
    rng = random.Random(5)
    path = tmp_path / "auth" / "state" / "cliproxy.db"
    expected: set[str] = set()
    for generation in range(3):
        with start() as server, client_of(server) as client, busy(client, f"run{generation}"):
            time.sleep(1.5 + rng.random())  # noqa: TID251 - any moment
            server.process.kill()
            killed = time.monotonic()
            server.process.wait()
        early = {name for name, at in client.answered.items() if at <= killed - LOST_S}
        assert len(early) > TRAFFIC
        expected |= early
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept = saved(path)
        assert expected <= kept
        expected = kept
    with start() as server, client_of(server) as client:
        assert client.ask("last") == 200
        server.stop()
    assert saved(path) == {*expected, "last"}


# --- the file ---------------------------------------------------------------------------------------------


def test_a_database_that_another_program_locks_delays_nobody(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "auth" / "state" / "cliproxy.db"
    names = [f"locked-{number}" for number in range(20)]
    with start() as server, client_of(server) as client:
        assert client.ask("before") == 200
        until(lambda: saved(path) == {"before"}, "the first")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            assert [client.ask(name) for name in names] == [200] * len(names)
            client.see_trouble("locked by another process", "usage cannot be written and is kept in memory")
            assert client.database()["waiting"] == len(names)
            assert saved(path) == {"before"}
            report = subprocess.run(
                [*PROGRAM, "usage", "-json"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                check=True,
            )
            assert [day["requests"] for day in json.loads(report.stdout)] == [1]
        client.see_its_end()
        assert saved(path) == {"before", *names}
        assert "usage is written again" in server.log()


def test_a_damaged_database_is_set_aside(tmp_path: Path, start: Start) -> None:
    """At the start, and while the server runs."""
    path = tmp_path / "auth" / "state" / "cliproxy.db"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_bytes(b"no database" * 1000)
    with start() as server, client_of(server) as client:
        assert client.ask("first") == 200
        until(lambda: len(list(path.parent.glob("*.damaged-*"))) == 1 and path.exists(), "a new one")
        until(lambda: client.database()["waiting"] == 0, "written")
        assert saved(path) == {"first"}
        assert "a new database is begun" in server.log()
        other = path.with_name("other")
        other.write_bytes(b"no database" * 1000)
        other.replace(path)
        for name in ("second", "third"):
            assert client.ask(name) == 200
        client.see_its_end()
        assert {"second", "third"} <= saved(path)


def copied(place: Path, directory: Path) -> Path:
    """A copy of the database of a disk that only the server can use."""
    return shutil.copytree(place / "state", directory / "copy") / "cliproxy.db"


# --- the disk ---------------------------------------------------------------------------------------------


@contextmanager
def living_on(disk: Disk, world: Accounts, upstream: str) -> Iterator[Client]:
    """A server whose account and database are on a disk; the client of it."""
    assert world.login("-kimi-login").code == 0
    world.auth_dir.rename(world.auth_dir.with_name("auth.before"))
    config, variables = world.settings() + upstream, world.variables(PYTHONPATH=str(ROOT))
    with (
        running(world.directory, config=config, command=disk.command, **variables) as server,
        client_of(server) as client,
    ):
        yield client


def use_unsaved_token(client: Client, world: Accounts, place: Path, why: str) -> None:
    """Let the token of the account end, and see what becomes of the new one: it is used from memory."""
    [login] = place.glob("*.json")
    before = login.read_bytes()
    world.configure(kimi={"oauth": {"expire": True}})
    assert client.ask("unsaved", KIMI) == 200
    assert f"new tokens could not be saved credential={login.name}" in client.server.log()
    assert why in client.server.log()
    assert login.read_bytes() == before
    assert [each.name for each in place.iterdir() if each.suffix == ".cliproxy-tmp"] == []


@needs_disk
def test_a_full_disk_stops_nobody(world: Accounts, upstream: str) -> None:
    disk = Disk(path=world.auth_dir, size="2m")
    with living_on(disk, world, upstream) as client:
        process = client.server.process
        place = disk.seen_by(process)
        assert client.ask("before", KIMI) == 200
        until(lambda: client.database()["waiting"] == 0, "the first")
        disk.fill(process)
        names = [f"full-{number}" for number in range(20)]
        assert [client.ask(name) for name in names] == [200] * len(names)
        client.see_trouble("the disk is full", "usage cannot be written and is kept in memory")
        use_unsaved_token(client, world, place, "no space left on device")
        disk.free(process)
        client.see_its_end()
        assert saved(copied(place, world.directory)) == {"before", *names, "unsaved"}


@needs_disk
def test_a_disk_that_cannot_be_written_stops_nobody(world: Accounts, upstream: str) -> None:
    disk = Disk(path=world.auth_dir, size="2m", mode="ro")
    with living_on(disk, world, upstream) as client:
        process = client.server.process
        place = disk.seen_by(process)
        assert client.ask("early") == 200
        client.see_trouble("not writable", "read-only file system")
        use_unsaved_token(client, world, place, "read-only file system")
        disk.allow_writing(process)
        assert client.ask("late") == 200
        client.see_its_end()
        assert saved(copied(place, world.directory)) == {"early", "unsaved", "late"}
