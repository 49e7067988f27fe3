"""Error bodies, read and written."""

import pytest
from hypothesis import given

from cliproxy.dialects.gemini.errors import (
    decode_error,
    encode_error,
    read_error,
    read_refusal,
    retry_delay,
)
from cliproxy.errors import (
    BadRequest,
    Failure,
    Kind,
    ModelNotFound,
    NativeBody,
    NotFound,
    NothingReady,
    ProxyError,
    Scope,
    Unauthorized,
    UpstreamError,
)
from cliproxy.wire.jsontext import JsonError, dumps
from support.grammar_gemini import check_error
from support.ir_strategies import json_objects

RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}
INFO = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "RATE_LIMIT_EXCEEDED",
    "metadata": {"quotaResetDelay": "373.801628ms"},
}
DAILY = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "50"}],
}
MINUTE = {
    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
    "violations": [
        {
            "quotaMetric": "generativelanguage.googleapis.com/generate_requests",
            "quotaId": "GenerateRequestsPerMinutePerProject",
        }
    ],
}


def body(code, status, *details, message="m"):
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (400, "INVALID_ARGUMENT", Kind.INVALID_REQUEST),
        (400, "FAILED_PRECONDITION", Kind.INVALID_REQUEST),
        (401, "UNAUTHENTICATED", Kind.AUTHENTICATION),
        (403, "PERMISSION_DENIED", Kind.PERMISSION),
        (404, "NOT_FOUND", Kind.NOT_FOUND),
        (429, "RESOURCE_EXHAUSTED", Kind.RATE_LIMIT),
        (499, "CANCELLED", Kind.CANCELLED),
        (500, "INTERNAL", Kind.UPSTREAM),
        (503, "UNAVAILABLE", Kind.UNAVAILABLE),
        (504, "DEADLINE_EXCEEDED", Kind.TIMEOUT),
        (418, "TEAPOT", Kind.INVALID_REQUEST),
    ],
)
def test_reading(code, status, kind):
    error = decode_error(code, body(code, status))
    assert (error.kind, error.message, error.status, error.code) == (kind, "m", code, status)


def test_inside_a_stream_the_body_knows_the_status():
    assert decode_error(0, body(503, "UNAVAILABLE")).status == 503
    assert decode_error(0, {"error": {"status": "RESOURCE_EXHAUSTED"}}).status == 429
    assert decode_error(0, {"error": {"status": "INVALID_ARGUMENT"}}).status == 400


def test_details():
    error = decode_error(429, body(429, "RESOURCE_EXHAUSTED", MINUTE, RETRY, INFO))
    assert (error.kind, error.code, error.retry_after) == (
        Kind.RATE_LIMIT,
        "RATE_LIMIT_EXCEEDED",
        34.074824224,
    )
    assert read_error(body(429, "", MINUTE, DAILY)).quotas == (
        "GenerateRequestsPerMinutePerProject",
        "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
    )


def test_a_daily_quota_is_used_up():
    assert decode_error(429, body(429, "RESOURCE_EXHAUSTED", DAILY)).kind is Kind.QUOTA


@pytest.mark.parametrize(
    ("answer", "delay"),
    [
        (body(429, "", INFO, RETRY), 34.074824224),
        (body(429, "", INFO), 0.373801628),
        (body(429, "", message="Your quota will reset after 51s."), 51.0),
        (body(429, "", {**RETRY, "retryDelay": "soon"}, INFO), None),
        (body(429, "", {**INFO, "metadata": {}}, message="again after 7s"), 7.0),
        (body(429, "", message="thereafter 5s"), None),
        (body(429, ""), None),
        ({}, None),
    ],
)
def test_the_delay_stands_in_one_of_three_places(answer, delay):
    assert retry_delay(answer) == pytest.approx(delay)


@given(json_objects)
def test_reading_is_total(value):
    assert decode_error(500, value).kind
    assert decode_error(0, {"error": value}).kind


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BadRequest("m"), 400, "INVALID_ARGUMENT"),
        (Unauthorized("m"), 401, "UNAUTHENTICATED"),
        (ModelNotFound("m"), 404, "NOT_FOUND"),
        (NotFound("m", status=501), 501, "UNIMPLEMENTED"),
        (NothingReady("m"), 503, "UNAVAILABLE"),
        (ProxyError("m", kind=Kind.OVERLOADED), 503, "UNAVAILABLE"),
        (ProxyError("m", kind=Kind.QUOTA), 429, "RESOURCE_EXHAUSTED"),
        (ProxyError("m", kind=Kind.TIMEOUT), 504, "DEADLINE_EXCEEDED"),
        (ProxyError("m", kind=Kind.UPSTREAM), 502, "INTERNAL"),
        (ProxyError("m", kind=Kind.CANCELLED), 499, "CANCELLED"),
        (ProxyError("m"), 500, "INTERNAL"),
        (ProxyError("m", kind=Kind.UPSTREAM, status=418), 418, "UNKNOWN"),
    ],
)
def test_writing(error, code, status):
    written = encode_error(error)
    check_error(written)
    assert (written["error"]["code"], written["error"]["status"]) == (code, status)


@pytest.mark.parametrize(("delay", "written"), [(12.0, "12s"), (0.25, "0.25s"), (0.0, "0s"), (-1.0, "0s")])
def test_the_delay_is_told(delay, written):
    error = encode_error(NothingReady("m", retry_after=delay))
    check_error(error)
    assert error["error"]["details"] == [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": written}
    ]
    assert retry_delay(error) == max(delay, 0.0)


@pytest.mark.parametrize(
    ("dialect", "raw", "is_kept"),
    [
        ("gemini", b'{"error":{"code":400,"message":"native"}}', True),
        ("claude", b'{"error":{"code":400,"message":"native"}}', False),
        ("gemini", b"<html>", False),
        ("gemini", b'{"error":"text"}', False),
    ],
)
def test_a_body_of_this_shape_is_kept(dialect, raw, is_kept):
    native = NativeBody(dialect, raw)
    failure = Failure(kind=Kind.INVALID_REQUEST, scope=Scope.REQUEST, message="m", status=400, native=native)
    assert (encode_error(UpstreamError([failure]))["error"]["message"] == "native") is is_kept


def test_the_refusal_of_a_stream_is_a_list_with_one_error():
    error = {"error": {"code": 429, "message": "m"}}
    assert read_refusal(dumps([error])) == error
    assert read_refusal(dumps(error)) == error
    for raw in (b"[]", b'["x"]', b"1", b"<html>"):
        with pytest.raises(JsonError):
            read_refusal(raw)


def test_a_native_body_that_is_a_list_is_written_as_its_error():
    error = {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}
    native = NativeBody("gemini", dumps([error]))
    failure = Failure(kind=Kind.RATE_LIMIT, scope=Scope.MODEL, message="m", status=429, native=native)
    assert encode_error(UpstreamError([failure])) == error
