"""Tells a service manager how the server is, in systemd's protocol: lines sent to a socket.

The manager names the socket in ``NOTIFY_SOCKET``, a path or, behind ``@``, a name that no file has. Where the
variable is missing nobody listens, and nothing is sent. A message is one datagram that is never waited for:
a manager that does not take it in must not stop the server.

With ``WATCHDOG_USEC`` the manager wants to hear a sign of life that often, and restarts a server that has
none. It comes from the event loop itself, twice as often as asked for, so that a loop which hangs is noticed.
"""

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

import trio
from attrs import frozen

logger = logging.getLogger(__name__)

MICROSECONDS: Final = 1_000_000


@frozen(kw_only=True)
class Notifier:
    """Somebody to be told, or nobody."""

    address: str = ""
    """Of the socket; empty: nobody listens."""
    watchdog_s: float = 0.0
    """How often a sign of life is wanted; 0: never."""

    def ready(self, status: str = "") -> None:
        """Say that requests are served, also after a reload."""
        self._tell("READY=1", *([f"STATUS={status}"] if status else []))

    def reloading(self) -> None:
        """Say that the files are being read again; :meth:`ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """Say that the server stops."""
        self._tell("STOPPING=1", f"STATUS={status}")

    async def keep_alive(self) -> None:
        """Give signs of life, if any are wanted, for ever."""
        while self.address and self.watchdog_s > 0:
            self._tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)
        await trio.lowlevel.checkpoint()

    def _tell(self, *lines: str) -> None:
        if not self.address:
            return
        # A status is one line, whatever somebody has put into it.
        message = "\n".join(line.replace("\n", " ") for line in lines).encode()
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(message, name)
        except OSError as exc:
            logger.debug("the service manager does not listen cause=%s", exc.strerror)


def notifier_of(environ: Mapping[str, str], pid: int | None = None) -> Notifier:
    """Return whoever the environment names. ``pid`` is the process's own."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return Notifier()
    mine = environ.get("WATCHDOG_PID", "") in {"", str(os.getpid() if pid is None else pid)}
    often = environ.get("WATCHDOG_USEC", "")
    wanted = int(often) / MICROSECONDS if mine and often.isascii() and often.isdigit() else 0.0
    return Notifier(address=address, watchdog_s=wanted)
