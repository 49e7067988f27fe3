"""A white canvas for the model that knows no proportions."""

import base64
import struct
import zlib

import pytest

from cliproxy.dialects.gemini.canvas import MODEL, SIZES, on_canvas
from cliproxy.wire.jsontext import JsonObject, JsonValue

PROMPT: JsonObject = {"text": "a cat"}
PICTURE: JsonObject = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}


def body(*parts: JsonValue, ratio: str = "16:9", **config: JsonValue) -> JsonObject:
    return {
        "contents": [{"role": "user", "parts": [*parts]}],
        "generationConfig": {"topK": 1, "imageConfig": {"aspectRatio": ratio}, **config},
    }


def drawn(part: JsonValue) -> tuple[tuple[int, int], set[int]]:
    """Return the size of a picture and the values of its pixels."""
    assert isinstance(part, dict)
    inline = part["inlineData"]
    assert isinstance(inline, dict)
    assert inline["mimeType"] == "image/png"
    assert isinstance(inline["data"], str)
    png = base64.b64decode(inline["data"], validate=True)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    (length,) = struct.unpack(">I", png[33:37])
    rows = zlib.decompress(png[41 : 41 + length])
    assert len(rows) == height * (1 + (width + 7) // 8)
    return (width, height), set(rows[1 : 1 + width // 8])


@pytest.mark.parametrize("ratio", SIZES)
def test_the_picture_to_draw_in_has_the_proportions(ratio: str) -> None:
    changed = on_canvas(MODEL, body(PROMPT, ratio=ratio))
    assert changed["generationConfig"] == {"topK": 1, "responseModalities": ["IMAGE", "TEXT"]}
    [content] = changed["contents"]  # type: ignore[misc]
    words, canvas, prompt = content["parts"]
    assert content["role"] == "user"
    assert words["text"]
    assert prompt == PROMPT
    size, pixels = drawn(canvas)
    assert (size, pixels) == (SIZES[ratio], {255})
    wide, high = map(int, ratio.split(":"))
    assert size[0] / size[1] == pytest.approx(wide / high, rel=0.06)


@pytest.mark.parametrize(
    "content",
    [PICTURE, {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}],
    ids=["one spelling", "the other"],
)
def test_a_picture_of_ones_own_decides_about_the_proportions(content: JsonValue) -> None:
    assert on_canvas(MODEL, body(PROMPT, content)) == {"generationConfig": {"topK": 1}}


def test_unknown_proportions_are_left_to_the_model() -> None:
    assert on_canvas(MODEL, body(PROMPT, ratio="7:1")) == {"generationConfig": {"topK": 1}}


def test_the_other_spelling() -> None:
    asked: JsonObject = {
        "contents": {"parts": [PROMPT]},
        "generation_config": {"image_config": {"aspect_ratio": "1:1"}},
    }
    changed = on_canvas(f"models/{MODEL}", asked)
    assert changed["generation_config"] == {"responseModalities": ["IMAGE", "TEXT"]}
    assert drawn(changed["contents"][0]["parts"][1])[0] == (1024, 1024)  # type: ignore[index]


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("gemini-2.5-flash-image", body(PROMPT)),
        (MODEL, body(PROMPT, imageConfig={})),
        (MODEL, body(PROMPT, imageConfig={"imageSize": "2K"})),
        (MODEL, {"contents": []}),
        (MODEL, {"contents": "x", "generationConfig": 5}),
    ],
)
def test_anything_else_stays_as_it_is(model: str, asked: JsonObject) -> None:
    assert on_canvas(model, asked) == {}


@pytest.mark.parametrize("contents", [[], "x", None, [5], [{"parts": 5}]])
def test_contents_that_are_none_are_the_upstreams_matter(contents: JsonValue) -> None:
    changed = on_canvas(MODEL, {**body(), "contents": contents})
    assert changed["generationConfig"] == {"topK": 1}
    assert "contents" not in changed
