"""The running process: start order, the tasks that outlive a request, and the stop.

The order of starting is the order of trust: configuration and credentials first, then the registry, then the
sockets, so that a server that answers at all answers with everything it has.

Tasks and owners::

    run
    └ nursery ─ signals              first: drain, second: stop at once; SIGHUP: reload
              ─ token renewal        (service.refresh)                            ┐ supervised: what
              ─ model discovery      one task for each credential with such lists │ crashes begins again
              ─ model catalogue      newer facts, if wanted (service.catalogue)   │
              ─ reload               looks for changed files (service.reload)     ┘ (service.supervise)
              ─ server               hypercorn; each connection and request has its own nursery inside

Stopping: the listener closes and ``/readyz`` turns false; requests under way go on for the drain time; what
is left shortly before its end is told so, by an error or an error frame; what is left then is cancelled.

The service knows neither the web framework nor a provider by name: it is given both.
"""

import logging
import os
import random
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

import trio
from attrs import Factory, define, field
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework

from cliproxy.catalog.registry import Candidate
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential
from cliproxy.exchange.deps import Deps
from cliproxy.exchange.ending import Ending
from cliproxy.exchange.record import ExchangeRecord
from cliproxy.net.http import Upstreams
from cliproxy.observe.metrics import Family
from cliproxy.observe.output import installed, set_debug
from cliproxy.observe.transcript import Scribe
from cliproxy.routing.runtime import RuntimeTable
from cliproxy.routing.strategies import STRATEGIES
from cliproxy.service import connection
from cliproxy.service.changes import Difference, ReloadStatus
from cliproxy.service.clientkeys import ClientKeys
from cliproxy.service.connection import Terms
from cliproxy.service.exchangelog import log_record
from cliproxy.service.ledger import Ledger
from cliproxy.service.listen import shown_url
from cliproxy.service.notify import Notifier
from cliproxy.service.refresh import TokenTable
from cliproxy.service.snapshots import Snapshots, is_listed
from cliproxy.service.supervise import Supervisor
from cliproxy.wire.jsontext import JsonValue
from cliproxy.wire.secret import Secret

logger = logging.getLogger(__name__)

HEADER_BYTES: Final = 1024
HARD_END_S: Final = 10.0
FAREWELL_S: Final = 2.0
"""How long before the end of the drain time requests are told that they will not finish."""
NO_LIMIT: Final = 2**31 - 1
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
RELOAD_SIGNAL: Final = getattr(signal, "SIGHUP", None)
"""Not every system has it."""


@define(eq=False, kw_only=True)
class Service:
    """What a running server consists of. Built by :func:`cliproxy.service.run.opened`."""

    snapshots: Snapshots
    upstreams: Upstreams
    tokens: TokenTable
    runtime: RuntimeTable = field(factory=RuntimeTable)
    rng: random.Random = field(factory=random.SystemRandom)
    ending: Ending = field(factory=Ending)
    jobs: Supervisor = Factory(lambda self: Supervisor(self.rng), takes_self=True)
    """What runs beside the requests, and how it is."""
    manager: Notifier = field(factory=Notifier)
    """The service manager, if the server was started by one."""
    ledger: Ledger | None = field(default=None, init=False)
    """Keeps usage, pauses and counters on disk, while a server runs."""
    client_keys: ClientKeys = field(factory=ClientKeys, init=False)
    """What the keys of clients have used."""
    is_stopping: bool = field(default=False, init=False)
    reload_status: ReloadStatus = field(factory=ReloadStatus, init=False)
    """What became of changed files; written by :mod:`cliproxy.service.reload`."""
    reload_wanted: trio.Event = field(factory=trio.Event, init=False)
    """Set when somebody does not want to wait for the next look at the files."""
    listeners: list[Callable[[ExchangeRecord], None]] = field(factory=lambda: [log_record], init=False)
    """Told of every finished exchange, at once and in this order; they must not wait."""
    on_config: list[Callable[[Config], None]] = field(factory=list, init=False)
    """Told of every configuration that is taken over, where reading the current one is not possible."""
    scribe: Scribe | None = field(default=None, init=False)
    """Writes requests down, where the owner wants that; set by :mod:`cliproxy.service.logfiles`."""
    figures: list[Callable[[], Iterable[Family]]] = field(factory=list, init=False)
    """Asked for what they have to show to a monitoring system, beside :mod:`cliproxy.service.metrics`."""
    checks: dict[str, Callable[[], JsonValue]] = field(factory=dict, init=False)
    """Asked how they are when somebody wants to know in detail, by name."""
    _http: Terms = field(factory=Terms, init=False)
    _stop: trio.Event = field(factory=trio.Event, init=False)

    @property
    def config(self) -> Config:
        """The current configuration."""
        return self.snapshots.current().config

    def deps(self) -> Deps:
        """Return what exchanges see of this service."""
        return Deps(
            snapshot=self.snapshots.current,
            upstreams=self.upstreams,
            tokens=self.tokens,
            runtime=self.runtime,
            record=self._tell,
            wall=time.time,
            monotonic=trio.current_time,
            rng=self.rng,
            ending=self.ending,
        )

    def _tell(self, record: ExchangeRecord) -> None:
        """Tell everybody of a finished exchange; a fault of one keeps it from nobody else."""
        for listener in self.listeners:
            try:
                listener(record)
            except Exception:
                logger.exception("a finished exchange was not taken in request_id=%s", record.request_id)

    def is_usable(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps its model in the lists: it could be picked, or will be before long."""
        credential = candidate.credential
        return (
            STRATEGIES[self.config.routing.strategy].weight(credential) > 0
            and not self.tokens.is_dead(credential.account)
            and is_listed(candidate, self.runtime, trio.current_time())
        )

    def replace(self, config: Config, credentials: Sequence[Credential], differing: Difference) -> None:
        """Go on with another configuration and other credentials; ``differing`` says which are others.

        Requests under way keep what they started with. What is known about the other credentials stays.
        """
        before = self.config
        self.snapshots.replace(config, credentials)
        self.tokens.sync(credentials)
        alive = self.snapshots.ids()
        self.runtime.forget(alive)
        changed = set(differing.changed)
        parts = [part for c in credentials if c.id in changed for part in self.snapshots.parts(c)]
        self.runtime.reconsider([*changed, *(part.id for part in parts)])
        for credential in changed:
            self.tokens.forgive(credential)
        if config != before:
            self._reconfigure(before, config)

    def _reconfigure(self, before: Config, config: Config) -> None:
        self.upstreams.use_proxy(proxy_of(config))
        self.tokens.allow(config.auth_auto_refresh_workers)
        set_bounds(self._http, config)
        if config.debug != before.debug:
            set_debug(debug=config.debug)
        if config.log_format != before.log_format and (output := installed()) is not None:
            output.use_form(config.log_format)
        for tell in self.on_config:
            tell(config)

    def reload(self) -> None:
        """Look for changed files now."""
        self.manager.reloading()
        self.reload_wanted.set()

    def stop(self) -> None:
        """Begin to stop: no new connections; requests under way may finish within the drain time."""
        self.is_stopping = True
        self.manager.stopping(f"open requests have {self.config.timeouts.drain_seconds:g} s")
        self._stop.set()

    async def serve(
        self,
        app: ASGIFramework,
        sockets: list[socket.socket],
        *,
        task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve an application on listening sockets until :meth:`stop`. ``started`` reports the URLs.

        The sockets are taken over and closed at the end.
        """
        config = self._http = hypercorn_config(self.config, sockets)
        scheme = "https" if self.config.tls.enable else "http"
        urls = [shown_url(sock, scheme) for sock in sockets]
        for sock in sockets:
            sock.detach()
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_app, app, config, self._stop.wait)
            task_status.started(urls)

    async def enforce_the_end(self) -> None:
        """End what is still under way shortly before the drain time is over, and the process when something
        holds it afterwards.

        The ASGI server writes to its clients under a shield without a deadline; where the system does not
        end the connection of a client that has stopped reading, nothing else would.
        """
        await self._stop.wait()
        drain = self.config.timeouts.drain_seconds
        farewell = min(FAREWELL_S, drain / 2)
        await trio.sleep(drain - farewell)
        self.ending.end()
        await trio.sleep(farewell + HARD_END_S)
        logger.error("ending the process: a connection could not be closed within the drain time")
        logging.shutdown()
        os._exit(1)

    async def watch_signals(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Stop on the first SIGINT or SIGTERM; on the second raise ``KeyboardInterrupt``, which ends
        everything at once. SIGHUP means a reload, or that the terminal was closed which the server ran in."""
        had_terminal = is_terminal()
        hangup = () if RELOAD_SIGNAL is None else (RELOAD_SIGNAL,)
        with trio.open_signal_receiver(*STOP_SIGNALS, *hangup) as received:
            task_status.started()
            async for number in received:
                if number == RELOAD_SIGNAL and not (had_terminal and not is_terminal()):
                    logger.info("reading configuration and credentials again on %s", "SIGHUP")
                    self.reload()
                    continue
                if self.is_stopping:
                    # What is cut off now is cut off by us, and its record says so.
                    self.ending.end()
                    raise KeyboardInterrupt
                drain, name = self.config.timeouts.drain_seconds, signal.Signals(number).name
                logger.info("stopping on %s; open requests have %g s, or until a second signal", name, drain)
                self.stop()


def is_terminal() -> bool:
    """Whether standard input is a terminal that is still there."""
    return os.isatty(0)


def proxy_of(config: Config) -> Secret | None:
    """Return the global proxy; ``None`` lets the environment decide."""
    return config.proxy_url or None


async def serve_app(  # noqa: ASYNC128 - the task status is handed on
    app: ASGIFramework,
    config: Terms,
    stopped: Callable[[], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run hypercorn until ``stopped`` returns."""
    connection.install()
    await serve(app, config, shutdown_trigger=stopped, task_status=task_status, mode="asgi")


def hypercorn_config(config: Config, sockets: list[socket.socket]) -> Terms:
    """Translate our configuration; every default of hypercorn that matters is set here and nowhere else."""
    result = Terms()
    result.bind = [f"fd://{sock.fileno()}" for sock in sockets]
    result.backlog = 1024
    result.keep_alive_max_requests = NO_LIMIT
    result.websocket_ping_interval = 30
    result.max_app_queue_size = 10
    result.include_server_header = False
    result.accesslog = None
    result.errorlog = None
    if config.tls.enable:
        result.certfile = config.tls.cert
        result.keyfile = config.tls.key
    set_bounds(result, config)
    return result


def set_bounds(result: Terms, config: Config) -> None:
    """Set what hypercorn looks up whenever it is needed, so that it can be changed while it runs."""
    times, limits = config.timeouts, config.limits
    result.graceful_timeout = times.drain_seconds
    result.shutdown_timeout = times.drain_seconds
    result.keep_alive_timeout = times.keep_alive_seconds
    result.header_timeout = result.ssl_handshake_timeout = times.header_seconds
    result.most_connections = limits.connections
    result.h11_max_incomplete_size = limits.header_kb * HEADER_BYTES
    result.h2_max_header_list_size = limits.header_kb * HEADER_BYTES
    result.websocket_max_message_size = limits.websocket_message_mb * 1024 * 1024
