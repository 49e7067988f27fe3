"""What dialects share: reading settings that must be numbers, and frames that must be JSON."""

import pytest

from cliproxy.dialects import by_id
from cliproxy.dialects.base import checked_integer, checked_number
from cliproxy.errors import DialectError, Kind
from cliproxy.ir.events import StreamError
from cliproxy.wire.sse import make_frame
from support.factories import make_context


def test_numbers_are_read_and_may_be_absent() -> None:
    assert checked_number({"temperature": 0.5}, "temperature") == 0.5
    assert checked_integer({"top_k": 3.0}, "top_k") == 3
    assert checked_number({"temperature": None}, "temperature") is None
    assert checked_integer({}, "top_k") is None


@pytest.mark.parametrize("value", ["0.5", True, [1], {}])
def test_anything_else_is_refused_by_its_place(value: str | bool | list[int] | dict[str, int]) -> None:
    with pytest.raises(DialectError, match="`top_p` must be a number") as refused:
        checked_number({"top_p": value}, "top_p", "config")
    assert refused.value.param == "config.top_p"


@pytest.mark.parametrize("value", ["1", 1.5, False])
def test_a_count_is_a_whole_number(value: str | float) -> None:
    with pytest.raises(DialectError, match="`top_k` must be a whole number") as refused:
        checked_integer({"top_k": value}, "top_k")
    assert refused.value.param == "top_k"


@pytest.mark.parametrize("dialect", ["openai", "completions", "openai-response", "claude", "gemini"])
def test_a_frame_that_is_half_an_object_ends_the_answer_with_an_error(dialect: str) -> None:
    """Passing over it would lose a piece of the answer without a word."""
    decoder = by_id(dialect).stream_decoder(make_context())
    assert decoder.feed(make_frame(b"ping")) == []
    (error,) = decoder.feed(make_frame(b'{"type":"content_block_delta","choices":[{"delta":{"content":"a'))
    assert isinstance(error, StreamError)
    assert (error.kind, error.status) == (Kind.UPSTREAM, 502)
    assert decoder.feed(make_frame(b"{}")) == []
    assert decoder.finish() == []
