"""Bounds on concurrency, and request ids."""

import pytest

from cliproxy.errors import LimitExceeded
from cliproxy.server.world import Gate, new_request_id


def test_places_are_given_and_taken_back() -> None:
    gate = Gate(lambda: (2, 1))
    with gate.entered("a"), gate.entered("b"), pytest.raises(LimitExceeded) as total, gate.entered("c"):
        pass
    assert total.value.status == 503
    with gate.entered("a"), pytest.raises(LimitExceeded) as each, gate.entered("a"):
        pass
    assert each.value.status == 429
    with gate.entered("a"):
        pass


def test_a_place_is_given_back_after_an_error() -> None:
    gate = Gate(lambda: (1, 0))
    with pytest.raises(ValueError, match="x"), gate.entered("a"):
        raise ValueError("x")
    with gate.entered("a"):
        pass


def test_a_key_may_have_a_bound_of_its_own() -> None:
    gate = Gate(lambda: (0, 1))
    with gate.entered("a", 2), gate.entered("a", 2):
        with pytest.raises(LimitExceeded, match="2 requests under way"), gate.entered("a", 2):
            pass
        with pytest.raises(LimitExceeded), gate.entered("a"):
            pass
    with gate.entered("b"):
        pass


@pytest.mark.parametrize("given", ["abc", "A-1_2.3:4", "x" * 128])
def test_a_decent_request_id_is_kept(given: str) -> None:
    assert new_request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "a b", "x" * 129, "a\nb", "é"])
def test_anything_else_is_replaced(given: str | None) -> None:
    made = new_request_id(given)
    assert made != given
    assert len(made) == 32
