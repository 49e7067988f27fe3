"""Waiting for an account to have a place free, first come first served.

An owner can limit how many requests an account has under way. When all that could serve a request are full
it waits here instead of failing. A place that gets free wakes the one who has waited longest for an account
of its choice, and nobody else; who is woken and finds the place taken by a newcomer goes back to its old
place in the queue, and who leaves having been woken wakes the next.

They also wait here while somebody else tries an account that has rested. What becomes of that concerns them
all, and wakes them all.
"""

from bisect import insort
from collections.abc import Iterator
from itertools import count

import trio
from attrs import define, field

from cliproxy.credentials.model import CredentialId


@define(order=True)
class _Waiter:
    ticket: int
    accounts: frozenset[CredentialId] = field(order=False)
    woken: trio.Event = field(factory=trio.Event, order=False)
    account: CredentialId | None = field(default=None, order=False)
    """Where a place got free."""


@define(eq=False)
class Places:
    """Those who wait for a place."""

    _waiting: list[_Waiter] = field(factory=list, init=False)
    _tickets: Iterator[int] = field(factory=count, init=False)

    def __len__(self) -> int:
        return len(self._waiting)

    def ticket(self) -> int:
        """Return a place in the queue; the smaller ones are in front."""
        return next(self._tickets)

    async def wait(self, ticket: int, accounts: frozenset[CredentialId], seconds: float) -> bool:
        """Wait until one of some accounts may have a place free; ``False`` when the time is over before."""
        waiter = _Waiter(ticket, accounts)
        insort(self._waiting, waiter)
        finished = False
        try:
            with trio.move_on_after(seconds):
                await waiter.woken.wait()
            finished = True
        finally:
            if waiter.account is None:
                self._waiting.remove(waiter)
            elif not finished:
                self.freed(waiter.account)
        return waiter.account is not None

    def freed(self, account: CredentialId) -> None:
        """Wake the first who waits for an account."""
        for index, waiter in enumerate(self._waiting):
            if account in waiter.accounts:
                del self._waiting[index]
                waiter.account = account
                waiter.woken.set()
                return

    def opened(self, account: CredentialId) -> None:
        """Wake everybody who waits for an account."""
        woken = [waiter for waiter in self._waiting if account in waiter.accounts]
        self._waiting = [waiter for waiter in self._waiting if account not in waiter.accounts]
        for waiter in woken:
            waiter.account = account
            waiter.woken.set()
