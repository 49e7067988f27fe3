"""The strategies: who comes first among candidates of equal priority.

Turns are kept in *virtual time*. Everybody has a time of the next turn; a turn moves it on by one share of
the credential's weight, and the earliest is next. With equal weights that is round robin, with others each
gets its part of every stretch of turns, evenly spread. Unlike a position in a list it means the same after
credentials have come and gone, and whoever rested does not leave all of its turns to the neighbour behind
it.

A strategy is two functions: how a candidate ranks by what it has under way and by its next turn (the
smallest rank is first, equals follow the order of their ids), and how much weight a credential has. A
weight of nothing means that it takes no part.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from attrs import frozen

from cliproxy.config.groups import FILL_FIRST, LEAST_BUSY, ROUND_ROBIN, WEIGHTED_ROUND_ROBIN
from cliproxy.credentials.model import Credential

Rank = tuple[float, float]


@frozen
class Strategy:
    """See the module's text."""

    rank: Callable[[int, float], Rank]
    """(exchanges under way, time of the next turn) → rank."""
    weight: Callable[[Credential], int]


def _in_turn(_busy: int, turn: float) -> Rank:
    return (0.0, turn)


def _least_busy(busy: int, turn: float) -> Rank:
    return (float(busy), turn)


def _always_the_first(_busy: int, _turn: float) -> Rank:
    return (0.0, 0.0)


def _all_alike(_credential: Credential) -> int:
    return 1


def _as_declared(credential: Credential) -> int:
    return credential.weight


STRATEGIES: Final[Mapping[str, Strategy]] = MappingProxyType(
    {
        ROUND_ROBIN: Strategy(_in_turn, _all_alike),
        WEIGHTED_ROUND_ROBIN: Strategy(_in_turn, _as_declared),
        FILL_FIRST: Strategy(_always_the_first, _all_alike),
        LEAST_BUSY: Strategy(_least_busy, _all_alike),
    }
)
