"""The real server while its owner works on its files: nobody's request fails, and what he wrote counts."""

import json
import os
import pty
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
from attrs import define, field

from support.accounts import Accounts
from support.server import ROOT, Server, running

STREAMS: Final = 20
MODEL: Final = "kimi-k2.5"
LIMIT_S: Final = 15.0
SOAK_S: Final = 60.0
ENTRY: Final = """\
openai-compatibility:
  - {name: c, base-url: "http://127.0.0.1:9/v1", models: [{name: %s}]}
"""


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < end, f"this did not come: {what}"
        time.sleep(0.05)  # noqa: TID251 - waits for another process


def models(server: Server, key: str = "") -> list[str]:
    """What the server has on offer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answer = httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False)
    return [entry["id"] for entry in answer.json()["data"]] if answer.status_code == 200 else []


def status(server: Server, key: str = "") -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.get(f"{server.url}/v1/models", headers=headers, trust_env=False).status_code


@define
class Load:
    """Streams that never stop coming, and what went wrong with them."""

    server: Server
    done: int = 0
    faults: list[str] = field(factory=list)
    _is_over: threading.Event = field(factory=threading.Event)

    def stream(self, model: str, prompt: str) -> None:
        """Ask again and again."""
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": prompt}]}
        with httpx.Client(trust_env=False, timeout=30) as client:
            while not self._is_over.is_set():
                try:
                    answer = client.post(f"{self.server.url}/v1/chat/completions", json=body)
                except httpx.HTTPError as exc:
                    self.faults.append(repr(exc))
                    continue
                self.done += 1
                if answer.status_code != 200 or "[DONE]" not in answer.text or '"error"' in answer.text:
                    self.faults.append(f"{answer.status_code} {answer.text[:300]}")

    @contextmanager
    def running(self, model: str, *prompts: str) -> Iterator[None]:
        """Keep streams open, of each prompt as many as of the others."""
        asked = (prompts or ("hello",)) * STREAMS
        threads = [threading.Thread(target=self.stream, args=(model, each)) for each in asked[:STREAMS]]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()


@pytest.fixture
def kimi(world: Accounts) -> Accounts:
    """Logged in to Kimi."""
    world.configure(kimi={"oauth": {"pending": 0}})
    assert world.login("-kimi-login").code == 0
    return world


def write(world: Accounts, name: str, **members: Any) -> Path:
    """Write a copy of the account, in place."""
    [source] = [each for each in world.files() if each.startswith("kimi-")]
    data = json.loads((world.auth_dir / source).read_text()) | members
    path = world.auth_dir / name
    path.write_text(json.dumps(data))
    return path


def test_accounts_come_change_and_go_under_load(kimi: Accounts) -> None:
    world = kimi
    with world.server("openai-compatibility: []\n") as server:
        world.script({"times": 0, "pace": 0.05})
        load = Load(server)
        with load.running(MODEL):
            until(lambda: load.done >= STREAMS, "answers")
            second = write(world, "second.json", prefix="second")
            until(lambda: f"second/{MODEL}" in models(server), "the second account")

            second.write_text(second.read_text()[:40])
            with second.open("r+") as file:
                file.truncate(0)
            write(world, "second.json", prefix="edited")
            until(lambda: f"edited/{MODEL}" in models(server), "the edited account")

            temporary = write(world, "second.json.tmp", prefix="renamed")
            (world.auth_dir / ".second.json.swp").write_text("{")
            temporary.replace(second)
            until(lambda: f"renamed/{MODEL}" in models(server), "the replaced file")

            write(world, "second.json", prefix="renamed", disabled=True)
            until(lambda: f"renamed/{MODEL}" not in models(server), "the account switched off")
            write(world, "second.json", prefix="again")
            until(lambda: f"again/{MODEL}" in models(server), "the account switched on")

            second.write_text("{")
            until(lambda: "second.json: " in server.log(), "the complaint")
            assert f"again/{MODEL}" in models(server)
            second.unlink()
            until(lambda: f"again/{MODEL}" not in models(server), "the removed account")
            before = load.done
            until(lambda: load.done >= before + STREAMS, "further answers")
        log = server.log()
    assert load.faults == []
    assert "Traceback" not in log
    assert log.count("not taken over") == 1


def test_the_configuration_changes_under_load(tmp_path: Path) -> None:
    with running(tmp_path, "-demo") as server:
        path = tmp_path / "config.yaml"
        base = path.read_text()
        load = Load(server)
        with load.running("demo", "hello", "slow, please"):
            until(lambda: load.done >= STREAMS, "answers")
            path.write_text(base + ENTRY % "first")
            until(lambda: "first" in models(server), "the entry")

            path.write_text(base)
            with path.open("a") as file:
                file.write(ENTRY % "second")
            until(lambda: "second" in models(server), "the second entry")

            path.write_text(f"{base}request-retry: 1\nhost: [\n")
            until(lambda: "not taken over" in server.log(), "the complaint")
            assert "second" in models(server)
            (tmp_path / "new.yaml").write_text(base + ENTRY % "third")
            (tmp_path / "new.yaml").replace(path)
            until(lambda: "third" in models(server), "the replaced file")

            path.write_text(f"{base}debug: true\ntls: {{enable: false}}\n".replace("port: 0", "port: 9"))
            until(lambda: "after a restart only: port" in server.log(), "what needs a restart")
        log = server.log()
    assert load.faults == []
    assert "Traceback" not in log
    [said] = [line for line in log.splitlines() if "not taken over" in line]
    assert "config.yaml: line 5" in said


def test_client_keys_change_at_once_when_asked_to(tmp_path: Path) -> None:
    with running(tmp_path, "-demo", config="api-keys: [first-key-of-the-owner]\n") as server:
        assert (status(server), status(server, "first-key-of-the-owner")) == (401, 200)
        path = tmp_path / "config.yaml"
        path.write_text(path.read_text().replace("first", "second"))
        begin = time.monotonic()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: status(server, "second-key-of-the-owner") == 200, "the new key")
        assert time.monotonic() - begin < 3
        assert status(server, "first-key-of-the-owner") == 401
        path.write_text("port: 0\n")
        until(lambda: "anybody could use your accounts" in server.log(), "the refusal")
        assert status(server) == 401
        for count in (2, 3):
            server.process.send_signal(signal.SIGHUP)
            until(lambda: server.log().count("anybody could") == count, "the refusal, once more")  # noqa: B023


def test_a_login_is_taken_over_by_the_running_server(world: Accounts) -> None:
    world.configure(kimi={"oauth": {"pending": 0}})
    with world.server() as server:
        assert models(server) == []
        done = world.login("-kimi-login")
        assert "takes the account over by itself" in done.output
        until(lambda: MODEL in models(server), "the account")
        load = Load(server)
        with load.running(MODEL):
            until(lambda: load.done >= STREAMS, "answers")
        assert load.faults == []
        assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200


def test_a_server_whose_terminal_was_closed_stops(tmp_path: Path) -> None:
    """The signal that asks for a reload is also what a closed terminal sends."""
    (tmp_path / "config.yaml").write_text(f"port: 0\nauth-dir: {tmp_path / 'auth'}\n")
    master, terminal = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cliproxy", "server", "-demo"],
            cwd=tmp_path,
            env=environment,
            stdin=terminal,
            stdout=log,
            stderr=log,
        )
    os.close(terminal)
    try:
        until(lambda: "started successfully" in (tmp_path / "log").read_text(), "the start")
        process.send_signal(signal.SIGHUP)
        until(lambda: "reading configuration and credentials again" in (tmp_path / "log").read_text(), "it")
        assert process.poll() is None
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait(LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()


# --- an owner who never stops -------------------------------------------------------------------------------


def in_place(path: Path, text: str) -> None:
    """As a shell does it."""
    path.write_text(text)


def in_two_parts(path: Path, text: str) -> None:
    """As an editor does it that is interrupted: for a moment half of it is there."""
    middle = len(text) // 2
    with path.open("w") as file:
        file.write(text[:middle])
        file.flush()
        time.sleep(0.02)  # noqa: TID251 - who is slow here is the owner
        file.write(text[middle:])


def by_renaming(path: Path, text: str) -> None:
    """As careful programs do it."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def spoilt(path: Path, text: str) -> None:
    """By mistake, and then as it should be."""
    path.write_text(text[: len(text) // 3] + "{[")
    time.sleep(0.05)  # noqa: TID251 - who is slow here is the owner
    path.write_text(text)


def removed(path: Path, text: str) -> None:
    """As some programs do it: gone for a moment."""
    path.unlink(missing_ok=True)
    time.sleep(0.02)  # noqa: TID251 - who is slow here is the owner
    path.write_text(text)


MANNERS: Final = (in_place, in_two_parts, by_renaming, spoilt, removed)


@define
class Owner:
    """Rewrites the configuration and accounts in all manners, and asks the server to read them in between."""

    world: Accounts
    server: Server
    rng: random.Random
    tally: Counter[str] = field(factory=Counter)

    def work(self, seconds: float) -> None:
        """Never stop, but for rests that are long enough for the server to take notice by itself."""
        config = self.world.directory / "config.yaml"
        base = config.read_text()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            manner = self.rng.choice(MANNERS)
            if self.rng.random() < 0.5:
                manner(config, base + ENTRY % f"model-{self.tally['configuration']}")
                self.tally["configuration"] += 1
            else:
                name = f"other-{self.rng.randrange(5)}.json"
                manner(self.world.auth_dir / name, self.account(prefix=f"p{self.tally['accounts']}"))
                self.tally["accounts"] += 1
            if self.rng.random() < 0.2:
                self.server.process.send_signal(signal.SIGHUP)
                self.tally["signals"] += 1
            time.sleep(self.rng.choice((0.0, 0.01, 0.05, 0.1)))  # noqa: TID251 - as above
            if self.rng.random() < 0.01:
                time.sleep(2.5)  # noqa: TID251 - as above
        by_renaming(config, base + ENTRY % "the-last-one")

    def account(self, **members: Any) -> str:
        """The text of an account like the one that everybody uses."""
        [source] = [each for each in self.world.files() if each.startswith("kimi-")]
        return json.dumps(json.loads((self.world.auth_dir / source).read_text()) | members)


@pytest.mark.soak
def test_rewriting_all_the_time_fails_nobody(kimi: Accounts) -> None:
    with kimi.server() as server:
        owner, load = Owner(kimi, server, random.Random(3)), Load(server)
        with load.running(MODEL):
            until(lambda: load.done >= STREAMS, "answers")
            owner.work(SOAK_S)
            until(lambda: "the-last-one" in models(server), "the last change")
        log = server.log()
    taken = log.count("reading configuration and credentials again")
    print(f"\nrewritten for {SOAK_S:.0f} s: {dict(owner.tally)}; ", end="")
    print(f"read again on demand {taken} times; {load.done} streams, {len(load.faults)} of them failed")
    assert load.faults == []
    assert "Traceback" not in log
    assert min(owner.tally.values()) > SOAK_S
