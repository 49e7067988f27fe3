"""Pages for whoever looks after the server, and who may see what."""

import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families as parse

from cliproxy.config.groups import Metrics
from cliproxy.observe.metrics import gauge
from cliproxy.server.app import App
from cliproxy.server.monitor import queues
from support.application import application
from support.asgi import client_of
from support.exchange import bottle

AWAY = "192.0.2.7"
KEY = "a-client-key"


def app(*, keys: tuple[str, ...] = (KEY,), **config: object) -> App:
    made = application(bottle(), keys=keys, **config)
    world = made._world
    object.__setattr__(world, "details", lambda: {"models": 7})
    object.__setattr__(world, "figures", lambda: (gauge("level", "Now.", 7),))
    return made


VISITORS = {
    "here": ("127.0.0.1", {}, True),
    "here with another address": ("::ffff:127.0.0.1", {}, True),
    "here, behind a proxy": ("127.0.0.1", {"x-forwarded-for": AWAY}, False),
    "here, a page in a browser": ("127.0.0.1", {"origin": "https://x.example"}, False),
    "here, behind a proxy, with a key": ("127.0.0.1", {"via": "x", "x-api-key": KEY}, True),
    "elsewhere": (AWAY, {}, False),
    "elsewhere, with a key": (AWAY, {"authorization": f"Bearer {KEY}"}, True),
    "elsewhere, with a wrong key": (AWAY, {"authorization": "Bearer wrong"}, False),
}
each_visitor = pytest.mark.parametrize(("peer", "headers", "may"), VISITORS.values(), ids=VISITORS)


@each_visitor
async def test_figures_are_not_for_everybody(peer: str, headers: dict[str, str], may: bool) -> None:
    async with client_of(app()) as client:
        response = await evolve(client, peer=peer)("GET", "/metrics", b"", headers)
        text = (await response.read()).decode()
    assert response.status == (200 if may else 401)
    assert ("level" in [family.name for family in parse(text)]) if may else ("level" not in text)


async def test_without_keys_nobody_from_elsewhere_sees_them() -> None:
    async with client_of(app(keys=())) as client:
        for peer, status in ((client.peer, 200), (AWAY, 403)):
            response = await evolve(client, peer=peer)("GET", "/metrics")
            await response.read()
            assert response.status == status


async def test_figures_can_be_switched_off() -> None:
    async with client_of(app(metrics=Metrics(enable=False))) as client:
        assert (await client("GET", "/metrics")).status == 404


@each_visitor
async def test_everybody_may_ask_whether_the_server_is_ready(
    peer: str, headers: dict[str, str], may: bool
) -> None:
    async with client_of(app()) as client:
        response = await evolve(client, peer=peer)("GET", "/readyz", b"", headers)
        told = await response.json()
    assert response.status == 200
    assert told == {"status": "ready", "reasons": []} | ({"models": 7} if may else {})


async def test_who_is_not_ready_says_why() -> None:
    async with client_of(application(bottle(), is_ready=False)) as client:
        response = await client("GET", "/readyz")
        assert (response.status, await response.json()) == (
            503,
            {"status": "not ready", "reasons": ["no_model"]},
        )
        assert (await client("GET", "/healthz")).status == 200


async def test_queues_are_figures() -> None:
    world = app()._world
    with world.gate.entered("x"):
        assert [family.values for family in queues(world)] == [{}, {(): 1}, {(): 0}]


async def test_every_response_is_counted_whoever_asks() -> None:
    """Also by those that nobody lets in, and for what is not there."""
    subject = app()
    async with client_of(subject) as client:
        for path in ("/healthz", "/v1/models", "/nowhere", "/healthz"):
            await client("GET", path)
    assert subject._world.responses.values == {("200",): 2, ("401",): 1, ("404",): 1}
