"""The token table: hands out tokens that are good now, and renews them.

**Single flight.** Whoever needs a token that is no longer good starts its renewal, or joins the one under
way. The renewal is a task of the service, not of the request that asked first: requests may be cancelled,
the renewal goes on, because the vendor may already have taken back the old refresh token.

**Cascade.** A slot may depend on another (a gateway token is exchanged for the account's). The other is
made fresh first. If the vendor refuses it all the same, it is renewed once and the exchange repeated once;
what is refused then is not available to this account.

**Not lost.** New refresh tokens are in the file before the new access token is used, and no time limit cuts
into writing them. While the file cannot be written they stay in memory and are written as soon as that works
again. Stopping the server waits a moment for a renewal of an account's own token. What remains is the time
between the vendor's decision and our disk: a process that is killed then, or whose connection breaks, has
lost the login, and the vendor's next refusal says so.

**Several processes** may share the files: such a renewal happens under an exclusive lock, after reading the
file again, and takes over what another process has renewed meanwhile. A file that is gone or says that the
account is switched off ends it before the vendor hears of it. Whoever ignores the lock and puts another login
into the file while a renewal is under way wins: the file is compared once more before it is written.

**In the background** what is due is renewed without anybody asking, in the order of the times (an
:class:`~cliproxy.login.agenda.Agenda`, so that one event among thousands of accounts costs little) and with
a few places left free for renewals that somebody waits for.

**Failures are remembered**: a renewal that failed is not tried again before its pause is over, or, where
only the owner can help, before the credential has changed. Status displays show them.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from math import inf
from typing import Final

import trio
from attrs import define, field

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import CredentialError, LoginError, StoreError
from cliproxy.login.agenda import Agenda
from cliproxy.login.freshness import JITTER, Advice
from cliproxy.observe.metrics import Counts
from cliproxy.providers.base import Provider
from cliproxy.service.logins import Fetcher, FindClient, World, published_client, run_flow, sender
from cliproxy.service.tokens import Account, AccountStatus, Flight, SlotState, account_of
from cliproxy.wire.jsontext import JsonValue

logger = logging.getLogger(__name__)

CONCURRENT_RENEWALS: Final = 16
BACKGROUND_SHARE: Final = 0.75
"""How many of them, at the most, nobody waits for."""
RENEWAL_LIMIT_S: Final = 30.0
"""Time for one renewal; also the longest that stopping the server waits for one."""
SAVE_LIMIT_S: Final = 10.0
SAVE_AGAIN_S: Final = 60.0
UNAVAILABLE_S: Final = 1500.0
"""How long a slot is left alone that a good account token could not open."""

REPLACED: Final = "replaced"
"""Code of the error for tokens of a login whose file holds another one by now."""

Persist = Callable[[Credential, Mapping[str, JsonValue]], Awaitable[None]]
Reread = Callable[[Credential], Awaitable[Credential | None]]
Exclusive = Callable[[Credential], AbstractAsyncContextManager[None]]


async def _not_reread(credential: Credential) -> Credential | None:
    await trio.lowlevel.checkpoint()
    return credential


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
    _agenda: Agenda[CredentialId] = field(factory=Agenda, init=False)
    _changed: trio.Event = field(factory=trio.Event, init=False)
    _background: int = field(default=0, init=False)
    """Renewals under way that nobody has asked for."""
    renewals: Counts = field(factory=Counts, init=False)
    """Renewals that are over, by provider and outcome."""

    def __attrs_post_init__(self) -> None:
        self._limiter = trio.CapacityLimiter(CONCURRENT_RENEWALS)

    def allow(self, renewals: int) -> None:
        """Set how many renewals may be under way at the same time, from now on."""
        self._limiter.total_tokens = renewals
        self._changed.set()

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
            if known is None or known.credential.provider != credential.provider:
                known = self._new_account(credential)
            elif known.read is not credential:
                known.adopt(credential, wall, now)
            alive[credential.id] = known
        self._accounts = alive
        self._agenda = Agenda()
        for account in alive.values():
            self._plan(account)
        self._changed.set()

    def status(self, credential: CredentialId) -> AccountStatus | None:
        """Describe the tokens of a credential; ``None`` for one that is not known."""
        account = self._accounts.get(credential)
        return account.status(self.monotonic()) if account is not None else None

    def is_dead(self, credential: CredentialId) -> bool:
        """Whether a credential has no good token, and only its owner can get it another."""
        account = self._accounts.get(credential)
        return account is not None and account.is_dead(self.monotonic())

    def credential(self, credential: CredentialId) -> Credential | None:
        """Return a credential with its tokens as they are now; ``None`` for one that is not known."""
        account = self._accounts.get(credential)
        return account.credential if account is not None else None

    def forgive(self, credential: CredentialId) -> None:
        """Forget the remembered failures of a credential, so that the next use tries again."""
        account = self._accounts.get(credential)
        if account is not None:
            for state in account.slots.values():
                state.trouble = None
            self._plan(account)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Renew in the background what is due, for ever."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            wake_at = self._agenda.first() if self._has_room else inf
            with trio.move_on_after(max(wake_at - self.monotonic(), 0.0)):
                await self._changed.wait()
            now = self.monotonic()
            while self._has_room and (due := self._agenda.take(now)) is not None:
                self._attend(self._accounts[due], now)

    # --- decisions -------------------------------------------------------------------------------------

    def _account(self, credential: Credential) -> Account:
        return self._accounts.get(credential.account) or self._new_account(credential)

    def _new_account(self, credential: Credential) -> Account:
        policies = self.providers[credential.provider].slots
        account = account_of(credential, policies, self.wall(), self.monotonic())
        for state in account.slots.values():
            state.early = JITTER * self.rng.uniform(0.0, 1.0)
        self._accounts[credential.account] = account
        self._plan(account)
        return account

    @property
    def _has_room(self) -> bool:
        return self._background < max(1, int(self._limiter.total_tokens * BACKGROUND_SHARE))

    def _plan(self, account: Account) -> None:
        """Note when an account needs attention next; to be called whenever that may have changed."""
        key = account.credential.account
        if self._accounts.get(key) is not account:
            return
        before = self._agenda.first()
        self._agenda.put(key, account.attention_at())
        if self._agenda.first() < before:
            self._changed.set()

    def _attend(self, account: Account, now: float) -> None:
        """Start whatever is due for an account."""
        if account.unsaved and account.save_at <= now:
            account.save_at = inf
            self.nursery.start_soon(self._save_again, account, name=f"save {account.credential.id}")
        if not account.credential.disabled:
            for state in account.slots.values():
                if state.renewal_at() <= now:
                    self._take_off(account, state, is_background=True)
        self._plan(account)

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

    def _take_off(self, account: Account, state: SlotState, *, is_background: bool = False) -> Flight:
        # Replaced by the outcome; what waiters see when the service ends first.
        stopping = LoginError("the server is stopping", code="stopping")
        flight = Flight(error=stopping, is_background=is_background)
        self._background += is_background
        state.flight = flight
        self._plan(account)
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
            outcome = "ok" if flight.error is None else flight.error.code
            self.renewals.add((account.credential.provider, outcome))
            if flight.is_background:
                self._background -= 1
                self._changed.set()
            self._plan(account)
        await trio.lowlevel.checkpoint()

    async def _obtain(self, account: Account, state: SlotState) -> None:
        parent_slot = state.policy.depends_on
        if parent_slot is None:
            await self._obtain_own(account, state)
            return
        parent = account.slots[parent_slot]
        token = await self._usable(account, parent)
        try:
            await self._obtain_for(account, state, {parent_slot: token})
        except LoginError as exc:
            if exc.code != "token_rejected":
                raise
        else:
            return
        token = await self._newer(account, parent, token.version)
        try:
            await self._obtain_for(account, state, {parent_slot: token})
        except LoginError as exc:
            if exc.code != "token_rejected":
                raise
            error = _unavailable(exc)
            self._remember(account, state, error)
            raise error from exc

    async def _obtain_for(
        self, account: Account, state: SlotState, tokens: Mapping[TokenSlot, Token]
    ) -> None:
        """Get a token for another one, which is good."""
        async with self._limiter:
            with trio.move_on_after(RENEWAL_LIMIT_S):
                await self._exchange(account, state, tokens)
                return
        raise self._timeout(state, "the renewal took longer than")

    async def _obtain_own(self, account: Account, state: SlotState) -> None:
        """Renew a token that comes from the vendor's login, which may be shared with other processes."""
        async with self._limiter:
            with trio.move_on_after(RENEWAL_LIMIT_S) as patience:
                async with self._locked(account):
                    patience.deadline = inf
                    await self._renew_own(account, state)
                    return
        raise self._timeout(state, "another process has been renewing it for")

    async def _renew_own(self, account: Account, state: SlotState) -> None:
        """Renew under the lock, from the file as it is now. Not to be cancelled: the vendor may have taken
        back the old refresh token before its answer is here."""
        with trio.move_on_after(RENEWAL_LIMIT_S, shield=True):
            if await self._take_over(account, state) and state.usable(self.monotonic()) is not Advice.RENEW:
                return
            try:
                await self._exchange(account, state, {})
            except LoginError as exc:
                if exc.code != REPLACED or state.usable(self.monotonic()) is Advice.RENEW:
                    raise
            return
        raise self._timeout(state, "the renewal took longer than")

    async def _take_over(self, account: Account, state: SlotState) -> bool:
        """Read the account's file again; tell whether somebody else had changed its tokens. Raises
        :class:`~cliproxy.errors.LoginError` when the account is not to be used any more."""
        read = await self.reread(account.credential)
        if read is None and account.credential.kind is CredentialKind.ACCOUNT:
            error = LoginError("the credential file is gone", code="gone", hint="Log in again.")
            self._remember(account, state, error)
            raise error
        is_changed = read is not None and account.adopt(read, self.wall(), self.monotonic())
        if is_changed:
            logger.info("taken over what another process renewed credential=%s", account.credential.id)
        if account.credential.disabled:
            raise LoginError("the account is switched off in its file", code="disabled")
        return is_changed

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
            token = await run_flow(renew(account.credential, tokens), self._world(account, state))
        except LoginError as exc:
            if exc.code not in {"token_rejected", REPLACED}:
                self._remember(account, state, exc)
            raise
        account.replaced(state, token, self.wall(), self.monotonic())
        logger.debug("renewed credential=%s slot=%s", account.credential.id, state.slot)

    def _remember(self, account: Account, state: SlotState, error: LoginError) -> None:
        state.fail(error, self.monotonic(), self.rng.random())
        logger.warning(
            "renewal failed credential=%s slot=%s code=%s cause=%s",
            account.credential.id,
            state.slot,
            error.code,
            error.message,
        )

    def _timeout(self, state: SlotState, what: str) -> LoginError:
        error = LoginError(f"{what} {RENEWAL_LIMIT_S:.0f} s", code="timeout")
        state.fail(error, self.monotonic(), self.rng.random())
        return error

    def _world(self, account: Account, state: SlotState) -> World:
        async def persist(patch: Mapping[str, JsonValue]) -> None:
            account.written(patch)
            # The renewal of an account's own token holds the lock from beginning to end.
            await self._save(account, nullcontext() if state.policy.depends_on is None else None)

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

    async def _save_again(self, account: Account) -> None:
        try:
            await self._save(account)
        except LoginError as exc:
            logger.info("new tokens are not needed credential=%s cause=%s", account.credential.id, exc)
        finally:
            self._plan(account)

    async def _save(self, account: Account, lock: AbstractAsyncContextManager[None] | None = None) -> None:
        """Write to the file what is not there yet. What cannot be written is kept, and is written later by
        :meth:`run`.

        Raises :class:`~cliproxy.errors.LoginError` when another login has taken the file's place: the tokens
        belong to none any more.
        """
        account.save_at = inf
        patch, cause = dict(account.unsaved), "it took too long"
        with trio.move_on_after(SAVE_LIMIT_S, shield=True):
            try:
                async with lock or self._locked(account):
                    read = await self.reread(account.credential)
                    if read is not None and account.adopt(read, self.wall(), self.monotonic()):
                        raise LoginError("another login has taken the place of this one", code=REPLACED)
                    await self.persist(account.credential, patch)
            except (StoreError, CredentialError) as exc:
                cause = str(exc)
            else:
                account.saved(patch)
                return
        account.save_at = self.monotonic() + SAVE_AGAIN_S
        logger.error("new tokens could not be saved credential=%s cause=%s", account.credential.id, cause)


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
