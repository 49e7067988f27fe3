"""What refusals mean."""

import pytest

from cliproxy.errors import Failure, Kind, Scope, TransportError
from cliproxy.ir.events import StreamError
from cliproxy.routing.classify import (
    broken_answer,
    empty_answer,
    failure_from_answer,
    failure_from_stream,
    failure_from_transport,
    most_useful,
    retry_after,
    with_source,
)
from cliproxy.wire.http import Headers

NOW = 1_700_000_000.0


def classified(status: int, message: str = "", code: str = "", **headers: str) -> Failure:
    error = StreamError(Kind.UPSTREAM, message, status, code)
    return failure_from_answer(
        status, Headers({k.replace("_", "-"): v for k, v in headers.items()}), error, NOW
    )


@pytest.mark.parametrize(
    ("status", "kind", "scope"),
    [
        (400, Kind.INVALID_REQUEST, Scope.REQUEST),
        (401, Kind.AUTHENTICATION, Scope.CREDENTIAL),
        (402, Kind.QUOTA, Scope.CREDENTIAL),
        (403, Kind.PERMISSION, Scope.MODEL),
        (404, Kind.NOT_FOUND, Scope.MODEL),
        (408, Kind.TIMEOUT, Scope.MODEL),
        (413, Kind.TOO_LARGE, Scope.REQUEST),
        (418, Kind.INVALID_REQUEST, Scope.REQUEST),
        (422, Kind.INVALID_REQUEST, Scope.REQUEST),
        (429, Kind.RATE_LIMIT, Scope.MODEL),
        (500, Kind.UPSTREAM, Scope.MODEL),
        (502, Kind.UPSTREAM, Scope.MODEL),
        (503, Kind.UNAVAILABLE, Scope.MODEL),
        (504, Kind.TIMEOUT, Scope.MODEL),
        (529, Kind.OVERLOADED, Scope.MODEL),
        (599, Kind.UPSTREAM, Scope.MODEL),
    ],
)
def test_statuses(status: int, kind: Kind, scope: Scope) -> None:
    failure = classified(status)
    assert (failure.kind, failure.scope, failure.status) == (kind, scope, status)
    assert str(status) in failure.message


@pytest.mark.parametrize(
    ("status", "message", "code", "kind", "scope"),
    [
        (400, "API key not valid. Please pass a valid API key.", "", Kind.AUTHENTICATION, Scope.CREDENTIAL),
        (400, "x", "API_KEY_INVALID", Kind.AUTHENTICATION, Scope.CREDENTIAL),
        (400, "Your credit balance is too low to access the API", "", Kind.QUOTA, Scope.CREDENTIAL),
        (429, "You exceeded your current quota", "insufficient_quota", Kind.QUOTA, Scope.CREDENTIAL),
        (429, "prompt is too long: 210000 tokens", "", Kind.INVALID_REQUEST, Scope.REQUEST),
        (400, "no such model", "model_not_found", Kind.NOT_FOUND, Scope.MODEL),
        (500, "API key not valid", "", Kind.UPSTREAM, Scope.MODEL),
    ],
)
def test_texts_that_statuses_misjudge(status: int, message: str, code: str, kind: Kind, scope: Scope) -> None:
    failure = classified(status, message, code)
    assert (failure.kind, failure.scope) == (kind, scope)
    assert failure.message == message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(Headers(headers), NOW) == seconds


def test_a_header_is_better_than_what_the_body_says() -> None:
    error = StreamError(Kind.RATE_LIMIT, "slow down", 429, retry_after=99.0)
    assert failure_from_answer(429, Headers({"retry-after": "5"}), error, NOW).retry_after == 5.0
    assert failure_from_answer(429, Headers(), error, NOW).retry_after == 99.0


def test_a_connection_that_could_not_be_made_blames_the_host() -> None:
    assert (
        failure_from_transport(TransportError("x", kind=Kind.UNAVAILABLE, phase="connect")).scope
        is Scope.HOST
    )
    assert failure_from_transport(TransportError("x", kind=Kind.TIMEOUT, phase="body")).scope is Scope.MODEL


def test_errors_inside_a_success_have_no_success_status() -> None:
    failure = failure_from_stream(StreamError(Kind.OVERLOADED, "busy", 200))
    assert (failure.kind, failure.status) == (Kind.OVERLOADED, 0)


def test_the_most_useful_failure_is_the_one_a_client_can_act_on() -> None:
    network = failure_from_transport(TransportError("x", kind=Kind.UNAVAILABLE, phase="connect"))
    server, auth, quota = classified(500), classified(401), classified(429, retry_after="30")
    request = classified(400, "bad field")
    assert most_useful([network, server]) is server
    assert most_useful([server, auth, network]) is auth
    assert most_useful([auth, quota, server]) is quota
    assert most_useful([quota, request]) is request


def test_of_equally_useful_failures_the_last_counts() -> None:
    first, last = classified(500, "first"), classified(500, "last")
    assert most_useful([first, last]) is last


def test_answers_that_are_none_can_be_tried_elsewhere() -> None:
    for failure in (empty_answer(), broken_answer("garbage")):
        assert (failure.scope, failure.kind, failure.status) == (Scope.MODEL, Kind.UPSTREAM, 502)


def test_the_source_is_named_in_front() -> None:
    assert with_source(broken_answer("garbage"), "gitlab").message == "gitlab: garbage"
