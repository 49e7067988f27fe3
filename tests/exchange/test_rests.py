"""Who rests after which failure, for how long, and how that ends: the whole table, in virtual time.

Every row is played through the attempts of an exchange, and goes the same way: the first failure starts a
pause; within it nobody asks, and clients are told when to come back; when it is over one request tries; its
failure doubles the pause, unless the upstream has said how long; an answer then clears everything.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest
import trio
import trio.testing
from attrs import frozen

from cliproxy.config.model import Config
from cliproxy.errors import Kind, NothingReady, TransportError, UpstreamError
from cliproxy.routing.cooldown import JITTER, LONGEST_JITTER_S, Place
from cliproxy.routing.runtime import credential_place, host_place
from support.exchange import WHOLE, Bottle, FakeTokens, Reply, attempt, bottle, json_reply, refused

Clock = trio.testing.MockClock

MODEL: Final = ("a", "m")
ACCOUNT: Final = credential_place("a")
HOST: Final = host_place("https://a.example")
GOOD: Final = json_reply(WHOLE)
PAGE: Final = b"<!DOCTYPE html><title>Just a moment...</title>"
NOT_MADE: Final = TransportError("refused", kind=Kind.UNAVAILABLE, phase="connect")
BROKEN: Final = TransportError("reset", kind=Kind.UNAVAILABLE, phase="body")


@frozen
class Row:
    """A failure, and what follows."""

    reply: Reply
    place: Place | None
    seconds: float = 0.0
    longest: float = 0.0
    """What the pause doubles up to; 0: it is what the upstream asked for, every time."""


def said(status: int, message: str = "no", **members: Any) -> Reply:
    """A refusal with an error object."""
    headers = members.pop("headers", {})
    return json_reply({"error": {"message": message, **members}}, status, **headers)


def _own(reply: Reply, place: Place, first: float, longest: float) -> Row:
    return Row(reply, place, first, longest)


def _asked(place: Place, seconds: float, status: int = 429, **headers: str) -> Row:
    return Row(said(status, headers=headers), place, seconds)


ROWS: Final[Mapping[str, Row]] = {
    "401": _own(said(401), ACCOUNT, 60, 1800),
    "402": _own(said(402), ACCOUNT, 60, 1800),
    "403": _own(said(403), MODEL, 300, 1800),
    "404": _own(said(404), MODEL, 600, 43200),
    "405": _own(said(405), MODEL, 600, 43200),
    "408": _own(said(408), MODEL, 1, 60),
    "429": _own(said(429), MODEL, 1, 1800),
    **{str(status): _own(said(status), MODEL, 1, 60) for status in (500, 502, 503, 504, 520, 529, 418)},
    "a redirect": _own(said(302), MODEL, 1, 60),
    "a connection that is not made": _own(Reply(refuses=NOT_MADE), HOST, 1, 60),
    "a connection that breaks": _own(Reply(body=(BROKEN,)), MODEL, 1, 60),
    "429 with seconds": _asked(MODEL, 30, retry_after="30"),
    "429 with milliseconds": _asked(MODEL, 2.5, retry_after_ms="2500"),
    "429 with a date": _asked(MODEL, 40, retry_after="Tue, 14 Nov 2023 22:14:00 GMT"),
    "503 with seconds": _asked(MODEL, 30, 503, retry_after="30"),
    "529 with seconds": _asked(MODEL, 30, 529, retry_after="30"),
    "429 whose message says when": Row(said(429, "Please try again in 20s."), MODEL, 20),
    "429 without any quota": _own(said(429, code="insufficient_quota"), ACCOUNT, 60, 1800),
    "an account without money": _own(said(400, "Your credit balance is too low"), ACCOUNT, 60, 1800),
    "a login that has ended": Row(said(400, code="invalid_grant"), ACCOUNT, 1800, 1800),
    "a key that is wrong": _own(said(400, "API key not valid."), ACCOUNT, 60, 1800),
    "a model that is not supported": Row(said(400, "The model is not supported"), MODEL, 43200, 43200),
    "a model that is not found": _own(said(400, code="model_not_found"), MODEL, 600, 43200),
    "a page that wants a browser": _own(
        Reply(status=403, headers={"content-type": "text/html"}, body=(PAGE,)), ACCOUNT, 10, 600
    ),
    **{f"{status}, the request's fault": Row(said(status), None) for status in (400, 409, 413, 415, 422)},
    "a context that is too long, with 500": Row(said(500, code="context_length_exceeded"), None),
    "a prompt that is too long, with 429": Row(said(429, "prompt is too long: 9 tokens"), None),
    "an item that was not kept": Row(said(404, "Items are not persisted"), None),
    "an answer nobody has": Row(said(400, code="previous_response_not_found"), None),
}


def world_of(row: Row, *rest: Reply) -> Bottle:
    """A world in which the one account fails twice."""
    tokens = FakeTokens(can_renew=False)
    return bottle(row.reply, row.reply, *rest, config=Config(request_retry=0), tokens=tokens)


def pauses(world: Bottle) -> dict[Place, float]:
    """Who rests, and how long from now on."""
    now = trio.current_time()
    found = {place: world.runtime.state(place).until - now for place in (MODEL, ACCOUNT, HOST)}
    return {place: left for place, left in found.items() if left > 0}


def with_jitter(seconds: float) -> tuple[float, float]:
    """The least and the most that a pause may be."""
    return seconds, seconds + min(seconds * JITTER, LONGEST_JITTER_S)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.place is not None])
async def test_a_failure_that_lets_somebody_rest(name: str, autojump_clock: Clock) -> None:
    row = ROWS[name]
    await trio.sleep(1000)
    world = world_of(row, GOOD)
    for count in range(2):
        expected = min(row.seconds * 2**count, row.longest) if row.longest else row.seconds
        await refused(world)
        assert len(world.upstreams.calls) == count + 1
        [(place, left)] = pauses(world).items()
        least, most = with_jitter(expected)
        assert place == row.place
        assert least <= left <= most
        await trio.sleep(left - 0.01)
        await nobody_is_asked(world)
        await trio.sleep(0.02)
    await attempt(world)
    assert len(world.upstreams.calls) == 3
    assert world.runtime.statistics()["states"] == 0


async def nobody_is_asked(world: Bottle) -> None:
    """A request costs nobody anything now, and its client is told to come back in a moment."""
    before = len(world.upstreams.calls)
    with pytest.raises((NothingReady, UpstreamError)) as caught:
        await attempt(world)
    assert len(world.upstreams.calls) == before
    assert caught.value.retry_after == pytest.approx(0.01, abs=1)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.place is None])
async def test_a_failure_that_is_nobodys_but_the_requests(name: str, autojump_clock: Clock) -> None:
    world = world_of(ROWS[name])
    for count in (1, 2):
        error = await refused(world)
        assert error.kind in {Kind.INVALID_REQUEST, Kind.TOO_LARGE}
        assert error.retry_after is None
        assert len(world.upstreams.calls) == count
    assert world.runtime.statistics()["states"] == 0
