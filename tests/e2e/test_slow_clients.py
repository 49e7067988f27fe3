"""Clients that do not read: what they cost the server, and that nobody else notices."""

import json
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx2 as httpx
import pytest
import trio

from cliproxy.service.listen import UNREAD_LIMIT_S
from support.emulator import running_emulator
from support.inside import yaml_of
from support.plainly import HELLO, Way
from support.server import Server, running

CLIENTS: Final = 16
LIMIT_KB: Final = 256
EVENTS: Final = {8_000: 150, 60_000: 40, 100_000: 40}
"""How many events of which size an answer has."""
SETTLED_S: Final = 1.5
LIMIT_S: Final = 30.0


def memory_kb(server: Server) -> int:
    """What the server's process occupies."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def settled(server: Server) -> int:
    """The memory when it does not grow any more."""
    last, since, end = 0, time.monotonic(), time.monotonic() + LIMIT_S
    while time.monotonic() - since < SETTLED_S and time.monotonic() < end:
        time.sleep(0.1)  # noqa: TID251 - watches another process
        now = memory_kb(server)
        if now > last:
            last, since = now, time.monotonic()
    return last


def asking(server: Server) -> socket.socket:
    """Ask for a long stream, and read nothing of it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((host, int(port)))
    body = json.dumps({"model": "m", "stream": True, "messages": HELLO}).encode()
    fields = b"Host: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n" + fields + body)
    return sock


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of another process")
@pytest.mark.parametrize("size", EVENTS)
def test_clients_that_do_not_read_cost_little(tmp_path: Path, size: int) -> None:
    with running_emulator("openai", vendor="compatible") as emulator:
        turn = {"blocks": [{"deltas": ["x" * size] * EVENTS[size]}]}
        trio.run(emulator.script, [{"when": {"stream": True}, "turn": turn, "times": 0}])
        config = yaml_of(a=(emulator.base_url, ["m"], 1))
        with running(tmp_path, config=config) as server, ExitStack() as stack:
            way = Way("chat", stream=False)

            def ask() -> float:
                begin = time.monotonic()
                answer = httpx.post(server.url + way.path("m"), json=way.body("m"), trust_env=False)
                assert answer.status_code == 200
                return time.monotonic() - begin

            for _ in range(4):
                ask()
            with asking(server):
                before = settled(server)
            for _ in range(CLIENTS):
                stack.enter_context(asking(server))
            after = settled(server)
            assert ask() < 5
            assert len(trio.run(emulator.log)) == CLIENTS + 1 + 5
    each = (after - before) / CLIENTS
    print(f"\na client that does not read costs {each:.0f} KB with events of {size // 1000} KB")
    assert each <= LIMIT_KB


@pytest.mark.soak
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such limit")
def test_a_client_that_takes_nothing_for_long_is_left(tmp_path: Path) -> None:
    """It is still there, and would be held on to for ever."""
    with running_emulator("openai", vendor="compatible") as emulator:
        trio.run(emulator.script, [{"turn": {"blocks": [{"deltas": ["x" * 60_000] * 100}]}, "times": 0}])
        config = yaml_of(a=(emulator.base_url, ["m"], 1))
        with running(tmp_path, config=config) as server, asking(server):
            begin = time.monotonic()
            trio.run(lambda: emulator.wait(disconnected=1, timeout=UNREAD_LIMIT_S * 2))
            took = time.monotonic() - begin
            print(f"\na client that takes nothing is left after {took:.0f} s")
            assert UNREAD_LIMIT_S * 0.8 <= took <= UNREAD_LIMIT_S * 1.8
            assert "outcome=cancelled" in server.log()
