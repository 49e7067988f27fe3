"""Content parts in both directions."""

import pytest

from cliproxy.dialects.openai_responses.content import decode_content, decode_part, encode_part, is_recognised
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    Audio,
    CacheMark,
    Document,
    Image,
    Inline,
    Opaque,
    Refusal,
    Remote,
    Stored,
    Text,
    ToolCall,
    Video,
)
from support.factories import make_context

PNG = "data:image/png;base64,AA=="
PDF = "data:application/pdf;base64,AA=="

ROUND_TRIPS = [
    ({"type": "input_text", "text": "a"}, Text("a")),
    ({"type": "input_image", "image_url": PNG}, Image(Inline("image/png", "AA=="))),
    (
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        Image(Remote("https://x/y.png"), "low"),
    ),
    ({"type": "input_image", "file_id": "file-1"}, Image(Stored("file-1", "openai-response"))),
    (
        {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
        Document(Inline("application/pdf", "AA=="), name="a.pdf"),
    ),
    (
        {"type": "input_file", "file_url": "https://x/a.pdf"},
        Document(Remote("https://x/a.pdf", "application/pdf")),
    ),
    (
        {"type": "input_file", "file_id": "file-1", "filename": "n"},
        Document(Stored("file-1", "openai-response"), name="n"),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        Audio(Inline("audio/mpeg", "AA==")),
    ),
    (
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        Text("a", extras={"openai-response": {"prompt_cache_breakpoint": {"mode": "explicit"}}}),
    ),
    (
        {"type": "hologram", "x": 1},
        Opaque("openai-response", "content:hologram", {"type": "hologram", "x": 1}),
    ),
]


@pytest.mark.parametrize(("wire", "part"), ROUND_TRIPS, ids=[str(index) for index in range(len(ROUND_TRIPS))])
def test_part_is_read_and_written_again(wire, part):
    assert decode_part(wire, make_context()) == part
    assert encode_part(part, "user", make_context()) == wire


@pytest.mark.parametrize(
    ("wire", "part"),
    [
        ({"type": "text", "text": "a"}, Text("a")),
        ({"type": "refusal", "refusal": "no"}, Refusal("no")),
        (
            {"type": "input_image", "image_url": {"url": PNG, "detail": "high"}},
            Image(Inline("image/png", "AA=="), "high"),
        ),
        ({"type": "input_audio", "data": "AA=="}, Audio(Inline("audio/wav", "AA=="))),
        (
            {"type": "input_file", "filename": "a.PDF", "file_data": "AA=="},
            Document(Inline("application/pdf", "AA=="), name="a.PDF"),
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
            Document(Inline("application/pdf", "AA=="), name="a.pdf"),
        ),
        (
            {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}},
            Text("a", cache=CacheMark({"type": "ephemeral"})),
        ),
    ],
)
def test_other_spellings_are_read(wire, part):
    assert decode_part(wire, make_context()) == part


@pytest.mark.parametrize(
    "wire",
    [
        {"type": "input_image"},
        {"type": "input_image", "image_url": "data:nonsense"},
        {"type": "input_file", "filename": "a.zzz", "file_data": "AA=="},
        {"type": "input_file"},
        {"type": "input_audio", "input_audio": {}},
    ],
)
def test_part_without_usable_content_is_dropped_with_a_note(wire):
    ctx = make_context()
    assert decode_part(wire, ctx) is None
    assert ctx.notes == [f"a part of type {wire['type']} without usable content was dropped"]


def test_content_is_a_text_or_a_list():
    ctx = make_context()
    assert decode_content("a", ctx, "p") == [Text("a")]
    assert decode_content(None, ctx, "p") == []
    assert decode_content(["a", {"type": "input_text", "text": "b"}], ctx, "p") == [Text("a"), Text("b")]


@pytest.mark.parametrize(("content", "param"), [(3, "p"), ({}, "p"), ([3], "p[0]"), ([None], "p[0]")])
def test_other_content_is_refused(content, param):
    with pytest.raises(DialectError) as caught:
        decode_content(content, make_context(), "p")
    assert caught.value.param == param


def test_assistant_says_output_text_with_its_citations():
    citation = {"type": "url_citation", "url": "https://x"}
    part = Text("a", [citation], "openai-response")
    assert encode_part(part, "assistant", make_context()) == {
        "type": "output_text",
        "text": "a",
        "annotations": [citation],
    }
    assert encode_part(Text("a", [citation], "claude"), "assistant", make_context()) == {
        "type": "output_text",
        "text": "a",
    }
    refusal = {"type": "refusal", "refusal": "no"}
    assert encode_part(Refusal("no"), "assistant", make_context()) == refusal
    assert encode_part(Refusal("no"), "user", make_context()) == {"type": "input_text", "text": "no"}


@pytest.mark.parametrize(
    ("mime", "name"),
    [("application/pdf", "document.pdf"), ("text/plain", "document.txt"), ("application/x-odd", "document")],
)
def test_file_without_a_name_gets_one(mime, name):
    written = encode_part(Document(Inline(mime, "AA==")), "user", make_context())
    assert written["filename"] == name


def test_title_serves_as_a_name():
    part = Document(Inline("application/pdf", "AA=="), title="Report")
    assert encode_part(part, "user", make_context())["filename"] == "Report"


@pytest.mark.parametrize(
    ("part", "role"),
    [
        (Image(Inline("image/png", "AA==")), "assistant"),
        (Image(Stored("f", "gemini")), "user"),
        (Document(Stored("f", "claude")), "user"),
        (Audio(Remote("https://x/a.wav")), "user"),
        (Video(Inline("video/mp4", "AA==")), "user"),
        (Opaque("claude", "content:x", {}), "user"),
        (ToolCall("c", "f", "{}"), "user"),
    ],
)
def test_what_this_wire_cannot_say_is_dropped_with_a_note(part, role):
    ctx = make_context()
    assert encode_part(part, role, ctx) is None
    assert len(ctx.notes) == 1


def test_known_types_are_recognised():
    assert is_recognised({"type": "input_text"})
    assert not is_recognised({"type": "resource"})
    assert not is_recognised("text")
