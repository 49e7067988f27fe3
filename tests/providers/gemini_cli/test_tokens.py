"""The Google login's tokens in a credential file: read, renewed, written."""

import re

import pytest
from attrs import evolve

from cliproxy.credentials.files import codec_table, decode_credential, merge_tokens
from cliproxy.credentials.model import Credential, CredentialId, CredentialKind, TokenSlot
from cliproxy.errors import LoginError
from cliproxy.login.clients import OAuthClient
from cliproxy.login.steps import Now, Persist, UseClient
from cliproxy.providers.gemini_cli import PROVIDER
from cliproxy.providers.gemini_cli.tokens import (
    APPLICATION,
    SLOTS,
    TOKEN_URL,
    initial,
    renew,
    token_object,
    token_of,
)
from cliproxy.wire.jsontext import JsonObject, dumps
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
OWN: JsonObject = {
    "access_token": "ya29.old",
    "token_type": "Bearer",
    "refresh_token": "1//r",
    "expiry": "2026-09-21T14:13:20.123456789Z",
    "token_uri": TOKEN_URL,
    "client_id": "app",
    "client_secret": "s3cret",
    "scopes": ["email"],
    "universe_domain": "googleapis.com",
}
CLIENT = OAuthClient(id="app", secret=Secret("s3cret"))
RENEWED: JsonObject = {"access_token": "ya29.new", "expires_in": 3599, "token_type": "Bearer"}


def credential(**data: object) -> Credential:
    return Credential(
        id=CredentialId("gemini-me.json"), provider="gemini-cli", kind=CredentialKind.ACCOUNT, data=data
    )


def renewal(body: JsonObject = RENEWED, status: int = 200, **form: str) -> Beat:
    own = {
        "grant_type": "refresh_token",
        "refresh_token": "1//r",
        "client_id": "app",
        "client_secret": "s3cret",
    }
    return Beat(Sends(method="POST", url=TOKEN_URL, form={**own, **form}), answer(status, body))


def saves(into: list[JsonObject]) -> Beat:
    def compare(step: object) -> None:
        assert isinstance(step, Persist)
        into.append(dict(step.patch))

    return Beat(compare)


def test_a_file_of_the_reference_server_is_read_and_keeps_its_members():
    data = {"type": "gemini", "email": "me@example.org", "project_id": "p", "auto": False, "token": OWN}
    decoded = decode_credential(
        "gemini-me@example.org-p.json", dumps(data), codec_table([PROVIDER.codec] if PROVIDER.codec else [])
    )
    assert decoded.warnings == ()
    assert decoded.credential.provider == "gemini-cli"
    assert decoded.credential.label == "me@example.org"
    token = initial(decoded.credential)
    assert token is not None
    assert token.value.reveal() == "ya29.old"
    assert token.expires_at == pytest.approx(1_790_000_000.123, abs=0.01)


def test_a_token_without_an_end_counts_as_good():
    token = initial(credential(project_id="p", token={**OWN, "expiry": ""}))
    assert token is not None
    assert token.expires_at is None


def test_the_top_level_fills_the_blanks_of_the_object():
    data: JsonObject = {
        "access_token": "top",
        "refresh_token": "1//top",
        "expiry": "2026-09-21T14:13:20Z",
        "token": {"access_token": "inner", "refresh_token": ""},
    }
    own = token_of(data)
    assert (own["access_token"], own["refresh_token"]) == ("inner", "1//top")
    assert own["expiry"] == "2026-09-21T14:13:20Z"


def test_a_renewal_goes_under_the_application_of_the_file():
    saved: list[JsonObject] = []
    token = play(
        renew(credential(project_id="p", token=OWN), {}), [renewal(), Beat(Now(), NOW), saves(saved)]
    )
    assert token.value.reveal() == "ya29.new"
    assert token.expires_at == NOW + 3599
    assert saved == [{"token": {**OWN, "access_token": "ya29.new", "expiry": "2026-09-21T15:13:19Z"}}]


def test_a_renewal_without_an_application_in_the_file_asks_for_one():
    own = {name: value for name, value in OWN.items() if not name.startswith("client_")}
    saved: list[JsonObject] = []
    script = [Beat(UseClient(APPLICATION), CLIENT), renewal(), Beat(Now(), NOW), saves(saved)]
    token = play(renew(credential(project_id="p", token=own), {}), script)
    assert token.value.reveal() == "ya29.new"


def test_what_a_renewal_writes_leaves_the_rest_of_the_file_alone():
    data: JsonObject = {"type": "gemini", "token": OWN, "checked": True, "mine": 1}
    saved: list[JsonObject] = []
    play(renew(credential(project_id="p", **data), {}), [renewal(), Beat(Now(), NOW), saves(saved)])
    merged = merge_tokens(data, saved[0])
    assert merged["mine"] == 1
    assert merged["token"] == {**OWN, "access_token": "ya29.new", "expiry": "2026-09-21T15:13:19Z"}


def test_a_rotated_refresh_token_is_kept():
    saved: list[JsonObject] = []
    rotated = {**RENEWED, "refresh_token": "1//next"}
    script = [renewal(rotated), Beat(Now(), NOW), saves(saved)]
    play(renew(credential(project_id="p", token=OWN), {}), script)
    [patch] = saved
    assert isinstance(patch["token"], dict)
    assert patch["token"]["refresh_token"] == "1//next"


def test_an_ended_login_says_so():
    refused = renewal({"error": "invalid_grant", "error_description": "Token has been revoked."}, 400)
    with pytest.raises(LoginError, match="revoked") as caught:
        play(renew(credential(project_id="p", token=OWN), {}), [refused])
    assert caught.value.code == "invalid_grant"


def test_a_file_without_a_refresh_token_cannot_be_renewed():
    with pytest.raises(LoginError) as caught:
        play(renew(credential(project_id="p", token={"access_token": "a"}), {}), [])
    assert caught.value.code == "not_renewable"


def load(body: JsonObject) -> Beat:
    url = "https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist"
    return Beat(Sends(method="POST", url=url, bearer="ya29.new"), answer(200, body))


def test_a_file_without_a_project_finds_it_on_first_use():
    """Its access token may be good; without a project it is of no use, so it counts as none."""
    lacking = credential(token=OWN)
    assert initial(lacking) is None
    saved: list[JsonObject] = []
    script = [
        renewal(),
        Beat(Now(), NOW),
        saves(saved),
        load({"cloudaicompanionProject": {"id": "found"}}),
        saves(saved),
    ]
    token = play(renew(lacking, {}), script)
    assert saved[1] == {"project_id": "found"}
    assert token.data["project_id"] == "found"


def test_an_account_to_which_google_gives_no_project_needs_its_owner():
    """The renewed token is in the file by then."""
    saved: list[JsonObject] = []
    with pytest.raises(LoginError, match="no project") as caught:
        play(renew(credential(token=OWN), {}), [renewal(), Beat(Now(), NOW), saves(saved), load({})])
    assert caught.value.code == "needs_project"
    assert "-project_id" in caught.value.hint
    assert len(saved) == 1


def test_the_object_of_a_login():
    tokens: JsonObject = {"access_token": "a", "refresh_token": "r", "expires_in": 3600}
    made = token_object(tokens, CLIENT, NOW)
    assert made == {
        "access_token": "a",
        "token_type": "Bearer",
        "refresh_token": "r",
        "expiry": "2026-09-21T15:13:20Z",
        "token_uri": TOKEN_URL,
        "client_id": "app",
        "client_secret": "s3cret",
        "scopes": [
            "https://www.googleapis.com/auth/cloud-platform",
            "https://www.googleapis.com/auth/userinfo.email",
            "https://www.googleapis.com/auth/userinfo.profile",
        ],
        "universe_domain": "googleapis.com",
    }


def test_the_secret_is_found_in_what_bundlers_make_of_the_vendors_program():
    assert APPLICATION.installed is not None
    pattern = re.compile(APPLICATION.installed.secret)
    for line in (
        'var OAUTH_CLIENT_SECRET = "SECRET-one_two";',
        "const OAUTH_CLIENT_SECRET='SECRET-one_two';",
    ):
        found = pattern.search(line)
        assert found is not None
        assert found[1] == "SECRET-one_two"
    assert pattern.search("clientSecret: OAUTH_CLIENT_SECRET,") is None


def test_the_slot_renews_in_time():
    assert SLOTS[TokenSlot.ACCOUNT].lead_s >= 60
    assert evolve(SLOTS[TokenSlot.ACCOUNT]).renew is renew
