from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.gitlab_rest.answer import (
    decode_error,
    decode_response,
    encode_error,
    encode_response,
    inspect_response,
    read_answer,
)
from cliproxy.errors import BadRequest, DialectError, Kind
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import IRRequest, Message, Text
from cliproxy.ir.response import FinishReason, Usage
from cliproxy.wire.jsontext import JsonError, JsonValue, dumps
from support.factories import make_context


def context() -> ExchangeContext:
    facts = {"upstream_dialect": "gitlab-chat", "upstream_model": "gitlab-duo", "now": 1000.0}
    return make_context(random_hex=lambda digits: "0" * digits, **facts)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'"Hello"', "Hello"),
        (b'{"response": "Hello"}', "Hello"),
        (b'{"choices": [{"text": "Hello", "index": 0}]}', "Hello"),
        (b'{"choices": [{"text": "first"}], "response": "second"}', "first"),
        (b'{"choices": [{"message": {"content": "Hello"}}]}', "Hello"),
    ],
)
def test_where_the_text_of_an_answer_is(body: bytes, said: str) -> None:
    response = decode_response(read_answer(body), context())
    assert response.choices[0].parts == [Text(said)]
    assert response.choices[0].ending.reason is FinishReason.STOP


def test_what_an_answer_cost_is_estimated() -> None:
    """Neither endpoint says it, but clients and statistics want to know."""
    ctx = context()
    assert decode_response({"response": "twelve chars"}, ctx).usage == Usage(output=2)
    ctx.original = IRRequest(model="m", messages=[Message("user", [Text("eight ch")])])
    usage = decode_response({"response": "twelve chars"}, ctx).usage
    assert (usage.fresh_input, usage.output) == (6, 2)


@pytest.mark.parametrize("prompt", ["eight ch", ["eight ch"]])
def test_what_stands_around_the_cursor_is_counted(prompt: JsonValue) -> None:
    """Nobody decodes a request to fill in the middle: it is a suggestion's own."""
    ctx = context()
    ctx.original_body = {"model": "gitlab-duo", "prompt": prompt, "suffix": "four"}
    usage = decode_response({"response": "twelve chars"}, ctx).usage
    assert (usage.fresh_input, usage.output) == (3, 2)


def test_the_other_facts_of_a_completion() -> None:
    body = {
        "model": {"engine": "vertex-ai", "name": "code-gecko"},
        "created": 77,
        "choices": [{"text": "x", "finish_reason": "length"}],
    }
    response = decode_response(body, context())
    assert (response.model, response.created) == ("code-gecko", 77)
    assert response.choices[0].ending.reason is FinishReason.LENGTH


def test_an_empty_completion_is_an_answer_without_parts() -> None:
    assert decode_response({"choices": [{"text": ""}]}, context()).choices[0].parts == []


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{"text": 5}]}, {"response": None}])
def test_an_answer_without_text_is_refused(body: dict) -> None:
    with pytest.raises(DialectError):
        decode_response(body, context())


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"<html>"])
def test_what_is_no_answer_at_all(body: bytes) -> None:
    with pytest.raises(JsonError):
        read_answer(body)


def test_an_answer_can_be_written_and_read_again() -> None:
    response = decode_response({"response": "Hello"}, context())
    assert decode_response(encode_response(response, context()), context()) == response


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (403, {"message": "403 Forbidden"}, Kind.PERMISSION, "403 Forbidden"),
        (400, {"message": {"content": ["is missing"]}}, Kind.INVALID_REQUEST, '{"content":["is missing"]}'),
        (400, {"error": "content is missing"}, Kind.INVALID_REQUEST, "content is missing"),
        (
            403,
            {"error": "insufficient_scope", "error_description": "needs higher privileges", "scope": "api"},
            Kind.PERMISSION,
            "needs higher privileges",
        ),
        (500, {}, Kind.UPSTREAM, ""),
        (429, {"message": {"error": "slow down"}}, Kind.RATE_LIMIT, '{"error":"slow down"}'),
    ],
)
def test_error_bodies(status: int, body: dict, kind: Kind, message: str) -> None:
    error = decode_error(status, body)
    assert (error.kind, error.message, error.status) == (kind, message, status)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=10,
)
members = st.sampled_from(["message", "error", "error_description", "choices", "response", "model", "text"])


@given(st.dictionaries(members, json_values))
def test_reading_is_total(body: dict) -> None:
    decode_error(500, body)
    inspect_response(body)
    with suppress(DialectError):
        decode_response(read_answer(dumps(body)), context())


def test_an_error_inside_a_success_is_seen() -> None:
    glimpse = inspect_response({"error": "model overloaded"})
    assert glimpse.error is not None
    assert glimpse.error.message == "model overloaded"
    assert inspect_response({"response": "fine"}).error is None


def test_errors_are_written_as_gitlab_would() -> None:
    assert encode_error(BadRequest("no")) == {"message": "no"}
