"""What a client is told when no way of an account was good."""

import pytest

from cliproxy.dialects.base import Action
from cliproxy.errors import BadRequest, Failure, Kind, NativeBody, Scope
from cliproxy.exchange.ways import Ways, first_opening, no_way
from cliproxy.routing.cooldown import RuntimeState

TEXT_ONLY = BadRequest("tools cannot be used here.", param="tools")


def failed(kind: Kind, message: str, retry_after: float | None = None, status: int = 0) -> Failure:
    return Failure(
        kind=kind,
        scope=Scope.CONTRACT,
        message=message,
        retry_after=retry_after,
        status=status,
        native=NativeBody("claude", b"{}"),
    )


OFF = failed(Kind.PERMISSION, "direct connections are off.", status=403)
ABSENT = failed(Kind.NOT_FOUND, "no such endpoint", status=404)
BUSY = failed(Kind.UNAVAILABLE, "503 Unavailable", 30.0, 503)
SLOW = failed(Kind.RATE_LIMIT, "too often", 9.0, 429)


def verdict(*reasons: Failure, refused: BadRequest | None = None) -> Failure | BadRequest:
    return Ways(list(reasons), refused).verdict()


def test_reasons_that_last_are_all_told_the_preferred_way_first() -> None:
    told = verdict(OFF, ABSENT, OFF)
    assert isinstance(told, Failure)
    assert (told.status, told.kind, told.scope) == (403, Kind.PERMISSION, Scope.MODEL)
    assert told.message == "direct connections are off; no such endpoint"
    assert told.native is None


def test_what_to_do_is_said_once() -> None:
    told = verdict(
        failed(Kind.PERMISSION, "no agents at 10.0.0.1: 403. It needs a seat."),
        failed(Kind.PERMISSION, "no gateway at 10.0.0.1: 403. It needs a seat."),
        failed(Kind.PERMISSION, "It needs a seat."),
        ABSENT,
    )
    assert isinstance(told, Failure)
    assert told.message == (
        "no agents at 10.0.0.1: 403. It needs a seat; no gateway at 10.0.0.1: 403; no such endpoint"
    )


def test_what_passes_is_told_with_the_first_moment_to_come_back() -> None:
    told = verdict(OFF, BUSY, SLOW)
    assert isinstance(told, Failure)
    assert (told.kind, told.message, told.retry_after) == (Kind.RATE_LIMIT, "too often", 9.0)


@pytest.mark.parametrize("reason", [BUSY, SLOW])
def test_a_better_way_that_will_be_back_matters_more_than_a_lesser_one_that_cannot(reason: Failure) -> None:
    assert isinstance(verdict(reason, refused=TEXT_ONLY), Failure)


def test_where_nothing_better_will_come_the_request_is_at_fault_and_the_client_learns_why() -> None:
    told = verdict(OFF, refused=TEXT_ONLY)
    assert isinstance(told, BadRequest)
    assert told.param == "tools"
    assert told.message == (
        "tools cannot be used here; other ways are closed to the account: direct connections are off."
    )


@pytest.mark.parametrize(
    "refused",
    [TEXT_ONLY, BadRequest("There is no picture.", kind=Kind.UPSTREAM, status=502, code="none", param="n")],
)
def test_a_refusal_alone_stays_as_it_is(refused: BadRequest) -> None:
    told = verdict(refused=refused)
    assert vars(told) == vars(refused)
    assert str(told) == str(refused)


def test_a_way_that_was_closed_before_counts_like_one_that_failed_now() -> None:
    ways = Ways()
    ways.closed(RuntimeState(until=70.0, failures=2, kind=Kind.RATE_LIMIT, cause="too often"), 50.0)
    told = ways.verdict()
    assert isinstance(told, Failure)
    assert (told.kind, told.message, told.retry_after) == (Kind.RATE_LIMIT, "too often", 20.0)


@pytest.mark.parametrize(
    ("action", "param", "words"),
    [
        (Action.FILL_IN_THE_MIDDLE, "suffix", "`gpt-x` cannot fill in the middle"),
        (Action.COMPACT, None, "`gpt-x` cannot do `compact`"),
        (Action.EMBED, "model", "`gpt-x` cannot make embeddings here. No configured account can."),
        (Action.IMAGE, "model", "`gpt-x` cannot make images here. No configured account can."),
    ],
)
def test_what_a_model_cannot_do(action: Action, param: str | None, words: str) -> None:
    error = no_way("gpt-x", action)
    assert (error.status, error.param) == (400, param)
    assert words in error.message


def test_who_can_is_named() -> None:
    error = no_way("gpt-x", Action.EMBED, {"codex", "a-provider"})
    assert error.message.endswith("here. Accounts that can, with their own models: a-provider, codex.")


@pytest.mark.parametrize(
    ("ends", "first"), [([], 0.0), ([5.0, 3.0], 3.0), ([5.0, None], 0.0), ([None], 0.0), ([7.0], 7.0)]
)
def test_when_the_first_of_some_ways_is_open_again(ends: list[float | None], first: float) -> None:
    assert first_opening([None if end is None else RuntimeState(until=end) for end in ends]) == first
