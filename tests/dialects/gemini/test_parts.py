"""Content parts, read and written."""

import pytest

from cliproxy.dialects.gemini.parts import (
    decode_part,
    decode_parts,
    encode_call,
    encode_media,
    encode_result,
    mime_of_address,
    with_extras,
)
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    Audio,
    CallKind,
    Document,
    Family,
    Image,
    Inline,
    Opaque,
    Remote,
    Signature,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.ir.signatures import carry

SIG = Signature("c2lnbmF0dXJl", Family.GEMINI)


def one(raw):
    [part] = decode_parts([raw], "contents[0].parts")
    return part


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ({"text": "hi"}, Text("hi")),
        ("hi", Text("hi")),
        ({"text": "hi", "thoughtSignature": SIG.value}, Text("hi", signature=SIG)),
        ({"text": "", "thought_signature": SIG.value}, Text("", signature=SIG)),
        ({"text": "hm", "thought": True}, Thinking("hm")),
        ({"text": "hm", "thought": True, "thoughtSignature": SIG.value}, Thinking("hm", SIG)),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, Image(Inline("image/png", "AA=="))),
        ({"inline_data": {"mime_type": "audio/wav", "data": "AA=="}}, Audio(Inline("audio/wav", "AA=="))),
        ({"inlineData": {"mimeType": "image/png", "data": "-_-_AA"}}, Image(Inline("image/png", "+/+/AA=="))),
        ({"inlineData": {"mimeType": "video/mp4", "data": "AA=="}}, Video(Inline("video/mp4", "AA=="))),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}},
            Document(Inline("application/pdf", "AA==")),
        ),
        ({"functionCall": {"name": "f"}}, ToolCall("", "f", "{}")),
        ({"function_call": {"id": "a", "name": "f", "args": {"b": 1}}}, ToolCall("a", "f", '{"b":1}')),
        ({"functionCall": {"call_id": "a", "name": "f", "args": "text"}}, ToolCall("a", "f", "text")),
        (
            {"functionCall": {"name": "f"}, "thoughtSignature": SIG.value},
            ToolCall("", "f", "{}", signature=SIG),
        ),
    ],
)
def test_reading(raw, part):
    assert one(raw) == part


@pytest.mark.parametrize(
    ("response", "parts", "value", "is_error"),
    [
        ({"result": "ok"}, [Text("ok")], None, None),
        ({"output": "ok"}, [Text("ok")], None, None),
        ({"content": "ok"}, [Text("ok")], None, None),
        ({"result": ""}, [], None, None),
        ({"result": {"k": 1}}, [], {"k": 1}, None),
        ({"k": 1}, [], {"k": 1}, None),
        ({"result": "ok", "k": 1}, [], {"result": "ok", "k": 1}, None),
        ({"error": "bad"}, [Text("bad")], None, True),
        ({"error": {"code": 1}}, [], {"error": {"code": 1}}, None),
        ({}, [], {}, None),
        ("plain", [Text("plain")], None, None),
        (None, [], None, None),
    ],
)
def test_what_a_tool_said(response, parts, value, is_error):
    result = one({"functionResponse": {"id": "a", "name": "f", "response": response}})
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.name) == ("a", "f")
    assert (result.parts, result.value, result.is_error) == (parts, value, is_error)


def test_media_inside_a_function_response():
    inner = [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]
    result = one({"functionResponse": {"name": "f", "response": {"k": 1}, "parts": inner}})
    assert result.parts == [Text('{"k":1}'), Image(Inline("image/png", "AA=="))]
    assert result.value is None
    assert encode_result(result)[0]["functionResponse"]["parts"] == inner


def test_a_bare_signature_signs_the_part_before_it():
    parts = decode_parts([{"functionCall": {"name": "f"}}, {"thoughtSignature": SIG.value}], "p")
    assert parts == [ToolCall("", "f", "{}", signature=SIG)]


def test_a_bare_signature_with_nothing_to_sign_stands_alone():
    signed = {"text": "a", "thoughtSignature": "eA=="}
    assert decode_parts([{"thoughtSignature": SIG.value}], "p") == [Text("", signature=SIG)]
    assert decode_parts([signed, {"thoughtSignature": SIG.value}], "p")[1] == Text("", signature=SIG)
    thought = {"thought": True, "thoughtSignature": SIG.value}
    assert decode_parts([{"text": "a"}, thought], "p")[1] == Thinking("", SIG)
    assert decode_parts([{"text": "a", "thought": True}, thought], "p") == [Thinking("a", SIG)]
    assert len(decode_parts([{"executableCode": {}}, {"thoughtSignature": SIG.value}], "p")) == 2


def test_a_signature_of_another_family_is_recognised():
    foreign = carry(Signature("s", Family.CLAUDE), Family.GEMINI)
    assert one({"text": "hm", "thought": True, "thoughtSignature": foreign}).signature == Signature(
        "s", Family.CLAUDE
    )


@pytest.mark.parametrize("raw", [{"executableCode": {"code": "1"}}, {"toolCall": {}}, {}])
def test_parts_of_unknown_kinds_stay_as_they_are(raw):
    assert one(raw) == Opaque("gemini", next(iter(raw), ""), raw)


@pytest.mark.parametrize("raw", [1, None, [], True])
def test_what_is_no_part_is_refused_by_name(raw):
    with pytest.raises(DialectError) as caught:
        decode_parts([{"text": "a"}, raw], "contents[3].parts")
    assert caught.value.param == "contents[3].parts[1]"


ROUND_TRIPS = [
    {"functionCall": {"name": "f", "args": {"a": 1}, "willContinue": True}, "partMetadata": {"x": 1}},
    {"functionCall": {"name": "f", "args": {}}},
]


@pytest.mark.parametrize("raw", ROUND_TRIPS)
def test_calls_keep_what_is_not_modelled(raw):
    assert encode_call(one(raw)) == raw


@pytest.mark.parametrize(
    "raw",
    [
        {
            "inlineData": {"mimeType": "image/png", "data": "AA==", "displayName": "a.png"},
            "mediaResolution": {"level": "LOW"},
        },
        {
            "fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/v"},
            "videoMetadata": {"fps": 1},
        },
        {"fileData": {"fileUri": "https://example.com/cat.png"}, "thought": False},
    ],
)
def test_media_keep_what_is_not_modelled(raw):
    written = encode_media(one(raw))
    if "mimeType" not in raw.get("fileData", {"mimeType": ""}):
        raw = {**raw, "fileData": {"mimeType": "image/png", **raw["fileData"]}}
    assert written == raw


def test_a_name_of_a_document_is_known():
    assert one({"inlineData": {"mimeType": "text/csv", "data": "", "displayName": "a.csv"}}).name == "a.csv"


@pytest.mark.parametrize(
    "response",
    [{"output": "[1]"}, {"result": "ok", "k": 1}, {"error": "bad"}, {}, {"k": [1.5, None]}],
)
def test_responses_of_this_dialect_come_back_exactly(response):
    raw = {"functionResponse": {"name": "f", "response": response, "scheduling": "SILENT"}}
    written, media = encode_result(one(raw))
    assert written == {"functionResponse": {"response": response, "scheduling": "SILENT"}}
    assert media == []


@pytest.mark.parametrize(
    ("result", "response"),
    [
        (ToolResult("a", [Text("R1")]), {"result": "R1"}),
        (ToolResult("a", []), {"result": ""}),
        (ToolResult("a", [Text("a"), Text(""), Text("b")]), {"result": "a\n\nb"}),
        (ToolResult("a", [Text('{"k": 1}')]), {"result": {"k": 1}}),
        (ToolResult("a", [Text("[1]")]), {"result": [1]}),
        (ToolResult("a", [Text("[1")]), {"result": "[1"}),
        (ToolResult("a", [Text("12")]), {"result": "12"}),
        (ToolResult("a", [Text("bad")], is_error=True), {"error": "bad"}),
        (ToolResult("a", value={"k": 1}), {"k": 1}),
        (ToolResult("a", value={"k": 1}, is_error=True), {"error": {"k": 1}}),
        (ToolResult("a", value={"error": "e"}, is_error=True), {"error": "e"}),
        (ToolResult("a", value=[1]), {"result": [1]}),
    ],
)
def test_results_of_other_dialects(result, response):
    assert encode_result(result) == ({"functionResponse": {"response": response}}, [])


def test_media_of_a_result_come_separately():
    image = Image(Inline("image/png", "AA=="))
    written, media = encode_result(ToolResult("a", [Text("see"), image]))
    assert written == {"functionResponse": {"response": {"result": "see"}}}
    assert media == [image]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall("a", "f", '{"a":1}'), {"a": 1}),
        (ToolCall("a", "f", ""), {}),
        (ToolCall("a", "f", "{a: yes}"), {"a": "yes"}),
        (ToolCall("a", "f", "[1]"), {"value": [1]}),
        (ToolCall("a", "f", "free text", CallKind.CUSTOM), {"input": "free text"}),
        (ToolCall("a", "f", '{"id":12345678901234567890}'), {"id": 12345678901234567890}),
    ],
)
def test_calls_of_other_dialects(call, arguments):
    assert encode_call(call) == {"functionCall": {"name": "f", "args": arguments}}


@pytest.mark.parametrize(
    ("source", "node"),
    [
        (Remote("https://example.com/cat.png"), None),
        (Remote("gs://b/cat.PNG"), {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/cat.PNG"}}),
        (
            Remote("https://generativelanguage.googleapis.com/v1beta/files/x"),
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x"}},
        ),
        (
            Remote("https://youtu.be/x", "video/mp4"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://youtu.be/x"}},
        ),
        (Stored("files/x", "gemini"), {"fileData": {"fileUri": "files/x"}}),
        (Stored("file-x", "openai"), None),
        (Inline("", "AA=="), {"inlineData": {"mimeType": "application/octet-stream", "data": "AA=="}}),
    ],
)
def test_media_of_other_dialects(source, node):
    assert encode_media(Image(source)) == node


def test_types_are_told_by_the_end_of_an_address():
    assert mime_of_address("https://x/y.MP3?z=1.png") == "audio/mpeg"
    assert mime_of_address("https://x/y.wav") == "audio/wav"
    assert mime_of_address("gs://bucket/report.docx").endswith("wordprocessingml.document")
    assert mime_of_address("https://x/y") == ""
    assert mime_of_address("https://x.com/watch") == ""


def test_extras_never_replace_what_is_modelled():
    extras = {"gemini": {"a": 1, "functionCall": {"name": "old", "more": 2}}, "claude": {"b": 3}}
    assert with_extras({"functionCall": {"name": "f"}, "a": 0}, extras) == {
        "functionCall": {"name": "f", "more": 2},
        "a": 0,
    }


def test_nothing_is_lost_between_reading_a_part_and_knowing_its_node():
    """The reader takes nodes in the first spelling; it must not touch what is inside them."""
    assert (
        decode_part({"functionCall": {"name": "f", "args": {"inline_data": 1}}}).arguments
        == '{"inline_data":1}'
    )
