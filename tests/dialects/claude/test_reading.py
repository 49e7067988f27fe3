"""Content blocks, read into parts."""

import pytest

from cliproxy.dialects.claude.reading import (
    arguments_of,
    client_signature,
    own_family,
    read_block,
    read_content,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    CacheMark,
    Document,
    Family,
    Image,
    Inline,
    Opaque,
    Part,
    Remote,
    Role,
    Signature,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from cliproxy.ir.signatures import Anchor, carry
from cliproxy.wire.jsontext import JsonObject, JsonValue
from support.factories import make_context

MARK: JsonObject = {"type": "ephemeral", "ttl": "1h"}


def read(block: JsonObject) -> Part:
    return read_block(block, client_signature)


def content(*blocks: JsonValue, role: Role = "assistant") -> list[Part]:
    return read_content([*blocks], role, "messages.0.content", make_context())


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "text", "text": "hi"}, Text("hi")),
        ({"type": "text", "text": "hi", "cache_control": MARK}, Text("hi", cache=CacheMark(MARK))),
        ({"type": "text", "text": "hi", "new": 1}, Text("hi", extras={"claude": {"new": 1}})),
        (
            {"type": "text", "text": "hi", "citations": [{"type": "char_location"}]},
            Text("hi", [{"type": "char_location"}], "claude"),
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            Image(Inline("image/png", "AA==")),
        ),
        (
            {"type": "image", "source": {"type": "base64", "mime_type": "image/png", "base64": "AA=="}},
            Image(Inline("image/png", "AA==")),
        ),
        ({"type": "image", "source": {"type": "url", "url": "https://x/y"}}, Image(Remote("https://x/y"))),
        ({"type": "image", "source": {"type": "file", "file_id": "f1"}}, Image(Stored("f1", "claude"))),
        (
            {"type": "image", "source": {"type": "hologram"}},
            Opaque("claude", "image", {"type": "image", "source": {"type": "hologram"}}),
        ),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                "title": "A",
                "context": "C",
                "citations": {"enabled": True},
                "cache_control": MARK,
            },
            Document(
                Inline("application/pdf", "JVBE"),
                "A",
                "A",
                "C",
                CacheMark(MARK),
                {"claude": {"citations": {"enabled": True}}},
            ),
        ),
        (
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "ü"}},
            Document(Inline("text/plain", "w7w=")),
        ),
        (
            {"type": "document", "source": {"type": "content", "content": "ü"}},
            Document(
                Inline("text/plain", "w7w="),
                extras={"claude": {"source": {"type": "content", "content": "ü"}}},
            ),
        ),
        (
            {"type": "document", "source": {}},
            Opaque("claude", "document", {"type": "document", "source": {}}),
        ),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}, ToolCall("t", "f", '{"a":1}')),
        ({"type": "tool_use", "id": "t", "name": "f"}, ToolCall("t", "f", "{}")),
        (
            {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}},
            ToolCall("t", "f", "{}", extras={"claude": {"caller": {"type": "direct"}}}),
        ),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": "r",
                "is_error": False,
                "cache_control": MARK,
            },
            ToolResult("t", [Text("r")], is_error=False, cache=CacheMark(MARK)),
        ),
        ({"type": "tool_result", "tool_use_id": "t"}, ToolResult("t")),
        ({"type": "tool_result", "tool_use_id": "t", "content": ""}, ToolResult("t")),
        (
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [
                    "a",
                    {"type": "text", "text": "b"},
                    {"type": "tool_reference", "tool_name": "g"},
                    7,
                ],
                "is_error": True,
            },
            ToolResult(
                "t",
                [
                    Text("a"),
                    Text("b"),
                    Opaque("claude", "tool_reference", {"type": "tool_reference", "tool_name": "g"}),
                ],
                is_error=True,
            ),
        ),
        ({"type": "thinking", "thinking": "t"}, Thinking("t")),
        (
            {"type": "thinking", "thinking": "t", "signature": "s"},
            Thinking("t", Signature("s", Family.CLAUDE)),
        ),
        (
            {"type": "thinking", "thinking": "t", "signature": "gpt#s"},
            Thinking("t", Signature("s", Family.GPT)),
        ),
        (
            {"type": "redacted_thinking", "data": "d"},
            Thinking(redacted=Signature("d", Family.CLAUDE)),
        ),
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            Opaque(
                "claude",
                "server_tool_use",
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            ),
        ),
        ({}, Opaque("claude", "", {})),
    ],
)
def test_blocks(block: JsonObject, part: Part) -> None:
    assert read(block) == part


def test_nested_document_content_is_read_as_its_words() -> None:
    nested: list[JsonValue] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    part = read({"type": "document", "source": {"type": "content", "content": nested}})
    assert isinstance(part, Document)
    assert part.source == Inline("text/plain", "YQoKYg==")


def test_search_result_is_its_words_and_remembers_itself() -> None:
    block: JsonObject = {
        "type": "search_result",
        "source": "https://x",
        "title": "T",
        "content": [{"type": "text", "text": "a"}],
        "cache_control": MARK,
    }
    assert read(block) == Text("T\na", cache=CacheMark(MARK), extras={"claude": {"raw": block}})


def test_digits_and_key_order_of_arguments_survive() -> None:
    value: JsonObject = {"z": 12345678901234567890, "a": 1.0, "u": "é\u2028<&>"}
    assert arguments_of(value) == '{"z":12345678901234567890,"a":1.0,"u":"é\u2028<&>"}'


def test_arguments_that_are_text_already_stay_text() -> None:
    assert arguments_of('{"a": 1}') == '{"a": 1}'
    assert arguments_of(None) == "{}"
    assert arguments_of([1]) == "[1]"


@pytest.mark.parametrize(
    ("value", "parts"), [("hi", [Text("hi")]), (None, []), ([], []), (["a", "b"], [Text("a"), Text("b")])]
)
def test_short_forms_of_content(value: JsonValue, parts: list[Part]) -> None:
    assert read_content(value, "user", "messages.0.content", make_context()) == parts


@pytest.mark.parametrize(
    ("value", "param"), [(7, "messages.0.content"), ({}, "messages.0.content"), ([7], "messages.0.content.0")]
)
def test_impossible_content_is_refused_by_name(value: JsonValue, param: str) -> None:
    with pytest.raises(DialectError) as caught:
        read_content(value, "user", "messages.0.content", make_context())
    assert caught.value.param == param


def test_thinking_is_the_assistants() -> None:
    ctx = make_context()
    block: JsonObject = {"type": "thinking", "thinking": "t", "signature": "s"}
    assert read_content([block, "q"], "user", "c", ctx) == [Text("q")]
    assert ctx.notes == ["thinking in a user message was ignored"]
    assert content(block) == [Thinking("t", Signature("s", Family.CLAUDE))]
    assert content({**block, "thinking": ""}) == [Thinking("", Signature("s", Family.CLAUDE))]


# --- signatures that travel beside their part ---

G = Signature("gem", Family.GEMINI)
CALL: JsonObject = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
SIGNED = ToolCall("t", "f", "{}", signature=G)


def carried(anchor: Anchor) -> JsonObject:
    return {"type": "thinking", "thinking": "", "signature": carry(G, Family.CLAUDE, anchor)}


def test_signature_for_the_next_call_passes_over_text() -> None:
    assert content(carried(Anchor.NEXT_CALL), "text", CALL, CALL) == [
        Text("text"),
        SIGNED,
        ToolCall("t", "f", "{}"),
    ]


def test_signature_of_the_previous_call() -> None:
    assert content(CALL, carried(Anchor.PREVIOUS_CALL)) == [SIGNED]


def test_signature_of_text() -> None:
    assert content("a", "b", carried(Anchor.PREVIOUS_TEXT)) == [Text("a"), Text("b", signature=G)]
    block: JsonObject = {"type": "text", "text": "a"}
    assert content(carried(Anchor.NEXT_TEXT), block) == [Text("a", signature=G)]


def test_signature_for_text_does_not_stick_to_another_part() -> None:
    image: JsonObject = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    assert content(carried(Anchor.NEXT_TEXT), image) == [Image(Remote("https://x"))]


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ({"type": "text", "text": "a"}, ToolResult("t", [Text("a")])),
        ({"rows": 3}, ToolResult("t", value={"rows": 3})),
        (7, ToolResult("t", value=7)),
        (None, ToolResult("t")),
    ],
)
def test_odd_answers_of_tools_are_not_lost(answer: JsonValue, parts: ToolResult) -> None:
    assert read({"type": "tool_result", "tool_use_id": "t", "content": answer}) == parts


FOUND: JsonObject = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [
        {"type": "web_search_result", "title": "T", "url": "https://x", "encrypted_content": "E"},
        {"type": "web_search_result", "url": "https://y"},
    ],
}


def test_what_a_search_found_is_readable_for_other_models() -> None:
    (part,) = content(FOUND)
    assert isinstance(part, Text)
    assert part.text == "[web search results]\n- T: https://x\n- page: https://y"
    assert part.extras == {"claude": {"raw": FOUND}}, "its own model gets it as it was"


@pytest.mark.parametrize("found", [[], {"type": "web_search_tool_result_error", "error_code": "unavailable"}])
def test_a_search_without_results_says_nothing_to_others(found: JsonValue) -> None:
    block: JsonObject = {**FOUND, "content": found}
    assert content(block) == [Opaque("claude", "web_search_tool_result", block)]


def test_signature_of_nothing_is_dropped() -> None:
    assert content(carried(Anchor.PREVIOUS_CALL), carried(Anchor.NEXT_CALL), "a") == [Text("a")]


@pytest.mark.parametrize(
    ("model_family", "family"), [(Family.UNKNOWN, Family.CLAUDE), (Family.KIMI, Family.KIMI)]
)
def test_unknown_models_are_presumed_to_be_the_dialects_own(model_family: Family, family: Family) -> None:
    assert own_family(make_context(upstream_family=model_family)) is family
