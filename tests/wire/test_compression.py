"""Content codings are undone in any cutting and never beyond the bound."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cliproxy.wire.compression import CompressionError, Inflater, TooLarge, is_known, is_plain

CODED = {"gzip": gzip.compress, "deflate": zlib.compress, "X-GZIP ": gzip.compress}


@given(st.sampled_from(sorted(CODED)), st.binary(max_size=2000), st.integers(1, 50))
def test_any_cutting_gives_the_same(coding: str, data: bytes, size: int) -> None:
    packed = CODED[coding](data)
    inflater = Inflater(coding)
    pieces = [inflater.feed(packed[at : at + size], 10_000) for at in range(0, len(packed), size)]
    assert b"".join(pieces) == data
    assert inflater.is_complete


def test_a_cut_off_body_is_not_complete() -> None:
    inflater = Inflater("gzip")
    inflater.feed(gzip.compress(b"x" * 100)[:-4], 1000)
    assert not inflater.is_complete


def test_the_bound_is_on_what_comes_out() -> None:
    with pytest.raises(TooLarge):
        Inflater("gzip").feed(gzip.compress(b"x" * 1_000_000), 1000)


def test_broken_and_unknown_codings() -> None:
    with pytest.raises(CompressionError, match="not valid gzip"):
        Inflater("gzip").feed(b"nonsense", 1000)
    with pytest.raises(CompressionError, match="br"):
        Inflater("br")


def test_names() -> None:
    assert is_plain("")
    assert is_plain(" Identity ")
    assert not is_plain("gzip")
    assert is_known("GZIP")
    assert not is_known("zstd")
