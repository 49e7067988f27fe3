"""Errors: statuses, kinds, and messages for people."""

import pytest

from cliproxy.errors import (
    BadRequest,
    ConfigError,
    Failure,
    Kind,
    LoginError,
    ModelNotFound,
    NativeBody,
    NothingReady,
    Problem,
    ProxyError,
    Scope,
    Unauthorized,
    UpstreamError,
    kind_of_status,
    telling_code,
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request"),
        (418, "invalid_request"),
        (499, "cancelled"),
        (500, "upstream"),
        (599, "upstream"),
        (302, "upstream"),
    ],
)
def test_every_status_has_a_kind(status: int, kind: str) -> None:
    assert kind_of_status(status) == kind


@pytest.mark.parametrize(
    "code", ["model_not_found", "server_error", "internal_server_error", "429", "slow_down"]
)
def test_a_code_is_a_code(code: str) -> None:
    assert telling_code(code) == code


@pytest.mark.parametrize("code", [None, "rate_limit_error", "overloaded_error", "RESOURCE_EXHAUSTED"])
def test_a_class_of_errors_is_no_code(code: str | None) -> None:
    assert telling_code(code) is None


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BadRequest("x"), 400, Kind.INVALID_REQUEST),
        (BadRequest("x", status=415), 415, Kind.INVALID_REQUEST),
        (Unauthorized("x"), 401, Kind.AUTHENTICATION),
        (ModelNotFound("m"), 404, Kind.NOT_FOUND),
        (NothingReady("x", kind=Kind.RATE_LIMIT), 429, Kind.RATE_LIMIT),
        (ProxyError("x"), 500, Kind.INTERNAL),
    ],
)
def test_errors_have_the_status_of_their_kind(error: ProxyError, status: int, kind: Kind) -> None:
    assert (error.status, error.kind) == (status, kind)
    assert str(status) in repr(error)


def test_an_unknown_model_is_named() -> None:
    error = ModelNotFound("gpt-9", "Did you mean gpt-5?")
    assert "`gpt-9`" in error.message
    assert error.message.endswith("Did you mean gpt-5?")
    assert (error.code, error.param) == ("model_not_found", "model")


def test_the_final_error_takes_after_the_last_failure() -> None:
    first = Failure(kind=Kind.UPSTREAM, scope=Scope.MODEL, message="first", status=500)
    native = NativeBody("claude", b"{}")
    last = Failure(
        kind=Kind.RATE_LIMIT,
        scope=Scope.MODEL,
        message="slow",
        status=429,
        retry_after=3,
        code="c",
        native=native,
    )
    error = UpstreamError([first, last])
    assert (error.status, error.kind, error.retry_after, error.code) == (429, Kind.RATE_LIMIT, 3, "c")
    assert error.native is native
    assert error.failures == (first, last)


def test_a_failure_without_an_answer_has_the_status_of_its_kind() -> None:
    error = UpstreamError([Failure(kind=Kind.TIMEOUT, scope=Scope.MODEL, message="x", status=200)])
    assert error.status == 504


@pytest.mark.parametrize(
    ("message", "hint", "text"),
    [
        ("no seat", "Ask for one.", "no seat. Ask for one."),
        ("It has ended.", "Log in.", "It has ended. Log in."),
        ("cut off", "", "cut off"),
    ],
)
def test_a_login_error_explains_itself_in_one_text(message: str, hint: str, text: str) -> None:
    assert LoginError(message, code="c", hint=hint).explained == text


def test_problems_say_where_they_are() -> None:
    error = ConfigError(
        "config.yaml", [Problem("must be a number", path="port", line=3), Problem("is empty")]
    )
    assert str(error) == "config.yaml: line 3: port: must be a number\nconfig.yaml: is empty"
