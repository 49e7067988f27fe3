import pytest
from attrs import evolve

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.freshness import Advice
from cliproxy.login.rates import RateRule
from cliproxy.providers.base import SlotPolicy
from cliproxy.service.tokens import Account, Condition, SlotState, account_of
from cliproxy.wire.jsontext import text
from cliproxy.wire.secret import Secret

ACCOUNT, GATEWAY = TokenSlot.ACCOUNT, TokenSlot.GATEWAY
WALL = 1_000_000.0


def initial(credential: Credential) -> Token | None:
    value = text(credential.data, "access")
    return Token(value=Secret(value), expires_at=WALL + 3600.0) if value else None


def initial_gateway(credential: Credential) -> Token | None:
    value = text(credential.data, "gateway")
    return Token(value=Secret(value), expires_at=WALL + 600.0) if value else None


def renew(credential: Credential, tokens: object):
    raise AssertionError("state never runs a flow")
    yield


POLICIES = {
    ACCOUNT: SlotPolicy(initial=initial, renew=renew, background=True),
    GATEWAY: SlotPolicy(initial=initial_gateway, renew=renew, depends_on=ACCOUNT),
}


def credential(**data: str) -> Credential:
    return Credential(id=CredentialId("me.json"), provider="vendor", kind=CredentialKind.ACCOUNT, data=data)


def account(**data: str) -> Account:
    return account_of(credential(**data), POLICIES, WALL, 0.0)


def value(state: SlotState) -> str:
    assert state.token is not None
    return state.token.value.reveal()


def test_slots_begin_with_what_the_file_has() -> None:
    made = account(access="A1")
    assert value(made.slots[ACCOUNT]) == "A1"
    assert made.slots[GATEWAY].token is None
    assert made.slots[GATEWAY].usable(0.0) is Advice.RENEW


def test_a_refused_version_is_of_no_use_however_long_it_lives() -> None:
    state = account(access="A1").slots[ACCOUNT]
    state.refused_version = 1
    assert state.usable(0.0) is Advice.RENEW
    assert state.renewal_at() <= 0.0
    state.take(Token(value=Secret("A2")), WALL, 0.0, is_new=True)
    assert state.usable(0.0) is Advice.USE


def test_the_file_with_the_same_tokens_is_no_news() -> None:
    made = account(access="A1")
    changed = evolve(credential(access="A1"), note="mine")
    assert made.adopt(changed, WALL, 0.0) is False
    assert made.credential.note == "mine"


def test_a_late_reading_keeps_the_members_that_were_written_meanwhile() -> None:
    made = account(access="A1", refresh="R1")
    made.written({"access": "A2", "refresh": "R2"})
    made.replaced(made.slots[ACCOUNT], Token(value=Secret("A2")), WALL, 10.0)
    assert made.adopt(credential(access="A1", refresh="R1", note="x"), WALL, 11.0) is False
    assert made.credential.data == {"access": "A2", "refresh": "R2", "note": "x"}
    assert value(made.slots[ACCOUNT]) == "A2"


def test_a_gateway_token_that_is_only_in_memory_survives_every_reading() -> None:
    made = account(access="A1", gateway="G1")
    made.replaced(made.slots[GATEWAY], Token(value=Secret("G2")), WALL, 10.0)
    made.replaced(made.slots[GATEWAY], Token(value=Secret("G3")), WALL, 20.0)
    assert made.adopt(credential(access="A1", gateway="G1"), WALL, 21.0) is False
    assert value(made.slots[GATEWAY]) == "G3"


def test_a_new_login_is_news_even_after_gateway_tokens_were_renewed() -> None:
    made = account(access="A1", gateway="G1")
    made.replaced(made.slots[GATEWAY], Token(value=Secret("G2")), WALL, 10.0)
    assert made.adopt(credential(access="B1"), WALL, 21.0) is True
    assert value(made.slots[ACCOUNT]) == "B1"
    assert made.slots[GATEWAY].usable(22.0) is Advice.RENEW


def test_a_new_login_forgets_failures_and_unsaved_members() -> None:
    made = account(access="A1")
    made.unsaved = {"access": "A9"}
    made.slots[ACCOUNT].fail(LoginError("revoked", code="invalid_grant"), 0.0, 0.5)
    assert made.adopt(credential(access="B1"), WALL, 1.0) is True
    assert made.unsaved == {}
    assert made.slots[ACCOUNT].trouble is None


@pytest.mark.parametrize(("code", "is_final"), [("invalid_grant", True), ("unreachable", False)])
def test_pauses_after_failures(code: str, is_final: bool) -> None:
    state = account(access="A1").slots[ACCOUNT]
    state.fail(LoginError("no", code=code), 0.0, 0.5)
    assert state.is_paused(59.0)
    assert state.is_paused(61.0) is is_final
    assert state.renewal_at() == (float("inf") if is_final else pytest.approx(60.0))


@pytest.mark.parametrize(
    ("code", "ends", "is_dead"),
    [("invalid_grant", -1.0, True), ("invalid_grant", 9000.0, False), ("unreachable", -1.0, False)],
)
def test_an_account_is_dead_without_a_good_token_and_a_way_to_another(
    code: str, ends: float, is_dead: bool
) -> None:
    made = account(access="A1")
    state = made.slots[ACCOUNT]
    state.take(Token(value=Secret("A2"), expires_at=WALL + ends), WALL, 0.0, is_new=False)
    assert not made.is_dead(0.0)
    state.fail(LoginError("no", code=code), 0.0, 0.5)
    assert made.is_dead(0.0) is is_dead


def test_requests_for_tokens_are_counted_when_they_are_allowed() -> None:
    state = SlotState(GATEWAY, evolve(POLICIES[GATEWAY], rates=(RateRule(1, 300.0),)))
    assert state.wait_for_rate(0.0) == 0.0
    assert state.wait_for_rate(100.0) == 200.0
    assert state.wait_for_rate(300.0) == 0.0
    assert state.sent == [300.0]


def test_an_account_needs_attention_when_a_token_is_due_or_something_is_not_saved() -> None:
    made = account(access="A1")
    assert made.attention_at() == 3300.0
    made.written({"access": "A2"})
    assert made.attention_at() == 3300.0, "it is being written"
    made.save_at = 60.0
    assert made.attention_at() == 60.0
    made.credential = evolve(made.credential, disabled=True)
    assert made.attention_at() == 60.0
    made.saved({"access": "A2"})
    assert made.attention_at() == float("inf")


def test_what_changed_while_it_was_written_is_not_saved_yet() -> None:
    made = account(access="A1")
    made.written({"access": "A2", "refresh": "R2"})
    made.written({"refresh": "R3"})
    made.saved({"access": "A2", "refresh": "R2"})
    assert made.unsaved == {"refresh": "R3"}


@pytest.mark.parametrize(
    ("now", "condition"),
    [(0.0, Condition.FRESH), (3400.0, Condition.DUE), (3600.0, Condition.EXPIRED)],
)
def test_conditions_follow_the_clock(now: float, condition: Condition) -> None:
    assert account(access="A1").slots[ACCOUNT].status(now).condition is condition


def test_statuses_say_nothing_secret() -> None:
    made = account(access="very-secret-token-1234")
    assert "very-secret" not in repr(made.status(0.0))
