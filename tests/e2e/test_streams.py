"""What is promised of streams, for every client API and every upstream's: signs of life, a second try before
the first word, overload that hides in a success, and the tokens of an answer that nobody waited for.

The server runs in this process, with its records; the upstreams are emulators.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, TypeVar

import httpx2 as httpx
import pytest
import trio
from attrs import frozen

from cliproxy.errors import Kind
from cliproxy.exchange.record import Outcome
from support.conversation import Clients, Wish
from support.emulator import Emulator, running_emulator
from support.faultrows import SAID, TEXT
from support.inside import Inside, inside
from support.plainly import WAYS, Way
from support.talks import TALKS

SILENCE_S: Final = 2.4
CONFIG: Final = """\
request-retry: 0
routing: {session-affinity: false}
nonstream-keepalive-interval: 1
streaming: {keepalive-seconds: 1, bootstrap-retries: 1}
"""
UPSTREAMS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "chat": ("openai", {"vendor": "compatible"}),
    "claude": ("claude", {}),
    "gemini": ("gemini", {}),
    "responses": ("openai", {}),
}
SECTIONS: Final = {
    "chat": ("openai-compatibility", "some-model"),
    "claude": ("claude-api-key", "claude-sonnet-4-5-20250929"),
    "gemini": ("gemini-api-key", "gemini-2.5-flash"),
    "responses": ("codex-api-key", "gpt-5.2"),
}
"""Where its accounts stand in the configuration, and what its model is called."""
PREFIXES: Final = {"claude": "sk-ant-", "gemini": "AIza-"}
"""How its keys begin."""
SIGNS: Final = {
    "chat": b": keep-alive\n\n",
    "responses": b": keep-alive\n\n",
    "claude": b'event: ping\ndata: {"type": "ping"}\n\n',
    "gemini": b"\n",
}
"""A comment where the packages of the vendor skip comments, an event that means nothing, an empty line."""
CLIENTS: Final = tuple(SIGNS)
OPENINGS: Final = {"chat": 1, "claude": 2, "gemini": 0, "responses": 2}
"""How many events say nothing yet."""
T = TypeVar("T")


def accounts(**bases: str) -> str:
    """An account at each upstream with the upstream's name for its model; it serves a second one, together
    with another account: NAME-twice."""
    lists: dict[str, list[dict[str, Any]]] = {}
    for name, base in bases.items():
        section, model = SECTIONS[name]
        names = ([name, f"{name}-twice"], [f"{name}-twice"])
        for number, served in enumerate(names):
            key = f"{PREFIXES.get(name, 'sk-')}{number}"
            entry = {"base-url": base, "models": [{"name": model, "alias": alias} for alias in served]}
            own = {"name": key, "api-key-entries": [{"api-key": key}]}
            lists.setdefault(section, []).append({**entry, **(own if name == "chat" else {"api-key": key})})
    return "".join(f"{section}: {json.dumps(entries)}\n" for section, entries in lists.items())


@frozen
class World:
    """The server, and one upstream of each kind; models are called like the upstreams."""

    server: Inside
    emulators: dict[str, Emulator]
    client: httpx.Client

    def script(self, upstream: str, *entries: dict[str, Any]) -> None:
        """Say what an upstream does."""
        trio.run(self.emulators[upstream].script, list(entries))

    def ask(self, way: Way, model: str) -> httpx.Response:
        """Ask as one kind of client."""
        return self.client.post(way.path(model), json=way.body(model))

    def record(self) -> Any:
        """The record of the one exchange there was."""
        [record] = self.server.wait_records(1).values()
        return record


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        emulators = {
            name: stack.enter_context(running_emulator(kind, **settings))
            for name, (kind, settings) in UPSTREAMS.items()
        }
        bases = {name: emulator.base_url for name, emulator in emulators.items()}
        openai_like = {name: f"{bases[name]}/v1" for name in ("chat", "responses")}
        config = CONFIG + accounts(**bases | openai_like)
        server = stack.enter_context(inside(tmp_path_factory.mktemp("streams"), config))
        client = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False, timeout=20))
        yield World(server, emulators, client)


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    yield running_world
    running_world.server.settle()
    refused = [trio.run(emulator.refusals) for emulator in running_world.emulators.values()]
    for emulator in running_world.emulators.values():
        trio.run(emulator.reset)
    assert not any(refused), refused


def later(world: World, ask: Callable[[str], T]) -> dict[str, T]:
    """Let one client of each kind ask, and the upstream go on when they have waited for a while."""
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        asked = {client: pool.submit(ask, client) for client in CLIENTS}
        trio.run(lambda: world.emulators["chat"].wait(holding=len(CLIENTS)))
        time.sleep(SILENCE_S)  # noqa: TID251 - what is slow here is the upstream
        trio.run(lambda: world.emulators["chat"].release(len(CLIENTS)))
        return {client: answer.result() for client, answer in asked.items()}


# --- signs of life ------------------------------------------------------------------------------------------


def test_silence_is_filled_as_each_api_allows_it(world: World) -> None:
    world.script("chat", {"turn": SAID, "hold_after": 3, "times": 0})
    for client, answer in later(world, lambda client: world.ask(Way(client, stream=True), "chat")).items():
        way = Way(client, stream=True)
        assert way.said(answer.text) == TEXT
        assert way.is_complete(answer.text)
        assert answer.content.count(SIGNS[client] * (4 if client == "gemini" else 1)) in {1, 2, 3}, client
    world.server.wait_records(len(CLIENTS))


def test_the_vendors_packages_read_past_it(world: World) -> None:
    world.script("chat", {"turn": SAID, "hold_after": 3, "times": 0})
    clients = Clients.of(world.server.url)
    for said in later(
        world, lambda client: TALKS[client](clients, Wish(model="chat")).ask("Hello", stream=True)
    ).values():
        assert said.text == TEXT
    clients.close()
    world.server.wait_records(len(CLIENTS))


def test_a_whole_answer_that_takes_long_begins_with_blanks(world: World) -> None:
    world.script("chat", {"turn": SAID, "hold_head": True, "times": 0})
    for client, answer in later(world, lambda client: world.ask(Way(client, stream=False), "chat")).items():
        assert answer.status_code == 200
        assert answer.content.startswith(b"\n\n"), client
        assert Way(client, stream=False).said(answer.text) == TEXT
    world.server.wait_records(len(CLIENTS))


def test_a_late_refusal_is_an_error_of_the_api_behind_blanks(world: World) -> None:
    world.script("chat", {"status": 503, "hold_head": True, "times": 0})
    for client, answer in later(world, lambda client: world.ask(Way(client, stream=False), "chat")).items():
        assert answer.status_code == 200
        assert answer.content.startswith(b"\n\n"), client
        assert Way(client, stream=False).is_refusal(503, answer.text)


# --- before the first word ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_streams_alone_are_begun_once_more(world: World, way: Way) -> None:
    """With one account and no further rounds for others."""
    world.script("chat", {"status": 503}, {"turn": SAID, "times": 0})
    answer, record = world.ask(way, "chat"), world.record()
    assert len(record.attempts) == (2 if way.stream else 1)
    assert len({note.credential for note in record.attempts}) == 1
    if way.stream:
        assert way.said(answer.text) == TEXT
        assert record.duration >= 1
    else:
        assert answer.status_code == 503
        assert way.is_refusal(503, answer.text)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("upstream", "kind"),
    [
        ("chat", Kind.UPSTREAM),
        ("claude", Kind.OVERLOADED),
        ("gemini", Kind.UNAVAILABLE),
        ("responses", Kind.UPSTREAM),
    ],
)
def test_overload_that_hides_in_a_success_costs_nothing(
    world: World, way: Way, upstream: str, kind: Kind
) -> None:
    """The beginning of an answer, and in place of its first word an error: the client has seen nothing."""
    model = f"{upstream}-twice"
    error = {"error_after": OPENINGS[upstream]} if way.stream else {"status": 529, "as_status": 200}
    world.script(upstream, {"turn": SAID, **error}, {"turn": SAID, "times": 0})
    answer, record = world.ask(way, model), world.record()
    assert answer.status_code == 200, answer.text
    assert way.said(answer.text) == TEXT
    assert not way.stream or not any(way.errors(answer.text))
    first, second = record.attempts
    assert first.failure.kind in (
        {kind} if way.stream else {Kind.OVERLOADED, Kind.UNAVAILABLE, Kind.UPSTREAM}
    )
    assert second.failure is None
    assert first.credential != second.credential


# --- after it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("upstream", "after"), [("claude", 5), ("gemini", 2)])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_tokens_of_a_stream_that_nobody_waits_for_are_kept(
    world: World, client: str, upstream: str, after: int
) -> None:
    """As far as the upstream has told them when the client leaves."""
    way = Way(client, stream=True)
    world.script(upstream, {"turn": {**SAID, "usage": {"input": 77, "cache_read": 0}}, "hold_after": after})
    with world.client.stream("POST", way.path(upstream), json=way.body(upstream)) as answer:
        next(answer.iter_raw())
    record = world.record()
    assert (record.outcome, record.status, record.usage.fresh_input) == (Outcome.CANCELLED, 499, 77)
