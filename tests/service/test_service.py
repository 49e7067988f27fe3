"""The running process: what it serves with, how it stops, and what it writes about exchanges."""

import logging
import os
import random
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import trio
import trio.testing
import trustme
from attrs import evolve

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.groups import WEIGHTED_ROUND_ROBIN, Limits, Routing, Timeouts, Tls
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, CredentialId
from cliproxy.errors import Kind
from cliproxy.exchange.record import ExchangeRecord, Outcome
from cliproxy.net.http import Upstreams
from cliproxy.providers.base import Provider
from cliproxy.routing.cooldown import RuntimeState
from cliproxy.routing.runtime import credential_place, model_place
from cliproxy.service.changes import Difference, difference
from cliproxy.service.listen import Binding, open_sockets
from cliproxy.service.service import HARD_END_S, Service, hypercorn_config
from cliproxy.service.snapshots import Snapshots
from cliproxy.wire.http import HttpCall
from cliproxy.wire.secret import Secret
from support import upstream
from support.lifespan import lived
from support.records import record
from support.routes import credential

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
PROVIDER = Provider(
    key="p",
    label="P",
    contracts_for=lambda _credential, _model, _action: (),
    static_models=lambda _credential: (ModelInfo(id="m"),),
)


def service(config: Config | None = None, names: str = "a", tokens: "Tokens | None" = None) -> Service:
    credentials = [credential(name) for name in names]
    return Service(
        snapshots=Snapshots({"p": PROVIDER}, config or Config(), credentials),
        upstreams=Upstreams(),
        tokens=tokens,  # type: ignore[arg-type]  # nobody here asks for a token
        rng=random.Random(1),
    )


class Tokens:
    """Remembers what it was told."""

    def __init__(self, *dead: str) -> None:
        self._dead = dead
        self.known: list[Credential] = []
        self.forgiven: list[str] = []
        self.allowed: list[int] = []

    def allow(self, renewals: int) -> None:
        self.allowed.append(renewals)

    def sync(self, credentials: Iterable[Credential]) -> None:
        self.known = list(credentials)

    def is_dead(self, wanted: CredentialId) -> bool:
        return wanted in self._dead

    def forgive(self, wanted: CredentialId) -> None:
        self.forgiven.append(wanted)


class Page:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = trio.Event()
        self.asked = trio.Event()
        self.versions: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if await lived(scope, receive, send):
            return
        self.versions.append(scope["http_version"])
        self.asked.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done", "more_body": False})


@asynccontextmanager
async def serving(subject: Service, page: Page) -> AsyncIterator[str]:
    """Serve over a real socket until the block ends; the address."""
    sockets = open_sockets(Binding(("127.0.0.1",), 0, ""))
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(subject.serve, page, sockets)
            yield url
            subject.stop()


# --- serving and stopping -------------------------------------------------------------------------


async def test_requests_are_served_and_those_under_way_may_finish() -> None:
    subject, page = service(), Page()
    answers: list[httpx.Response] = []

    async def get(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answers.append(await client.get(url))

    async with serving(subject, page) as url, trio.open_nursery() as nursery:
        nursery.start_soon(get, url)
        await page.asked.wait()
        subject.stop()
        assert subject.is_stopping
        page.may_answer.set()
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "done")]
    assert "server" not in answers[0].headers


async def test_the_drain_time_begins_with_the_stop_however_long_the_server_has_run() -> None:
    subject, page = service(Config(timeouts=Timeouts(drain_seconds=1.0))), Page()
    answers: list[httpx.Response] = []

    async def get(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            answers.append(await client.get(url))

    async with serving(subject, page) as url, trio.open_nursery() as nursery:
        await trio.sleep(1.2)
        nursery.start_soon(get, url)
        await page.asked.wait()
        subject.stop()
        await trio.sleep(0.2)
        page.may_answer.set()
    assert [answer.status_code for answer in answers] == [200]


async def test_nobody_is_served_after_the_stop() -> None:
    subject, page = service(), Page()
    async with serving(subject, page) as url:
        pass
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_what_does_not_end_within_the_drain_time_is_ended() -> None:
    subject, page = service(Config(timeouts=Timeouts(drain_seconds=0.2))), Page()

    async def get(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(url)

    async with serving(subject, page) as url, trio.open_nursery() as nursery:
        nursery.start_soon(get, url)
        await page.asked.wait()
        subject.stop()


async def test_https_speaks_both_versions_of_the_protocol(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    tls = Tls(enable=True, cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    subject, page = service(Config(tls=tls)), Page()
    page.may_answer.set()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with serving(subject, page) as url:
        assert url.startswith("https://127.0.0.1:")
        for http2 in (True, False):
            async with httpx.AsyncClient(http2=http2, verify=context, trust_env=False) as client:
                assert (await client.get(url)).text == "done"
    assert page.versions == ["2", "1.1"]


@posix_only
async def test_the_first_signal_drains_and_the_second_interrupts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    subject = service(Config(timeouts=Timeouts(drain_seconds=12)))
    with pytest.RaisesGroup(KeyboardInterrupt):
        async with trio.open_nursery() as nursery:
            await nursery.start(subject.watch_signals)
            signal.raise_signal(signal.SIGTERM)
            await trio.testing.wait_all_tasks_blocked()
            assert subject.is_stopping
            assert "stopping on SIGTERM; open requests have 12 s, or until a second signal" in caplog.text
            signal.raise_signal(signal.SIGINT)
            await trio.sleep(10)


async def test_a_process_that_cannot_end_is_ended(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[tuple[float, int]] = []
    monkeypatch.setattr(os, "_exit", lambda code: ended.append((trio.current_time(), code)))
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    subject = service(Config(timeouts=Timeouts(drain_seconds=5)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.enforce_the_end)
        await trio.sleep(100)
        assert ended == []
        subject.stop()
    assert ended == [(105 + HARD_END_S, 1)]


# --- what it consists of --------------------------------------------------------------------------


async def test_exchanges_see_the_current_state() -> None:
    subject = service()
    deps = subject.deps()
    assert deps.snapshot().config.port == 8317
    subject.snapshots.replace(Config(port=1), [])
    assert deps.snapshot().config.port == 1 == subject.config.port
    assert deps.runtime is subject.runtime
    assert deps.monotonic() == pytest.approx(trio.current_time(), abs=1)


async def test_a_model_in_trouble_is_not_listed() -> None:
    subject = service(tokens=Tokens())
    [candidate] = subject.snapshots.current().registry.candidates("m")
    assert subject.is_usable(candidate)
    until = trio.current_time() + 1000
    subject.runtime.put(model_place(candidate), RuntimeState(until=until, failures=1, kind=Kind.PERMISSION))
    assert not subject.is_usable(candidate)


async def test_a_model_of_dead_accounts_is_not_listed() -> None:
    subject = service(names="ab", tokens=Tokens("a"))
    a, b = subject.snapshots.current().registry.candidates("m")
    assert not subject.is_usable(a)
    assert subject.is_usable(b)


async def test_a_model_of_accounts_that_take_no_part_is_not_listed() -> None:
    config = Config(routing=Routing(strategy=WEIGHTED_ROUND_ROBIN))
    subject = service(config, tokens=Tokens())
    subject.snapshots.replace(config, [credential("a", weight=0), credential("b")])
    a, b = subject.snapshots.current().registry.candidates("m")
    assert not subject.is_usable(a)
    assert subject.is_usable(b)


def test_every_limit_of_ours_reaches_the_server() -> None:
    config = Config(
        limits=Limits(header_kb=8, websocket_message_mb=2),
        timeouts=Timeouts(drain_seconds=7, keep_alive_seconds=9),
    )
    with socket.socket() as sock:
        made = hypercorn_config(config, [sock])
        assert made.bind == [f"fd://{sock.fileno()}"]
    assert made.graceful_timeout == made.shutdown_timeout == 7
    assert made.keep_alive_timeout == 9
    assert made.h11_max_incomplete_size == made.h2_max_header_list_size == 8192
    assert made.websocket_max_message_size == 2 * 1024 * 1024
    assert not made.include_server_header
    assert (made.accesslog, made.errorlog, made.certfile) == (None, None, None)


# --- records --------------------------------------------------------------------------------------


def test_every_listener_is_told_whatever_the_others_do(caplog: pytest.LogCaptureFixture) -> None:
    subject, heard = service(), list[ExchangeRecord]()

    def broken(_record: ExchangeRecord) -> None:
        raise OSError("no space left")

    subject.listeners += [broken, heard.append]
    told = record(Outcome.OK)
    subject.deps().record(told)
    assert heard == [told]
    [line] = caplog.records
    assert line.message == "a finished exchange was not taken in request_id=req-1"


# --- other settings while it runs -----------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the signal of POSIX systems")
async def test_a_hangup_asks_for_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it was the terminal that hung up."""
    is_there = [True]
    monkeypatch.setattr(os, "isatty", lambda _descriptor: is_there[0])
    subject = service()
    async with trio.open_nursery() as nursery:
        await nursery.start(subject.watch_signals)
        signal.raise_signal(signal.SIGHUP)
        await subject.reload_wanted.wait()
        assert not subject.is_stopping
        is_there[0] = False
        signal.raise_signal(signal.SIGHUP)
        await trio.testing.wait_all_tasks_blocked()
        assert subject.is_stopping
        nursery.cancel_scope.cancel()


async def test_a_shorter_drain_time_holds_for_requests_under_way() -> None:
    subject, page = service(Config(timeouts=Timeouts(drain_seconds=60))), Page()
    subject.tokens = Tokens()  # type: ignore[assignment]

    async def get(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            with pytest.raises(httpx.HTTPError):
                await client.get(url)

    async with serving(subject, page) as url, trio.open_nursery() as nursery:
        nursery.start_soon(get, url)
        await page.asked.wait()
        changed = Config(timeouts=Timeouts(drain_seconds=0.2))
        subject.replace(changed, [credential("a")], Difference())
        subject.stop()


async def test_the_state_of_what_did_not_change_is_kept() -> None:
    subject = service(names="abc")
    tokens = subject.tokens = Tokens()  # type: ignore[assignment]
    failed = RuntimeState(until=10**9, failures=1, kind=Kind.AUTHENTICATION)
    for name in "abc":
        subject.runtime.put(credential_place(CredentialId(name)), failed)
    told: list[Config] = []
    subject.on_config.append(told.append)
    now = [credential("a"), credential("b", priority=1)]
    subject.replace(subject.config, now, difference([credential(name) for name in "abc"], now))
    kept = [subject.runtime.state(credential_place(CredentialId(name))).failures for name in "abc"]
    assert kept == [1, 0, 0]
    assert tokens.forgiven == ["b"]
    assert [each.id for each in tokens.known] == ["a", "b"]
    assert told == []


async def test_connections_to_upstreams_outlive_a_change() -> None:
    """Also those of streams under way, and those that wait for the next request."""
    async with upstream.serving(upstream.sends(upstream.body(b"hello"))) as server, Upstreams() as upstreams:
        subject = evolve(service(names="ab"), upstreams=upstreams)
        subject.tokens = Tokens()  # type: ignore[assignment]
        call = HttpCall(method="GET", url=server.url, proxy_url=Secret("direct"))
        async with upstreams.open(call) as under_way:
            await upstreams.fetch(call)
            assert server.connections == 2
            now = [credential("a"), credential("b", priority=1), credential("c")]
            config = Config(request_retry=9, timeouts=Timeouts(drain_seconds=9))
            subject.replace(config, now, difference([credential("a"), credential("b")], now))
            await upstreams.fetch(call)
            assert await under_way.read_all(100) == b"hello"
        assert server.connections == 2
