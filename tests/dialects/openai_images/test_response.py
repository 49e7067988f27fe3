"""Whole answers with pictures, and without."""

import pytest

from cliproxy.dialects.openai_images.response import (
    PORTIONS,
    decode_response,
    encode_response,
    inspect_response,
)
from cliproxy.errors import BadRequest, DialectError, Kind
from cliproxy.ir.request import Image, Inline, Part, Refusal, Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage
from cliproxy.wire.jsontext import JsonObject
from support.factories import NOW, make_context

ANSWER: JsonObject = {
    "created": 5,
    "data": [
        {"b64_json": "AAAA"},
        {"url": "data:image/jpeg;base64,BBBB"},
        {"url": "https://a.example/b.png"},
    ],
    "output_format": "webp",
    "usage": {"input_tokens": 3, "output_tokens": 7, "total_tokens": 10},
}


def response(*parts: Part, ending: Ending | None = None, usage: Usage | None = None) -> IRResponse:
    choice = Choice(list(parts), ending or Ending(FinishReason.STOP))
    return IRResponse(id="", model="", choices=[choice], usage=usage or Usage())


def test_pictures_are_read():
    answer = decode_response(ANSWER, make_context())
    [choice] = answer.choices
    assert choice.parts == [
        Image(Inline("image/webp", "AAAA")),
        Image(Inline("image/jpeg", "BBBB")),
        Text("![picture](https://a.example/b.png)"),
    ]
    assert (answer.created, answer.usage.input_total, answer.usage.output_total) == (5, 3, 7)


def test_an_answer_without_a_list_is_none():
    with pytest.raises(DialectError, match="data"):
        decode_response({"created": 1}, make_context())


def test_an_answer_is_looked_at():
    glimpse = inspect_response(ANSWER)
    assert glimpse.has_content
    assert glimpse.usage == decode_response(ANSWER, make_context()).usage
    assert not inspect_response({"data": []}).has_content
    error = inspect_response({"error": {"message": "no", "code": "model_not_found"}}).error
    assert error is not None
    assert error.kind is Kind.NOT_FOUND


def test_pictures_are_written():
    usage = Usage(fresh_input=3, output=7)
    written = encode_response(
        response(Text("Here"), Image(Inline("image/png", "AA-_")), usage=usage), make_context()
    )
    assert written == {
        "created": int(NOW),
        "data": [{"b64_json": "AA+/"}],
        "output_format": "png",
        "usage": {
            "input_tokens": 3,
            "output_tokens": 7,
            "total_tokens": 10,
            "input_tokens_details": {"text_tokens": 3, "image_tokens": 0},
        },
    }


def test_an_address_is_a_data_url():
    ctx = make_context(original_body={"response_format": "url"})
    written = encode_response(response(Image(Inline("image/jpeg", "AAAA"))), ctx)
    assert written["data"] == [{"url": "data:image/jpeg;base64,AAAA"}]
    assert written["output_format"] == "jpeg"
    assert "usage" not in written


def test_words_without_a_picture_are_an_error_that_repeats_them():
    with pytest.raises(BadRequest, match=r"did not return a picture: I cannot draw\.") as caught:
        encode_response(response(Text("I cannot "), Refusal("draw.")), make_context())
    assert (caught.value.status, caught.value.kind) == (502, Kind.UPSTREAM)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(FinishReason.CONTENT_FILTER, native="IMAGE_SAFETY"), r"\(IMAGE_SAFETY\)$"),
        (Ending(FinishReason.REFUSAL), r"\(refusal\)$"),
    ],
)
def test_a_picture_that_is_withheld_is_the_requests_fault(ending: Ending, words: str):
    with pytest.raises(BadRequest, match=words) as caught:
        encode_response(response(ending=ending), make_context())
    assert (caught.value.status, caught.value.code) == (400, "content_policy_violation")


def test_portions_are_one_picture_each_and_joined():
    assert PORTIONS.only({"n": 4}, 1, 2) == {"n": 2}
    first: JsonObject = {
        "created": 1,
        "data": [{"b64_json": "AAAA"}],
        "usage": {"input_tokens": 1, "input_tokens_details": {"text_tokens": 1}},
    }
    second: JsonObject = {
        "created": 2,
        "data": [{"b64_json": "BBBB"}],
        "usage": {"input_tokens": 2, "input_tokens_details": {"text_tokens": 2}},
    }
    assert PORTIONS.joined([first, second]) == {
        "created": 1,
        "data": [{"b64_json": "AAAA"}, {"b64_json": "BBBB"}],
        "usage": {"input_tokens": 3, "input_tokens_details": {"text_tokens": 3}},
    }
    assert PORTIONS.given(first) == 1
    assert "usage" not in PORTIONS.joined([{"data": []}, {"data": []}])
