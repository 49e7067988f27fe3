"""A size is the nearest shape, and a shape the nearest size."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.dialects.openai_images.sizes import RATIOS, SIZES, shape_of, size_of
from cliproxy.errors import DialectError


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ("1024x1024", {"aspect_ratio": "1:1"}),
        ("512X512", {"aspect_ratio": "1:1"}),
        ("1536x1024", {"aspect_ratio": "3:2"}),
        ("1024x1536", {"aspect_ratio": "2:3"}),
        ("1792x1024", {"aspect_ratio": "16:9"}),
        ("1024x1792", {"aspect_ratio": "9:16"}),
        ("1280x1024", {"aspect_ratio": "5:4"}),
        ("2048x2048", {"aspect_ratio": "1:1", "image_size": "2K"}),
        ("3840x2160", {"aspect_ratio": "16:9", "image_size": "4K"}),
        ("1600x700", {"aspect_ratio": "21:9"}),
        ("auto", None),
        ("", None),
    ],
)
def test_sizes_become_shapes(size, shape):
    assert shape_of(size) == shape


@pytest.mark.parametrize("size", ["big", "1024", "1024x", "0x1024", "-1x1", "1024x1024x3", "1e3x1e3"])
def test_other_texts_are_refused(size):
    with pytest.raises(DialectError, match="WIDTHxHEIGHT") as caught:
        shape_of(size)
    assert caught.value.param == "size"


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("1:1", "1024x1024"),
        ("4:3", "1536x1024"),
        ("16:9", "1536x1024"),
        ("9:16", "1024x1536"),
        ("4:5", "1024x1536"),
    ],
)
def test_shapes_become_sizes(ratio, size):
    assert size_of({"aspect_ratio": ratio, "image_size": "1K"}) == size


@pytest.mark.parametrize(
    "shape", [None, {}, {"aspect_ratio": "wide"}, {"aspect_ratio": 1}, {"image_size": "2K"}]
)
def test_no_shape_no_size(shape):
    assert size_of(shape) == ""


@given(st.integers(1, 99_999), st.integers(1, 99_999))
def test_every_size_has_a_shape_and_its_shape_a_size(width, height):
    shape = shape_of(f"{width}x{height}")
    assert shape is not None
    assert shape["aspect_ratio"] in RATIOS
    assert size_of(shape) in SIZES


@pytest.mark.parametrize("size", SIZES)
def test_the_usual_sizes_survive(size):
    shape = shape_of(size)
    assert size_of(shape) == size
    assert re.fullmatch(r"\d:\d", str(shape["aspect_ratio"] if shape else ""))
