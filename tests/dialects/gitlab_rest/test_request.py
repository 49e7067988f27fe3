import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.gitlab_rest import CHAT, SUGGESTIONS
from cliproxy.dialects.gitlab_rest.request import encode_chat, encode_suggestion, newest
from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    Audio,
    Image,
    Inline,
    IRRequest,
    Message,
    OutputFormat,
    Reasoning,
    Remote,
    Sampling,
    SystemText,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
)
from support.factories import make_context


def context(**changes) -> ExchangeContext:
    facts = {"upstream_dialect": "gitlab-chat", "upstream_model": "gitlab-duo", "now": 1000.0}
    return make_context(random_hex=lambda digits: "0" * digits, **facts, **changes)


def said(role, *parts) -> Message:
    return Message(role, [Text(part) if isinstance(part, str) else part for part in parts])


def request(*messages: Message, **changes) -> IRRequest:
    return IRRequest(model="gitlab-duo", messages=list(messages), **changes)


CONVERSATION = (
    said("user", "What is a mutex?"),
    said("assistant", "A lock."),
    said("user", "Show me one", "in Go"),
)


def test_chat_gets_the_last_question_and_what_others_said() -> None:
    ctx = context()
    body = encode_chat(request(*CONVERSATION, system=[SystemText("Be brief.")]), ctx)
    assert body == {
        "content": "Show me one\nin Go",
        "with_clean_history": True,
        "additional_context": [
            {"category": "snippet", "id": "system-1", "content": "Be brief."},
            {"category": "snippet", "id": "assistant-2", "content": "A lock."},
        ],
    }
    assert ctx.notes == ["earlier user messages"]


def test_code_suggestions_get_the_transcript_above_the_cursor() -> None:
    ctx = context()
    body = encode_suggestion(request(*CONVERSATION, system=[SystemText("Be brief.")], stream=True), ctx)
    assert body == {
        "current_file": {
            "file_name": "prompt.txt",
            "content_above_cursor": (
                "User:\nWhat is a mutex?\n\nAssistant:\nA lock.\n\nUser:\nShow me one\nin Go"
            ),
            "content_below_cursor": "",
        },
        "intent": "generation",
        "generation_type": "small_file",
        "user_instruction": "Show me one\nin Go",
        "stream": True,
        "context": [
            {"type": "snippet", "name": "user-1", "content": "What is a mutex?"},
            {"type": "snippet", "name": "assistant-2", "content": "A lock."},
            {"type": "snippet", "name": "user-3", "content": "Show me one\nin Go"},
        ],
    }
    assert ctx.notes == ["system text"]


def test_context_is_left_out_where_there_is_none() -> None:
    assert encode_chat(request(said("user", "Hi")), context()) == {
        "content": "Hi",
        "with_clean_history": True,
    }


def test_results_of_tools_are_a_turn_of_their_own() -> None:
    call = ToolCall("c1", "ls", '{"path":"."}')
    messages = (
        said("user", "list"),
        said("assistant", Thinking("hmm"), call),
        said("user", ToolResult("c1", [Text("a.txt")], name="ls"), "and now?"),
    )
    body = encode_chat(request(*messages), context())
    assert body["content"] == "and now?"
    assert body["additional_context"] == [
        {
            "category": "snippet",
            "id": "assistant-2",
            "content": '{"name":"ls","arguments":"{\\"path\\":\\".\\"}"}',
        },
        {"category": "snippet", "id": "tool-3", "content": "ls: a.txt"},
    ]


def test_an_image_at_a_url_is_its_url() -> None:
    ctx = context()
    body = encode_chat(request(said("user", Image(Remote("https://e/cat.png")))), ctx)
    assert body["content"] == "https://e/cat.png"
    assert ctx.notes


@pytest.mark.parametrize(
    ("changes", "part", "param"),
    [
        ({"tools": [Tool(ToolKind.FUNCTION, "ls")]}, "hi", "tools"),
        ({"output": OutputFormat("json_object")}, "hi", "response_format"),
        ({}, Image(Inline("image/png", "AAAA")), "messages"),
        ({}, Audio(Inline("audio/wav", "AAAA")), "messages"),
    ],
)
def test_what_text_cannot_say_is_refused_by_name(changes, part, param: str) -> None:
    for encode in (encode_chat, encode_suggestion):
        with pytest.raises(DialectError) as caught:
            encode(request(said("user", part), **changes), context())
        assert caught.value.param == param


def test_tools_that_must_not_be_used_do_no_harm() -> None:
    tools = {"tools": [Tool(ToolKind.FUNCTION, "ls")], "tool_choice": ToolChoice("none")}
    assert encode_chat(request(said("user", "hi"), **tools), context())["content"] == "hi"


def test_what_shapes_the_answer_is_dropped_with_a_note() -> None:
    ctx = context()
    sampling = Sampling(max_tokens=5, temperature=0.5, top_p=0.9, top_k=4, stop=["x"], seed=1)
    encode_chat(request(said("user", "hi"), sampling=sampling, reasoning=Reasoning(level="high")), ctx)
    assert ctx.notes == ["max_tokens", "temperature", "top_p", "top_k", "stop", "seed", "reasoning"]


@pytest.mark.parametrize("member", ["prompt", "input", "instructions"])
def test_without_user_text_the_instruction_comes_from_the_body(member: str) -> None:
    body = encode_suggestion(request(), context(original_body={member: "do it"}))
    assert body["user_instruction"] == "do it"
    assert body["current_file"]["content_above_cursor"] == "do it"


def test_a_conversation_without_a_user_is_instructed_by_what_was_said() -> None:
    assert encode_chat(request(said("assistant", "Yes?")), context())["content"] == "Assistant:\nYes?"


def test_nothing_usable_is_refused() -> None:
    with pytest.raises(DialectError, match="no text"):
        encode_chat(request(said("user", "  ")), context())


def test_long_texts_lose_their_beginning() -> None:
    body = encode_suggestion(request(said("user", "old " + "x" * 20_000 + " new")), context())
    assert body["user_instruction"].endswith(" new")
    assert len(body["user_instruction"].encode()) == 4000
    assert len(body["current_file"]["content_above_cursor"].encode()) == 12_000


@given(st.text(), st.integers(1, 40))
def test_cutting_never_tears_a_character(said: str, limit: int) -> None:
    cut = newest(said.encode("utf-8", "ignore").decode(), limit)
    assert len(cut.encode()) <= limit
    assert said.encode("utf-8", "ignore").decode().endswith(cut)


def test_no_client_speaks_these_dialects() -> None:
    for dialect in (CHAT, SUGGESTIONS):
        assert dialect.endpoints == ()
        assert dialect.patch_model("m") == {}
        assert dialect.patch_reasoning(Reasoning(), {}) == {}
        with pytest.raises(DialectError):
            dialect.decode_request({}, context())
