"""The flows behind the token slots, against a script."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.freshness import Advice, advise, due_at, span_of
from cliproxy.login.steps import Now, Persist
from cliproxy.providers.gitlab.access import (
    SLOTS,
    ask_agent_platform,
    ask_gateway,
    gateway_members,
    initial_account,
    initial_gateway,
    renew_account,
)
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

HOST = "https://gitlab.example.com"
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
ACCOUNT = {TokenSlot.ACCOUNT: Token(value=Secret("glpat"))}


def account(**data) -> Credential:
    return Credential(
        id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data={"base_url": HOST, **data}
    )


OAUTH = {
    "auth_method": "oauth",
    "oauth_client_id": "client",
    "access_token": "A1",
    "refresh_token": "R1",
    "oauth_expires_at": "2026-01-01T02:00:00Z",
}


# --- the account's own token -------------------------------------------------------------------------------


def test_an_oauth_token_ends_when_the_file_says() -> None:
    token = initial_account(account(**OAUTH))
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("A1", NOW + 7200)


def test_a_personal_token_has_no_known_end() -> None:
    token = initial_account(account(auth_method="pat", personal_access_token="glpat-x"))
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("glpat-x", None)


def test_a_configured_key_comes_first() -> None:
    key = Credential(
        id=CredentialId("g"), provider="gitlab", kind=CredentialKind.KEY, api_key=Secret("glpat-key")
    )
    token = initial_account(key)
    assert token is not None
    assert token.value.reveal() == "glpat-key"
    assert initial_account(account()) is None


REFRESH = Sends(
    method="POST",
    url=f"{HOST}/oauth/token",
    form={"grant_type": "refresh_token", "refresh_token": "R1", "client_id": "client"},
)
ROTATED = {
    "access_token": "A2",
    "refresh_token": "R2",
    "expires_in": 7200,
    "created_at": int(NOW),
    "scope": "api",
}
SAVED = Persist(
    patch={
        "access_token": "A2",
        "refresh_token": "R2",
        "scope": "api",
        "oauth_expires_at": "2026-01-01T02:00:00Z",
        "last_refresh": "2026-01-01T00:00:00Z",
    }
)


def test_rotated_tokens_are_saved_before_the_new_one_is_used() -> None:
    script = [Beat(REFRESH, answer(200, ROTATED)), Beat(Now(), NOW), Beat(SAVED)]
    token = play(renew_account(account(**OAUTH), {}), script)
    assert (token.value.reveal(), token.expires_at) == ("A2", NOW + 7200)


def test_an_answer_without_a_refresh_token_does_not_erase_the_old_one() -> None:
    kept = {"access_token": "A2", "expires_in": 7200}

    def saves(step) -> None:
        assert isinstance(step, Persist)
        assert "refresh_token" not in step.patch

    play(
        renew_account(account(**OAUTH), {}), [Beat(REFRESH, answer(200, kept)), Beat(Now(), NOW), Beat(saves)]
    )


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(400, {"error": "invalid_grant"}), "invalid_grant"),
        (answer(401, {"error": "invalid_client"}), "invalid_client"),
        (answer(503, b""), "unreachable"),
        (LoginError("cut off", code="unreachable"), "unreachable"),
    ],
)
def test_renewals_that_fail_save_nothing(reply, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(renew_account(account(**OAUTH), {}), [Beat(REFRESH, reply)])
    assert caught.value.code == code


def test_the_application_secret_goes_along() -> None:
    form = {**REFRESH.form, "client_secret": "s"}
    sends = Sends(method="POST", url=f"{HOST}/oauth/token", form=form)
    credential = account(**OAUTH, oauth_client_secret="s")
    play(renew_account(credential, {}), [Beat(sends, answer(200, ROTATED)), Beat(Now(), NOW), Beat(SAVED)])


ASKS_USER = Sends(method="GET", url=f"{HOST}/api/v4/user", bearer="glpat-x")


def test_a_personal_token_that_was_refused_in_passing_stays_in_use() -> None:
    credential = account(personal_access_token="glpat-x")
    token = play(renew_account(credential, {}), [Beat(ASKS_USER, answer(200, {"id": 1}))])
    assert token.value.reveal() == "glpat-x"


def test_a_personal_token_that_has_ended_needs_a_login() -> None:
    refused = answer(401, {"error": "invalid_token", "error_description": "Token was revoked."})
    with pytest.raises(LoginError, match="revoked") as caught:
        play(renew_account(account(personal_access_token="glpat-x"), {}), [Beat(ASKS_USER, refused)])
    assert caught.value.code == "expired"


def test_a_credential_without_any_token_cannot_be_renewed() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew_account(account(), {}), [])
    assert caught.value.code == "not_renewable"


# --- gateway tokens ----------------------------------------------------------------------------------------

AGENT = Sends(
    method="POST",
    url=f"{HOST}/api/v4/ai/third_party_agents/direct_access",
    json={
        "feature_flags": {
            "DuoAgentPlatformNext": True,
            "duo_agent_platform": True,
            "duo_agent_platform_agentic_chat": True,
        }
    },
    bearer="glpat",
)
GATEWAY = Sends(method="POST", url=f"{HOST}/api/v4/code_suggestions/direct_access", json=None, bearer="glpat")
HEADERS = {"X-Gitlab-Realm": "saas", "x-api-key": "no", "Authorization": "no", "X-Empty": ""}


def test_an_agent_token_lives_half_an_hour_and_brings_its_headers() -> None:
    reply = answer(201, {"token": "G", "headers": HEADERS})
    flow = SLOTS[TokenSlot.AGENT_GATEWAY].renew(account(), ACCOUNT)
    token = play(flow, [Beat(AGENT, reply), Beat(Now(), NOW)])
    assert (token.value.reveal(), token.expires_at, token.base_url) == ("G", NOW + 1800, "")
    assert token.headers == {"X-Gitlab-Realm": "saas"}


def test_a_gateway_token_says_where_and_until_when_and_which_model() -> None:
    details = {"model_provider": "anthropic", "model_name": "claude-x"}
    reply = answer(
        201,
        {
            "base_url": "https://cloud.gitlab.com/ai/",
            "token": "G",
            "expires_at": int(NOW) + 3600,
            "headers": HEADERS,
            "model_details": details,
            "models": ["a"],
        },
    )
    token = play(SLOTS[TokenSlot.GATEWAY].renew(account(), ACCOUNT), [Beat(GATEWAY, reply)])
    assert (token.base_url, token.expires_at) == ("https://cloud.gitlab.com/ai", NOW + 3600)
    assert token.data == {"model_details": details, "models": ["a"]}
    assert gateway_members(token) == {
        "duo_gateway_base_url": "https://cloud.gitlab.com/ai",
        "duo_gateway_token": "G",
        "duo_gateway_headers": {"X-Gitlab-Realm": "saas"},
        "duo_gateway_expires_at": "2026-01-01T01:00:00Z",
        "model_provider": "anthropic",
        "model_name": "claude-x",
        "model_details": details,
    }


def test_a_gateway_token_that_does_not_say_when_it_ends_is_due_after_five_minutes() -> None:
    """It is used until it is refused at the latest; a login does not write down an end nobody has named."""
    reply = answer(201, {"base_url": "https://g/ai", "token": "G"})
    token = play(SLOTS[TokenSlot.GATEWAY].renew(account(), ACCOUNT), [Beat(GATEWAY, reply), Beat(Now(), NOW)])
    span = span_of(token.expires_at, NOW, 0.0, is_new=True)
    due = due_at(span, SLOTS[TokenSlot.GATEWAY].lead_s)
    assert (due, advise(span, SLOTS[TokenSlot.GATEWAY].lead_s, due + 1)) == (300, Advice.USE_AND_RENEW)
    named = play(ask_gateway(HOST, Secret("glpat")), [Beat(GATEWAY, reply)])
    assert "duo_gateway_expires_at" not in gateway_members(named)


def test_what_a_login_wrote_is_read_back() -> None:
    reply = answer(
        201, {"base_url": "https://g/ai", "token": "G", "expires_at": int(NOW), "headers": HEADERS}
    )
    token = play(ask_gateway(HOST, Secret("glpat")), [Beat(GATEWAY, reply)])
    again = initial_gateway(account(**gateway_members(token)))
    assert again is not None
    assert (again.value, again.expires_at, again.base_url) == (token.value, token.expires_at, token.base_url)
    assert again.headers == token.headers


@pytest.mark.parametrize("missing", ["duo_gateway_token", "duo_gateway_expires_at", "duo_gateway_base_url"])
def test_half_a_gateway_token_in_the_file_is_none(missing: str) -> None:
    data = {
        "duo_gateway_token": "G",
        "duo_gateway_expires_at": "2026-01-01T01:00:00Z",
        "duo_gateway_base_url": "https://g",
    }
    assert initial_gateway(account(**data)) is not None
    del data[missing]
    assert initial_gateway(account(**data)) is None


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(401, {"message": "401 Unauthorized"}), "token_rejected"),
        (answer(403, {"message": "403 Forbidden"}), "no_seat"),
        (answer(404, {"error": "404 Not Found"}), "not_available"),
        (answer(201, {"headers": {}}), "unavailable"),
        (answer(200, b"<html>"), "unavailable"),
    ],
)
def test_exchanges_that_fail(reply, code: str) -> None:
    for flow, asks in (
        (ask_agent_platform(HOST, Secret("glpat")), AGENT),
        (ask_gateway(HOST, Secret("glpat")), GATEWAY),
    ):
        with pytest.raises(LoginError) as caught:
            play(flow, [Beat(asks, reply)])
        assert caught.value.code == code


@pytest.mark.parametrize("base_url", ["", "file:///etc", "gateway.example.com"])
def test_a_gateway_needs_an_address_on_the_web(base_url: str) -> None:
    reply = answer(201, {"token": "G", "base_url": base_url})
    with pytest.raises(LoginError) as caught:
        play(ask_gateway(HOST, Secret("glpat")), [Beat(GATEWAY, reply)])
    assert caught.value.code == "unavailable"


def test_gateway_tokens_depend_on_the_account_and_are_rationed() -> None:
    for slot in (TokenSlot.GATEWAY, TokenSlot.AGENT_GATEWAY):
        policy = SLOTS[slot]
        assert policy.depends_on is TokenSlot.ACCOUNT
        assert [(rule.count, rule.seconds) for rule in policy.rates] == [(8, 300.0)]
    assert SLOTS[TokenSlot.ACCOUNT].background
    assert SLOTS[TokenSlot.AGENT_GATEWAY].initial(account()) is None
