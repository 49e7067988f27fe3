"""Start everything in the right order, keep it running, and take it down again.

The order of starting is the order of trust: configuration and credentials first, then the registry, then the
sockets, so that a server that answers at all answers with everything it has.

Renewals of tokens live in a nursery *outside* the one that serves requests: when the requests have ended, a
renewal under way (its refresh token may be used up already) still gets its moment to reach the disk.
"""

import logging
import os
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio
from attrs import field, frozen
from hypercorn.typing import ASGIFramework

from cliproxy.credentials.files import codec_table, decode_credential, merge_tokens, to_bytes
from cliproxy.credentials.model import Credential, CredentialKind
from cliproxy.errors import CredentialError
from cliproxy.login.clients import ClientSource, OAuthClient
from cliproxy.net.http import Upstreams
from cliproxy.providers.base import Provider
from cliproxy.service.catalogue import CatalogueKeeper
from cliproxy.service.clients import finder
from cliproxy.service.discovery import Discovery
from cliproxy.service.ledger import Ledger
from cliproxy.service.listen import Binding
from cliproxy.service.logfiles import log_files
from cliproxy.service.notify import notifier_of
from cliproxy.service.refresh import Persist, Reread, TokenTable
from cliproxy.service.reload import Reloader
from cliproxy.service.service import Service, proxy_of
from cliproxy.service.snapshots import Snapshots
from cliproxy.service.state import Source, State, database_path
from cliproxy.stores.base import Store
from cliproxy.stores.state import StateFile
from cliproxy.wire.jsontext import JsonError, JsonValue, loads_object

logger = logging.getLogger(__name__)

SAVE_LIMIT_S: Final = 5.0
"""How long the end waits for the ledger."""

MakeApp = Callable[[Service], ASGIFramework]


@frozen(kw_only=True)
class Options:
    """What to run. ``extra`` are credentials that no file holds, such as the demo's."""

    state: State
    providers: Sequence[Provider]
    binding: Binding
    make_app: MakeApp
    sockets: Sequence[socket.socket] = field(repr=False)
    extra: tuple[Credential, ...] = ()
    read_config: Callable[[], Awaitable[Source]] | None = None
    """Reads the configuration once more, flags included; without it, changed files are not looked for."""


@asynccontextmanager
async def opened(
    state: State, providers: Sequence[Provider], extra: Sequence[Credential] = ()
) -> AsyncIterator[Service]:
    """Build a service and run its renewals; leaving ends them. The server itself is not started."""
    by_key = {provider.key: provider for provider in providers}
    config = state.loaded.config
    credentials = [*state.credentials, *extra]
    snapshots = Snapshots(by_key, config, credentials)

    async def find_client(source: ClientSource) -> OAuthClient:
        return await finder(os.environ, snapshots.current().config.oauth_clients)(source)

    memory = {name: upstream for provider in providers for name, upstream in provider.memory.items()}
    async with Upstreams(memory, proxy_of(config)) as upstreams, trio.open_nursery() as renewals:
        tokens = TokenTable(
            nursery=renewals,
            providers=by_key,
            fetcher=upstreams,
            persist=persister(state.store),
            reread=rereader(state.store, providers),
            exclusive=lambda credential: state.store.lock(credential.source),
            client=find_client,
            wall=time.time,
            monotonic=trio.current_time,
            rng=random.SystemRandom(),
        )
        tokens.allow(config.auth_auto_refresh_workers)
        tokens.sync(credentials)
        manager = notifier_of(os.environ)
        yield Service(snapshots=snapshots, upstreams=upstreams, tokens=tokens, manager=manager)
        renewals.cancel_scope.cancel(reason="the service ends")


async def run_server(
    options: Options, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until stopped by a signal. ``started`` reports the URLs."""
    async with (
        opened(options.state, options.providers, options.extra) as service,
        log_files(service, options.state.store),
        keeping(service, database_path(options.state.store, options.state.loaded.config)) as ledger,
    ):
        app = options.make_app(service)
        async with trio.open_nursery() as nursery:
            await nursery.start(service.watch_signals)
            nursery.start_soon(service.enforce_the_end)
            discovery = Discovery(service)
            jobs: dict[str, Callable[[], Awaitable[object]]] = {
                "ledger": ledger.run,
                "token-renewal": service.tokens.run,
                "discovery": discovery.run,
                "model-catalog": CatalogueKeeper(service).run,
                "watchdog": service.manager.keep_alive,
            }
            if options.read_config is not None:
                reloader = Reloader(
                    service=service,
                    state=options.state,
                    providers=options.providers,
                    binding=options.binding,
                    extra=options.extra,
                    read_config=options.read_config,
                    review=discovery.review,
                )
                jobs["reload"] = reloader.run
            for name, job in jobs.items():
                nursery.start_soon(service.jobs.supervised, name, job, name=name)
            urls = await nursery.start(
                start_and_stop, service, app, list(options.sockets), nursery.cancel_scope
            )
            service.manager.ready("serving")
            task_status.started(urls)


@asynccontextmanager
async def keeping(service: Service, path: Path) -> AsyncIterator[Ledger]:
    """Give a service a ledger, with what it had before the last stop; leaving saves what is in memory, in
    limited time and whatever has been cancelled. Its job is run by the caller."""
    ledger = Ledger(
        file=StateFile(path),
        snapshots=service.snapshots,
        runtime=service.runtime,
        wall=time.time,
        monotonic=trio.current_time,
    )
    await ledger.open()
    service.ledger = ledger
    service.listeners.append(ledger.record)
    service.client_keys.restore(ledger.load_counters())
    service.client_keys.keep = ledger.save_counters
    service.client_keys.is_kept = lambda: ledger.statistics().trouble is None
    ledger.on_late_open.append(lambda: service.client_keys.restore(ledger.load_counters()))
    try:
        yield ledger
    finally:
        with trio.move_on_after(SAVE_LIMIT_S, shield=True):
            await ledger.close()
        ledger.farewell()


async def start_and_stop(  # noqa: ASYNC128 - the task status is handed on
    service: Service,
    app: ASGIFramework,
    sockets: list[socket.socket],
    scope: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve, and end the other tasks when serving has ended."""
    await service.serve(app, sockets, task_status=task_status)
    scope.cancel(reason="the server has stopped")


def persister(store: Store) -> Persist:
    """Return a function that merges new tokens into a credential's file as it is at that moment.

    Its caller holds the file's lock.
    """

    async def persist(credential: Credential, patch: Mapping[str, JsonValue]) -> None:
        present = await store.read_credential(credential.source)
        if present is None:
            raise CredentialError(f"{credential.source}: the file is gone; the new tokens are not saved")
        try:
            merged = merge_tokens(loads_object(present.content), patch)
        except JsonError as exc:
            raise CredentialError(f"{credential.source}: is not a JSON object any more: {exc}") from exc
        await store.write_credential(credential.source, to_bytes(merged))

    return persist


def rereader(store: Store, providers: Sequence[Provider]) -> Reread:
    """Return a function that reads a credential's file again."""
    codecs = codec_table(provider.codec for provider in providers if provider.codec is not None)

    async def reread(credential: Credential) -> Credential | None:
        if credential.kind is not CredentialKind.ACCOUNT:
            await trio.lowlevel.checkpoint()
            return None
        stored = await store.read_credential(credential.source)
        if stored is None:
            return None
        return decode_credential(stored.name, stored.content, codecs).credential

    return reread
