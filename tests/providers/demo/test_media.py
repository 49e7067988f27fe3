"""Vectors and pictures of the demo model."""

import base64
import json
import struct
import zlib
from typing import Any

import pytest

from cliproxy.ir.embeddings import read_base64
from cliproxy.providers.demo.media import answer_embeddings, answer_images, chessboard, vector_of
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.http import Headers, MemoryCall


def embedded(**body: Any) -> Any:
    call = MemoryCall(target="demo-embeddings", body=json.dumps({"model": "demo", **body}).encode())
    return json.loads(answer_embeddings(call).body)


def drawn(**body: Any) -> Any:
    call = MemoryCall(target="demo-images", body=json.dumps({"prompt": "a cat", **body}).encode())
    return json.loads(answer_images(call).body)


def product(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_texts_with_words_in_common_are_alike():
    cat, kitten, stock = (vector_of(text, 256) for text in ("a black cat", "A small cat", "shares fell"))
    assert product(cat, cat) == pytest.approx(1)
    assert product(cat, kitten) > 0.5 > product(cat, stock)


@pytest.mark.parametrize(
    ("given", "count"), [("hi", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2]], 2), ("", 1)]
)
def test_one_vector_for_each_input(given: Any, count: int):
    answer = embedded(input=given)
    assert [entry["index"] for entry in answer["data"]] == list(range(count))
    assert {len(entry["embedding"]) for entry in answer["data"]} == {256}
    assert answer["model"] == "demo"
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"]


def test_settings():
    answer = embedded(input="hi there", dimensions=8, encoding_format="base64")
    packed = answer["data"][0]["embedding"]
    assert list(read_base64(packed)) == pytest.approx(vector_of("hi there", 8))


def size_of(picture: bytes) -> tuple[int, int]:
    """Read a PNG as far as needed, checking every chunk."""
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    at, chunks = 8, {}
    while at < len(picture):
        (length,) = struct.unpack_from(">I", picture, at)
        kind, data = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", picture, at + 8 + length)[0] == zlib.crc32(kind + data)
        chunks[kind] = data
        at += 12 + length
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + (width + 7) // 8)
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    return width, height


@pytest.mark.parametrize(
    ("size", "shown"),
    [("1536x1024", (1536, 1024)), ("auto", (256, 256)), ("33x7", (33, 7)), ("9999x1", (256, 256))],
)
def test_pictures_have_the_wanted_size(size: str, shown: tuple[int, int]):
    answer = drawn(size=size)
    [entry] = answer["data"]
    assert size_of(base64.b64decode(entry["b64_json"])) == shown
    assert answer["size"] == f"{shown[0]}x{shown[1]}"


def test_as_many_as_wanted_and_the_same_every_time():
    pictures = [entry["b64_json"] for entry in drawn(n=3)["data"]]
    assert len(set(pictures)) == 3
    assert pictures == [entry["b64_json"] for entry in drawn(n=3)["data"]]
    assert len(drawn(n=99)["data"]) == 10


def test_a_form_is_understood():
    picture = Part(name="image", data=chessboard("x", 8, 8), filename="a.png")
    form = FormData.of([Part(name="prompt", data=b"a cat"), Part(name="n", data=b"2"), picture])
    headers = Headers({"Content-Type": form.content_type})
    answer = json.loads(answer_images(MemoryCall(target="demo-images", body=form.raw, headers=headers)).body)
    assert answer["data"] == drawn(n=2)["data"]
