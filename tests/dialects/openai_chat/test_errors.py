"""Error bodies of the chat wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_chat.errors import decode_error, encode_error, error_in_stream
from cliproxy.errors import (
    BadRequest,
    Kind,
    ModelNotFound,
    NativeBody,
    NothingReady,
    ProxyError,
    Unauthorized,
)
from cliproxy.ir.events import StreamError
from support import ir_strategies
from support.grammar_openai import check_error

BODIES = {
    "vendor": (
        429,
        {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
        (Kind.RATE_LIMIT, "slow down", 429, "rate_limit_exceeded"),
    ),
    "quota behind 429": (
        429,
        {"error": {"message": "pay", "type": "insufficient_quota", "code": "insufficient_quota"}},
        (Kind.QUOTA, "pay", 429, "insufficient_quota"),
    ),
    "status before a vague word": (
        404,
        {"error": {"message": "no", "type": "invalid_request_error", "code": "model_not_found"}},
        (Kind.NOT_FOUND, "no", 404, "model_not_found"),
    ),
    "word without status": (
        0,
        {"error": {"message": "m", "type": "rate_limit_error"}},
        (Kind.RATE_LIMIT, "m", 429, "rate_limit_error"),
    ),
    "overloaded": (
        503,
        {"error": {"message": "m", "type": "overloaded_error"}},
        (Kind.OVERLOADED, "m", 503, "overloaded_error"),
    ),
    "status as code": (200, {"error": {"message": "m", "code": 402}}, (Kind.QUOTA, "m", 402, "402")),
    "status as text": (0, {"error": {"message": "m", "code": "401"}}, (Kind.AUTHENTICATION, "m", 401, "401")),
    "error is text": (500, {"error": "broken"}, (Kind.UPSTREAM, "broken", 500, "")),
    "error is a list": (
        400,
        {"error": [{"message": "m", "code": "c"}]},
        (Kind.INVALID_REQUEST, "m", 400, "c"),
    ),
    "errors": (400, {"errors": [{"message": "m"}]}, (Kind.INVALID_REQUEST, "m", 400, "")),
    "flat": (401, {"message": "m", "code": "x"}, (Kind.AUTHENTICATION, "m", 401, "x")),
    "detail": (422, {"detail": "m"}, (Kind.INVALID_REQUEST, "m", 422, "")),
    "detail list": (
        422,
        {"detail": [{"msg": "a", "loc": []}, {"msg": "b"}, "c"]},
        (Kind.INVALID_REQUEST, "a; b; c", 422, ""),
    ),
    "nothing": (0, {}, (Kind.UPSTREAM, "", 502, "")),
}


@pytest.mark.parametrize(("status", "body", "expected"), BODIES.values(), ids=BODIES.keys())
def test_reading(status, body, expected):
    error = decode_error(status, body)
    assert (error.kind, error.message, error.status, error.code) == expected
    assert error.raw is body


def test_delay_in_the_body():
    assert decode_error(429, {"error": {"retry_after": 2}}).retry_after == 2.0
    assert decode_error(429, {"error": {"retry_after": -2}}).retry_after is None


@given(st.integers(0, 999), ir_strategies.json_objects, ir_strategies.json_values)
def test_reading_never_fails(status, body, error):
    assert isinstance(decode_error(status, {**body, "error": error}), StreamError)


WRITTEN = {
    "bad request": (BadRequest("m", param="messages"), ("invalid_request_error", "messages", None)),
    "key": (Unauthorized("m"), ("authentication_error", None, "invalid_api_key")),
    "model": (ModelNotFound("m"), ("invalid_request_error", "model", "model_not_found")),
    "rate": (ProxyError("m", kind=Kind.RATE_LIMIT), ("rate_limit_error", None, "rate_limit_exceeded")),
    "quota": (ProxyError("m", kind=Kind.QUOTA), ("insufficient_quota", None, "insufficient_quota")),
    "upstream": (ProxyError("m", kind=Kind.UPSTREAM), ("server_error", None, "internal_server_error")),
    "own code": (ProxyError("m", kind=Kind.TIMEOUT, code="slow"), ("server_error", None, "slow")),
}


@pytest.mark.parametrize(("error", "expected"), WRITTEN.values(), ids=WRITTEN.keys())
def test_writing(error, expected):
    written = check_error(encode_error(error))
    assert (written["type"], written["param"], written["code"]) == expected


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_reads_back_as_a_kind_of_the_same_status_class(kind):
    written = encode_error(ProxyError("m", kind=kind))
    assert decode_error(ProxyError("m", kind=kind).status, written).message == "m"


def test_details_are_told():
    error = NothingReady("m", detail={"accounts": [{"state": Kind.QUOTA, "seconds": 1.5}], "at": b"x"})
    written = encode_error(error)["error"]
    assert written["accounts"] == [{"state": "quota", "seconds": 1.5}]
    assert written["at"] == "b'x'"
    assert written["message"] == "m"


def test_native_bodies():
    own = ProxyError("m", native=NativeBody("openai", b'{"error":{"message":"theirs","x":1}}'))
    assert encode_error(own) == {"error": {"message": "theirs", "x": 1}}
    for body in (b"<html>", b"[]"):
        assert encode_error(ProxyError("m", native=NativeBody("openai", body)))["error"]["message"] == "m"
    foreign = ProxyError("m", native=NativeBody("claude", b'{"type":"error"}'))
    assert encode_error(foreign)["error"]["message"] == "m"


def test_error_of_a_stream():
    error = error_in_stream(StreamError(Kind.OVERLOADED, "busy", 0, ""))
    assert (error.kind, error.status, error.code) == (Kind.OVERLOADED, 529, None)
