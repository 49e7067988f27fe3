"""What models cost by the list: the bundled ``prices.json``, and what the owner says in ``model-prices``.

A price is in USD for a million tokens, which is the same number as micro-dollars for one token; costs are
whole micro-dollars. They are what the vendor's public list says, whoever pays: for an account with a
subscription the cost is what the same tokens would have cost with a key. Only prices that the vendors publish
are bundled, and only for their own doors; what has no known price has no cost, which is not the same as none.

Names are compared in the reduced spelling of :func:`cliproxy.catalog.static.reduced`, so that a dated
release has the price of its model. The owner's rows go before the bundled ones.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Final

from attrs import define, field, frozen

from cliproxy.catalog.static import reduced
from cliproxy.config.entries import ModelPrice
from cliproxy.ir.response import Usage
from cliproxy.wire.jsontext import JsonObject, child, loads_object, number, objects, strings, text

_DATA: Final = "prices.json"
MAX_REMEMBERED: Final = 4096
"""Answers kept by a list; models are named by clients."""


@frozen(kw_only=True)
class Rates:
    """Micro-dollars for one token of each class."""

    fresh_input: float
    cache_read: float
    cache_write: float
    output: float
    """Reasoning costs the same."""


@frozen(kw_only=True)
class Price:
    """What a model costs."""

    rates: Rates
    long_above: int = 0
    """Prompts of more tokens cost the ``long`` rates; 0: there are none."""
    long: Rates | None = None


def cost_micros(usage: Usage, price: Price) -> int:
    """Return the cost of one answer in micro-dollars."""
    is_long = price.long is not None and usage.input_total > price.long_above
    rates = price.long if is_long and price.long is not None else price.rates
    return round(
        (usage.fresh_input or 0) * rates.fresh_input
        + (usage.cache_read or 0) * rates.cache_read
        + (usage.cache_write or 0) * rates.cache_write
        + usage.output_total * rates.output
    )


def price_of(provider: str, model: str) -> Price | None:
    """Return the bundled price of a provider's model; ``None`` where none is known."""
    return _first(_bundled().rows.get(provider, ()), reduced(model))


def as_of() -> str:
    """Return the date of the bundled prices, as ``YYYY-MM-DD``."""
    return _bundled().as_of


@define(eq=False)
class Prices:
    """The prices that hold under a configuration."""

    _own: Mapping[str, Sequence[ModelPrice]]
    _known: dict[tuple[str, str], Price | None] = field(factory=dict, init=False)

    def price_of(self, provider: str, model: str) -> Price | None:
        """Return the price of a provider's model; ``None`` where none is known."""
        key = (provider, model)
        known = self._known.get(key, _UNASKED)
        if not isinstance(known, _Unasked):
            return known
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        own = tuple((reduced(row.name), _own_price(row)) for row in self._own.get(provider, ()) if row.name)
        price = self._known[key] = _first(own, reduced(model)) or price_of(provider, model)
        return price


@frozen
class _Unasked:
    """Stands for an answer that has not been looked for."""


_UNASKED: Final = _Unasked()
_Rows = tuple[tuple[str, Price], ...]


@frozen(kw_only=True)
class _Bundled:
    as_of: str
    rows: Mapping[str, _Rows]
    """Provider → patterns of names and their prices, in the order of the file."""


def _first(rows: _Rows, name: str) -> Price | None:
    return next((price for pattern, price in rows if fnmatchcase(name, pattern)), None)


def _own_price(row: ModelPrice) -> Price:
    return Price(
        rates=Rates(
            fresh_input=row.input,
            cache_read=row.input if row.cache_read is None else row.cache_read,
            cache_write=row.input if row.cache_write is None else row.cache_write,
            output=row.output,
        )
    )


@cache
def _bundled() -> _Bundled:
    document = loads_object(files("cliproxy.catalog").joinpath(_DATA).read_bytes())
    rows: dict[str, _Rows] = {}
    for group in objects(document, "lists"):
        found = tuple(
            (name, _price(model)) for model in objects(group, "models") for name in strings(model, "names")
        )
        for provider in strings(group, "providers"):
            rows[provider] = (*rows.get(provider, ()), *found)
    return _Bundled(as_of=text(document, "as_of"), rows=rows)


def _price(model: JsonObject) -> Price:
    return Price(
        rates=_rates(model),
        long_above=int(number(model, "long_above") or 0),
        long=_rates(child(model, "long")) if "long" in model else None,
    )


def _rates(said: JsonObject) -> Rates:
    """Read rates; tokens of a cache that has no price of its own are input like any other."""
    fresh = float(number(said, "input") or 0)
    read, write = number(said, "cache_read"), number(said, "cache_write")
    return Rates(
        fresh_input=fresh,
        cache_read=fresh if read is None else float(read),
        cache_write=fresh if write is None else float(write),
        output=float(number(said, "output") or 0),
    )
