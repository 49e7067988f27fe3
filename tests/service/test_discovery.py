"""Asking for models: how often, what is served meanwhile, and what goes wrong without anybody noticing."""

import logging
import random
from collections.abc import Callable, Mapping

import pytest
import trio
import trio.testing
from attrs import define, field

from cliproxy.catalog.model import ModelInfo
from cliproxy.config.model import Config
from cliproxy.credentials.model import Credential, ModelEntry, Token, TokenSlot
from cliproxy.errors import Kind, LoginError, TransportError
from cliproxy.login.steps import Flow, Note, Send
from cliproxy.providers.base import Provider
from cliproxy.service.discovery import AGAIN_S, CONCURRENT, RETRY_S, Discovery, discover, is_asked
from cliproxy.service.service import Service
from cliproxy.service.snapshots import Snapshots
from cliproxy.wire.http import HttpAnswer, HttpCall
from cliproxy.wire.jsontext import dumps, loads_object, strings
from cliproxy.wire.secret import Secret
from support.routes import credential

Clock = trio.testing.MockClock


def ask(wanted: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    """A provider's discovery: one request, a list of names."""
    yield Note("asking")
    answer = yield Send(HttpCall(method="GET", url=f"https://{wanted.id}.example/models"))
    if answer.status != 200:
        raise LoginError("not today", code="unavailable", retry_after=answer.status)
    return tuple(ModelInfo(id=name) for name in strings(loads_object(answer.body), "models"))


@define
class Vendor:
    """What the upstream answers, and what it was asked."""

    answer: Callable[[HttpCall], HttpAnswer]
    asked: list[tuple[float, str]] = field(factory=list)
    slow_s: float = 0.0
    running: int = 0
    most: int = 0

    async def fetch(self, call: HttpCall) -> HttpAnswer:
        self.asked.append((trio.current_time(), call.url.removeprefix("https://").partition(".")[0]))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await trio.sleep(self.slow_s)
        finally:
            self.running -= 1
        return self.answer(call)


@define
class Tokens:
    """Hands out tokens, or does not."""

    failure: LoginError | None = None
    wanted: list[TokenSlot] = field(factory=list)

    async def ensure_fresh(self, _credential: Credential, slot: TokenSlot) -> Token:
        self.wanted.append(slot)
        if self.failure is not None:
            raise self.failure
        return Token(value=Secret("t"))


def models(*names: str) -> Callable[[HttpCall], HttpAnswer]:
    return lambda _call: HttpAnswer(status=200, body=dumps({"models": list(names)}))


def service(
    vendor: Vendor, *credentials: Credential, tokens: Tokens | None = None, **facts: object
) -> Service:
    provider = Provider(
        **{
            "key": "p",
            "label": "P",
            "contracts_for": lambda _credential, _model, _action: (),
            "static_models": lambda _credential: (ModelInfo(id="static"),),
            "discover": ask,
            **facts,
        }  # type: ignore[arg-type]
    )
    return Service(
        snapshots=Snapshots({"p": provider}, Config(), credentials or (credential("a"),)),
        upstreams=vendor,  # type: ignore[arg-type]
        tokens=tokens or Tokens(),  # type: ignore[arg-type]
        rng=random.Random(1),
    )


def names(subject: Service) -> list[str]:
    return subject.snapshots.current().registry.names()


async def run_for(subject: Service, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await Discovery(subject).run()


async def test_what_is_found_is_served_and_asked_for_again(autojump_clock: Clock) -> None:
    vendor = Vendor(models("one", "two"), slow_s=1.0)
    subject = service(vendor)
    assert names(subject) == ["static"]
    await run_for(subject, 3)
    assert names(subject) == ["one", "two"]
    vendor.answer = models("three")
    await run_for(subject, AGAIN_S * 1.2)
    assert names(subject) == ["three"]
    first, second = [at for at, _ in vendor.asked[1:]]
    assert AGAIN_S <= second - first <= AGAIN_S * 1.11


async def test_a_failure_is_logged_once_and_tried_again(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    vendor = Vendor(lambda _call: HttpAnswer(status=0))
    subject = service(vendor)
    await run_for(subject, RETRY_S * 3.5)
    assert len(vendor.asked) == 4
    assert names(subject) == ["static"]
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "models not listed credential=a cause=not today"
    ]


async def test_the_upstreams_wish_to_wait_is_respected(autojump_clock: Clock) -> None:
    vendor = Vendor(lambda _call: HttpAnswer(status=3000))
    await run_for(service(vendor), 2900)
    assert len(vendor.asked) == 1


async def test_a_provider_that_stumbles_takes_nobody_down(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(call: HttpCall) -> HttpAnswer:
        if "//a." in call.url:
            raise RuntimeError("a fault of ours")
        return HttpAnswer(status=200, body=dumps({"models": ["found"]}))

    subject = service(Vendor(answer), credential("a"), credential("b"))
    await run_for(subject, 5)
    assert names(subject) == ["found", "static"]
    assert "a fault of ours" in caplog.text


async def test_a_broken_connection_is_a_failure_like_any_other(autojump_clock: Clock) -> None:
    def answer(_call: HttpCall) -> HttpAnswer:
        raise TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")

    subject = service(Vendor(answer))
    with pytest.raises(LoginError, match="reset"):
        await discover(subject, subject.snapshots.providers["p"], credential("a"))


async def test_the_needed_token_is_had_first() -> None:
    tokens = Tokens()
    subject = service(Vendor(models("x")), tokens=tokens, discover_needs=TokenSlot.ACCOUNT)
    found = await discover(subject, subject.snapshots.providers["p"], credential("a"))
    assert [model.id for model in found] == ["x"]
    assert tokens.wanted == [TokenSlot.ACCOUNT]
    tokens.failure = LoginError("log in again", code="invalid_grant")
    with pytest.raises(LoginError, match="log in again"):
        await discover(subject, subject.snapshots.providers["p"], credential("a"))


async def test_only_a_few_are_asked_at_the_same_time(autojump_clock: Clock) -> None:
    vendor = Vendor(models("x"), slow_s=10)
    await run_for(service(vendor, *[credential(f"c{number}") for number in range(40)]), 60)
    assert vendor.most == CONCURRENT
    assert len(vendor.asked) == 40


@pytest.mark.parametrize(
    ("settings", "facts", "asked"),
    [
        ({}, {}, True),
        ({"disabled": True}, {}, False),
        ({"models": (ModelEntry(name="own"),)}, {}, False),
        ({}, {"discover": None}, False),
    ],
)
async def test_only_those_with_something_to_ask_are_asked(
    autojump_clock: Clock, settings: dict[str, object], facts: dict[str, object], asked: bool
) -> None:
    vendor = Vendor(models("x"))
    wanted = credential("a", **settings)
    subject = service(vendor, wanted, **facts)
    await run_for(subject, 10)
    assert bool(vendor.asked) is asked
    assert is_asked(subject, wanted) is asked


async def test_a_provider_without_discovery_has_nothing_to_say() -> None:
    subject = service(Vendor(models("x")), discover=None)
    assert await discover(subject, subject.snapshots.providers["p"], credential("a")) == ()


async def test_only_what_differs_is_asked_about_again(autojump_clock: Clock) -> None:
    vendor = Vendor(models("one"))
    subject = service(vendor, credential("same"), credential("changed"), credential("gone"))
    discovery = Discovery(subject)
    with trio.move_on_after(AGAIN_S * 2.5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(discovery.run)
            await trio.sleep(10)
            vendor.asked.clear()
            now = [credential("same"), credential("changed", priority=1), credential("new")]
            subject.snapshots.replace(Config(), now)
            discovery.review([each.id for each in [*now[1:], credential("gone")]])
            await trio.sleep(10)
            assert sorted(name for _, name in vendor.asked) == ["changed", "new"]
            subject.snapshots.replace(Config(), [credential("same", disabled=True)])
            discovery.review([each.id for each in now])
            vendor.asked.clear()
    assert vendor.asked == []


async def test_after_a_crash_everybody_is_asked_again(autojump_clock: Clock) -> None:
    """A run that ended has taken its questions along, whoever they were about."""
    vendor = Vendor(models("m"))
    discovery = Discovery(service(vendor, credential("a"), credential("b")))
    for _ in range(2):
        with trio.move_on_after(5):
            await discovery.run()
    assert sorted(name for _, name in vendor.asked) == ["a", "a", "b", "b"]
