"""What a passed-through answer reveals, and what is replaced in a passed-through request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_responses.glimpse import (
    inspect,
    inspect_response,
    may_pass,
    patch_model,
    patch_reasoning,
    skim,
)
from cliproxy.errors import Kind
from cliproxy.ir.request import Reasoning
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import dumps
from cliproxy.wire.sse import Frame, make_frame

USAGE = {"input_tokens": 3, "output_tokens": 4}
READ_USAGE = Usage(fresh_input=3, output=4)


def frame(kind, **members):
    return make_frame(dumps({"type": kind, **members}), kind.encode())


@pytest.mark.parametrize("kind", ["created", "in_progress", "queued"])
def test_opening_is_no_content(kind):
    assert not inspect(frame(f"response.{kind}", response={})).has_content


@pytest.mark.parametrize("kind", ["output_text.delta", "output_item.added", "output_item.done"])
def test_items_are_content(kind):
    glimpse = inspect(frame(f"response.{kind}", delta="x"))
    assert glimpse.has_content
    assert not glimpse.is_terminal


def test_messages_of_the_backend_are_no_content():
    assert not inspect(frame("codex.rate_limits")).has_content
    assert not inspect(make_frame(b"[DONE]")).has_content


@pytest.mark.parametrize("kind", ["completed", "incomplete", "done", "cancelled"])
def test_end_brings_usage(kind):
    response = {"status": "completed", "output": [{}], "usage": USAGE}
    glimpse = inspect(frame(f"response.{kind}", response=response))
    assert (glimpse.usage, glimpse.is_terminal, glimpse.is_finished) == (READ_USAGE, True, True)
    assert glimpse.has_content
    assert glimpse.error is None


def test_end_without_items_has_no_content():
    assert not inspect(frame("response.completed", response={"output": []})).has_content
    assert inspect(frame("response.incomplete", response={"status": "incomplete", "output": []})).has_content


@pytest.mark.parametrize(
    "made",
    [
        frame("response.failed", response={"error": {"code": "rate_limit_exceeded", "message": "m"}}),
        frame("error", code="rate_limit_exceeded", message="m"),
        frame("response.done", response={"status": "failed", "error": {"code": "rate_limit_exceeded"}}),
        make_frame(b'{"error":{"code":"rate_limit_exceeded","message":"m"}}'),
    ],
)
def test_errors_are_noticed(made):
    glimpse = inspect(made)
    assert glimpse.error.kind is Kind.RATE_LIMIT
    assert glimpse.is_terminal


def test_end_that_is_no_json_is_an_error():
    assert inspect(Frame(b"response.completed", b"{", b"")).error.kind is Kind.UPSTREAM


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"response.created"}',
        b'{ "type" : "response.created"}',
        b'{"response":{"type":"x"},"type":"response.created"}',
    ],
)
def test_name_is_found_in_the_data(data):
    assert not inspect(make_frame(data)).has_content


@given(st.binary(max_size=40), st.none() | st.sampled_from([b"response.completed", b"error", b"x", b""]))
def test_any_frame_can_be_inspected(data, event):
    inspect(Frame(event, data, b""))


def test_whole_answer():
    glimpse = inspect_response({"status": "completed", "output": [{}], "usage": USAGE, "error": None})
    assert (glimpse.usage, glimpse.has_content, glimpse.error) == (READ_USAGE, True, None)
    assert not inspect_response({"status": "completed", "output": []}).has_content
    assert inspect_response({"object": "response.compaction", "output": [{"type": "compaction"}]}).has_content


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "server_error", "message": "m"}},
        {"status": "failed", "error": {"code": "server_error", "message": "m"}, "output": []},
        {"status": "failed", "output": []},
    ],
)
def test_whole_answer_that_failed(body):
    assert inspect_response(body).error.kind is Kind.UPSTREAM


def test_model_is_replaced():
    assert patch_model("up") == {"model": "up"}


@pytest.mark.parametrize(
    ("wish", "body", "expected"),
    [
        (Reasoning(level="high"), {}, {"reasoning": {"effort": "high"}}),
        (
            Reasoning(level="low", visible=True),
            {"reasoning": {"effort": "high", "summary": "detailed", "mode": "pro"}},
            {"reasoning": {"effort": "low", "summary": "detailed", "mode": "pro"}},
        ),
        (Reasoning(level="low", visible=True), {}, {"reasoning": {"effort": "low", "summary": "auto"}}),
        (Reasoning(level="none", visible=False), {}, {"reasoning": {"effort": "none"}}),
        (Reasoning(from_name=True), {"reasoning": {"effort": "high"}}, {}),
    ],
)
def test_wish_of_the_name_is_written_into_the_body(wish, body, expected):
    assert patch_reasoning(wish, body) == expected


@pytest.mark.parametrize(
    ("encrypted", "model", "expected"),
    [
        ("gAAAA" + "A" * 95, "gpt-5", True),
        ("anything", "gpt-5", True),
        ("anything", "my-deployment", True),
        ("claude#EqRB", "gpt-5", False),
        ("claude#EqRB", "my-deployment", False),
        ("gemini.previous-call#G", "gpt-5", False),
        ("claude-redacted-thinking:DATA", "gpt-5", False),
    ],
)
def test_body_with_a_signature_the_upstream_would_refuse_does_not_pass(encrypted, model, expected):
    item = {"type": "reasoning", "summary": [], "encrypted_content": encrypted}
    assert may_pass({"input": [{"role": "user", "content": "u"}, item]}, model) is expected


def test_text_input_passes():
    assert may_pass({"input": "hi"}, "gpt-5")


def test_what_codex_says_about_itself_does_not_pass():
    assert not may_pass({"input": "hi", "client_metadata": {}}, "gpt-5")


@pytest.mark.parametrize(
    "kind", ["created", "completed", "failed", "output_item.done", "output_text.done", "delta"]
)
def test_deltas_are_passed_over_and_nothing_else(kind):
    delta, other = (frame(f"response.{name}").raw for name in ("output_text.delta", kind))
    assert skim(delta * 2 + other + delta, 0) == len(delta * 2)
    assert skim(other + delta, 0) == 0
    assert skim(make_frame(b"{}").raw, 0) == 0
