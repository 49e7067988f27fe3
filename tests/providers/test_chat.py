import pytest
from attrs import evolve

from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, Token
from cliproxy.dialects.base import Action
from cliproxy.providers.base import Call
from cliproxy.providers.chat import ChatContract
from cliproxy.wire.http import Headers, HttpCall
from cliproxy.wire.secret import Secret

CONTRACT = ChatContract(base_url="https://api.example.org/v1", headers_for=lambda _call: {"X-Own": "1"})
CALL = Call(
    credential=Credential(id=CredentialId("a.json"), provider="example", kind=CredentialKind.ACCOUNT),
    token=Token(value=Secret("t0ken")),
    model="m",
    action=Action.GENERATE,
    body=b'{"model":"m"}',
    stream=True,
    user_agent="cliproxy/1",
)


def prepared(call: Call = CALL, contract: ChatContract = CONTRACT) -> HttpCall:
    made = contract.prepare(call)
    assert isinstance(made, HttpCall)
    return made


def test_a_call_goes_to_the_chat_path_with_the_accounts_token() -> None:
    call = prepared()
    assert (call.method, call.url) == ("POST", "https://api.example.org/v1/chat/completions")
    assert (call.body, call.stream) == (CALL.body, True)
    assert call.headers.get("authorization") == "Bearer t0ken"
    assert call.headers.get("accept") == "text/event-stream"
    assert call.headers.get("x-own") == "1"
    assert call.headers.get("user-agent") == "cliproxy/1"


@pytest.mark.parametrize(
    ("owners", "with_token", "expected"),
    [
        ("", "", "https://api.example.org/v1"),
        ("", "https://there.example.org/v1/", "https://there.example.org/v1"),
        ("https://mine.example.org", "https://there.example.org/v1", "https://mine.example.org"),
    ],
)
def test_the_owners_address_goes_before_the_tokens_before_the_usual_one(
    owners: str, with_token: str, expected: str
) -> None:
    call = evolve(
        CALL,
        credential=evolve(CALL.credential, base_url=owners),
        token=Token(value=Secret("t"), base_url=with_token),
    )
    assert prepared(call).url == f"{expected}/chat/completions"


def test_the_owners_headers_have_the_last_word() -> None:
    call = evolve(CALL, credential=evolve(CALL.credential, headers={"X-Own": "2"}), stream=False)
    assert prepared(call).headers.get("x-own") == "2"
    assert prepared(call).headers.get("accept") == "application/json"


def test_it_does_what_it_says_and_leaves_failures_to_the_general_rules() -> None:
    assert CONTRACT.supports(Action.GENERATE)
    assert not CONTRACT.supports(Action.COUNT)
    assert CONTRACT.read_failure(500, Headers(), b"") is None


def test_a_body_may_be_changed_on_its_way() -> None:
    assert (
        prepared(contract=evolve(CONTRACT, body_of=lambda call: call.body.upper())).body == b'{"MODEL":"M"}'
    )
