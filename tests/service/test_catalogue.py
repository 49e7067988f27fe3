"""Facts about models from elsewhere: only where they are wanted, and never worse than those there are."""

import logging
import random
from collections.abc import Callable

import pytest
import trio
import trio.testing
from attrs import define, field

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.catalog.remote import MAX_BYTES
from cliproxy.config.load import load_config
from cliproxy.config.model import Config
from cliproxy.errors import Kind, TransportError
from cliproxy.providers.base import Provider
from cliproxy.service.catalogue import AGAIN_S, LIMIT_S, RETRY_S, CatalogueKeeper
from cliproxy.service.service import Service
from cliproxy.service.snapshots import Snapshots
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall
from cliproxy.wire.jsontext import dumps
from support.routes import credential

Clock = trio.testing.MockClock
URL = "https://facts.example/models.json"
WANTED = Config(model_catalog_url=URL)


@define
class Publisher:
    """What the address answers, and what it was asked."""

    answer: Callable[[HttpCall], HttpAnswer]
    asked: list[tuple[float, HttpCall]] = field(factory=list)
    slow_s: float = 0.0

    async def fetch(self, call: HttpCall, limit: int) -> HttpAnswer:
        assert limit == MAX_BYTES
        self.asked.append((trio.current_time(), call))
        await trio.sleep(self.slow_s)
        return self.answer(call)

    def use_proxy(self, _proxy: object) -> None:
        """As the real one does with every configuration."""


def facts(*models: str, as_of: str = "2099-01-01", tag: str = "") -> Callable[[HttpCall], HttpAnswer]:
    body = dumps({"as_of": as_of, "sections": {"p": {"models": [{"id": model} for model in models]}}})
    headers = Headers({"ETag": tag} if tag else {})

    def answer(call: HttpCall) -> HttpAnswer:
        if tag and call.headers.get("if-none-match") == tag:
            return HttpAnswer(status=304)
        return HttpAnswer(status=200, headers=headers, body=body)

    return answer


def plain(body: bytes, status: int = 200) -> Callable[[HttpCall], HttpAnswer]:
    return lambda _call: HttpAnswer(status=status, body=body)


def unreachable(_call: HttpCall) -> HttpAnswer:
    raise TransportError("the host cannot be found", kind=Kind.UNAVAILABLE, phase="connect")


def service(publisher: Publisher, config: Config = WANTED) -> Service:
    provider = Provider(
        key="p",
        label="P",
        contracts_for=lambda _credential, _model, _action: (),
        static_models=lambda _credential: (ModelInfo(id="static"),),
    )
    return Service(
        snapshots=Snapshots({"p": provider}, config, [credential("a")]),
        upstreams=publisher,  # type: ignore[arg-type]
        tokens=None,  # type: ignore[arg-type]
        rng=random.Random(1),
    )


def names(subject: Service) -> list[str]:
    return subject.snapshots.current().registry.names()


def configure(subject: Service, config: Config) -> None:
    subject.snapshots.replace(config, [credential("a")])
    for tell in subject.on_config:
        tell(config)


async def run_for(subject: Service, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await CatalogueKeeper(subject).run()


async def test_nobody_is_asked_unless_the_owner_says_whom(autojump_clock: Clock) -> None:
    publisher = Publisher(facts("new"))
    subject = service(publisher, Config())
    await run_for(subject, 10 * AGAIN_S)
    assert publisher.asked == []
    assert names(subject) == ["static"]
    assert subject.checks["model-catalog"]() == {
        "source": "bundled",
        "as-of": static.as_of(),
        "trouble": "",
    }


async def test_facts_are_taken_over_and_looked_for_again(autojump_clock: Clock) -> None:
    publisher = Publisher(facts("new", tag='"1"'))
    subject = service(publisher)
    await run_for(subject, 2.5 * AGAIN_S)
    assert names(subject) == ["new", "static"]
    (first, call), (second, again), *_ = publisher.asked
    assert AGAIN_S <= second - first <= AGAIN_S * 1.1
    assert (call.url, call.headers.get("if-none-match")) == (URL, "")
    assert again.headers.get("if-none-match") == '"1"'
    assert subject.checks["model-catalog"]() == {
        "source": "facts.example",
        "as-of": "2099-01-01",
        "models": 1,
        "trouble": "",
    }


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (plain(b"<html>"), "not a JSON object"),
        (plain(b"{}"), "no section in it names a model"),
        (plain(b"gone", 404), "the answer's status is 404"),
        (plain(b"", 304), "the answer's status is 304"),
        (facts("old", as_of="2001-01-01"), "those of this release are newer"),
        (unreachable, "the host cannot be found"),
    ],
)
async def test_a_bad_answer_changes_nothing_and_is_said_once(
    autojump_clock: Clock,
    caplog: pytest.LogCaptureFixture,
    answer: Callable[[HttpCall], HttpAnswer],
    said: str,
) -> None:
    publisher = Publisher(facts("new"))
    subject = service(publisher)
    keeper = CatalogueKeeper(subject)
    assert await keeper.once() == ""
    publisher.answer = answer
    with trio.move_on_after(3.5 * RETRY_S):
        await keeper.run()
    assert len(publisher.asked) == 5
    assert names(subject) == ["new", "static"]
    warnings = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "facts.example" in warnings[0]
    publisher.answer = facts("newer")
    assert await keeper.once() == ""
    assert names(subject) == ["newer", "static"]


async def test_an_answer_that_does_not_come_is_not_waited_for(autojump_clock: Clock) -> None:
    subject = service(Publisher(facts("new"), slow_s=10 * LIMIT_S))
    begin = trio.current_time()
    assert "no answer within" in await CatalogueKeeper(subject).once()
    assert trio.current_time() - begin == LIMIT_S


async def test_another_address_is_asked_at_once_and_none_goes_back(autojump_clock: Clock) -> None:
    publisher = Publisher(facts("new"))
    subject = service(publisher, Config())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(CatalogueKeeper(subject).run)
        await trio.sleep(1)
        configure(subject, WANTED)
        await trio.sleep(1)
        assert names(subject) == ["new", "static"]
        publisher.answer = facts("other")
        configure(subject, Config(model_catalog_url="https://other.example/"))
        await trio.sleep(1)
        assert names(subject) == ["other", "static"]
        configure(subject, Config())
        await trio.sleep(1)
        assert names(subject) == ["static"]
        assert len(publisher.asked) == 2
        nursery.cancel_scope.cancel()


def test_an_address_that_is_none_is_left_out() -> None:
    loaded = load_config("model-catalog-url: facts.example\n")
    assert loaded.config.model_catalog_url == ""
    assert [warning.path for warning in loaded.warnings] == ["model-catalog-url"]
    assert load_config(f"model-catalog-url: {URL}\n").config.model_catalog_url == URL
