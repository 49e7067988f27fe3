"""Service accounts: import, file, access tokens."""

import json

import pytest
from cryptography.hazmat.primitives.serialization import PrivateFormat

from cliproxy.credentials.files import codec_table, decode_credential, to_bytes
from cliproxy.credentials.model import Credential, TokenSlot
from cliproxy.errors import CredentialError, LoginError
from cliproxy.login.steps import Now, Sign
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.providers.vertex import PROVIDER
from cliproxy.providers.vertex.account import (
    FILE,
    TOKEN_URL,
    import_account,
    location_of,
    project_of,
    renew,
)
from cliproxy.wire.jsontext import child
from support.keys import EMAIL, pem, service_account
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
KEPT = pem(PrivateFormat.TraditionalOpenSSL)


def imported(raw: bytes | None = None, *, location: str = "", **changes: object) -> LoginResult:
    given = json.dumps(service_account(**changes)).encode() if raw is None else raw
    options = {"location": location} if location else {}
    inputs = LoginInputs(options=options, random_token=lambda: "", now=lambda: NOW)
    return play(import_account(inputs), [Beat(FILE, given)])


def test_the_file_holds_the_whole_key_file() -> None:
    result = imported()
    assert result.file_name == "vertex-my-project.json"
    assert result.label == f"my-project ({EMAIL})"
    assert result.data == {
        "type": "vertex",
        "service_account": service_account(private_key=KEPT),
        "project_id": "my-project",
        "email": EMAIL,
        "location": "us-central1",
    }
    assert "us-central1" in result.notes[0]


def test_the_location_is_the_owners_choice() -> None:
    assert imported(location="Europe-West4").data["location"] == "europe-west4"


def test_a_project_of_a_domain_makes_a_file_name() -> None:
    assert imported(project_id="example.org:my project").file_name == "vertex-example.org_my-project.json"


def test_a_file_from_another_system_is_read() -> None:
    raw = b"\xef\xbb\xbf" + json.dumps(service_account(), indent=2).replace("\n", "\r\n").encode() + b"\xff"
    assert child(dict(imported(raw).data), "service_account")["private_key"] == KEPT


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"raw": b"[]"}, "not a JSON object"),
        ({"raw": b"-----BEGIN PRIVATE KEY-----"}, "not a JSON object"),
        ({"raw": b'{"installed": {"client_id": "x"}}'}, "no `private_key`"),
        ({"project_id": " "}, "no `project_id`"),
        ({"client_email": ""}, "no `client_email`"),
        ({"private_key": "nothing"}, "no private RSA key"),
        ({"token_uri": "http://example.org/token"}, "not an https address"),
    ],
)
def test_what_is_no_service_account_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(LoginError, match=reason):
        imported(**changes)


@pytest.mark.parametrize("location", ["us central1", "us-central1.example.org/", "-"])
def test_what_is_no_region_is_refused_before_anything_is_asked(location: str) -> None:
    inputs = LoginInputs(options={"location": location}, random_token=lambda: "", now=lambda: NOW)
    with pytest.raises(LoginError, match="is no region"):
        play(import_account(inputs), [])


def credential(**data: object) -> Credential:
    """A credential as it comes out of its file."""
    assert PROVIDER.codec is not None
    whole = {**imported().data, **data}
    return decode_credential("vertex-x.json", to_bytes(whole), codec_table([PROVIDER.codec])).credential


def test_a_file_without_a_key_is_no_credential() -> None:
    with pytest.raises(CredentialError, match=r"service_account\.private_key"):
        credential(service_account={"client_email": EMAIL})


def script(status: int, body: object) -> list[Beat]:
    return [
        Beat(Now(), NOW),
        Beat(Sign, b"signature"),
        Beat(Sends(method="POST", url=TOKEN_URL), answer(status, body)),
    ]


def test_a_token_is_got_by_signing_and_is_never_in_the_file() -> None:
    policy = PROVIDER.slots[TokenSlot.ACCOUNT]
    assert policy.initial(credential()) is None
    assert policy.lead_s == 60.0
    token = play(renew(credential(), {}), script(200, {"access_token": "ya29.a", "expires_in": 3599}))
    assert (token.value.reveal(), token.expires_at) == ("ya29.a", NOW + 3599)


def test_a_deleted_key_does_not_ask_for_a_login() -> None:
    refusal = {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
    with pytest.raises(LoginError, match="account not found") as caught:
        play(renew(credential(), {}), script(400, refusal))
    assert "clock" in caught.value.hint


def test_a_token_endpoint_that_is_away_is_told_as_such() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(), {}), script(503, {}))
    assert caught.value.code == "unreachable"


@pytest.mark.parametrize(
    ("data", "project"),
    [
        ({"project_id": "a", "project": "b"}, "a"),
        ({"project": "b"}, "b"),
        ({"service_account": {"project_id": "c"}}, "c"),
        ({}, ""),
    ],
)
def test_where_the_project_may_stand(data: dict[str, object], project: str) -> None:
    assert project_of(data) == project


@pytest.mark.parametrize(("written", "location"), [("", "us-central1"), (" Global ", "global")])
def test_the_location_of_a_file(written: str, location: str) -> None:
    assert location_of({"location": written}) == location
