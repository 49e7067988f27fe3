"""Error bodies in both directions."""

import pytest
from hypothesis import given

from cliproxy.dialects.openai_responses.errors import (
    decode_error,
    encode_error,
    error_of_event,
    event_code,
    retry_after,
)
from cliproxy.errors import BadRequest, Kind, ModelNotFound, ProxyError
from support import ir_strategies

NOW = 1000.0


@pytest.mark.parametrize(
    ("kind", "type_word", "code"),
    [
        (Kind.INVALID_REQUEST, "invalid_request_error", None),
        (Kind.AUTHENTICATION, "authentication_error", "invalid_api_key"),
        (Kind.PERMISSION, "permission_error", "insufficient_quota"),
        (Kind.NOT_FOUND, "invalid_request_error", None),
        (Kind.RATE_LIMIT, "rate_limit_error", "rate_limit_exceeded"),
        (Kind.QUOTA, "insufficient_quota", "insufficient_quota"),
        (Kind.OVERLOADED, "server_error", "internal_server_error"),
        (Kind.UNAVAILABLE, "server_error", "internal_server_error"),
        (Kind.TIMEOUT, "server_error", "request_timeout"),
        (Kind.INTERNAL, "server_error", "internal_server_error"),
    ],
)
def test_kind_decides_the_words(kind, type_word, code):
    body = encode_error(ProxyError("m", kind=kind))
    assert body == {"error": {"message": "m", "type": type_word, "param": None, "code": code}}


def test_what_is_known_better_is_said():
    assert encode_error(BadRequest("m", param="input"))["error"]["param"] == "input"
    assert encode_error(ModelNotFound("x"))["error"]["code"] == "model_not_found"
    assert encode_error(ModelNotFound("x"))["error"]["param"] == "model"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_code_inside_streams(kind):
    assert event_code(ProxyError("m", kind=kind))


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "message"),
    [
        (
            429,
            {"error": {"type": "usage_limit_reached", "message": "m"}},
            Kind.QUOTA,
            "usage_limit_reached",
            "m",
        ),
        (
            429,
            {"error": {"type": "requests", "code": "rate_limit_exceeded", "message": "m"}},
            Kind.RATE_LIMIT,
            "rate_limit_exceeded",
            "m",
        ),
        (
            400,
            {"error": {"type": "invalid_request_error", "message": "m", "code": None}},
            Kind.INVALID_REQUEST,
            "invalid_request_error",
            "m",
        ),
        (401, {"error": {"message": "m"}}, Kind.AUTHENTICATION, "", "m"),
        (503, {"error": "busy"}, Kind.UNAVAILABLE, "", "busy"),
        (403, {"detail": "Not allowed"}, Kind.PERMISSION, "", "Not allowed"),
        (
            400,
            {"detail": {"message": "m", "code": "context_length_exceeded"}},
            Kind.INVALID_REQUEST,
            "context_length_exceeded",
            "m",
        ),
        (500, {"message": "m"}, Kind.UPSTREAM, "", "m"),
        (418, {}, Kind.INVALID_REQUEST, "", "the upstream reported an error without saying which"),
        (0, {"error": {"code": "odd"}}, Kind.UPSTREAM, "odd", "odd"),
    ],
)
def test_error_bodies_are_classified(status, body, kind, code, message):
    error = decode_error(status, body)
    assert (error.kind, error.code, error.message, error.status) == (kind, code, message, status)


@pytest.mark.parametrize(
    ("error", "now", "expected"),
    [
        ({"resets_at": 1060, "resets_in_seconds": 5}, NOW, 60),
        ({"resets_at": 900, "resets_in_seconds": 5}, NOW, 5),
        ({"resets_at": 1060, "resets_in_seconds": 5}, None, 5),
        ({"resets_at": 1060}, None, None),
        ({"resets_in_seconds": 0}, NOW, None),
        ({"message": "Please try again in 1.5s."}, NOW, 1.5),
        ({"message": "try again in 250ms"}, NOW, 0.25),
        ({"message": "Try again in 2 minutes"}, NOW, 120),
        ({"message": "try again later"}, NOW, None),
        ({}, NOW, None),
    ],
)
def test_when_to_come_back(error, now, expected):
    assert retry_after(error, now) == expected


def test_error_events_of_both_forms():
    flat = error_of_event({"type": "error", "code": "rate_limit_exceeded", "message": "m"}, NOW)
    nested = error_of_event({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "m"}}, NOW)
    failed = error_of_event({"response": {"error": {"code": "rate_limit_exceeded", "message": "m"}}}, NOW)
    assert flat.kind is nested.kind is failed.kind is Kind.RATE_LIMIT
    assert flat.message == nested.message == failed.message == "m"


def test_error_event_may_carry_a_status():
    assert (
        error_of_event({"type": "error", "status": 404, "error": {"message": "m"}}, NOW).kind
        is Kind.NOT_FOUND
    )


@given(ir_strategies.json_objects)
def test_any_body_is_an_error(body):
    assert decode_error(500, body).message
