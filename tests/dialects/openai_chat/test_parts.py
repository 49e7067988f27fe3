"""Content parts of the chat wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_chat.parts import (
    decode_content,
    decode_part,
    encode_content,
    encode_part,
    parts_in_text,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    Audio,
    CacheMark,
    Document,
    Family,
    Image,
    Inline,
    Opaque,
    Refusal,
    Remote,
    Stored,
    Text,
    Thinking,
    ToolCall,
    Video,
)
from support import ir_strategies
from support.factories import make_context

PNG = "data:image/png;base64,AA=="
EPHEMERAL = {"type": "ephemeral"}

PARTS = {
    "text": ({"type": "text", "text": "a"}, Text("a")),
    "text of the other dialect": ({"type": "input_text", "text": "a"}, Text("a")),
    "text without a type": ({"text": "a"}, Text("a")),
    "cached text": (
        {"type": "text", "text": "a", "cache_control": EPHEMERAL},
        Text("a", cache=CacheMark(EPHEMERAL)),
    ),
    "text with more": ({"type": "text", "text": "a", "x": 1}, Text("a", extras={"openai": {"x": 1}})),
    "refusal": ({"type": "refusal", "refusal": "no"}, Refusal("no")),
    "thinking": ({"type": "thinking", "thinking": "t"}, Thinking("t")),
    "image by data": (
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        Image(Inline("image/png", "AA=="), "low"),
    ),
    "image by address": (
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        Image(Remote("https://x/y.png")),
    ),
    "image of the other dialect": (
        {"type": "input_image", "image_url": PNG, "detail": "low"},
        Image(Inline("image/png", "AA=="), "low"),
    ),
    "image as a string": ({"type": "image_url", "image_url": PNG}, Image(Inline("image/png", "AA=="))),
    "image of unknown type": (
        {"type": "image_url", "image_url": {"url": "data:;base64,AA=="}},
        Image(Inline("application/octet-stream", "AA==")),
    ),
    "sound": (
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        Audio(Inline("audio/mpeg", "AA==")),
    ),
    "sound as a data URL": (
        {"type": "input_audio", "input_audio": {"data": "data:audio/ogg;base64,AA=="}},
        Audio(Inline("audio/ogg", "AA==")),
    ),
    "video": (
        {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
        Video(Remote("https://x/y.mp4")),
    ),
    "file by data": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        Document(Inline("application/pdf", "AA=="), "a.pdf"),
    ),
    "file by bare base64": (
        {"type": "file", "file": {"filename": "a.PDF", "file_data": "JVBE"}},
        Document(Inline("application/pdf", "JVBE"), "a.PDF"),
    ),
    "file by address": (
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "https://x/a.pdf"}},
        Document(Remote("https://x/a.pdf", "application/pdf"), "a.pdf"),
    ),
    "uploaded file": ({"type": "file", "file": {"file_id": "file-1"}}, Document(Stored("file-1", "openai"))),
    "unknown": ({"type": "strange", "x": 1}, Opaque("openai", "strange", {"type": "strange", "x": 1})),
}


@pytest.mark.parametrize(("entry", "part"), PARTS.values(), ids=PARTS.keys())
def test_reading(entry, part):
    assert decode_part(entry, make_context()) == part


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": "data:image/png,raw"},
        {"type": "input_audio"},
        {"type": "video_url", "video_url": {"url": ""}},
        {"type": "file", "file": {}},
        {"type": "file", "file": {"filename": "a.zzz", "file_data": "AAA"}},
        {"type": "thinking", "thinking": []},
    ],
)
def test_parts_without_content_are_dropped(entry):
    ctx = make_context()
    assert decode_part(entry, ctx) is None
    assert ctx.notes == [f"a part of type {entry['type']} without usable content was dropped"]


def test_content():
    ctx = make_context()
    assert decode_content(None, ctx, "c") == []
    assert decode_content("a", ctx, "c") == [Text("a")]
    assert decode_content(["a", {"type": "text", "text": "b"}], ctx, "c") == [Text("a"), Text("b")]
    assert decode_content({"type": "text", "text": "b"}, ctx, "c") == [Text("b")]


@pytest.mark.parametrize(("content", "param"), [(3, "c"), (True, "c"), ([3], "c[0]"), (["a", []], "c[1]")])
def test_content_that_is_none(content, param):
    with pytest.raises(DialectError) as caught:
        decode_content(content, make_context(), "c")
    assert caught.value.param == param


ROUND = ["text", "cached text", "text with more", "image by data", "image by address", "sound", "video"]
ROUND += ["file by data", "file by address", "uploaded file", "unknown"]


@pytest.mark.parametrize("name", ROUND)
def test_parts_are_written_as_they_came(name):
    entry, _ = PARTS[name]
    ctx = make_context()
    assert encode_part(decode_part(entry, ctx), ctx) == entry


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (Refusal("no"), {"type": "text", "text": "no"}),
        (
            Image(Remote("https://x"), "original"),
            {"type": "image_url", "image_url": {"url": "https://x", "detail": "high"}},
        ),
        (Image(Remote("https://x"), "strange"), {"type": "image_url", "image_url": {"url": "https://x"}}),
        (
            Document(Inline("application/pdf", "AA==")),
            {
                "type": "file",
                "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="},
            },
        ),
        (
            Document(Inline("x/y", "AA=="), title="T"),
            {"type": "file", "file": {"filename": "T", "file_data": "data:x/y;base64,AA=="}},
        ),
        (Document(Remote("https://x")), {"type": "file", "file": {"file_data": "https://x"}}),
        (Document(Stored("file-1", "openai-response")), {"type": "file", "file": {"file_id": "file-1"}}),
    ],
)
def test_writing(part, written):
    assert encode_part(part, make_context(client_dialect="claude")) == written


@pytest.mark.parametrize(
    "part",
    [
        Image(Stored("f", "claude")),
        Document(Stored("f", "claude")),
        Audio(Remote("https://x")),
        Video(Stored("f", "gemini")),
        Opaque("claude", "x", {}),
        Thinking("t"),
        ToolCall("a", "f", "{}"),
    ],
)
def test_what_has_no_place_is_dropped_with_a_note(part):
    ctx = make_context()
    assert encode_part(part, ctx) is None
    assert len(ctx.notes) == 1


def test_cache_marks_are_written_for_chat_clients_only():
    part = Text("a", cache=CacheMark(EPHEMERAL))
    assert encode_part(part, make_context(client_dialect="claude")) == {"type": "text", "text": "a"}


def test_single_text_is_a_string():
    ctx = make_context()
    assert encode_content([Text("a")], ctx) == "a"
    assert encode_content([Text("a"), Text("b")], ctx) == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    assert encode_content([Text("a", cache=CacheMark(EPHEMERAL))], ctx) == [
        {"type": "text", "text": "a", "cache_control": EPHEMERAL}
    ]
    assert encode_content([], ctx) == ""


def test_parts_written_as_text():
    assert parts_in_text('[{"type":"text","text":"a"}]') == [{"type": "text", "text": "a"}]
    for said in ('[{"a":1}]', "[{", "plain", '[{"type":"text"}, 3]', {"a": 1}, None):
        assert parts_in_text(said) == said


@given(st.lists(ir_strategies.user_parts, max_size=4))
def test_what_is_written_reads_the_same(parts):
    ctx = make_context()
    again = decode_content(encode_content(parts, ctx), ctx, "c")
    for part in parts:
        if isinstance(part, Image) and isinstance(part.source, Remote):
            part.source.mime = ""  # the wire does not say what an address leads to
    assert again == (parts or [Text("")])


@given(ir_strategies.json_objects, st.sampled_from(["text", "image_url", "file", "input_audio", "video_url"]))
def test_any_object_is_read(entry, kind):
    decode_part({**entry, "type": kind, kind: entry}, make_context())


def test_unusable_parts_leave_the_others():
    content = [{"type": "image_url"}, {"type": "text", "text": "a"}]
    assert decode_content(content, make_context(), "c") == [Text("a")]


@pytest.mark.parametrize(
    "part",
    [
        Video(Remote("https://x")),
        Audio(Inline("audio/ogg", "AA==")),
        Image(Inline("image/heic", "AA==")),
        Document(Remote("https://x")),
    ],
)
def test_vendors_own_models_are_spared_what_they_refuse(part):
    ctx = make_context(client_dialect="gemini", upstream_family=Family.GPT)
    assert encode_part(part, ctx) is None
    assert len(ctx.notes) == 1
    assert encode_part(part, make_context(upstream_family=Family.GPT)) is not None


@pytest.mark.parametrize("part", [Text("a"), Audio(Inline("audio/wav", "AA==")), Image(Remote("https://x"))])
def test_vendors_own_models_get_the_rest(part):
    assert encode_part(part, make_context(client_dialect="gemini", upstream_family=Family.GPT)) is not None
