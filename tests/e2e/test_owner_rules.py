"""What the owner may say about failures and time, as the configuration has it: each key does what it says."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2 as httpx
import pytest
import trio
from attrs import frozen

from cliproxy.exchange.record import ExchangeRecord, Outcome
from emulators.faults import FAULTS
from support.emulator import Emulator, running_emulator
from support.faultrows import SAID
from support.inside import Inside, inside
from support.plainly import WAYS, Way

ACTIONS: Final = ("stop", "stop-and-cooldown", "continue", "continue-and-cooldown")
CONFIG: Final = "routing: {session-affinity: false}\n"
STREAM: Final = Way("chat", stream=True)
WHOLE: Final = Way("chat", stream=False)


@frozen
class World:
    """A server, and two upstreams behind it."""

    server: Inside
    first: Emulator
    second: Emulator
    client: httpx.Client

    def ask(self, way: Way, model: str, **entry: Any) -> tuple[httpx.Response, ExchangeRecord]:
        """Let the first upstream do something to everybody, and ask."""
        whole = {**FAULTS.get(entry.get("fault", ""), {}), **entry}
        trio.run(self.first.script, [{**({} if "status" in whole else {"turn": SAID}), **entry, "times": 0}])
        answer = self.client.post(way.path(model), json=way.body(model))
        [record] = self.server.wait_records(1).values()
        return answer, record

    def rests(self, record: ExchangeRecord) -> dict[str, float]:
        """Who of the first account rests after an exchange."""
        return self.server.pauses(record.attempts[0].credential, record)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[Emulator, Emulator]]:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_emulator("openai", vendor="compatible")) for _ in range(2)
        )
        yield first, second


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, upstreams: tuple[Emulator, Emulator]
) -> Iterator[World]:
    """The server with what a test wants to be said, beside two accounts for each action."""
    first, second = upstreams
    entries = [entry(action, first, 1, action) for action in ACTIONS]
    entries += [entry(action, second, 0) for action in ACTIONS]
    retry = "" if "request-retry" in request.param else "request-retry: 0\n"
    config = f"{CONFIG}{retry}openai-compatibility: {json.dumps(entries)}\n{request.param}"
    with inside(tmp_path, config) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        client.timeout = 20
        yield World(server, first, second, client)
    for emulator in upstreams:
        trio.run(emulator.reset)


def entry(model: str, emulator: Emulator, priority: int, action: str = "") -> dict[str, Any]:
    """An account that serves one model; its rule is about one kind of error."""
    rules = [{"status": 403, "match": ["not now"], "action": action}] if action else []
    return {
        "name": f"{model}-{priority}",
        "base-url": f"{emulator.base_url}/v1",
        "priority": priority,
        "api-key-entries": [{"api-key": "any-key"}],
        "models": [{"name": model}],
        "request-scoped-errors": rules,
    }


def with_settings(text: str) -> Any:
    return pytest.mark.parametrize("world", [text], indirect=True, ids=[text.strip().replace("\n", ", ")])


@with_settings("disable-cooling: true\n")
def test_rules_say_what_an_error_means(world: World) -> None:
    """Also where nobody rests otherwise."""
    for action in ACTIONS:
        for way in WAYS:
            answer, record = world.ask(way, action, status=403, message="Not now, please.")
            goes_on = action.startswith("continue")
            assert answer.status_code == (200 if goes_on else 403), (action, way, answer.text)
            assert len(record.attempts) == (2 if goes_on else 1)
            assert set(world.rests(record)) == ({"model"} if action.endswith("cooldown") else set())
            world.server.settle()
    answer, record = world.ask(STREAM, "stop", status=403, message="Something else.")
    assert (answer.status_code, len(record.attempts)) == (200, 2)


@with_settings('request-timeout: 1\nrequest-delay: "0.3,0.4"\ntransient-error-cooldown-seconds: 7\n')
def test_times_are_what_the_owner_says(world: World) -> None:
    answer, record = world.ask(WHOLE, "stop")
    assert answer.status_code == 200
    assert 0.3 <= record.duration < 1

    answer, record = world.ask(WHOLE, "stop", fault="silence")
    assert (answer.status_code, record.status, len(record.attempts)) == (504, 504, 1)
    assert 1 <= record.duration < 2
    [(who, seconds)] = world.rests(record).items()
    assert (who, pytest.approx(7.3, abs=0.7)) == ("model", seconds)
    world.server.settle()

    answer, record = world.ask(STREAM, "stop", head_delay=1.5)
    assert (answer.status_code, record.outcome) == (200, Outcome.OK)
    assert record.duration >= 1.8


@with_settings("request-retry: 3\ntimeouts: {request-seconds: 1}\n")
def test_a_request_has_a_time_as_a_whole(world: World) -> None:
    """Its rounds and waits count; a stream that has begun goes on."""
    for way in (STREAM, WHOLE):
        answer, record = world.ask(way, "stop", fault="silence")
        assert (answer.status_code, record.status, len(record.attempts)) == (504, 504, 1)
        assert 1 <= record.duration < 2
        world.server.settle()
    answer, record = world.ask(STREAM, "stop", pace=0.3)
    assert (answer.status_code, record.outcome) == (200, Outcome.OK)
    assert record.duration > 1


@with_settings("transient-error-cooldown-seconds: -1\n")
def test_passing_failures_may_let_nobody_rest(world: World) -> None:
    for status, rests in ((500, set()), (503, set()), (429, {"model"}), (403, {"model"})):
        answer, record = world.ask(STREAM, "continue", status=status)
        assert answer.status_code == 200
        assert [note.failure is None for note in record.attempts] == [False, True]
        assert set(world.rests(record)) == rests
        world.server.settle()
    answer, record = world.ask(STREAM, "continue", status=503, retry_after=30)
    assert set(world.rests(record)) == {"model"}
