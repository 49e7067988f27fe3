"""The token table: hands out tokens that are good now, and renews them.

**Single flight.** Whoever needs a token that is no longer good starts its renewal, or joins the one under
way. The renewal is a task of the service, not of the request that asked first: requests may be cancelled,
the renewal goes on, because the vendor may already have taken back the old refresh token.

**Cascade.** A slot may depend on another (a gateway token is exchanged for the account's). The other is
made fresh first. If the vendor refuses it all the same, it is renewed once and the exchange repeated once;
what is refused then is not available to this account.

**Not lost.** New refresh tokens are in the file before the new access token is used. While the file cannot
be written they stay in memory and are written as soon as that works again. Stopping the server waits a
moment for a renewal of an account's own token.

**Several processes** may share the files: such a renewal happens under an exclusive lock, after reading the
file again, and takes over what another process has renewed meanwhile.

**Failures are remembered**: a renewal that failed is not tried again before its pause is over, or, where
only the owner can help, before the credential has changed. Status displays show them.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import trio
from attrs import define, field

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import CredentialError, LoginError, StoreError
from cliproxy.login.freshness import JITTER, Advice
from cliproxy.providers.base import Provider
from cliproxy.service.logins import Fetcher, FindClient, World, published_client, run_flow, sender
from cliproxy.service.tokens import Account, AccountStatus, Flight, SlotState, account_of, earliest_renewal
from cliproxy.wire.jsontext import JsonValue

logger = logging.getLogger(__name__)

CONCURRENT_RENEWALS: Final = 16
RENEWAL_LIMIT_S: Final = 20.0
"""Time for one renewal; also the longest that stopping the server waits for one."""
SAVE_AGAIN_S: Final = 60.0
UNAVAILABLE_S: Final = 1500.0
"""How long a slot is left alone that a good account token could not open."""

Persist = Callable[[Credential, Mapping[str, JsonValue]], Awaitable[None]]
Reread = Callable[[Credential], Awaitable[Credential | None]]
Exclusive = Callable[[Credential], AbstractAsyncContextManager[None]]


async def _not_reread(_credential: Credential) -> Credential | None:
    await trio.lowlevel.checkpoint()
    return None


def _not_shared(_credential: Credential) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@define(eq=False, kw_only=True)
class TokenTable:
    """Tokens by credential and slot. All methods are to be called from one trio run."""

    nursery: trio.Nursery
    """Owns the renewals."""
    providers: Mapping[str, Provider]
    fetcher: Fetcher
    persist: Persist
    """Merges members into the credential's file; raises ``StoreError`` or ``CredentialError``. Called with
    the file's lock held."""
    reread: Reread = _not_reread
    """Reads a credential's file again; ``None`` when it is gone or has none."""
    exclusive: Exclusive = _not_shared
    """Holds the lock other processes respect as well."""
    client: FindClient = published_client
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    rng: random.Random
    _accounts: dict[CredentialId, Account] = field(factory=dict, init=False)
    _limiter: trio.CapacityLimiter = field(init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        self._limiter = trio.CapacityLimiter(CONCURRENT_RENEWALS)

    # --- what exchanges use ----------------------------------------------------------------------------

    async def ensure_fresh(self, credential: Credential, slot: TokenSlot) -> Token:
        """Return the slot's token, renewed first if it is about to end. May be cancelled; a renewal goes on.

        Raises :class:`~cliproxy.errors.LoginError`.
        """
        account = self._account(credential)
        return await self._usable(account, _slot_of(account, slot))

    async def refresh(self, credential: Credential, slot: TokenSlot, failed_version: int) -> Token:
        """Return a newer token than the version an upstream refused. May be cancelled; the renewal goes on.

        Raises :class:`~cliproxy.errors.LoginError`.
        """
        account = self._account(credential)
        return await self._newer(account, _slot_of(account, slot), failed_version)

    # --- what the service and displays use -------------------------------------------------------------

    def sync(self, credentials: Iterable[Credential]) -> None:
        """Take over the credentials as they were just read; forget those that are gone."""
        wall, now = self.wall(), self.monotonic()
        alive: dict[CredentialId, Account] = {}
        for credential in credentials:
            known = self._accounts.get(credential.id)
            if known is None:
                known = self._new_account(credential)
            else:
                known.adopt(credential, wall, now)
            alive[credential.id] = known
        self._accounts = alive
        self._wake()

    def status(self, credential: CredentialId) -> AccountStatus | None:
        """Describe the tokens of a credential; ``None`` for one that is not known."""
        account = self._accounts.get(credential)
        return account.status(self.monotonic()) if account is not None else None

    def forgive(self, credential: CredentialId) -> None:
        """Forget the remembered failures of a credential, so that the next use tries again."""
        account = self._accounts.get(credential)
        if account is not None:
            for state in account.slots.values():
                state.trouble = None
            self._wake()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew in the background what is due, for ever."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            with trio.move_on_after(max(self._next_wake() - self.monotonic(), 0.0)):
                await self._changed.wait()
            now = self.monotonic()
            for account in self._accounts.values():
                if account.unsaved:
                    await self._save(account, dict(account.unsaved), self._locked(account))
                if not account.credential.disabled:
                    self._start_due(account, now)

    # --- decisions -------------------------------------------------------------------------------------

    def _account(self, credential: Credential) -> Account:
        return self._accounts.get(credential.account) or self._new_account(credential)

    def _new_account(self, credential: Credential) -> Account:
        policies = self.providers[credential.provider].slots
        account = account_of(credential, policies, self.wall(), self.monotonic())
        for state in account.slots.values():
            state.spread = state.policy.lead_s * JITTER * self.rng.uniform(0.0, 1.0)
        self._accounts[credential.account] = account
        return account

    def _next_wake(self) -> float:
        again = self.monotonic() + SAVE_AGAIN_S
        unsaved = again if any(account.unsaved for account in self._accounts.values()) else float("inf")
        return min(earliest_renewal(self._accounts.values()), unsaved)

    def _start_due(self, account: Account, now: float) -> None:
        for state in account.slots.values():
            if state.renewal_at() <= now:
                self._take_off(account, state)

    def _wake(self) -> None:
        self._changed.set()

    async def _usable(self, account: Account, state: SlotState) -> Token:
        now = self.monotonic()
        advice = state.usable(now)
        if advice is Advice.RENEW and (state.policy.renew is not None or state.token is None):
            return await self._renewed(account, state)
        # A token that cannot be renewed is handed out to its end and beyond: the upstream has the last word.
        assert state.token is not None
        may_renew = state.policy.renew is not None and state.flight is None
        if advice is Advice.USE_AND_RENEW and may_renew and not state.is_paused(now):
            self._take_off(account, state)
        await trio.lowlevel.checkpoint()
        return state.token

    async def _newer(self, account: Account, state: SlotState, failed_version: int) -> Token:
        if state.token is not None and state.token.version > max(failed_version, state.refused_version):
            await trio.lowlevel.checkpoint()
            return state.token
        state.refused_version = max(state.refused_version, failed_version)
        return await self._renewed(account, state)

    # --- renewals --------------------------------------------------------------------------------------

    async def _renewed(self, account: Account, state: SlotState) -> Token:
        """Start a renewal or join the one under way, and wait for its result."""
        flight = state.flight
        if flight is None:
            if state.trouble is not None and state.is_paused(self.monotonic()):
                raise _copy(state.trouble.error)
            flight = self._take_off(account, state)
        await flight.done.wait()
        if flight.error is not None:
            raise _copy(flight.error)
        assert state.token is not None
        return state.token

    def _take_off(self, account: Account, state: SlotState) -> Flight:
        # Replaced by the outcome; what waiters see when the service ends first.
        flight = Flight(error=LoginError("the server is stopping", code="stopping"))
        state.flight = flight
        name = f"refresh {account.credential.id} {state.slot}"
        self.nursery.start_soon(self._fly, account, state, flight, name=name)
        return flight

    async def _fly(self, account: Account, state: SlotState, flight: Flight) -> None:
        try:
            await self._obtain(account, state)
            flight.error = None
        except LoginError as exc:
            flight.error = exc
        except (StoreError, CredentialError) as exc:
            flight.error = LoginError(f"the credential file cannot be used: {exc}", code="not_saved")
            self._remember(account, state, flight.error)
        except Exception:
            logger.exception("renewal failed credential=%s slot=%s", account.credential.id, state.slot)
            flight.error = LoginError("the renewal failed by a fault of this program", code="internal")
            state.fail(flight.error, self.monotonic(), self.rng.random())
        finally:
            state.flight = None
            flight.done.set()
            self._wake()
        await trio.lowlevel.checkpoint()

    async def _obtain(self, account: Account, state: SlotState) -> None:
        parent_slot = state.policy.depends_on
        if parent_slot is None:
            await self._obtain_own(account, state)
            return
        parent = account.slots[parent_slot]
        token = await self._usable(account, parent)
        try:
            await self._exchange(account, state, {parent_slot: token})
        except LoginError as exc:
            if exc.code != "token_rejected":
                raise
        else:
            return
        token = await self._newer(account, parent, token.version)
        try:
            await self._exchange(account, state, {parent_slot: token})
        except LoginError as exc:
            if exc.code != "token_rejected":
                raise
            error = _unavailable(exc)
            self._remember(account, state, error)
            raise error from exc

    async def _obtain_own(self, account: Account, state: SlotState) -> None:
        """Renew a token that comes from the vendor's login, which may be shared with other processes."""
        with trio.move_on_after(RENEWAL_LIMIT_S, shield=True):
            async with self._locked(account):
                read = await self.reread(account.credential)
                if read is not None and account.adopt(read, self.wall(), self.monotonic()):
                    logger.info(
                        "taken over what another process renewed credential=%s", account.credential.id
                    )
                    if state.usable(self.monotonic()) is not Advice.RENEW:
                        return
                await self._exchange(account, state, {})
                return
        raise self._timeout(state)

    async def _exchange(self, account: Account, state: SlotState, tokens: Mapping[TokenSlot, Token]) -> None:
        """Run the slot's own flow once and take its token; remember a failure."""
        now = self.monotonic()
        wait = state.wait_for_rate(now)
        renew = state.policy.renew
        try:
            if renew is None:
                raise LoginError("the token cannot be renewed", code="not_renewable", hint="Log in again.")
            if wait:
                raise LoginError(
                    f"new tokens may be asked for again in {wait:.0f} s",
                    code="rate_limited",
                    retry_after=wait,
                )
            with trio.move_on_after(RENEWAL_LIMIT_S):
                async with self._limiter:
                    token = await run_flow(renew(account.credential, tokens), self._world(account, state))
                account.replaced(state, token, self.wall(), self.monotonic())
                logger.debug("renewed credential=%s slot=%s", account.credential.id, state.slot)
                return
        except LoginError as exc:
            if exc.code != "token_rejected":
                self._remember(account, state, exc)
            raise
        raise self._timeout(state)

    def _remember(self, account: Account, state: SlotState, error: LoginError) -> None:
        state.fail(error, self.monotonic(), self.rng.random())
        logger.warning(
            "renewal failed credential=%s slot=%s code=%s cause=%s",
            account.credential.id,
            state.slot,
            error.code,
            error.message,
        )

    def _timeout(self, state: SlotState) -> LoginError:
        error = LoginError(f"the renewal took longer than {RENEWAL_LIMIT_S:.0f} s", code="timeout")
        state.fail(error, self.monotonic(), self.rng.random())
        return error

    def _world(self, account: Account, state: SlotState) -> World:
        async def persist(patch: Mapping[str, JsonValue]) -> None:
            account.written(patch)
            # The renewal of an account's own token holds the lock from beginning to end.
            lock = nullcontext() if state.policy.depends_on is None else self._locked(account)
            await self._save(account, {**account.unsaved, **patch}, lock)

        return World(
            send=sender(self.fetcher, account.credential.proxy_url),
            now=self.wall,
            note=lambda text: logger.info("credential=%s %s", account.credential.id, text),
            persist=persist,
            client=self.client,
        )

    def _locked(self, account: Account) -> AbstractAsyncContextManager[None]:
        """Hold the lock of the credential's file, where it has one."""
        if account.credential.kind is not CredentialKind.ACCOUNT:
            return nullcontext()
        return self.exclusive(account.credential)

    async def _save(
        self, account: Account, patch: dict[str, JsonValue], lock: AbstractAsyncContextManager[None]
    ) -> None:
        """Write members to the file. What cannot be written is kept, and is written later by :meth:`run`."""
        await trio.lowlevel.checkpoint()
        try:
            async with lock:
                await self.persist(account.credential, patch)
        except (StoreError, CredentialError) as exc:
            account.unsaved |= patch
            logger.error("new tokens could not be saved credential=%s cause=%s", account.credential.id, exc)
            self._wake()
        else:
            account.unsaved = {}


def _slot_of(account: Account, slot: TokenSlot) -> SlotState:
    state = account.slots.get(slot)
    if state is None:
        raise LoginError(
            f"{account.credential.provider} has no token of the kind {slot}", code="not_available"
        )
    return state


def _unavailable(error: LoginError) -> LoginError:
    """Read a refusal that a renewed token did not cure."""
    pause = error.retry_after or UNAVAILABLE_S
    return LoginError(
        error.message, code="not_available", hint=error.hint, status=error.status, retry_after=pause
    )


def _copy(error: LoginError) -> LoginError:
    """Return the same error for another waiter: an exception object carries one traceback."""
    return LoginError(
        error.message, code=error.code, hint=error.hint, status=error.status, retry_after=error.retry_after
    )
