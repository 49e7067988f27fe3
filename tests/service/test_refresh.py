"""The token table under virtual time: a vendor with an account slot and a gateway slot that depends on it."""

import random
from collections.abc import Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, evolve, field

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError, StoreError
from cliproxy.login.rates import RateRule
from cliproxy.login.steps import Flow, Now, Persist, Send
from cliproxy.providers.base import Provider, SlotPolicy
from cliproxy.service.refresh import TokenTable
from cliproxy.service.tokens import Condition
from cliproxy.wire.http import Headers, HttpAnswer, HttpCall
from cliproxy.wire.jsontext import JsonValue, dumps, loads_object, text
from cliproxy.wire.secret import Secret

ACCOUNT, GATEWAY = TokenSlot.ACCOUNT, TokenSlot.GATEWAY
EPOCH = 1_000_000_000.0
LIFE = 7200.0


# --- a vendor: refresh tokens rotate, gateway tokens are exchanged for account tokens -------------


def initial_account(credential: Credential) -> Token | None:
    value = text(credential.data, "access")
    end = credential.data.get("end")
    return Token(value=Secret(value), expires_at=float(end) if end else None) if value else None


def call(path: str, value: str) -> Send:
    headers = Headers({"Authorization": f"Bearer {value}"})
    return Send(HttpCall(method="POST", url=f"https://vendor.test/{path}", headers=headers))


def renew_account(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    answer = yield call("token", text(credential.data, "refresh"))
    if answer.status != 200:
        raise LoginError("the refresh token is of no use", code="invalid_grant", status=answer.status)
    body = loads_object(answer.body)
    now = yield Now()
    end = now + LIFE
    yield Persist(patch={"access": body["access"], "refresh": body["refresh"], "end": end})
    return Token(value=Secret(text(body, "access")), expires_at=end)


def renew_gateway(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    answer = yield call("gateway", tokens[ACCOUNT].value.reveal())
    if answer.status == 401:
        raise LoginError("the account token is refused", code="token_rejected", status=401)
    if answer.status == 403:
        raise LoginError("no seat", code="no_seat", status=403, retry_after=1500.0)
    if answer.status != 200:
        raise LoginError("the gateway is away", code="not_available", status=answer.status)
    now = yield Now()
    return Token(value=Secret(text(loads_object(answer.body), "token")), expires_at=now + 1800.0)


VENDOR = Provider(
    key="vendor",
    label="Vendor",
    contracts_for=lambda credential, model, action: (),
    static_models=lambda credential: (),
    slots={
        ACCOUNT: SlotPolicy(initial=initial_account, renew=renew_account, background=True),
        GATEWAY: SlotPolicy(
            initial=lambda credential: None,
            renew=renew_gateway,
            depends_on=ACCOUNT,
            rates=(RateRule(3, 300.0),),
        ),
        TokenSlot.AGENT_GATEWAY: SlotPolicy(initial=lambda credential: Token(value=Secret("fixed"))),
    },
)


@define
class Vendor:
    """The vendor's server: accepts each refresh token once and the newest account token."""

    access: str = "A1"
    refresh: str = "R1"
    renewals: int = 1
    gateways: int = 0
    delay: float = 1.0
    gateway_status: int = 200
    opens: bool = True
    """Whether an account token is accepted at the gateway."""
    token_fault: LoginError | None = None
    log: list[str] = field(factory=list)

    async def fetch(self, request: HttpCall) -> HttpAnswer:
        path = request.url.rsplit("/", 1)[1]
        bearer = request.headers.get("authorization").removeprefix("Bearer ")
        self.log.append(f"{path} {bearer}")
        await trio.sleep(self.delay)
        if path == "token":
            return self._token(bearer)
        if bearer != self.access or not self.opens:
            return HttpAnswer(status=401)
        self.gateways += 1
        return HttpAnswer(status=self.gateway_status, body=dumps({"token": f"G{self.gateways}"}))

    def _token(self, bearer: str) -> HttpAnswer:
        if self.token_fault is not None:
            raise self.token_fault
        if bearer != self.refresh:
            return HttpAnswer(status=400)
        self.renewals += 1
        self.access, self.refresh = f"A{self.renewals}", f"R{self.renewals}"
        return HttpAnswer(status=200, body=dumps({"access": self.access, "refresh": self.refresh}))


@define
class File:
    """The credential file."""

    credential: Credential
    is_broken: bool = False
    locks: int = 0
    is_locked: bool = False

    async def persist(self, credential: Credential, patch: Mapping[str, JsonValue]) -> None:
        await trio.lowlevel.checkpoint()
        assert self.is_locked, "nobody writes without the lock"
        if self.is_broken:
            raise StoreError("the disk is full")
        self.credential = evolve(self.credential, data={**self.credential.data, **patch})

    async def reread(self, credential: Credential) -> Credential:
        await trio.lowlevel.checkpoint()
        return self.credential

    @asynccontextmanager
    async def exclusive(self, credential: Credential):
        assert not self.is_locked, "the lock is not taken twice"
        self.locks += 1
        self.is_locked = True
        try:
            yield
        finally:
            self.is_locked = False


def account(access: str = "A1", refresh: str = "R1", left: float = LIFE, **changes) -> Credential:
    data = {"access": access, "refresh": refresh, "end": EPOCH + left}
    return Credential(
        id=CredentialId("vendor-me.json"),
        provider="vendor",
        kind=CredentialKind.ACCOUNT,
        data=data,
        **changes,
    )


@define
class World:
    vendor: Vendor
    file: File
    table: TokenTable
    skew: list[float]

    @property
    def credential(self) -> Credential:
        return self.file.credential

    async def value(self, slot: TokenSlot) -> str:
        return (await self.table.ensure_fresh(self.credential, slot)).value.reveal()


@asynccontextmanager
async def world(credential: Credential | None = None, **vendor):
    skew = [0.0]
    file = File(credential or account())
    async with trio.open_nursery() as nursery:
        table = TokenTable(
            nursery=nursery,
            providers={"vendor": VENDOR},
            fetcher=(server := Vendor(**vendor)),
            persist=file.persist,
            reread=file.reread,
            exclusive=file.exclusive,
            wall=lambda: EPOCH + trio.current_time() + skew[0],
            monotonic=trio.current_time,
            rng=random.Random(1),
        )
        yield World(server, file, table, skew)
        nursery.cancel_scope.cancel()


# --- handing out ----------------------------------------------------------------------------------


async def test_a_good_token_is_handed_out_without_asking_anybody(autojump_clock) -> None:
    async with world() as work:
        assert await work.value(ACCOUNT) == "A1"
        assert work.vendor.log == []


async def test_a_token_at_its_end_is_renewed_first_and_saved_before_it_is_used(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        assert await work.value(ACCOUNT) == "A2"
        assert work.file.credential.data["refresh"] == "R2"
        assert work.file.locks == 1


async def test_a_token_within_its_lead_is_used_while_it_is_renewed(autojump_clock) -> None:
    async with world(account(left=200.0)) as work:
        assert await work.value(ACCOUNT) == "A1"
        await trio.sleep(2)
        assert await work.value(ACCOUNT) == "A2"
        assert work.vendor.log == ["token R1"]


async def test_versions_count_up(autojump_clock) -> None:
    async with world() as work:
        first = await work.table.ensure_fresh(work.credential, ACCOUNT)
        second = await work.table.refresh(work.credential, ACCOUNT, first.version)
        assert second.version > first.version


async def test_a_slot_that_cannot_be_renewed_gives_what_it_has(autojump_clock) -> None:
    async with world() as work:
        assert await work.value(TokenSlot.AGENT_GATEWAY) == "fixed"
        with pytest.raises(LoginError) as caught:
            await work.table.refresh(work.credential, TokenSlot.AGENT_GATEWAY, 1)
        assert caught.value.code == "not_renewable"


# --- single flight --------------------------------------------------------------------------------


async def test_many_waiters_share_one_renewal(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        values: list[str] = []
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(lambda: collect(values, work, ACCOUNT))
        assert values == ["A2"] * 20
        assert work.vendor.log == ["token R1"]


async def collect(values: list[str], work: World, slot: TokenSlot) -> None:
    values.append(await work.value(slot))


async def test_twenty_refusals_of_one_version_cost_one_renewal(autojump_clock) -> None:
    async with world() as work:
        old = await work.table.ensure_fresh(work.credential, ACCOUNT)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(work.table.refresh, work.credential, ACCOUNT, old.version)
        late = await work.table.refresh(work.credential, ACCOUNT, old.version)
        assert late.value.reveal() == "A2"
        assert work.vendor.log == ["token R1"]


async def test_a_waiter_that_leaves_does_not_stop_the_renewal(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        with trio.move_on_after(0.5) as scope:
            await work.value(ACCOUNT)
        assert scope.cancelled_caught
        await trio.sleep(1)
        assert work.file.credential.data["refresh"] == "R2"
        assert work.vendor.log == ["token R1"]


async def test_stopping_waits_for_a_rotation_under_way(autojump_clock) -> None:
    """Cancelling between the vendor's answer and the file would lose the only valid refresh token."""
    async with world(account(left=5.0)) as work:
        with trio.move_on_after(0.5):
            await work.value(ACCOUNT)
    assert work.file.credential.data["refresh"] == "R2"


# --- cascade --------------------------------------------------------------------------------------


async def test_a_gateway_token_is_exchanged_for_a_fresh_account_token(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        assert await work.value(GATEWAY) == "G1"
        assert work.vendor.log == ["token R1", "gateway A2"]


async def test_a_refused_account_token_is_renewed_once(autojump_clock) -> None:
    async with world(access="only the server knows") as work:
        assert await work.value(GATEWAY) == "G1"
        assert work.vendor.log == ["gateway A1", "token R1", "gateway A2"]


async def test_what_a_renewed_account_token_does_not_open_is_not_available(autojump_clock) -> None:
    async with world() as work:
        work.vendor.opens = False
        for _ in range(3):
            with pytest.raises(LoginError) as caught:
                await work.value(GATEWAY)
            assert caught.value.code == "not_available"
        assert work.vendor.log == ["gateway A1", "token R1", "gateway A2"]


async def test_a_lost_login_reaches_the_waiter_of_the_gateway_token(autojump_clock) -> None:
    async with world(account(refresh="used up", left=5.0)) as work:
        with pytest.raises(LoginError) as caught:
            await work.value(GATEWAY)
        assert caught.value.code == "invalid_grant"
        status = work.table.status(work.credential.id)
        assert status is not None
        assert status.needs_login
        assert work.table.is_dead(work.credential.id)
        assert not work.table.is_dead(CredentialId("nobody's"))


# --- failures -------------------------------------------------------------------------------------


async def test_a_revoked_refresh_token_is_not_tried_again(autojump_clock) -> None:
    async with world(account(refresh="revoked", left=5.0)) as work:
        for _ in range(3):
            with pytest.raises(LoginError) as caught:
                await work.value(ACCOUNT)
            assert caught.value.code == "invalid_grant"
            await trio.sleep(80_000)
        assert work.vendor.log == ["token revoked"]


async def test_a_new_login_ends_the_state_of_needing_one(autojump_clock) -> None:
    async with world(account(refresh="revoked", left=5.0)) as work:
        with pytest.raises(LoginError):
            await work.value(ACCOUNT)
        work.file.credential = account(access="new", refresh="R1", left=LIFE)
        work.table.sync([work.file.credential])
        assert await work.value(ACCOUNT) == "new"


async def test_forgiving_lets_the_next_use_try_again(autojump_clock) -> None:
    async with world(account(refresh="revoked", left=5.0)) as work:
        with pytest.raises(LoginError):
            await work.value(ACCOUNT)
        work.vendor.refresh = "revoked"
        work.table.forgive(work.credential.id)
        assert await work.value(ACCOUNT) == "A2"


async def test_a_passing_fault_is_paused_and_tried_again(autojump_clock) -> None:
    async with world(account(left=5.0), token_fault=LoginError("away", code="unreachable")) as work:
        for _ in range(3):
            with pytest.raises(LoginError):
                await work.value(ACCOUNT)
        assert work.vendor.log == ["token R1"]
        work.vendor.token_fault = None
        await trio.sleep(67)
        assert await work.value(ACCOUNT) == "A2"


async def test_a_renewal_that_fails_leaves_a_good_token_in_use(autojump_clock) -> None:
    async with world(account(left=200.0), token_fault=LoginError("away", code="unreachable")) as work:
        for _ in range(5):
            assert await work.value(ACCOUNT) == "A1"
            await trio.sleep(2)
        assert work.vendor.log == ["token R1"]


async def test_a_vendor_that_never_answers_is_given_up(autojump_clock) -> None:
    async with world(account(left=5.0), delay=1e6) as work:
        with pytest.raises(LoginError) as caught:
            await work.value(ACCOUNT)
        assert caught.value.code == "timeout"


async def test_no_seat_is_remembered_for_the_life_of_a_token(autojump_clock) -> None:
    async with world(gateway_status=403) as work:
        for _ in range(3):
            with pytest.raises(LoginError) as caught:
                await work.value(GATEWAY)
            assert caught.value.code == "no_seat"
            await trio.sleep(400)
        assert work.vendor.log == ["gateway A1"]
        await trio.sleep(400)
        work.vendor.gateway_status = 200
        assert await work.value(GATEWAY) == "G2"


async def test_a_fault_of_this_program_reaches_the_waiter_as_an_error(autojump_clock, caplog) -> None:
    async with world(account(left=5.0)) as work:
        work.vendor.delay = -1.0  # trio refuses to sleep for a negative time
        with pytest.raises(LoginError) as caught:
            await work.value(ACCOUNT)
        assert caught.value.code == "internal"
        assert "renewal failed" in caplog.text


# --- rates ----------------------------------------------------------------------------------------


async def test_gateway_tokens_are_not_asked_for_more_often_than_allowed(autojump_clock) -> None:
    async with world() as work:
        token = await work.table.ensure_fresh(work.credential, GATEWAY)
        for _ in range(2):
            token = await work.table.refresh(work.credential, GATEWAY, token.version)
        with pytest.raises(LoginError) as caught:
            await work.table.refresh(work.credential, GATEWAY, token.version)
        assert caught.value.code == "rate_limited"
        assert len(work.vendor.log) == 3
        await trio.sleep(301)
        assert await work.value(GATEWAY) == "G4"


# --- the file -------------------------------------------------------------------------------------


async def test_tokens_that_cannot_be_saved_are_used_and_saved_later(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        work.file.is_broken = True
        work.table.nursery.start_soon(work.table.run)
        assert await work.value(ACCOUNT) == "A2"
        status = work.table.status(work.credential.id)
        assert status is not None
        assert status.is_unsaved
        work.file.is_broken = False
        await trio.sleep(61)
        assert work.file.credential.data["refresh"] == "R2"
        status = work.table.status(work.credential.id)
        assert status is not None
        assert not status.is_unsaved


async def test_the_next_renewal_uses_the_new_refresh_token_even_if_the_file_has_the_old_one(
    autojump_clock,
) -> None:
    async with world(account(left=5.0)) as work:
        work.file.is_broken = True
        token = await work.table.ensure_fresh(work.credential, ACCOUNT)
        work.table.sync([work.file.credential])
        await work.table.refresh(work.credential, ACCOUNT, token.version)
        assert work.vendor.log == ["token R1", "token R2"]


async def test_a_late_reading_of_the_file_does_not_bring_back_old_tokens(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        before = work.file.credential
        assert await work.value(ACCOUNT) == "A2"
        work.table.sync([evolve(before, note="edited")])
        token = await work.table.ensure_fresh(before, ACCOUNT)
        assert token.value.reveal() == "A2"
        await work.table.refresh(before, ACCOUNT, token.version)
        assert work.vendor.log[-1] == "token R2"


async def test_what_another_process_renewed_is_taken_over_instead_of_renewing_again(autojump_clock) -> None:
    async with world(account(left=600.0)) as work:
        assert await work.value(ACCOUNT) == "A1"
        await trio.sleep(590)
        work.file.credential = account(access="theirs", refresh="R-theirs")
        work.vendor.log.clear()
        assert await work.value(ACCOUNT) == "theirs"
        assert work.vendor.log == []


async def test_reading_our_own_write_back_changes_nothing(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        first = await work.table.ensure_fresh(work.credential, ACCOUNT)
        work.table.sync([work.file.credential])
        assert await work.table.ensure_fresh(work.credential, ACCOUNT) is first


async def test_a_new_login_also_replaces_what_was_exchanged_for_the_old_one(autojump_clock) -> None:
    async with world() as work:
        assert await work.value(GATEWAY) == "G1"
        work.vendor.access = "B1"
        work.table.sync([account(access="B1", refresh="RB")])
        assert await work.value(GATEWAY) == "G2"
        assert work.vendor.log[-1] == "gateway B1"


async def test_credentials_that_are_gone_are_forgotten(autojump_clock) -> None:
    async with world() as work:
        work.table.sync([work.credential])
        assert work.table.status(work.credential.id) is not None
        work.table.sync([])
        assert work.table.status(work.credential.id) is None


async def test_a_credential_is_shown_with_its_tokens_as_they_are(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:
        work.table.sync([work.credential])
        await work.value(ACCOUNT)
        known = work.table.credential(work.credential.id)
        assert known is not None
        assert known.data["access"] == work.vendor.access
        assert work.table.credential(CredentialId("nobody")) is None


async def test_another_vendors_login_in_the_same_file_is_another_account(autojump_clock) -> None:
    """It has other slots, and nothing of the old tokens is left."""
    async with world() as work:
        work.table.providers = {**work.table.providers, "other": evolve(VENDOR, key="other", slots={})}
        work.table.sync([work.credential])
        work.table.sync([evolve(work.credential, provider="other")])
        status = work.table.status(work.credential.id)
        assert status is not None
        assert status.slots == ()


async def test_a_file_that_cannot_be_read_again_stops_the_renewal_not_the_server(autojump_clock) -> None:
    async with world(account(left=5.0)) as work:

        async def unreadable(credential: Credential) -> Credential:
            await trio.lowlevel.checkpoint()
            raise StoreError("vendor-me.json: permission denied")

        work.table.reread = unreadable
        with pytest.raises(LoginError, match="permission denied") as caught:
            await work.value(ACCOUNT)
        assert caught.value.code == "not_saved"
        assert work.vendor.log == []


# --- background -----------------------------------------------------------------------------------


async def test_due_tokens_are_renewed_without_anybody_asking(autojump_clock) -> None:
    async with world() as work:
        work.table.sync([work.credential])
        work.table.nursery.start_soon(work.table.run)
        await trio.sleep(LIFE - 400)
        assert work.vendor.log == []
        await trio.sleep(200)
        assert work.vendor.log == ["token R1"]
        await trio.sleep(LIFE)
        assert work.vendor.log == ["token R1", "token R2"]


async def test_disabled_accounts_are_left_alone(autojump_clock) -> None:
    async with world(account(disabled=True)) as work:
        work.table.sync([work.credential])
        work.table.nursery.start_soon(work.table.run)
        await trio.sleep(LIFE * 3)
        assert work.vendor.log == []


async def test_gateway_tokens_are_not_renewed_while_nobody_uses_them(autojump_clock) -> None:
    async with world() as work:
        work.table.nursery.start_soon(work.table.run)
        assert await work.value(GATEWAY) == "G1"
        await trio.sleep(3600)
        assert [line for line in work.vendor.log if line.startswith("gateway")] == ["gateway A1"]


async def test_background_failures_back_off(autojump_clock) -> None:
    async with world(token_fault=LoginError("away", code="unreachable")) as work:
        work.table.sync([work.credential])
        work.table.nursery.start_soon(work.table.run)
        await trio.sleep(LIFE + 3600)
        assert 5 <= len(work.vendor.log) <= 10


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_wall_clock_that_jumps_neither_ends_tokens_nor_keeps_them(
    jump: float, autojump_clock
) -> None:
    async with world() as work:
        assert await work.value(ACCOUNT) == "A1"
        work.skew[0] = jump
        await trio.sleep(LIFE - 400)
        assert await work.value(ACCOUNT) == "A1"
        assert work.vendor.log == []
        await trio.sleep(395)
        assert await work.value(ACCOUNT) == "A2"


async def test_a_vendor_with_a_wrong_clock_does_not_cause_a_storm(autojump_clock) -> None:
    """A token that is over when it is issued is used for a minute all the same."""
    async with world(account(left=5.0)) as work:
        work.skew[0] = 0.0

        def renew(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
            yield call("token", text(credential.data, "refresh"))
            return Token(value=Secret("old when new"), expires_at=EPOCH - 5000.0)

        policy = SlotPolicy(initial=initial_account, renew=renew, background=True)
        work.table.providers = {"vendor": evolve(VENDOR, slots={ACCOUNT: policy})}
        work.table.sync([work.credential])
        work.table.nursery.start_soon(work.table.run)
        for _ in range(100):
            await work.value(ACCOUNT)
            await trio.sleep(1)
        assert len(work.vendor.log) <= 4


# --- status ---------------------------------------------------------------------------------------


async def test_the_status_tells_what_is_the_matter(autojump_clock) -> None:
    async with world(gateway_status=403) as work:
        work.table.sync([work.credential])
        with pytest.raises(LoginError):
            await work.value(GATEWAY)
        status = work.table.status(work.credential.id)
        assert status is not None
        by_slot = {slot.slot: slot for slot in status.slots}
        assert by_slot[ACCOUNT].condition is Condition.FRESH
        assert by_slot[ACCOUNT].expires_at == EPOCH + LIFE
        assert by_slot[GATEWAY].condition is Condition.FAILED
        assert (by_slot[GATEWAY].code, by_slot[GATEWAY].reason) == ("no_seat", "no seat")
        assert by_slot[GATEWAY].retry_in == pytest.approx(1500.0)
        assert not status.needs_login


async def test_the_parts_of_an_account_share_its_token(autojump_clock) -> None:
    """One renewal for all of them, written into the one file."""
    async with world(account(left=-10.0)) as work:
        work.table.sync([work.credential])
        parts = [
            evolve(work.credential, id=CredentialId(f"part-{n}"), part_of=work.credential.id) for n in "ab"
        ]
        values: list[str] = []

        async def ask(part: Credential) -> None:
            values.append((await work.table.ensure_fresh(part, ACCOUNT)).value.reveal())

        async with trio.open_nursery() as nursery:
            for part in parts:
                nursery.start_soon(ask, part)
        assert values == ["A2", "A2"]
        assert work.vendor.log == ["token R1"]
        assert work.file.credential.data["refresh"] == "R2"
        assert work.table.status(parts[0].id) is None
        assert work.table.status(work.credential.id) is not None
