"""What refusals mean."""

from random import Random

import pytest
from attrs import evolve

from cliproxy.errors import Failure, Kind, Scope, TransportError
from cliproxy.ir.events import StreamError
from cliproxy.routing.classify import (
    broken_answer,
    empty_answer,
    failure_from_answer,
    failure_from_stream,
    failure_from_transport,
    most_useful,
    with_source,
    with_wait,
)
from cliproxy.routing.cooldown import RuntimeState, after_failure
from cliproxy.wire.http import Headers, HttpAnswer

NOW = 1_700_000_000.0


def classified(status: int, message: str = "", code: str = "", **headers: str) -> Failure:
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    answer = HttpAnswer(status=status, headers=fields)
    return failure_from_answer(answer, StreamError(Kind.UPSTREAM, message, status, code), NOW)


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
        (405, Kind.NOT_FOUND, Scope.MODEL),
        (409, Kind.INVALID_REQUEST, Scope.REQUEST),
        (410, Kind.NOT_FOUND, Scope.MODEL),
        (414, Kind.TOO_LARGE, Scope.REQUEST),
        (415, Kind.INVALID_REQUEST, Scope.REQUEST),
        (418, Kind.UPSTREAM, Scope.MODEL),
        (425, Kind.UNAVAILABLE, Scope.MODEL),
        (431, Kind.TOO_LARGE, Scope.REQUEST),
        (444, Kind.UPSTREAM, Scope.MODEL),
        (451, Kind.PERMISSION, Scope.MODEL),
        (499, Kind.UPSTREAM, Scope.MODEL),
        (422, Kind.INVALID_REQUEST, Scope.REQUEST),
        (429, Kind.RATE_LIMIT, Scope.MODEL),
        (500, Kind.UPSTREAM, Scope.MODEL),
        (502, Kind.UPSTREAM, Scope.MODEL),
        (503, Kind.UNAVAILABLE, Scope.MODEL),
        (504, Kind.TIMEOUT, Scope.MODEL),
        (520, Kind.UPSTREAM, Scope.MODEL),
        (521, Kind.UNAVAILABLE, Scope.MODEL),
        (522, Kind.TIMEOUT, Scope.MODEL),
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


NOT_PERSISTED = "Item with id 'rs_1' not found. Items are not persisted when `store` is set to false."
NOT_FOR_CHATGPT = "The 'gpt-5' model is not supported when using Codex with a ChatGPT account."


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 503])
@pytest.mark.parametrize(
    "code",
    [
        "cyber_policy",
        "context_length_exceeded",
        "message_too_big",
        "string_above_max_length",
        "invalid_prompt",
        "invalid_value",
        "unsupported_value",
        "previous_response_not_found",
    ],
)
def test_codes_that_blame_the_request(status: int, code: str) -> None:
    failure = classified(status, "x", code)
    assert (failure.kind, failure.scope, failure.code) == (Kind.INVALID_REQUEST, Scope.REQUEST, code)


@pytest.mark.parametrize("word", ["invalid_request", "invalid_request_error", "bad_request_error"])
@pytest.mark.parametrize(
    ("status", "is_of_request"),
    [
        (400, True),
        (422, True),
        (500, False),
        (401, False),
        (402, False),
        (403, False),
        (404, False),
        (429, False),
    ],
)
def test_a_class_of_errors_counts_where_the_status_says_nothing_else(
    word: str, status: int, is_of_request: bool
) -> None:
    assert (classified(status, "x", word).scope is Scope.REQUEST) is is_of_request


@pytest.mark.parametrize("status", [401, 402, 429])
def test_what_is_about_the_account_is_never_the_requests_fault(status: int) -> None:
    assert classified(status, "x", "invalid_value").scope is not Scope.REQUEST


def test_an_item_that_was_not_kept_is_nowhere_else_either() -> None:
    assert classified(404, NOT_PERSISTED, "").scope is Scope.REQUEST
    assert classified(404, "Not found").scope is Scope.MODEL


@pytest.mark.parametrize("status", [400, 422, 403, 404])
@pytest.mark.parametrize("message", [NOT_FOR_CHATGPT, "unsupported model: x", "x is not a supported model"])
def test_a_model_that_is_not_supported_is_left_alone_for_long(status: int, message: str) -> None:
    failure = classified(status, message, "invalid_request_error")
    assert (failure.kind, failure.scope) == (Kind.NOT_FOUND, Scope.MODEL)
    state = after_failure(RuntimeState(), failure, 0.0, Random(0))
    assert state.until >= 12 * 3600
    assert classified(400, "The model does not support image inputs").scope is Scope.REQUEST


@pytest.mark.parametrize("status", [400, 401])
def test_a_login_that_has_ended_is_left_alone_for_half_an_hour(status: int) -> None:
    failure = classified(status, "invalid_grant: Token has been expired or revoked.")
    assert (failure.kind, failure.scope) == (Kind.AUTHENTICATION, Scope.CREDENTIAL)
    assert 1800 <= after_failure(RuntimeState(), failure, 0.0, Random(0)).until <= 1830


PAGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"


@pytest.mark.parametrize(
    ("status", "headers", "body", "is_challenge"),
    [
        (403, {}, PAGE, True),
        (503, {}, b"<html><script src='/cdn-cgi/challenge-platform/h/b'></script></html>", True),
        (403, {"CF-Mitigated": "challenge"}, b"", True),
        (403, {}, b"<html><h1>Forbidden</h1></html>", False),
        (403, {}, b'{"error":{"message":"Just a moment..."}}', False),
        (500, {}, PAGE, False),
    ],
)
def test_a_network_that_wants_to_see_a_browser(
    status: int, headers: dict[str, str], body: bytes, is_challenge: bool
) -> None:
    answer = HttpAnswer(status=status, headers=Headers(headers), body=body)
    failure = failure_from_answer(answer, StreamError(Kind.UPSTREAM, "", status), NOW)
    assert (failure.code == "cloudflare_challenge") is is_challenge
    if is_challenge:
        assert (failure.kind, failure.scope) == (Kind.UNAVAILABLE, Scope.CREDENTIAL)
        assert 10 <= after_failure(RuntimeState(), failure, 0.0, Random(0)).until <= 11


@pytest.mark.parametrize(
    ("status", "seconds"), [(429, 360.0), (503, None), (500, None), (400, None), (401, None)]
)
def test_used_up_windows_say_when_a_limit_ends_and_nothing_else(status: int, seconds: float | None) -> None:
    failure = classified(
        status, x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="6m0s", x_ratelimit_reset="9"
    )
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(429, 7.0), (402, 7.0), (503, 7.0), (529, 7.0), (408, 7.0), (401, None), (400, None)],
)
def test_what_passes_may_say_when(status: int, seconds: float | None) -> None:
    assert classified(status, retry_after="7").retry_after == seconds


def test_a_contract_that_does_not_know_when_takes_it_from_the_headers() -> None:
    known = Failure(kind=Kind.QUOTA, scope=Scope.CREDENTIAL, message="x", retry_after=3.0)
    headers = Headers({"Retry-After": "9"})
    assert with_wait(known, headers, NOW) is known
    assert with_wait(evolve(known, retry_after=None), headers, NOW).retry_after == 9.0


@pytest.mark.parametrize(
    ("code", "scope"), [("invalid_value", Scope.REQUEST), ("server_error", Scope.MODEL), ("", Scope.MODEL)]
)
def test_errors_inside_a_success_are_judged_by_the_same_words(code: str, scope: Scope) -> None:
    assert failure_from_stream(StreamError(Kind.UPSTREAM, "x", 0, code)).scope is scope


def test_a_header_is_better_than_what_the_body_says() -> None:
    error = StreamError(Kind.RATE_LIMIT, "slow down", 429, retry_after=99.0)
    answer = HttpAnswer(status=429, headers=Headers({"retry-after": "5"}))
    assert failure_from_answer(answer, error, NOW).retry_after == 5.0
    assert failure_from_answer(HttpAnswer(status=429), error, NOW).retry_after == 99.0


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
