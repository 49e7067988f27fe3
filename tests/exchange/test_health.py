"""Places, pauses, and what clears them."""

from random import Random

import pytest

from cliproxy.errors import Failure, Kind, Scope
from cliproxy.exchange.health import (
    CAUSE_LENGTH,
    CONTRACT_PAUSE_S,
    LOOK_AGAIN_S,
    Health,
    brief,
    contract_place,
    host_of,
    place_of,
)
from cliproxy.routing.cooldown import CoolingRules
from cliproxy.routing.runtime import RuntimeTable, credential_place, host_place, model_place
from cliproxy.wire.http import HttpCall, MemoryCall
from cliproxy.wire.secret import Secret
from support.exchange import FakeContract
from support.routes import candidate

CONTRACT = FakeContract()
HOST = host_place("https://x.example:8443")


class World:
    """A health with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.table = RuntimeTable()
        self.health = Health(self.table, lambda: self.now, Random(1))

    def wait_of(self, place: tuple[str, str]) -> float:
        """Seconds for which a place is paused."""
        return max(self.table.state(place).until - self.now, 0.0)


@pytest.fixture
def world() -> World:
    return World()


def failure(
    kind: Kind = Kind.UNAVAILABLE, message: str = "away", retry_after: float | None = None
) -> Failure:
    return Failure(kind=kind, scope=Scope.MODEL, message=message, retry_after=retry_after)


def test_a_success_clears_every_place_it_came_through(world: World) -> None:
    a = candidate()
    for place in (model_place(a), credential_place(a.credential.id), contract_place(a, CONTRACT), HOST):
        world.health.failed(place, failure())
    assert world.table.statistics()["states"] == 4
    world.health.answered(a, CONTRACT)
    world.health.reached(HOST)
    assert world.table.statistics()["states"] == 0


def test_failures_in_a_row_count_and_failures_ever_do_not(world: World) -> None:
    for _ in range(5):
        world.health.begin()
        world.health.failed(HOST, failure())
        world.now += 100
    assert world.table.state(HOST).failures == 5
    world.health.reached(HOST)
    world.health.failed(HOST, failure())
    assert world.wait_of(HOST) < 2


def test_a_candidate_is_ready_when_its_pause_and_its_hosts_have_ended(world: World) -> None:
    a = candidate()
    assert world.health.ready_at(a, None) == world.now
    world.health.failed(model_place(a), failure(retry_after=10))
    world.health.failed(HOST, failure(retry_after=50))
    assert world.health.ready_at(a, None) == pytest.approx(world.now + 10, abs=2)
    assert world.health.ready_at(a, HOST) == pytest.approx(world.now + 50, abs=6)
    world.now += 100
    assert world.health.ready_at(a, HOST) == world.now


def test_a_pause_is_told_while_it_lasts(world: World) -> None:
    world.health.failed(HOST, failure(retry_after=10, message="connection refused"))
    state = world.health.pause(HOST)
    assert state is not None
    assert state.cause == "connection refused"
    world.now += 20
    assert world.health.pause(HOST) is None
    assert world.health.pause(None) is None


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        (Kind.PERMISSION, None, CONTRACT_PAUSE_S),
        (Kind.NOT_FOUND, None, CONTRACT_PAUSE_S),
        (Kind.PERMISSION, 60.0, 60.0),
        (Kind.UNAVAILABLE, None, 1.0),
        (Kind.RATE_LIMIT, 20.0, 20.0),
        (Kind.AUTHENTICATION, None, 60.0),
    ],
)
def test_only_closed_contracts_rest_for_long(
    world: World, kind: Kind, asked: float | None, expected: float
) -> None:
    """A gateway that was away for a moment is not given up for half an hour."""
    a = candidate()
    world.health.contract_failed(a, CONTRACT, failure(kind, retry_after=asked))
    assert world.wait_of(contract_place(a, CONTRACT)) == pytest.approx(expected, rel=0.11)


def test_scopes_name_places() -> None:
    a = candidate()
    assert place_of(a, Scope.MODEL) == model_place(a)
    assert place_of(a, Scope.CREDENTIAL) == credential_place(a.credential.id)
    assert {place_of(a, scope) for scope in (Scope.REQUEST, Scope.CONTRACT, Scope.HOST)} == {None}


def test_no_place_is_paused_where_there_is_none(world: World) -> None:
    world.health.failed(None, failure())
    world.health.reached(None)
    assert world.table.statistics()["states"] == 0


def test_hosts_are_shared_except_behind_a_proxy_of_ones_own() -> None:
    call = HttpCall(method="POST", url="https://X.example:8443/v1")
    assert host_of(candidate("a"), call) == host_of(candidate("b"), call) == HOST
    neighbour = HttpCall(method="POST", url="https://x.example:8444/v1")
    assert host_of(candidate("a"), neighbour) != HOST
    own = candidate("c", proxy_url=Secret("http://user:pass@proxy.example"))
    place = host_of(own, call)
    assert place not in {None, HOST}
    assert "pass" not in str(place)
    assert host_of(candidate(), MemoryCall(target="demo")) is None
    assert host_of(candidate(), HttpCall(method="POST", url="nonsense")) is None


def test_causes_are_short_masked_and_on_one_line(world: World) -> None:
    key = "sk-live-0123456789abcdef0123"
    world.health.failed(HOST, failure(message=f"Incorrect key\n  {key} " + "x" * 1000))
    cause = world.table.state(HOST).cause
    assert cause.startswith("Incorrect key *** xxx")
    assert key not in cause
    assert len(cause) == CAUSE_LENGTH
    assert brief("a\n b\tc") == "a b c"


def test_a_failure_may_be_one_of_the_whole_account(world: World) -> None:
    part = candidate("acc::a", part_of="acc")
    assert place_of(part, Scope.MODEL) == ("acc::a", "m")
    assert place_of(part, Scope.MODEL, of_account=True) == ("acc", "m")
    assert place_of(part, Scope.CREDENTIAL, of_account=True) == ("acc", "")
    assert place_of(part, Scope.HOST, of_account=True) is None


def test_a_success_of_a_part_clears_the_account(world: World) -> None:
    part = candidate("acc::a", part_of="acc")
    for scope in (Scope.MODEL, Scope.CREDENTIAL):
        world.health.failed(place_of(part, scope, of_account=True), failure())
    world.health.answered(part, CONTRACT)
    assert world.table.statistics()["states"] == 0


def test_what_began_before_a_failure_says_nothing_about_now(world: World) -> None:
    """A long answer that ends well does not open an account whose quota was used up meanwhile; and one that
    fails does not count twice."""
    a, other = candidate(), Health(world.table, lambda: world.now, Random(1))
    place = model_place(a)
    world.now += 5
    other.begin()
    other.failed(place, failure(Kind.QUOTA, retry_after=3600))
    world.health.answered(a, CONTRACT)
    assert world.table.state(place).failures == 1
    world.now += 4000
    world.health.failed(place, failure(Kind.QUOTA, retry_after=3600))
    assert world.table.state(place).failures == 1
    world.now += 4000
    world.health.begin()
    world.health.answered(a, CONTRACT)
    assert world.table.state(place).failures == 0


def test_the_owner_says_how_long_passing_failures_pause(world: World) -> None:
    for transient, rest in ((90.0, 90.0), (-1.0, 0.0), (0.0, 1.0)):
        world.table.clear()
        health = Health(world.table, lambda: world.now, Random(1), CoolingRules(transient=transient))
        health.failed(HOST, failure())
        assert world.wait_of(HOST) == pytest.approx(rest, rel=0.11)


def test_a_host_is_tried_by_one(world: World) -> None:
    world.health.failed(HOST, failure(retry_after=10, message="connection refused"))
    world.now += 20
    assert world.health.pause(HOST) is None
    with world.health.trying([HOST]) as is_trial:
        assert is_trial
        state = world.health.pause(HOST)
        assert state is not None
        assert state.cause == "connection refused"
        assert world.health.ready_at(candidate(), HOST) == world.now + LOOK_AGAIN_S
        world.health.reached(HOST)
        assert world.health.pause(HOST) is None
