"""Parts, written as content blocks."""

import pytest

from cliproxy.dialects.claude.writing import write_call, write_media, write_result, write_text
from cliproxy.ir.request import (
    Audio,
    CacheMark,
    CallKind,
    Document,
    Image,
    Inline,
    MediaSource,
    Opaque,
    Refusal,
    Remote,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue
from support.factories import make_context

MARK: JsonObject = {"type": "ephemeral"}
PNG = "iVBORw0KGgoAAAA="


def image(source: JsonObject) -> JsonObject:
    return {"type": "image", "source": source}


def base64(mime: str, data: str) -> JsonObject:
    return {"type": "base64", "media_type": mime, "data": data}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Text("hi"), {"type": "text", "text": "hi"}),
        (
            Text("hi", cache=CacheMark(MARK), extras={"claude": {"new": 1}, "openai": {"x": 1}}),
            {"type": "text", "text": "hi", "new": 1, "cache_control": MARK},
        ),
        (
            Text("hi", [{"type": "char_location"}], "claude"),
            {"type": "text", "text": "hi", "citations": [{"type": "char_location"}]},
        ),
        (Text("hi", [{"type": "url_citation"}], "openai"), {"type": "text", "text": "hi"}),
        (Text("T", extras={"claude": {"raw": {"type": "search_result"}}}), {"type": "search_result"}),
    ],
)
def test_text(part: Text, block: JsonObject) -> None:
    assert write_text(part) == block


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (Inline("image/png", "AA=="), base64("image/png", "AA==")),
        (Inline("image/jpg", "AA=="), base64("image/jpeg", "AA==")),
        (Inline("image/jpeg", PNG), base64("image/png", PNG)),
        (Inline("IMAGE/PNG", "/9j/AA=="), base64("image/jpeg", "/9j/AA==")),
        (Inline("application/octet-stream", "AA=="), base64("application/octet-stream", "AA==")),
        (Inline("image/bmp", "AA=="), None),
        (Remote("https://x/y.png"), {"type": "url", "url": "https://x/y.png"}),
        (Remote("gs://bucket/y.png"), None),
        (Stored("f1", "claude"), {"type": "file", "file_id": "f1"}),
        (Stored("f1", "openai"), None),
    ],
)
def test_images(source: MediaSource, written: JsonObject | None) -> None:
    ctx = make_context()
    assert write_media(Image(source), ctx) == (image(written) if written else None)
    assert bool(ctx.notes) is (written is None)


def test_image_keeps_its_mark() -> None:
    part = Image(Remote("https://x"), cache=CacheMark(MARK), extras={"claude": {"new": 1}})
    assert write_media(part, make_context()) == {
        "type": "image",
        "source": {"type": "url", "url": "https://x"},
        "new": 1,
        "cache_control": MARK,
    }


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            Document(Inline("application/pdf", "JVBE"), "a.pdf"),
            {"type": "document", "source": base64("application/pdf", "JVBE"), "title": "a.pdf"},
        ),
        (
            Document(Inline("text/plain", "w7w="), title="T", context="C", cache=CacheMark(MARK)),
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "ü"},
                "title": "T",
                "context": "C",
                "cache_control": MARK,
            },
        ),
        (
            Document(Inline("application/ld+json", "e30=")),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "{}"}},
        ),
        (Document(Inline("image/png", PNG)), image(base64("image/png", PNG))),
        (Document(Remote("https://x")), {"type": "document", "source": {"type": "url", "url": "https://x"}}),
        (
            Document(Inline("text/plain", "YQ=="), extras={"claude": {"source": {"type": "content"}}}),
            {"type": "document", "source": {"type": "content"}},
        ),
        (Document(Inline("text/plain", "no base64!")), None),
        (Document(Inline("text/plain", "/w==")), None),
        (Document(Inline("text/plain", "IA==")), None),
        (
            Document(Inline("application/zip", "UEs=")),
            {"type": "document", "source": base64("application/zip", "UEs=")},
        ),
        (Document(Inline("model/stl", "AA==")), None),
        (Document(Inline("image/tiff", "AA==")), None),
        (Document(Stored("f", "gemini")), None),
        (Audio(Inline("audio/wav", "AA==")), None),
        (Video(Remote("https://x")), None),
    ],
)
def test_documents_and_other_media(part: Document | Audio | Video, block: JsonObject | None) -> None:
    assert write_media(part, make_context()) == block


@pytest.mark.parametrize(
    ("arguments", "kind", "value"),
    [
        ('{"a":1}', CallKind.FUNCTION, {"a": 1}),
        ("", CallKind.FUNCTION, {}),
        ("[1]", CallKind.FUNCTION, {"value": [1]}),
        ("{'a': 1}", CallKind.FUNCTION, {"a": 1}),
        ('{"id":12345678901234567890}', CallKind.FUNCTION, {"id": 12345678901234567890}),
        ("raw {", CallKind.CUSTOM, {"input": "raw {"}),
    ],
)
def test_calls(arguments: str, kind: CallKind, value: JsonValue) -> None:
    part = ToolCall("ignored", "ignored", arguments, kind)
    assert write_call(part, "t1", "f") == {"type": "tool_use", "id": "t1", "name": "f", "input": value}


def test_call_keeps_what_belongs_to_it() -> None:
    part = ToolCall("t", "f", "{}", cache=CacheMark(MARK), extras={"claude": {"caller": {}}})
    block = write_call(part, "t", "f")
    assert (block["cache_control"], block["caller"]) == (MARK, {})


A: JsonObject = {"type": "text", "text": "a"}
B: JsonObject = {"type": "text", "text": "b"}
PIXEL = Image(Inline("image/png", PNG))


@pytest.mark.parametrize(
    ("part", "content"),
    [
        (ToolResult("t"), ""),
        (ToolResult("t", [Text("r")]), "r"),
        (ToolResult("t", [Text("r", cache=CacheMark(MARK))]), [
            {"type": "text", "text": "r", "cache_control": MARK}
        ]),
        (ToolResult("t", [Text("a"), Text("b")]), [A, B]),
        (ToolResult("t", [Text("a"), PIXEL]), [A, image(base64("image/png", PNG))]),
        (ToolResult("t", [Refusal("no")]), [{"type": "text", "text": "no"}]),
        (ToolResult("t", [Opaque("claude", "tool_reference", {"type": "tool_reference"})]), [
            {"type": "tool_reference"}
        ]),
        (ToolResult("t", [Opaque("gemini", "k", {}), Thinking("t"), Audio(Remote("https://x"))]), []),
        (ToolResult("t", value="text"), "text"),
        (ToolResult("t", value={"b": 1, "a": [2]}), '{"b":1,"a":[2]}'),
    ],
)  # fmt: skip
def test_results(part: ToolResult, content: JsonValue) -> None:
    assert write_result(part, make_context()) == {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": content,
    }


@pytest.mark.parametrize("is_error", [True, False])
def test_error_flag_is_written_as_it_was_said(is_error: bool) -> None:
    block = write_result(ToolResult("t", is_error=is_error, cache=CacheMark(MARK)), make_context())
    assert (block["is_error"], block["cache_control"]) == (is_error, MARK)
