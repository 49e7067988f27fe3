"""What dialects share: reading settings that must be numbers."""

import pytest

from cliproxy.dialects.base import checked_integer, checked_number
from cliproxy.errors import DialectError


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
