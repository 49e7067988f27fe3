"""What is known about each account's tokens: plain state, changed by :mod:`cliproxy.service.refresh` only.

An :class:`Account` holds one credential as it is now and a :class:`SlotState` for each of its token slots.
Three things happen to it:

* it is **made** from a credential: each slot takes the token its file or configuration entry already has;
* a renewal **replaces** the token of a slot. Versions count up; the replaced value is remembered as
  superseded;
* the file is **read again** (:meth:`Account.adopt`). Most of the time it says what is known. A file that was
  read just before our own write still holds a superseded token: that is a late reading, and is ignored. Any
  other token was put there by somebody else, a new login or another process: it is taken over, and every
  remembered failure is forgotten, because it was about the old one.

Members that were written but may not have been read back yet are kept in ``patch``, so that a renewal never
uses a refresh token that a late reading brought back.
"""

from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import Final

import trio
from attrs import Factory, define, evolve, field, frozen

from cliproxy.credentials.model import Credential, CredentialId, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.freshness import Advice, Span, advise, due_at, needs_login, pause_after, span_of
from cliproxy.login.rates import still_counting, wait_for
from cliproxy.providers.base import SlotPolicy
from cliproxy.wire.jsontext import JsonValue
from cliproxy.wire.secret import Secret

SUPERSEDED_KEPT: Final = 8


class Condition(StrEnum):
    """How a slot is doing."""

    ABSENT = "absent"
    """No token was needed yet."""
    FRESH = "fresh"
    DUE = "due"
    EXPIRED = "expired"
    RENEWING = "renewing"
    FAILED = "failed"
    """The last renewal failed; it is tried again later."""
    NEEDS_LOGIN = "needs_login"
    """The last renewal failed in a way only the owner can cure."""


@frozen(kw_only=True)
class SlotStatus:
    """One slot, for people."""

    slot: TokenSlot
    condition: Condition
    version: int = 0
    expires_at: float | None = None
    """Unix seconds."""
    code: str = ""
    reason: str = ""
    retry_in: float | None = None
    """Seconds until a failed renewal is tried again."""


@frozen(kw_only=True)
class AccountStatus:
    """All slots of one credential, for people."""

    credential: CredentialId
    slots: tuple[SlotStatus, ...]
    is_unsaved: bool = False
    """New tokens could not be written to the credential file yet."""

    @property
    def needs_login(self) -> bool:
        """Whether only the owner can make the account work again."""
        return any(
            slot.slot is TokenSlot.ACCOUNT and slot.condition is Condition.NEEDS_LOGIN for slot in self.slots
        )


@frozen
class Trouble:
    """The last renewal of a slot failed."""

    error: LoginError
    count: int
    """Failures in a row."""
    until: float
    """Monotonic time before which it is not tried again."""

    @property
    def is_final(self) -> bool:
        """Whether only the owner can cure it."""
        return needs_login(self.error)


@define(eq=False)
class Flight:
    """A renewal under way; everybody who needs its result waits for ``done``."""

    done: trio.Event = Factory(trio.Event)
    error: LoginError | None = None
    is_background: bool = False
    """Nobody has asked for it."""


@define(eq=False)
class SlotState:
    """One slot of one account."""

    slot: TokenSlot
    policy: SlotPolicy
    token: Token | None = None
    span: Span | None = None
    seen: Secret | None = None
    """The token the file had when it was last read."""
    refused_version: int = 0
    """The newest version an upstream refused."""
    trouble: Trouble | None = None
    flight: Flight | None = None
    sent: list[float] = field(factory=list)
    """Monotonic times of recent requests for a token, as far as a rate rule counts them."""
    early: float = 0.0
    """Part of the lead by which background renewal comes early, so that accounts do not renew in step."""

    def usable(self, now: float) -> Advice:
        """Say what to do about the token."""
        if self.token is None or self.span is None or self.token.version <= self.refused_version:
            return Advice.RENEW
        return advise(self.span, self.policy.lead_s, now)

    def is_paused(self, now: float) -> bool:
        """Whether a failed renewal must not be tried again yet."""
        return self.trouble is not None and (self.trouble.is_final or now < self.trouble.until)

    def wait_for_rate(self, now: float) -> float:
        """Return the seconds until a request for a token is allowed, and 0 after having counted it."""
        self.sent = still_counting(self.policy.rates, self.sent, now)
        wait = wait_for(self.policy.rates, self.sent, now)
        if not wait and self.policy.rates:
            self.sent.append(now)
        return wait

    def take(self, token: Token, wall: float, now: float, *, is_new: bool) -> Token:
        """Hold a token from now on. ``is_new``: it has just been issued."""
        version = self.token.version + 1 if self.token is not None else 1
        self.token = evolve(token, version=version)
        self.span = span_of(token.expires_at, wall, now, is_new=is_new)
        self.trouble = None
        return self.token

    def fail(self, error: LoginError, now: float, chance: float) -> None:
        """Remember a failed renewal."""
        count = self.trouble.count + 1 if self.trouble is not None else 1
        self.trouble = Trouble(error, count, now + pause_after(count, error.retry_after, chance))

    def renewal_at(self) -> float:
        """Return when background renewal is due; never for slots without it, or while it is pointless."""
        if not self.policy.background or self.policy.renew is None or self.flight is not None:
            return inf
        if self.token is None or self.span is None:
            return inf
        if self.trouble is not None:
            return inf if self.trouble.is_final else self.trouble.until
        if self.token.version <= self.refused_version:
            return self.span.begin
        return due_at(self.span, self.policy.lead_s, self.early)

    def status(self, now: float) -> SlotStatus:
        """Describe the slot."""
        trouble = self.trouble
        retry = None if trouble is None or trouble.is_final else max(trouble.until - now, 0.0)
        return SlotStatus(
            slot=self.slot,
            condition=self._condition(now),
            version=self.token.version if self.token is not None else 0,
            expires_at=self.token.expires_at if self.token is not None else None,
            code=trouble.error.code if trouble is not None else "",
            reason=trouble.error.explained if trouble is not None else "",
            retry_in=retry,
        )

    def _condition(self, now: float) -> Condition:
        if self.flight is not None:
            return Condition.RENEWING
        if self.trouble is not None:
            return Condition.NEEDS_LOGIN if self.trouble.is_final else Condition.FAILED
        if self.token is None:
            return Condition.ABSENT
        return {
            Advice.USE: Condition.FRESH,
            Advice.USE_AND_RENEW: Condition.DUE,
            Advice.RENEW: Condition.EXPIRED,
        }[self.usable(now)]


@define(eq=False)
class Account:
    """One credential and its tokens. :func:`account_of` makes one."""

    credential: Credential
    slots: dict[TokenSlot, SlotState]
    patch: dict[str, JsonValue] = field(factory=dict)
    """Members written by renewals, as long as the file may still be read without them."""
    unsaved: dict[str, JsonValue] = field(factory=dict)
    """Members that are not on disk yet."""
    save_at: float = inf
    """When writing them is tried again; infinity while it is being tried."""
    superseded: list[Secret] = field(factory=list)
    read: Credential = Factory(lambda self: self.credential, takes_self=True)
    """The credential as it was read last."""

    def attention_at(self) -> float:
        """Return when there is something to be done for the account that nobody will ask for."""
        renewals = () if self.credential.disabled else (slot.renewal_at() for slot in self.slots.values())
        return min(*renewals, self.save_at if self.unsaved else inf, inf)

    def written(self, patch: Mapping[str, JsonValue]) -> None:
        """Take over members that are about to be written to the file."""
        self.unsaved |= patch
        self.patch |= patch
        self.credential = evolve(self.credential, data={**self.credential.data, **patch})

    def saved(self, patch: Mapping[str, JsonValue]) -> None:
        """Note that members are on disk; what has changed meanwhile is not."""
        self.unsaved = {k: v for k, v in self.unsaved.items() if k not in patch or patch[k] != v}

    def replaced(self, state: SlotState, token: Token, wall: float, now: float) -> Token:
        """Take over a token a renewal brought."""
        if state.token is not None and state.token.value != token.value:
            self.superseded = [*self.superseded, state.token.value][-SUPERSEDED_KEPT:]
        written = state.policy.initial(self.credential)
        if written is not None and written.value == token.value:
            state.seen = token.value
        return state.take(token, wall, now, is_new=True)

    def adopt(self, read: Credential, wall: float, now: float) -> bool:
        """Take over a credential as it was read; return whether somebody else had changed its tokens."""
        self.read = read
        found = {slot: state.policy.initial(read) for slot, state in self.slots.items()}
        news = [token for slot, token in found.items() if token is not None and self._is_news(slot, token)]
        is_late = any(token.value in self.superseded for token in news)
        kept = self.patch if is_late else self.unsaved if not news else {}
        self.patch = dict(kept)
        self.credential = evolve(read, data={**read.data, **kept}) if kept else read
        if is_late or not news:
            return False
        self._start_over(found, wall, now)
        return True

    def _is_news(self, slot: TokenSlot, token: Token) -> bool:
        state = self.slots[slot]
        return token.value != state.seen and (state.token is None or token.value != state.token.value)

    def _start_over(self, found: Mapping[TokenSlot, Token | None], wall: float, now: float) -> None:
        self.unsaved = {}
        for slot, state in self.slots.items():
            token = found[slot]
            state.trouble = None
            state.seen = token.value if token is not None else None
            if token is not None:
                state.take(token, wall, now, is_new=False)
            elif state.token is not None:
                # Belongs to the login that was replaced.
                state.refused_version = state.token.version

    def is_dead(self, now: float) -> bool:
        """Whether the account has no good token, and only its owner can get it another."""
        slot = self.slots.get(TokenSlot.ACCOUNT)
        trouble = slot.trouble if slot is not None else None
        return (
            slot is not None and trouble is not None and trouble.is_final and slot.usable(now) is Advice.RENEW
        )

    def status(self, now: float) -> AccountStatus:
        """Describe the account."""
        return AccountStatus(
            credential=self.credential.id,
            slots=tuple(state.status(now) for state in self.slots.values()),
            is_unsaved=bool(self.unsaved),
        )


def account_of(
    credential: Credential, policies: Mapping[TokenSlot, SlotPolicy], wall: float, now: float
) -> Account:
    """Make the state of a credential that was not known before."""
    slots: dict[TokenSlot, SlotState] = {}
    for slot, policy in policies.items():
        state = slots[slot] = SlotState(slot, policy)
        token = policy.initial(credential)
        if token is not None:
            state.seen = token.value
            state.take(token, wall, now, is_new=False)
    return Account(credential, slots)
