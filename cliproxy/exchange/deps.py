"""What an exchange sees of the running process: a small record of values and callables, easily made from
fakes."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Protocol

from attrs import Factory, evolve, field, frozen

from cliproxy.catalog.allowance import Allowance
from cliproxy.catalog.registry import Registry, make_room
from cliproxy.config.errorrules import ErrorRule
from cliproxy.config.errorrules import compiled as compiled_errors
from cliproxy.config.model import Config
from cliproxy.config.normalize import delay_range_s
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.exchange.ending import Ending
from cliproxy.exchange.payload import Rules, compiled
from cliproxy.exchange.places import Places
from cliproxy.exchange.record import ExchangeRecord
from cliproxy.net.http import UpstreamStream
from cliproxy.providers.base import Provider
from cliproxy.routing.affinity import Bindings
from cliproxy.routing.runtime import RuntimeTable
from cliproxy.routing.select import Selector
from cliproxy.wire.http import UpstreamCall


@frozen(kw_only=True)
class Snapshot:
    """Everything that is configured, at one moment. An exchange keeps the one it started with."""

    config: Config
    registry: Registry
    providers: Mapping[str, Provider]
    credentials: tuple[Credential, ...] = ()
    rules: Rules | None = field(init=False, repr=False)
    """The payload rules of the configuration, understood; ``None``: there are none."""
    _views: dict[Allowance, "Snapshot"] = field(factory=dict, init=False, repr=False, eq=False)

    error_rules: Mapping[str, tuple[ErrorRule, ...]] = field(init=False, repr=False)
    """How certain errors of accounts are treated, by provider."""
    delay: tuple[float, float] | None = field(init=False, repr=False)
    """Least and most seconds to wait before each upstream request."""

    @error_rules.default
    def _understood_errors(self) -> Mapping[str, tuple[ErrorRule, ...]]:
        said = self.config.oauth_request_scoped_errors
        return {provider: compiled_errors(rules) for provider, rules in said.items()}

    @delay.default
    def _understood_delay(self) -> tuple[float, float] | None:
        return delay_range_s(self.config.request_delay)

    @rules.default
    def _understood(self) -> Rules | None:
        return compiled(self.config.payload)

    def visible(self, allowance: Allowance) -> "Snapshot":
        """Return the snapshot with the part of the registry that an allowance covers; always the same one.

        An exchange that is given it cannot leave the allowance, whatever happens to it on its way.
        """
        if allowance.is_everything:
            return self
        view = self._views.get(allowance)
        if view is None:
            make_room(self._views)
            view = self._views[allowance] = evolve(self, registry=self.registry.visible(allowance))
        return view


class UpstreamOpener(Protocol):
    """Carries out calls; see :class:`cliproxy.net.http.Upstreams`."""

    def open(self, call: UpstreamCall) -> AbstractAsyncContextManager[UpstreamStream]: ...


class TokenSource(Protocol):
    """Hands out tokens that are good now. Both methods raise :class:`~cliproxy.errors.LoginError`."""

    async def ensure_fresh(self, credential: Credential, slot: TokenSlot) -> Token:
        """Return the slot's token, renewed first if it is about to end. Waiters share one renewal."""
        ...

    async def refresh(self, credential: Credential, slot: TokenSlot, failed_version: int) -> Token:
        """Return a newer token than the version that an upstream refused."""
        ...


@frozen(kw_only=True, eq=False)
class Deps:
    """The world of an exchange."""

    snapshot: Callable[[], Snapshot]
    upstreams: UpstreamOpener
    tokens: TokenSource
    runtime: RuntimeTable
    record: Callable[[ExchangeRecord], None]
    """Takes the one record of a finished exchange; never waits."""
    wall: Callable[[], float]
    """Unix seconds."""
    monotonic: Callable[[], float]
    rng: Random
    ending: Ending = field(factory=Ending)
    """Interrupts exchanges when the server stops."""
    selector: Selector = Factory(lambda self: Selector(self.runtime), takes_self=True)
    """Whose turn it is, over all exchanges."""
    kept: Bindings = field(factory=Bindings)
    """Who keeps what requests may go on from."""
    places: Places = field(factory=Places)
    """Where exchanges wait for an account that has as many under way as it may."""
    _views: dict[Allowance, "Deps"] = field(factory=dict, init=False, repr=False)
    """As many as there have been allowances, within bounds."""

    def within(self, allowance: Allowance) -> "Deps":
        """Return the world as a client sees it that may not use everything; always the same one."""
        if allowance.is_everything:
            return self
        view = self._views.get(allowance)
        if view is None:
            make_room(self._views)
            view = self._views[allowance] = evolve(self, snapshot=lambda: self.snapshot().visible(allowance))
        return view

    def random_hex(self, digits: int) -> str:
        """Return random hex digits for ids that are shown, not for secrets."""
        return f"{self.rng.getrandbits(4 * digits):0{digits}x}"
