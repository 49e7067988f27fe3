"""Error bodies, both ways."""

import pytest

from cliproxy.dialects.claude.errors import decode_error, encode_error
from cliproxy.errors import BadRequest, Kind, ModelNotFound, ProxyError
from cliproxy.wire.jsontext import JsonObject


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.INVALID_REQUEST, "invalid_request_error"),
        (Kind.AUTHENTICATION, "authentication_error"),
        (Kind.PERMISSION, "permission_error"),
        (Kind.NOT_FOUND, "not_found_error"),
        (Kind.TOO_LARGE, "request_too_large"),
        (Kind.RATE_LIMIT, "rate_limit_error"),
        (Kind.QUOTA, "rate_limit_error"),
        (Kind.OVERLOADED, "overloaded_error"),
        (Kind.UNAVAILABLE, "api_error"),
        (Kind.TIMEOUT, "timeout_error"),
        (Kind.UPSTREAM, "api_error"),
        (Kind.INTERNAL, "api_error"),
        (Kind.CANCELLED, "api_error"),
    ],
)
def test_every_kind_has_a_type(kind: Kind, name: str) -> None:
    body: JsonObject = {"type": "error", "error": {"type": name, "message": "why"}}
    assert encode_error(ProxyError("why", kind=kind)) == body


def test_payment_required_is_a_matter_of_billing() -> None:
    body = encode_error(ProxyError("why", kind=Kind.QUOTA, status=402))
    assert body["error"] == {"type": "billing_error", "message": "why"}


def test_errors_of_the_server_itself() -> None:
    assert encode_error(ModelNotFound("m"))["error"]["type"] == "not_found_error"  # type: ignore[index,call-overload]
    assert encode_error(BadRequest("b"))["error"]["type"] == "invalid_request_error"  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("status", "name", "kind", "read_status"),
    [
        (0, "overloaded_error", Kind.OVERLOADED, 529),
        (0, "rate_limit_error", Kind.RATE_LIMIT, 429),
        (0, "api_error", Kind.UPSTREAM, 502),
        (529, "overloaded_error", Kind.OVERLOADED, 529),
        (400, "billing_error", Kind.QUOTA, 400),
        (403, "permission_error", Kind.PERMISSION, 403),
        (401, "new_kind_of_error", Kind.AUTHENTICATION, 401),
        (0, "new_kind_of_error", Kind.UPSTREAM, 502),
    ],
)
def test_reading(status: int, name: str, kind: Kind, read_status: int) -> None:
    body: JsonObject = {"type": "error", "error": {"type": name, "message": "why"}}
    error = decode_error(status, body)
    assert (error.kind, error.message, error.status, error.code) == (kind, "why", read_status, name)
    assert error.raw is body


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "top"}, "top"),
        ({"error": "bare"}, "bare"),
        ({"detail": "detail"}, "detail"),
        ({"error": {"message": 7}}, "the upstream reported an error without a message"),
        ({}, "the upstream reported an error without a message"),
    ],
)
def test_other_shapes_are_read_too(body: JsonObject, message: str) -> None:
    error = decode_error(503, body)
    assert (error.message, error.kind, error.code) == (message, Kind.UNAVAILABLE, "")
