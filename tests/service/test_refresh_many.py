"""Renewals of thousands of accounts, over a week, and beside others who write the same file: virtual time."""

import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from itertools import pairwise

import pytest
import trio
from attrs import define, evolve, field

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.providers import qwen
from cliproxy.service.refresh import BACKGROUND_SHARE, CONCURRENT_RENEWALS, TokenTable
from cliproxy.service.tokens import Condition
from cliproxy.wire.http import HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonValue, dumps

ACCOUNT = TokenSlot.ACCOUNT
EPOCH = 1_000_000_000.0
HOUR = 3600.0
WEEK = 7 * 24 * HOUR
IN_BACKGROUND = int(CONCURRENT_RENEWALS * BACKGROUND_SHARE)


@define
class Vendor:
    """Answers renewals of the real provider's accounts; every refresh token counts once."""

    life: float = 6 * HOUR
    delay: float = 1.0
    is_away: bool = False
    current: dict[str, str] = field(factory=dict)
    """The only good refresh token of each account."""
    renewals: Counter[str] = field(factory=Counter)
    refused: list[str] = field(factory=list)
    busy: int = 0
    busiest: int = 0
    times: list[float] = field(factory=list)

    async def fetch(self, call: HttpCall) -> HttpAnswer:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        self.times.append(trio.current_time())
        try:
            await trio.sleep(self.delay)
            return self._answer(call)
        finally:
            self.busy -= 1

    def _answer(self, call: HttpCall) -> HttpAnswer:
        if self.is_away:
            return HttpAnswer(status=503)
        form = dict(pair.split("=", 1) for pair in call.body.decode().split("&"))
        used = form["refresh_token"]
        name = used.partition(".")[0]
        if self.current.get(name, f"{name}.0") != used:
            self.refused.append(used)
            return HttpAnswer(status=400, body=dumps({"error": "invalid_grant"}))
        self.renewals[name] += 1
        self.current[name] = f"{name}.{self.renewals[name]}"
        body = {
            "access_token": f"access-{self.current[name]}",
            "refresh_token": self.current[name],
            "expires_in": self.life,
        }
        return HttpAnswer(status=200, body=dumps(body))


@define
class Files:
    """A directory of credential files."""

    contents: dict[str, Credential] = field(factory=dict)
    save_s: float = 0.0

    async def persist(self, credential: Credential, patch: Mapping[str, JsonValue]) -> None:
        await trio.sleep(self.save_s)
        known = self.contents[credential.id]
        self.contents[credential.id] = evolve(known, data={**known.data, **patch})

    async def reread(self, credential: Credential) -> Credential | None:
        await trio.lowlevel.checkpoint()
        return self.contents.get(credential.id)


def account(name: str, left: float = 6 * HOUR, access: str = "") -> Credential:
    data: dict[str, JsonValue] = {
        "type": "qwen",
        "access_token": access or f"access-{name}.0",
        "refresh_token": f"{name}.0",
        "expired": EPOCH + left,
    }
    return Credential(id=CredentialId(name), provider="qwen", kind=CredentialKind.ACCOUNT, data=data)


@define
class World:
    vendor: Vendor
    files: Files
    table: TokenTable

    def add(self, *accounts: Credential) -> None:
        self.files.contents |= {each.id: each for each in accounts}
        self.table.sync(list(self.files.contents.values()))

    def saved(self, name: str) -> JsonValue:
        return self.files.contents[name].data["refresh_token"]

    def condition(self, name: str) -> Condition:
        status = self.table.status(CredentialId(name))
        assert status is not None
        return status.slots[0].condition


@asynccontextmanager
async def world(*, in_background: bool = True, **vendor: float) -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        files = Files()
        table = TokenTable(
            nursery=nursery,
            providers={"qwen": qwen.PROVIDER},
            fetcher=(server := Vendor(**vendor)),  # type: ignore[arg-type]
            persist=files.persist,
            reread=files.reread,
            exclusive=lambda _credential: nullcontext(),
            wall=lambda: EPOCH + trio.current_time(),
            monotonic=trio.current_time,
            rng=random.Random(7),
        )
        if in_background:
            await nursery.start(table.run)
        yield World(server, files, table)
        nursery.cancel_scope.cancel()


# --- a week ---------------------------------------------------------------------------------------


async def test_a_week_of_tokens_of_six_hours(autojump_clock: trio.testing.MockClock) -> None:
    """Renewed about every three hours, never late, and never in step."""
    async with world() as work:
        names = [f"me{n}" for n in range(20)]
        work.add(*(account(name) for name in names))
        began = trio.current_time()
        while trio.current_time() < began + WEEK:
            await trio.sleep(HOUR)
            for name in names:
                assert work.condition(name) in {Condition.FRESH, Condition.DUE, Condition.RENEWING}
        assert work.vendor.refused == []
        for name in names:
            assert 56 <= work.vendor.renewals[name] <= 64
            assert work.saved(name) == work.vendor.current[name]
        assert len({round(moment) for moment in work.vendor.times}) > len(work.vendor.times) / 2


async def test_a_week_with_a_day_without_the_vendor(autojump_clock: trio.testing.MockClock) -> None:
    """Asked again after a minute, later every quarter of an hour, and in order once it is back."""
    async with world() as work:
        work.add(account("me"))
        await trio.sleep(3 * 24 * HOUR)
        work.vendor.is_away = True
        work.vendor.times.clear()
        await trio.sleep(24 * HOUR)
        tries = work.vendor.times
        assert 80 <= len(tries) <= 105
        pauses = [after - before for before, after in pairwise(tries)]
        expected = [60, 120, 240, 480] + [900] * (len(pauses) - 4)
        for pause, wanted in zip(pauses, expected, strict=True):
            assert wanted * 0.9 <= pause <= wanted * 1.1 + 2
        work.vendor.is_away = False
        await trio.sleep(17 * 60)
        assert work.condition("me") is Condition.FRESH
        await trio.sleep(3 * 24 * HOUR)
        assert work.vendor.refused == []
        assert work.saved("me") == work.vendor.current["me"]


@pytest.mark.parametrize("life", [90.0, 600.0, 20 * 60.0, HOUR])
async def test_tokens_that_live_much_shorter_than_the_lead_are_not_renewed_all_the_time(
    life: float, autojump_clock: trio.testing.MockClock
) -> None:
    """The lead of three hours, and its spread, shrink with the life of the token."""
    async with world(life=life) as work:
        work.add(*(account(f"me{n}", left=life) for n in range(10)))
        await trio.sleep(20 * life)
        for n in range(10):
            assert 38 <= work.vendor.renewals[f"me{n}"] <= 46


# --- thousands ------------------------------------------------------------------------------------


async def test_four_thousand_accounts_that_are_all_due_are_renewed_one_after_the_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Waiting for a free place is no failure, however long it takes, and whoever waits goes before."""
    async with world() as work:
        work.add(*(account(f"me{n}", left=-60.0) for n in range(4000)))
        await trio.sleep(30)
        assert work.vendor.busiest == IN_BACKGROUND
        last = work.files.contents["me3999"]
        asked = trio.current_time()
        assert (await work.table.ensure_fresh(last, ACCOUNT)).value.reveal() == "access-me3999.1"
        assert trio.current_time() - asked < 2.0
        await trio.sleep(4000 / IN_BACKGROUND + 5)
        assert set(work.vendor.renewals.values()) == {1}
        assert len(work.vendor.renewals) == 4000
        assert work.vendor.refused == []


async def test_requests_of_many_accounts_have_bounded_renewals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world(in_background=False) as work:
        accounts = [account(f"me{n}", left=-60.0) for n in range(100)]
        work.add(*accounts)
        async with trio.open_nursery() as nursery:
            for each in accounts:
                nursery.start_soon(work.table.ensure_fresh, each, ACCOUNT)
        assert work.vendor.busiest == CONCURRENT_RENEWALS
        assert len(work.vendor.renewals) == 100


@pytest.mark.parametrize(("allowed", "in_background"), [(1, 1), (2, 1), (8, 6), (40, 30)])
async def test_the_owner_says_how_many_at_a_time(
    allowed: int, in_background: int, autojump_clock: trio.testing.MockClock
) -> None:
    async with world() as work:
        work.table.allow(allowed)
        work.add(*(account(f"me{n}", left=-60.0) for n in range(100)))
        await trio.sleep(150)
        assert work.vendor.busiest == in_background
        assert len(work.vendor.renewals) == 100


async def test_more_are_begun_as_soon_as_more_are_allowed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as work:
        work.table.allow(1)
        work.add(*(account(f"me{n}", left=-60.0) for n in range(100)))
        await trio.sleep(0.5)
        work.table.allow(40)
        await trio.sleep(0.1)
        assert work.vendor.busiest == 30


async def test_an_event_among_thousands_of_accounts_costs_no_search(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Wall time of a renewal with 4,000 accounts beside it, against the same with 40. Looking at all of them
    would take a hundred times as long."""

    async def cost(count: int) -> float:
        async with world() as work:
            work.add(*(account(f"me{n}", left=WEEK) for n in range(count)))
            await trio.testing.wait_all_tasks_blocked()
            best = float("inf")
            for _ in range(5):
                began = time.perf_counter()
                for n in range(20):
                    await work.table.refresh(work.files.contents[f"me{n}"], ACCOUNT, 10**6)
                best = min(best, time.perf_counter() - began)
            return best

    assert await cost(4000) < 10 * await cost(40)


# --- others at the same file ----------------------------------------------------------------------


async def test_a_login_that_took_the_files_place_during_a_renewal_stays(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whoever copies a file does not know of locks: what he put there is not overwritten, but used."""
    async with world(in_background=False) as work:
        old = account("me", left=-5.0)
        work.add(old)
        news = account("other", access="from elsewhere")

        async def copy_a_file() -> None:
            await trio.sleep(0.5)
            work.files.contents["me"] = evolve(old, data=news.data)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy_a_file)
            token = await work.table.ensure_fresh(old, ACCOUNT)
        assert token.value.reveal() == "from elsewhere"
        assert work.saved("me") == "other.0"
        status = work.table.status(old.id)
        assert status is not None
        assert not status.is_unsaved


async def test_a_file_that_is_gone_ends_renewals_before_the_vendor_hears_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It may have been moved to another machine, which needs the refresh token."""
    async with world() as work:
        work.add(account("me", left=4 * HOUR))
        del work.files.contents["me"]
        await trio.sleep(5 * HOUR)
        assert work.vendor.times == []
        with pytest.raises(LoginError, match="the credential file is gone"):
            await work.table.ensure_fresh(account("me"), ACCOUNT)


async def test_an_account_that_was_switched_off_in_its_file_is_not_renewed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as work:
        me = account("me", left=4 * HOUR)
        work.add(me)
        work.files.contents["me"] = evolve(me, disabled=True)
        await trio.sleep(5 * HOUR)
        with pytest.raises(LoginError, match="switched off"):
            await work.table.ensure_fresh(me, ACCOUNT)
        assert work.vendor.times == []


async def test_no_time_limit_cuts_between_the_answer_and_the_file(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The vendor took nearly all the time there is, and the disk is slow."""
    async with world(in_background=False, delay=29.0) as work:
        me = account("me", left=-5.0)
        work.add(me)
        work.files.save_s = 5.0
        with trio.move_on_after(31):
            await work.table.ensure_fresh(me, ACCOUNT)
        await trio.sleep(10)
        assert work.saved("me") == work.vendor.current["me"] == "me.1"


async def test_a_lock_that_nobody_gives_back_is_an_error_and_costs_no_token(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Stopping does not wait for it either."""
    async with world(in_background=False) as work:
        me = account("me", left=-5.0)
        work.add(me)

        @asynccontextmanager
        async def never(_credential: Credential) -> AsyncIterator[None]:
            await trio.sleep_forever()
            yield

        work.table.exclusive = never
        with pytest.raises(LoginError, match="another process has been renewing it for 30 s"):
            await work.table.ensure_fresh(me, ACCOUNT)
        assert work.vendor.times == []
        work.table.forgive(me.id)
        with trio.move_on_after(1):
            await work.table.ensure_fresh(me, ACCOUNT)
        began = trio.current_time()
    assert trio.current_time() - began < 1.0


async def test_an_access_token_that_a_vendor_does_not_date_is_used_until_it_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with world() as work:
        me = account("me")
        work.add(evolve(me, data={**me.data, "expired": ""}))
        token = await work.table.ensure_fresh(me, ACCOUNT)
        assert isinstance(token, Token)
        await trio.sleep(WEEK)
        assert work.vendor.times == []
        newer = await work.table.refresh(me, ACCOUNT, token.version)
        assert newer.value.reveal() == "access-me.1"
