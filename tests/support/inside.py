"""The server in this process, on real sockets: a test sees what a client sees, and what is kept inside.

It runs in a thread of its own; tests talk to it like any client and look inside by :meth:`Inside.do`, which
runs a function in the server's thread. Timeouts may be shorter than a configuration file may ask for.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trio
from attrs import define, evolve, field

from cliproxy.config.environment import ConfigSource
from cliproxy.exchange.record import ExchangeRecord
from cliproxy.providers import PROVIDERS
from cliproxy.routing.runtime import HOST_MARK
from cliproxy.server.app import app_for
from cliproxy.service.listen import Binding, open_sockets
from cliproxy.service.run import opened
from cliproxy.service.service import Service
from cliproxy.service.state import read_state

T = TypeVar("T")
START_LIMIT_S = 20.0


@define(eq=False)
class Inside:
    """A running server and everything about it."""

    service: Service
    url: str
    token: trio.lowlevel.TrioToken
    records: list[ExchangeRecord] = field(factory=list)
    _came: threading.Condition = field(factory=threading.Condition)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def do(self, function: Callable[[], T]) -> T:
        """Run a function in the server's thread."""
        return trio.from_thread.run_sync(function, trio_token=self.token)

    def take(self, record: ExchangeRecord) -> None:
        """Be told of a finished exchange."""
        with self._came:
            self.records.append(record)
            self._came.notify_all()

    def wait_records(self, count: int, seconds: float = 5.0) -> dict[str, ExchangeRecord]:
        """Wait until so many exchanges have left their records, and no more than one each; take them, by the
        ids of the requests."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.records) >= count, seconds), self.records
            taken, self.records[:] = list(self.records), []
        found = {record.request_id: record for record in taken}
        assert len(taken) == len(found) == count, taken
        return found

    def pauses(self, credential: str, record: ExchangeRecord) -> dict[str, float]:
        """Say who rests after an exchange with an account, and for how many seconds from its end: its model,
        the account, or its host, which is the only host there is in this exchange."""
        ended = record.started + record.duration

        def read() -> dict[str, float]:
            now, wall = trio.current_time(), time.time()
            states = self.service.runtime._states.items()
            return {
                _kind(place): wall + state.until - now - ended
                for place, state in states
                if place[0] == credential or place[0].startswith(HOST_MARK)
            }

        return self.do(read)

    def settle(self) -> None:
        """Let every account be ready again, and forget the records."""
        self.do(self.service.runtime.clear)
        self.records.clear()


def _kind(place: tuple[str, str]) -> str:
    if place[0].startswith(HOST_MARK):
        return "host"
    return "model" if place[1] else "account"


class Names(trio.abc.HostnameResolver):
    """Says at once that reserved names have no address, however long the network would take to say it."""

    async def getaddrinfo(self, host: Any, *rest: Any) -> Any:
        """Look a name up."""
        await trio.lowlevel.checkpoint()
        if host is not None and host.endswith(b".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await trio.to_thread.run_sync(lambda: socket.getaddrinfo(host, *rest))

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        """Look an address up."""
        return await trio.to_thread.run_sync(lambda: socket.getnameinfo(sockaddr, flags))


@contextmanager
def inside(directory: Path, config: str, **timeouts: float) -> Iterator[Inside]:
    """Run the server with a configuration."""
    path = directory / "config.yaml"
    path.write_text(f"port: 0\nauth-dir: {directory / 'auth'}\n{config}", encoding="utf-8")
    started = threading.Event()
    made: list[Inside] = []
    faults: list[BaseException] = []

    async def main() -> None:
        trio.socket.set_custom_hostname_resolver(Names())
        state = await read_state(ConfigSource(path=path, explicit=True), directory, PROVIDERS)
        config = state.loaded.config
        short = evolve(config, timeouts=evolve(config.timeouts, **timeouts))
        state = evolve(state, loaded=evolve(state.loaded, config=short))
        async with opened(state, PROVIDERS) as service, trio.open_nursery() as nursery:
            sockets = open_sockets(Binding(("127.0.0.1",), 0, ""))
            [url] = await nursery.start(service.serve, app_for(service), sockets)
            made.append(Inside(service, url, trio.lowlevel.current_trio_token()))
            service.listeners.append(made[0].take)
            started.set()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as exc:
            faults.append(exc)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="server", daemon=True)
    thread.start()
    try:
        assert started.wait(START_LIMIT_S)
        if faults:
            raise faults[0]
        yield made[0]
    finally:
        if thread.is_alive():
            made[0].do(made[0].service.stop)
        thread.join(START_LIMIT_S)
    if faults:
        raise faults[0]


def yaml_of(**accounts: Any) -> str:
    """The entries of upstreams that speak chat, by name: (base URL, models, priority)."""
    lines = ["openai-compatibility:"]
    for name, (base, models, priority) in accounts.items():
        served = ", ".join(f"{{name: {model}}}" for model in models)
        lines += [
            f"  - name: {name}",
            f"    priority: {priority}",
            f'    base-url: "{base}/v1"',
            "    api-key-entries: [{api-key: any-key}]",
            f"    models: [{served}]",
        ]
    return "\n".join(lines) + "\n"
