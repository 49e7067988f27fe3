"""The limits of client keys at work: every request of a key is let in, measured and settled.

The decisions are those of :mod:`cliproxy.routing.budget`. Here they meet the exchange: what a request may
cost is estimated from its size and the bound it sets for the answer, and what it has cost is read from its
record, attempt by attempt, also when the client has given it up. Where an upstream took a request and said
nothing of what it used, the estimate counts, so that leaving before an answer's end is no way around a limit.

An account belongs to the *name* of a key. Other limits, or another key under the same name, leave its counts
as they are.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, evolve, field

from cliproxy.catalog.prices import Price, Prices, cost_micros
from cliproxy.config.entries import ClientKey
from cliproxy.config.model import REFUSE, Config
from cliproxy.dialects.base import Action, Body, ClientRequest
from cliproxy.errors import Kind, LimitExceeded, ModelNotFound
from cliproxy.exchange.deps import Deps
from cliproxy.exchange.record import AttemptNote, ExchangeRecord, Outcome
from cliproxy.ir.estimate import IMAGE_TOKENS, estimate_body, estimate_output
from cliproxy.ir.response import Usage
from cliproxy.routing.budget import (
    MICROS,
    NOTHING,
    Account,
    Amount,
    Denial,
    Limit,
    Moment,
    Span,
    Sum,
    Unit,
    explained,
    limits_of,
)
from cliproxy.routing.resolve import resolve
from cliproxy.stores.rows import CounterRow
from cliproxy.wire.formdata import FormData
from cliproxy.wire.jsontext import dumps

SUCCESS: Final = 2
"""First digit of the statuses that are answers."""
UNSAVED_WAIT_S: Final = 5.0
KEPT: Final = frozenset({Span.DAY, Span.MONTH})
"""What is kept over a restart."""
ANSWERED: Final = frozenset({Action.GENERATE})
"""What has an answer whose length can be bounded."""


@define(eq=False)
class _Holder:
    """An account, and the entry that its limits are from."""

    entry: ClientKey
    account: Account


@define(eq=False)
class ClientKeys:
    """The accounts of all client keys that have limits."""

    keep: Callable[[Iterable[CounterRow]], None] = field(default=lambda _rows: None)
    """Told of every count that has changed; must not wait."""
    is_kept: Callable[[], bool] = field(default=lambda: True)
    """Whether what :attr:`keep` is told can be saved now."""
    _holders: dict[str, _Holder] = field(factory=dict, init=False)
    """By name. Those of names that are gone stay, so that a key cannot begin anew by being taken out and put
    in again."""
    _saved: defaultdict[str, list[Sum]] = field(factory=lambda: defaultdict(list), init=False)
    """What is known of names that have not been seen since the start."""
    _prices: Prices = field(factory=lambda: Prices({}), init=False)
    _priced: Config | None = field(default=None, init=False)
    """The configuration that the prices are from."""

    @contextmanager
    def metered(self, entry: ClientKey, request: ClientRequest, deps: Deps) -> Iterator[Deps]:
        """Let in a request of a key, and give the world in which it is measured.

        Raises :class:`~cliproxy.errors.LimitExceeded`, and :class:`~cliproxy.errors.ModelNotFound` where that
        is the better answer.
        """
        account = self.account(entry)
        self._refuse_unsaved(account, deps)
        asked = self._asked(account.limits, request, deps)
        reservation = account.reserve(asked, _now(deps))
        if isinstance(reservation, Denial):
            if resolve(deps.snapshot().registry, request.model) is None:
                raise ModelNotFound(request.model)
            raise _refusal(reservation, entry.name)

        def record(done: ExchangeRecord) -> None:
            deps.record(done)
            reservation.settle(self._used(done, asked, deps), _now(deps))
            self._tell(entry.name.casefold(), account)

        try:
            yield evolve(deps, record=record)
        finally:
            # Settled already, unless the exchange has not even begun.
            reservation.settle(NOTHING, _now(deps))

    def _refuse_unsaved(self, account: Account, deps: Deps) -> None:
        """Let nobody use what would be forgotten, if the owner wants that."""
        if deps.snapshot().config.client_keys_when_unsaved != REFUSE or self.is_kept():
            return
        if any(limit.span in KEPT for limit in account.limits):
            raise LimitExceeded(
                "What this API key uses cannot be saved at the moment, and the owner of the server wants its "
                "limits kept.",
                kind=Kind.UNAVAILABLE,
                code="counts_unsaved",
                retry_after=UNSAVED_WAIT_S,
            )

    def account(self, entry: ClientKey) -> Account:
        """Return the account of a key, with the limits it has now."""
        name = entry.name.casefold()
        holder = self._holders.get(name)
        if holder is None:
            holder = self._holders[name] = _Holder(entry, Account(limits_of(entry)))
            holder.account.restore(self._saved.pop(name, ()))
        elif holder.entry is not entry:
            holder.entry = entry
            holder.account.limits = limits_of(entry)
        return holder.account

    # --- over restarts ------------------------------------------------------------------------------------

    def restore(self, rows: Iterable[CounterRow]) -> None:
        """Take what was kept of an earlier run, and add it to what was counted since."""
        for row in rows:
            if row.period not in KEPT:
                continue
            each = Sum(
                span=Span(row.period),
                start=row.start,
                requests=row.requests,
                tokens=row.tokens,
                micros=row.micros,
            )
            holder = self._holders.get(row.key)
            if holder is None:
                self._saved[row.key].append(each)
            else:
                holder.account.restore([each])
                self._tell(row.key, holder.account)

    def _tell(self, name: str, account: Account) -> None:
        self.keep(
            [
                CounterRow(
                    key=name,
                    period=each.span,
                    start=each.start,
                    requests=each.requests,
                    tokens=each.tokens,
                    micros=each.micros,
                )
                for each in account.unsaved()
            ]
        )

    # --- amounts ------------------------------------------------------------------------------------------

    def _asked(self, limits: Iterable[Limit], request: ClientRequest, deps: Deps) -> Amount:
        """Estimate what a request will use, as far as a limit asks for it."""
        units = {limit.unit for limit in limits}
        if request.action is Action.COUNT or not units & {Unit.TOKENS, Unit.MONEY}:
            return NOTHING
        body = request.document
        usage = Usage(
            fresh_input=_prompt(body),
            output=estimate_output(body.value) if request.action in ANSWERED else 0,
        )
        price = self._price_of_model(request.model, deps) if Unit.MONEY in units else None
        return Amount(tokens=usage.total, micros=cost_micros(usage, price) if price is not None else 0)

    def _price_of_model(self, model: str, deps: Deps) -> Price | None:
        found = resolve(deps.snapshot().registry, model)
        if found is None:
            return None
        first = found.candidates[0]
        return self._price(first.credential.provider, first.model, deps)

    def _price(self, provider: str, model: str, deps: Deps) -> Price | None:
        config = deps.snapshot().config
        if config is not self._priced:
            self._priced, self._prices = config, Prices(config.model_prices)
        return self._prices.price_of(provider, model)

    def _used(self, done: ExchangeRecord, asked: Amount, deps: Deps) -> Amount:
        if done.action == Action.COUNT:
            return NOTHING
        amounts = [self._used_by(note, asked, deps) for note in done.attempts]
        return Amount(
            tokens=sum(amount.tokens for amount in amounts), micros=sum(amount.micros for amount in amounts)
        )

    def _used_by(self, note: AttemptNote, asked: Amount, deps: Deps) -> Amount:
        tokens = max(note.usage.total, note.usage.reported_total or 0)
        if tokens:
            price = self._price(note.provider, note.model, deps)
            return Amount(tokens=tokens, micros=cost_micros(note.usage, price) if price is not None else 0)
        is_taken = note.status // 100 == SUCCESS and note.outcome is not Outcome.ERROR
        return asked if is_taken else NOTHING


def _prompt(body: Body) -> int:
    """Estimate the tokens of a prompt. Files in a form are pictures."""
    if isinstance(body, FormData):
        files = sum(part.filename is not None for part in body.parts)
        return estimate_body(dumps(body.value)) + files * IMAGE_TOKENS
    return estimate_body(body.raw)


def _now(deps: Deps) -> Moment:
    return Moment(deps.monotonic(), deps.wall())


def _refusal(denial: Denial, name: str) -> LimitExceeded:
    limit = denial.limit
    scale = MICROS if limit.unit is Unit.MONEY else 1
    return LimitExceeded(
        explained(denial, name),
        kind=Kind.RATE_LIMIT if limit.span is Span.MINUTE else Kind.QUOTA,
        retry_after=denial.wait,
        detail={
            "limit": limit.name,
            "allowed": limit.most / scale,
            "used": denial.used / scale,
            "reserved": denial.held / scale,
        },
    )
