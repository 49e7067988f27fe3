"""The Gemini CLI's own login as a credential file."""

import pytest

from cliproxy.errors import LoginError
from cliproxy.providers.base import LoginInputs
from cliproxy.providers.gemini_cli.imported import IMPORT, NAME, take_over
from cliproxy.providers.gemini_cli.setup import USER_INFO_URL
from cliproxy.wire.jsontext import JsonObject
from support.playbook import Beat, Sends, answer, play
from support.tokens import unsigned_jwt

DOCUMENT: JsonObject = {
    "access_token": "ya29.a",
    "refresh_token": "1//r",
    "scope": "openid https://www.googleapis.com/auth/cloud-platform",
    "token_type": "Bearer",
    "id_token": unsigned_jwt({"email": "me@example.org"}),
    "expiry_date": 1_790_003_599_123,
}
NAMELESS: JsonObject = {name: value for name, value in DOCUMENT.items() if name != "id_token"}


def inputs(**options: str) -> LoginInputs:
    return LoginInputs(options=options, random_token=lambda: "r" * 43, now=lambda: 0.0)


def asks_google(reply: object) -> Beat:
    return Beat(Sends(method="GET", url=USER_INFO_URL, bearer="ya29.a"), reply)


def test_the_programs_login_becomes_a_file() -> None:
    result = play(take_over(DOCUMENT, inputs()), [])
    assert result.file_name == "gemini-me@example.org.json"
    assert result.data == {
        "type": "gemini",
        "email": "me@example.org",
        "project_id": "",
        "auto": True,
        "checked": False,
        "token": {
            "access_token": "ya29.a",
            "token_type": "Bearer",
            "refresh_token": "1//r",
            "expiry": "2026-09-21T15:13:19Z",
            "token_uri": "https://oauth2.googleapis.com/token",
            "scopes": ["openid", "https://www.googleapis.com/auth/cloud-platform"],
            "universe_domain": "googleapis.com",
        },
    }
    assert not IMPORT.rotates


def test_the_owner_may_name_the_project() -> None:
    result = play(take_over(DOCUMENT, inputs(project_id="mine")), [])
    assert result.file_name == "gemini-me@example.org-mine.json"
    assert (result.data["project_id"], result.data["auto"]) == ("mine", False)


def test_google_or_the_owner_names_the_account() -> None:
    told = [asks_google(answer(200, {"email": "me@example.org"}))]
    assert play(take_over(NAMELESS, inputs()), told).label == "me@example.org"
    refused = [asks_google(answer(401, {})), Beat(NAME, "work")]
    assert play(take_over(NAMELESS, inputs()), refused).file_name == "gemini-work.json"


def test_a_file_without_an_account() -> None:
    with pytest.raises(LoginError) as caught:
        play(take_over({"access_token": "ya29.a"}, inputs()), [])
    assert caught.value.code == "nothing_to_import"
