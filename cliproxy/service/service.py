"""The running process: start order, the tasks that outlive a request, and the stop.

The order of starting is the order of trust: configuration and credentials first, then the registry, then the
sockets, so that a server that answers at all answers with everything it has.

Tasks and owners::

    run
    └ nursery ─ signals              first: drain, second: stop at once
              ─ token renewal        (service.refresh)
              ─ model discovery      one task for each credential whose provider can list its models
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
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from attrs import define, field
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework

from cliproxy.catalog.registry import Candidate
from cliproxy.config.model import Config
from cliproxy.exchange.deps import Deps
from cliproxy.exchange.ending import Ending
from cliproxy.exchange.record import ExchangeRecord, Outcome
from cliproxy.net.http import Upstreams
from cliproxy.routing.select import RuntimeTable
from cliproxy.service import connection
from cliproxy.service.listen import shown_url
from cliproxy.service.refresh import TokenTable
from cliproxy.service.snapshots import Snapshots, is_listed

logger = logging.getLogger(__name__)

HEADER_BYTES: Final = 1024
HARD_END_S: Final = 10.0
FAREWELL_S: Final = 2.0
"""How long before the end of the drain time requests are told that they will not finish."""
NO_LIMIT: Final = 2**31 - 1


@define(eq=False, kw_only=True)
class Service:
    """What a running server consists of. Built by :func:`cliproxy.service.run.opened`."""

    snapshots: Snapshots
    upstreams: Upstreams
    tokens: TokenTable
    runtime: RuntimeTable = field(factory=RuntimeTable)
    rng: random.Random = field(factory=random.SystemRandom)
    ending: Ending = field(factory=Ending)
    is_stopping: bool = field(default=False, init=False)
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
            record=log_record,
            wall=time.time,
            monotonic=trio.current_time,
            rng=self.rng,
            ending=self.ending,
        )

    def is_ready(self) -> bool:
        """Whether requests can be served."""
        return not self.is_stopping and len(self.snapshots.current().registry) > 0

    def is_usable(self, candidate: Candidate) -> bool:
        """Whether a candidate keeps its model in the lists."""
        return is_listed(candidate, self.runtime, trio.current_time())

    def stop(self) -> None:
        """Begin to stop: no new connections; requests under way may finish within the drain time."""
        self.is_stopping = True
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
        config = hypercorn_config(self.config, sockets)
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
        everything at once."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            task_status.started()
            async for number in received:
                if self.is_stopping:
                    raise KeyboardInterrupt
                drain = self.config.timeouts.drain_seconds
                logger.info("stopping on %s; open requests have %g s", signal.Signals(number).name, drain)
                self.stop()


async def serve_app(  # noqa: ASYNC128 - the task status is handed on
    app: ASGIFramework,
    config: HypercornConfig,
    stopped: Callable[[], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run hypercorn until ``stopped`` returns."""
    connection.install()
    await serve(app, config, shutdown_trigger=stopped, task_status=task_status, mode="asgi")


def hypercorn_config(config: Config, sockets: list[socket.socket]) -> HypercornConfig:
    """Translate our configuration; every default of hypercorn that matters is set here and nowhere else."""
    times = config.timeouts
    result = HypercornConfig()
    result.bind = [f"fd://{sock.fileno()}" for sock in sockets]
    result.backlog = 1024
    result.graceful_timeout = times.drain_seconds
    result.shutdown_timeout = times.drain_seconds
    result.keep_alive_timeout = times.keep_alive_seconds
    result.keep_alive_max_requests = NO_LIMIT
    result.h11_max_incomplete_size = config.limits.header_kb * HEADER_BYTES
    result.h2_max_header_list_size = config.limits.header_kb * HEADER_BYTES
    result.websocket_max_message_size = config.limits.websocket_message_mb * 1024 * 1024
    result.websocket_ping_interval = 30
    result.max_app_queue_size = 10
    result.include_server_header = False
    result.accesslog = None
    result.errorlog = None
    if config.tls.enable:
        result.certfile = config.tls.cert
        result.keyfile = config.tls.key
    return result


def log_record(record: ExchangeRecord) -> None:
    """Write one line about an exchange that did not simply succeed."""
    if record.notes:
        logger.debug("not carried request_id=%s %s", record.request_id, "; ".join(record.notes))
    if record.outcome is Outcome.OK:
        return
    last = record.attempts[-1] if record.attempts else None
    logger.log(
        logging.INFO if record.outcome is Outcome.CANCELLED else logging.WARNING,
        "exchange %s request_id=%s model=%s status=%d kind=%s attempts=%d provider=%s after=%.2fs cause=%s",
        record.outcome,
        record.request_id,
        record.model,
        record.status,
        record.kind or "-",
        len(record.attempts),
        last.provider if last else "-",
        record.duration,
        last.failure.message if last and last.failure else "-",
    )
