"""What whole and streamed answers share."""

import pytest

from cliproxy.dialects.openai_chat.answers import (
    annotation,
    answer_head,
    answer_id,
    client_call,
    unwrapped,
    wants_usage,
)
from support.factories import NOW, make_context


@pytest.mark.parametrize(
    ("upstream_id", "dialect", "shown"),
    [
        ("chatcmpl-9", "claude", "chatcmpl-9"),
        ("gen-9", "openai", "gen-9"),
        ("msg_9", "claude", "chatcmpl-000000000000000000000001"),
        ("", "openai", "chatcmpl-000000000000000000000001"),
    ],
)
def test_id(upstream_id, dialect, shown):
    assert answer_id(upstream_id, make_context(upstream_dialect=dialect)) == shown


def test_head():
    head = answer_head("chatcmpl-9", "", 0, make_context())
    assert head == {"id": "chatcmpl-9", "object": "", "created": int(NOW), "model": "upstream-model"}
    assert answer_head("chatcmpl-9", "said", 7, make_context(shown_model="alias"))["model"] == "alias"


def test_call_as_the_client_knows_it():
    ctx = make_context(
        tool_names={"short": "the_long_name"}, call_ids={"c1": "client-id"}, custom_tools={"patch"}
    )
    call = client_call("c1", "short", ctx, is_custom=False)
    assert (call.id, call.name, call.kind, call.member, call.is_wrapped) == (
        "client-id",
        "the_long_name",
        "function",
        "arguments",
        False,
    )
    wrapped = client_call("c2", "patch", ctx, is_custom=False)
    assert (wrapped.kind, wrapped.is_wrapped) == ("custom", True)
    native = client_call("c2", "patch", ctx, is_custom=True)
    assert (native.is_wrapped, native.opening("x")) == (
        False,
        {"id": "c2", "type": "custom", "custom": {"name": "patch", "input": "x"}},
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"input":"a\\nb"}', "a\nb"),
        ('{"input":3}', '{"input":3}'),
        ("not json", "not json"),
        ('{"x":1}', '{"x":1}'),
    ],
)
def test_unwrapping(arguments, text):
    assert unwrapped(arguments) == text


LINK = {"url": "https://e.com", "title": "T", "start_index": 0, "end_index": 0}


@pytest.mark.parametrize(
    ("citation", "dialect", "written"),
    [
        ({"type": "anything"}, "openai", {"type": "anything"}),
        ({"url": "https://e.com", "title": "T"}, "claude", {"type": "url_citation", "url_citation": LINK}),
        ({"uri": "https://e.com", "title": "T"}, "gemini", {"type": "url_citation", "url_citation": LINK}),
        ({"url_citation": LINK}, "openai-response", {"type": "url_citation", "url_citation": LINK}),
        ({"cited_text": "x"}, "claude", None),
    ],
)
def test_citation(citation, dialect, written):
    ctx = make_context()
    assert annotation(citation, dialect, ctx) == written
    assert bool(ctx.notes) is (written is None)


def test_citation_of_a_later_part_counts_from_the_beginning_of_the_message():
    flat = {"type": "url_citation", "url": "https://e.com", "start_index": 1, "end_index": 3}
    link = annotation(flat, "openai-response", make_context(), offset=10)["url_citation"]
    assert (link["start_index"], link["end_index"]) == (11, 13)
    unplaced = annotation({"url": "https://e.com"}, "claude", make_context(), offset=10)["url_citation"]
    assert (unplaced["start_index"], unplaced["end_index"]) == (0, 0)


@pytest.mark.parametrize(
    ("client", "options", "asked"),
    [
        ("openai-response", {"include_usage": True}, True),
        ("openai-response", {}, False),
        ("claude", {"include_usage": True}, False),
    ],
)
def test_usage_may_be_asked_for_in_a_body_of_the_other_dialect(client, options, asked):
    ctx = make_context(client_dialect=client, original_body={"stream_options": options})
    assert wants_usage(ctx) is asked
    assert wants_usage(make_context(include_usage=True))
