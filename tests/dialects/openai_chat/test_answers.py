"""What whole and streamed answers share."""

import pytest

from cliproxy.dialects.openai_chat.answers import annotation, answer_head, answer_id, client_call, unwrapped
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
    assert annotation(citation, dialect) == written
