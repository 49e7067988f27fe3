"""Vectors as base64 of 32-bit floats."""

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.ir.embeddings import read_base64, write_base64


def test_a_vector_is_little_endian_32_bit_floats():
    assert base64.b64decode(write_base64([1.0, -2.5])) == b"\x00\x00\x80\x3f\x00\x00\x20\xc0"
    assert list(read_base64("AACAPwAAIMA=")) == [1.0, -2.5]


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_what_fits_survives(vector: list[float]):
    assert list(read_base64(write_base64(vector))) == vector


@pytest.mark.parametrize("text", ["§", "AAA", base64.b64encode(b"12345").decode()])
def test_other_texts_are_no_vectors(text: str):
    with pytest.raises(ValueError, match=r"base64|32-bit"):
        read_base64(text)


def test_a_number_that_does_not_fit_is_said():
    with pytest.raises(ValueError, match="does not fit"):
        write_base64([1e300])
    assert struct.unpack("<f", base64.b64decode(write_base64([7])))[0] == 7.0
