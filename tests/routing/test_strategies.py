"""The table of strategies."""

import pytest

from cliproxy.config.groups import STRATEGIES as WORDS
from cliproxy.routing.strategies import STRATEGIES
from support.routes import credential


def test_every_word_of_the_configuration_names_a_strategy() -> None:
    assert set(WORDS.values()) == set(STRATEGIES)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("round-robin", (9, 1.0), (0, 2.0)),
        ("weighted-round-robin", (9, 1.0), (0, 2.0)),
        ("least-busy", (0, 2.0), (1, 1.0)),
        ("least-busy", (1, 1.0), (1, 2.0)),
    ],
)
def test_who_comes_first(name: str, first: tuple[int, float], second: tuple[int, float]) -> None:
    rank = STRATEGIES[name].rank
    assert rank(*first) < rank(*second)


def test_fill_first_looks_at_neither_turns_nor_work() -> None:
    rank = STRATEGIES["fill-first"].rank
    assert rank(9, 7.0) == rank(0, 0.0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_count_only_where_they_are_wanted(name: str) -> None:
    weight = STRATEGIES[name].weight(credential(weight=7))
    assert weight == (7 if name == "weighted-round-robin" else 1)
