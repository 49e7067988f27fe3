"""What `check` finds out about an account."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.steps import Now
from cliproxy.providers.gitlab.check import check
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

API = "https://gitlab.com/api/v4"
TOKENS = {TokenSlot.ACCOUNT: Token(value=Secret("glpat"))}
DETAILS = {"instance_version": "18.5", "realm": "saas", "feature_enablement_type": "duo_pro"}
GATEWAY = {
    "token": "G",
    "base_url": "https://g/ai",
    "model_details": {"model_provider": "anthropic", "model_name": "claude-x"},
}


def account(**data) -> Credential:
    return Credential(id=CredentialId("g"), provider="gitlab", kind=CredentialKind.ACCOUNT, data=data)


def user(reply: object = None) -> Beat:
    return Beat(
        Sends(method="GET", url=f"{API}/user", bearer="glpat"), reply or answer(200, {"username": "duo"})
    )


def post(path: str, reply: object, json: object = ...) -> Beat:
    return Beat(Sends(method="POST", url=f"{API}{path}", json=json), reply)


def test_an_account_that_has_everything() -> None:
    script = [
        user(),
        post("/code_suggestions/connection_details", answer(201, DETAILS), None),
        post("/ai/third_party_agents/direct_access", answer(201, {"token": "T"})),
        Beat(Now(), 5.0),
        post("/code_suggestions/direct_access", answer(201, GATEWAY)),
        post("/code_suggestions/enabled", answer(200, ""), {"project_path": "a/b"}),
    ]
    assert play(check(account(project_path="a/b"), TOKENS), script) == (
        "https://gitlab.com: signed in as duo",
        "instance: version 18.5, realm saas, entitlement duo_pro",
        "the agent platform: available",
        "the Code Suggestions gateway: available, assigned model claude-x",
        "code suggestions for a/b: on",
    )


FORBIDDEN = answer(403, {"message": "403 Forbidden"})


def closed_gateways() -> list[Beat]:
    off = answer(403, {"message": "403 Forbidden - Direct connections are disabled"})
    return [
        user(),
        post("/code_suggestions/connection_details", FORBIDDEN),
        post("/ai/third_party_agents/direct_access", answer(404, {})),
        post("/code_suggestions/direct_access", off),
    ]


def test_an_account_that_has_the_text_endpoints_only() -> None:
    script = [
        *closed_gateways(),
        post("/code_suggestions/completions", FORBIDDEN),
        post("/chat/completions", answer(201, "Hello.")),
        post("/code_suggestions/enabled", answer(404, {})),
    ]
    assert play(check(account(project_path="a/b"), TOKENS), script)[1:] == (
        "connection details: not told (403 Forbidden)",
        "the agent platform: not available: cannot be found (its version or edition lacks it).",
        "the Code Suggestions gateway: not available: direct connections are switched off: 403 Forbidden -"
        " Direct connections are disabled. An administrator can allow them in the GitLab Duo settings.",
        "GitLab's text endpoints: available (no tools, no images, and GitLab chooses the model)",
        "code suggestions for a/b: off or unknown",
    )


def test_an_account_that_has_nothing_is_in_trouble() -> None:
    script = [
        *closed_gateways(),
        post("/code_suggestions/completions", FORBIDDEN),
        post("/chat/completions", FORBIDDEN),
    ]
    with pytest.raises(LoginError) as caught:
        play(check(account(), TOKENS), script)
    assert caught.value.code == "no_seat"
    for reason in ("the agent platform", "direct connections are switched off", "text endpoints"):
        assert reason in caught.value.message


def test_a_token_that_has_ended_is_an_error() -> None:
    with pytest.raises(LoginError) as caught:
        play(check(account(), TOKENS), [user(answer(401, {"message": "401 Unauthorized"}))])
    assert caught.value.code == "expired"
