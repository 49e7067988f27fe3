"""A server that is killed without a word, in the middle of its work, and started again."""

import contextlib
import json
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx2 as httpx
import pytest

from cliproxy.config.load import load_config
from support.accounts import Accounts, vendors
from support.plainly import Way
from support.server import ROOT, Server, running
from support.threads import beside

ROUNDS: Final = 3
DEMO: Final = "demo"
KIMI: Final = "kimi-k2.5"
CLIENTS: Final = 4
ENTRY: Final = """\
openai-compatibility:
  - {name: c%d, base-url: "http://127.0.0.1:9/v1", models: [{name: other}]}
"""


@contextmanager
def busy(world: Accounts, server: Server, config: str) -> Iterator[None]:
    """Let clients ask, tokens end, and the owner write, until the block ends."""
    is_over = threading.Event()

    def ask(model: str) -> None:
        way = Way("chat", stream=True)
        with httpx.Client(base_url=server.url, trust_env=False, timeout=20) as client:
            while not is_over.is_set():
                with contextlib.suppress(httpx.HTTPError):
                    client.post(way.path(model), json=way.body(model))

    def change() -> None:
        count = 0
        while not is_over.wait(0.05):
            count += 1
            world.configure(kimi={"oauth": {"expire": True}})
            new = world.directory / "new.yaml"
            new.write_text(config + ENTRY % count)
            new.replace(world.directory / "config.yaml")
            server.process.send_signal(signal.SIGHUP)

    asking = [partial(ask, model) for model in (DEMO, KIMI) * CLIENTS]
    with beside([*asking, change], is_over):
        yield


def started(world: Accounts) -> AbstractContextManager[Server]:
    """Run the server with the account, and with the demo beside it."""
    variables = world.variables(PYTHONPATH=str(ROOT))
    return running(world.directory, "-demo", config=world.settings(), **variables)


def generation(refresh_token: str) -> int:
    """Which renewal of a login a refresh token came from; the emulated vendor counts its tokens, two for
    each renewal."""
    return int(refresh_token.rpartition("-")[2]) // 2


def check_login(world: Accounts) -> bool:
    """Tell whether the newest login is saved.

    It is not if the process was killed between the vendor's decision and the file; nobody can close this
    gap. What is in the file is then the login before, as no token is used before it is saved.
    """
    [path] = world.auth_dir.glob("*.json")
    [login] = world.state()["kimi"]["oauth"]["logins"]
    behind = generation(login["refresh"]) - generation(json.loads(path.read_text())["refresh_token"])
    assert behind in {0, 1}
    return behind == 0


def check_files(directory: Path) -> None:
    """Everything on disk can be read."""
    load_config((directory / "config.yaml").read_bytes())
    accounts = list((directory / "auth").glob("*.json"))
    assert accounts
    for path in accounts:
        assert json.loads(path.read_text())["type"] == "kimi"
    for path in (directory / "auth").rglob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("seed", [7])
def test_a_server_that_is_killed_starts_again(tmp_path: Path, seed: int) -> None:
    """What it was writing is whole, the old or the new; the next start serves. A login that was lost on its
    way to the file ends the rounds."""
    rng = random.Random(seed)
    way = Way("chat", stream=True)
    with vendors(tmp_path) as world:
        assert world.login("-kimi-login").code == 0
        for _ in range(ROUNDS):
            if not check_login(world):
                break
            with started(world) as server:
                config = (tmp_path / "config.yaml").read_text()
                with busy(world, server, config):
                    time.sleep(0.3 + rng.random())  # noqa: TID251 - any moment
                    server.process.kill()
                    server.process.wait()
            check_files(tmp_path)
        check_login(world)
        with started(world) as server:
            answer = httpx.post(server.url + way.path(DEMO), json=way.body(DEMO), trust_env=False, timeout=20)
            assert answer.status_code == 200
            assert way.is_complete(answer.text)
            assert "Traceback" not in server.log()
