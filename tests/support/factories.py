"""Values that tests need in order to call the code at all, with defaults for what they do not care about."""

from collections.abc import Callable
from itertools import count

from attrs import evolve

from cliproxy.ir.context import ExchangeContext

NOW = 1_700_000_000.0
"""The time of every exchange made here."""


def counting_hex() -> Callable[[int], str]:
    """Return a source of hex digits that counts: ids are all different and the same in every run."""
    numbers = count(1)
    return lambda digits: f"{next(numbers):0{digits}x}"[-digits:]


def make_context(**overrides: object) -> ExchangeContext:
    """Return the context of an exchange; keyword arguments replace its fields."""
    context = ExchangeContext(
        client_dialect="openai",
        upstream_dialect="openai",
        requested_model="requested-model",
        upstream_model="upstream-model",
        now=NOW,
        random_hex=counting_hex(),
    )
    return evolve(context, **overrides)
