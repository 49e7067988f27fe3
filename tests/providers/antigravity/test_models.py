"""The account's own list of models."""

import pytest

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.ir.request import Family
from cliproxy.providers.antigravity import PROVIDER
from cliproxy.providers.antigravity.models import discover, models_in
from cliproxy.wire.jsontext import JsonObject
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

TOKENS = {TokenSlot.ACCOUNT: Token(value=Secret("ya29.a"))}
LIST: JsonObject = {"models": {"gemini-3-flash": {"displayName": "Flash"}, "tab_x": {}, "chat_20706": {}}}
DAILY, PRODUCTION = "https://daily-cloudcode-pa.googleapis.com", "https://cloudcode-pa.googleapis.com"


def credential(base_url: str = "") -> Credential:
    return Credential(
        id=CredentialId("antigravity.json"),
        provider="antigravity",
        kind=CredentialKind.ACCOUNT,
        base_url=base_url,
        data={"project_id": "p1"},
    )


def asks(base: str, reply: object) -> Beat:
    url = f"{base}/v1internal:fetchAvailableModels"
    return Beat(Sends(method="POST", url=url, json={"project": "p1"}, bearer="ya29.a"), reply)


def names(base_url: str, script: list[Beat]) -> list[str]:
    return [info.id for info in play(discover(credential(base_url), TOKENS), script)]


def test_what_is_no_model_to_talk_to_is_left_out() -> None:
    assert names("", [asks(DAILY, answer(200, LIST))]) == ["gemini-3-flash"]


@pytest.mark.parametrize("failed", [answer(503, {}), LoginError("no answer", code="timeout")])
def test_the_next_host_is_asked(failed: object) -> None:
    assert names("", [asks(DAILY, failed), asks(PRODUCTION, answer(200, LIST))]) == ["gemini-3-flash"]


def test_the_last_hosts_word_counts() -> None:
    with pytest.raises(LoginError, match="fetchAvailableModels was refused"):
        names("", [asks(DAILY, answer(503, {})), asks(PRODUCTION, answer(403, {}))])


def test_an_address_of_the_owners_is_the_only_one() -> None:
    assert names("https://own.example", [asks("https://own.example", answer(200, {}))]) == []


def test_the_list_is_completed_by_what_is_known() -> None:
    facts: JsonObject = {"displayName": "Sonnet", "maxTokens": 123_456}
    [sonnet] = models_in({"models": {"claude-sonnet-4-6": facts}})
    assert (sonnet.display_name, sonnet.context_tokens, sonnet.output_tokens) == ("Sonnet", 123_456, 64_000)
    assert sonnet.family is Family.CLAUDE
    assert sonnet.thinking is not None


def test_a_model_nobody_knows_yet() -> None:
    [info] = models_in({"models": {"claude-next-9": {"maxOutputTokens": 5}}})
    assert (info.id, info.owned_by, info.family) == ("claude-next-9", "antigravity", Family.CLAUDE)
    assert (info.output_tokens, info.thinking) == (5, None)


def test_until_then_the_bundled_models_count() -> None:
    known = {info.id for info in PROVIDER.static_models(credential())}
    assert {"gemini-3-flash", "claude-opus-4-6-thinking", "gpt-oss-120b-medium"} <= known
