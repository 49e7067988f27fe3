"""What a service manager hears."""

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from cliproxy.service.notify import Notifier, notifier_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sockets of POSIX systems")


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """An address for the environment, and the manager's end of it."""
    is_path = request.param == "path"
    address = str(tmp_path / "notify") if is_path else f"@cliproxy-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address if is_path else "\0" + address[1:])
        sock.setblocking(False)
        yield address, sock


def test_states_are_told(manager: tuple[str, socket.socket]) -> None:
    address, sock = manager
    notifier = notifier_of({"NOTIFY_SOCKET": address})
    notifier.ready("serving\nSTOPPING=1")
    notifier.ready()
    notifier.stopping("30 s")
    assert [sock.recv(1000) for _ in range(3)] == [
        b"READY=1\nSTATUS=serving STOPPING=1",
        b"READY=1",
        b"STOPPING=1\nSTATUS=30 s",
    ]


def test_a_reload_has_a_time(manager: tuple[str, socket.socket]) -> None:
    address, sock = manager
    Notifier(address=address).reloading()
    told = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", sock.recv(1000).decode())
    assert told is not None
    assert abs(int(told[1]) / 1e6 - time.monotonic()) < 60


async def test_signs_of_life_come_twice_as_often_as_wanted(
    manager: tuple[str, socket.socket], autojump_clock: trio.testing.MockClock
) -> None:
    address, sock = manager
    notifier = notifier_of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000"})
    with trio.move_on_after(21):
        await notifier.keep_alive()
    assert [sock.recv(100) for _ in range(5)] == [b"WATCHDOG=1"] * 5
    with pytest.raises(BlockingIOError):
        sock.recv(100)


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "4000000"}, 4.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}, 4.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"}, 0.0),
        ({"WATCHDOG_USEC": "often"}, 0.0),
        ({"WATCHDOG_USEC": "-1"}, 0.0),
    ],
)
def test_the_environment_says_how_often(environ: dict[str, str], seconds: float) -> None:
    assert notifier_of({"NOTIFY_SOCKET": "/x", **environ}, pid=7) == Notifier(
        address="/x", watchdog_s=seconds
    )


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative"])
async def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = notifier_of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    assert notifier == Notifier()
    notifier.ready()
    with trio.fail_after(1):
        await notifier.keep_alive()


def test_a_manager_that_is_gone_or_full_stops_nobody(tmp_path: Path) -> None:
    Notifier(address=str(tmp_path / "nobody")).ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        address = str(tmp_path / "deaf")
        sock.bind(address)
        for _ in range(2000):
            Notifier(address=address).ready()
