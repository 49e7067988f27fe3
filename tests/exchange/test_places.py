"""Waiting for an account to have a place free."""

import trio
import trio.testing

from cliproxy.credentials.model import CredentialId
from cliproxy.exchange.places import Places

A, B = CredentialId("a"), CredentialId("b")


class Waiters:
    """Waiting tasks and the order in which they went on."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.places = Places()
        self.done: list[str] = []
        self.nursery = nursery

    async def begin(self, name: str, *accounts: CredentialId, seconds: float = 10.0) -> trio.CancelScope:
        scope = trio.CancelScope()
        ticket = self.places.ticket()

        async def wait() -> None:
            with scope:
                is_free = await self.places.wait(ticket, frozenset(accounts), seconds)
                self.done.append(name if is_free else f"{name} in vain")

        self.nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        return scope

    async def freed(self, account: CredentialId) -> list[str]:
        self.places.freed(account)
        await trio.testing.wait_all_tasks_blocked()
        return self.done


async def test_one_place_wakes_the_one_who_has_waited_longest() -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        for name in ("first", "second"):
            await waiters.begin(name, A)
        assert await waiters.freed(A) == ["first"]
        assert await waiters.freed(A) == ["first", "second"]
        assert len(waiters.places) == 0


async def test_a_place_goes_to_somebody_who_can_use_it() -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        await waiters.begin("wants a", A)
        await waiters.begin("wants any", A, B)
        assert await waiters.freed(B) == ["wants any"]
        assert await waiters.freed(B) == ["wants any"]
        assert await waiters.freed(A) == ["wants any", "wants a"]


async def test_nobody_waits_longer_than_told(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        await waiters.begin("short", A, seconds=1.0)
        await waiters.begin("long", A, seconds=5.0)
        await trio.sleep(2.0)
        assert waiters.done == ["short in vain"]
        assert await waiters.freed(A) == ["short in vain", "long"]


async def test_who_leaves_wakes_nobody_and_leaves_nothing_behind() -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        scope = await waiters.begin("leaves", A)
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert len(waiters.places) == 0
        await waiters.begin("stays", A)
        assert await waiters.freed(A) == ["stays"]


async def test_who_leaves_having_been_woken_wakes_the_next() -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        scope = await waiters.begin("leaves", A)
        await waiters.begin("next", A)
        scope.cancel()
        assert await waiters.freed(A) == ["next"]


async def test_an_old_ticket_keeps_its_place() -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        old = waiters.places.ticket()
        await waiters.begin("newer", A)
        nursery.start_soon(waiters.places.wait, old, frozenset({A}), 10.0)
        await trio.testing.wait_all_tasks_blocked()
        assert await waiters.freed(A) == []
        assert await waiters.freed(A) == ["newer"]


async def test_what_becomes_of_a_trial_wakes_everybody() -> None:
    async with trio.open_nursery() as nursery:
        waiters = Waiters(nursery)
        for name, account in (("first", A), ("second", A), ("other", B)):
            await waiters.begin(name, account)
        waiters.places.opened(A)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(waiters.done) == ["first", "second"]
        assert len(waiters.places) == 1
        await waiters.freed(B)
