"""Requests for pictures as conversations, and conversations as requests for pictures."""

import pytest

from cliproxy.dialects.openai_images.request import decode_request, encode_request, patch_model, wanted
from cliproxy.errors import DialectError
from cliproxy.ir.request import (
    Image,
    Inline,
    IRRequest,
    Message,
    Meta,
    OutputFormat,
    Sampling,
    SystemText,
    Text,
    Tool,
    ToolKind,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue
from support.factories import make_context

DATA = "data:image/png;base64,AAAA"


# --- reading ---


def test_a_prompt_is_a_turn_whose_answer_is_a_picture():
    body: JsonObject = {"model": "m", "prompt": "a cat", "size": "1536x1024", "n": 3, "user": "u"}
    request = decode_request(body, make_context())
    assert request.messages == [Message("user", [Text("a cat")])]
    assert request.meta == Meta(user="u", modalities=["image"], image={"aspect_ratio": "3:2"})
    assert request.sampling == Sampling(), "several pictures are no alternatives of one answer"


@pytest.mark.parametrize("entry", [{"image_url": DATA}, {"image_url": {"url": DATA}}, {"url": DATA}, DATA])
def test_pictures_to_edit_follow_the_prompt(entry: JsonValue):
    request = decode_request({"prompt": "a cat", "images": [entry]}, make_context())
    assert request.messages == [Message("user", [Text("a cat"), Image(Inline("image/png", "AAAA"))])]


@pytest.mark.parametrize(
    "entry", [{}, {"image_url": "data:oops"}, 3, {"image_url": ""}, {"image_url": "https://a.example/b.png"}]
)
def test_a_picture_that_is_none_is_named(entry: JsonValue):
    with pytest.raises(DialectError) as caught:
        decode_request({"prompt": "a cat", "images": [DATA, entry]}, make_context())
    assert caught.value.param == "images[1].image_url"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("prompt", ""),
        ("n", 0),
        ("n", 11),
        ("n", "two"),
        ("size", "huge"),
        ("mask", {"image_url": DATA}),
        ("markup", {"image_url": DATA}),
        ("background", "transparent"),
        ("output_format", "gif"),
        ("output_format", "svg"),
    ],
)
def test_what_would_not_be_the_wanted_picture_is_refused_by_name(setting: str, value: JsonValue):
    with pytest.raises(DialectError) as caught:
        decode_request({"prompt": "a cat", setting: value}, make_context())
    assert caught.value.param == setting


def test_a_picture_by_id_is_refused():
    with pytest.raises(DialectError, match="file_id"):
        decode_request({"prompt": "a cat", "images": [{"file_id": "file-1"}]}, make_context())


def test_a_stream_is_of_one_picture():
    with pytest.raises(DialectError, match="`n`"):
        decode_request({"prompt": "a cat", "n": 2, "stream": True}, make_context())
    assert decode_request({"prompt": "a cat", "n": 1, "stream": True}, make_context()).stream


def test_what_merely_shapes_the_picture_is_noted():
    ctx = make_context()
    plain: JsonObject = {"background": "auto", "quality": "auto", "output_format": "png", "style": None}
    decode_request({"prompt": "a cat", **plain}, ctx)
    assert ctx.notes == []
    decode_request({"prompt": "a cat", "quality": "high", "output_format": "webp", "style": "vivid"}, ctx)
    assert ctx.notes == ["quality is not carried", "output_format is not carried", "style is not carried"]


@pytest.mark.parametrize(
    ("said", "number"),
    [({}, 1), ({"n": 3}, 3), ({"n": "4"}, 4), ({"n": "x"}, 1), ({"n": 0}, 1), ({"n": True}, 1)],
)
def test_the_number_of_pictures_is_read_from_json_and_forms(said: JsonObject, number: int):
    assert wanted(said) == number


# --- writing ---


def conversation(*messages: Message, **more: object) -> IRRequest:
    return IRRequest(model="m", messages=list(messages), **more)  # type: ignore[arg-type]


def test_the_newest_message_and_the_instructions_are_the_prompt():
    request = conversation(
        Message("user", [Text("old")]),
        Message("assistant", [Text("words")]),
        Message("user", [Text("a cat"), Text("with a hat")]),
        system=[SystemText("Draw in ink.")],
        sampling=Sampling(n=2),
        meta=Meta(user="u", image={"aspect_ratio": "16:9"}),
        stream=True,
    )
    assert encode_request(request, make_context()) == {
        "model": "m",
        "prompt": "Draw in ink.\n\na cat\n\nwith a hat",
        "n": 2,
        "size": "1536x1024",
        "user": "u",
        "stream": True,
    }


def test_pictures_of_the_newest_message_are_edited():
    request = conversation(
        Message("assistant", [Image(Inline("image/png", "BBBB"))]),
        Message("user", [Image(Inline("image/png", "AAAA")), Text("bluer")]),
    )
    assert encode_request(request, make_context())["images"] == [{"image_url": DATA}]


def test_without_any_the_picture_drawn_last_is():
    request = conversation(
        Message("user", [Text("two cats")]),
        Message("assistant", [Image(Inline("image/png", "BBBB")), Image(Inline("image/png", "AAAA"))]),
        Message("user", [Text("bluer")]),
    )
    assert encode_request(request, make_context())["images"] == [{"image_url": DATA}]


@pytest.mark.parametrize(
    "messages", [[], [Message("assistant", [Text("hi")])], [Message("user", [Text(" ")])]]
)
def test_there_must_be_words(messages: list[Message]):
    with pytest.raises(DialectError, match="say in words"):
        encode_request(conversation(*messages), make_context())


def test_what_is_of_no_use_is_noted():
    ctx = make_context()
    tools = [Tool(ToolKind.FUNCTION, "t")]
    encode_request(
        conversation(Message("user", [Text("a")]), tools=tools, output=OutputFormat("json_object")), ctx
    )
    assert ctx.notes == ["tools is not carried", "output format is not carried"]


def test_a_raw_body_gets_the_upstreams_model():
    assert patch_model("up") == {"model": "up"}
