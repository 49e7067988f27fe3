"""A server that was started by a service manager."""

import signal
import socket
import time
from pathlib import Path

from support.server import running

LIMIT_S = 20


def test_the_manager_follows_a_servers_life(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(LIMIT_S)
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"}
        with running(tmp_path, "-demo", **environment) as server:
            told = until(manager, b"READY=1\nSTATUS=serving")
            assert b"WATCHDOG=1" in told or until(manager, b"WATCHDOG=1")
            server.process.send_signal(signal.SIGHUP)
            until(manager, b"RELOADING=1\nMONOTONIC_USEC=")
            until(manager, b"READY=1\nSTATUS=serving")
            assert server.stop() == 0
            until(manager, b"STOPPING=1\nSTATUS=")


def until(manager: socket.socket, wanted: bytes) -> list[bytes]:
    """Read messages to one that begins as wanted."""
    heard: list[bytes] = []
    deadline = time.monotonic() + LIMIT_S
    while not heard or not heard[-1].startswith(wanted):
        assert time.monotonic() < deadline, heard
        heard.append(manager.recv(1000))
    return heard
