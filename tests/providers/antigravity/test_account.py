"""The account of Antigravity: login, project, file, renewal."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from cliproxy.credentials.files import codec_table, decode_credential, to_bytes
from cliproxy.credentials.model import Credential
from cliproxy.errors import LoginError
from cliproxy.login.clients import OAuthClient
from cliproxy.login.steps import AwaitCallback, Note, Now, OpenCallback, Pause, Persist, Show, Step, UseClient
from cliproxy.providers.antigravity import PROVIDER
from cliproxy.providers.antigravity.account import APPLICATION, find_project, initial, log_in, renew
from cliproxy.providers.base import LoginInputs
from cliproxy.wire.jsontext import JsonObject
from cliproxy.wire.secret import Secret
from support.playbook import Beat, Sends, answer, play

NOW = 1_790_000_000.0
STATE = "s" * 43
REDIRECT = "http://localhost:51121/oauth-callback"
TOKEN_URL = "https://oauth2.googleapis.com/token"
CLIENT = Beat(UseClient(APPLICATION), OAuthClient(id="app", secret=Secret("s3cret")))
TOKENS: JsonObject = {
    "access_token": "ya29.a",
    "refresh_token": "1//r",
    "expires_in": 3599,
    "token_type": "Bearer",
    "scope": "all of it",
    "id_token": "a.b.c",
}
FILE: JsonObject = {
    "type": "antigravity",
    "access_token": "ya29.a",
    "refresh_token": "1//r",
    "expires_in": 3599,
    "timestamp": 1_790_000_000_000,
    "expired": "2026-09-21T15:13:19Z",
    "email": "me@example.org",
    "project_id": "p1",
}
"""As the login writes it and other programs do."""


def shows(step: Step) -> None:
    assert isinstance(step, Show)
    parts = urlsplit(step.url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://accounts.google.com/o/oauth2/v2/auth"
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    names = ("cloud-platform", "userinfo.email", "userinfo.profile", "cclog", "experimentsandconfigs")
    assert query.pop("scope").split() == [f"https://www.googleapis.com/auth/{name}" for name in names]
    assert query == {
        "client_id": "app",
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "state": STATE,
        "access_type": "offline",
        "prompt": "consent",
    }


def browser(tokens: JsonObject = TOKENS, **back: str) -> list[Beat]:
    exchange = Sends(
        method="POST",
        url=TOKEN_URL,
        form={
            "grant_type": "authorization_code",
            "client_id": "app",
            "client_secret": "s3cret",
            "code": "c0de",
            "redirect_uri": REDIRECT,
        },
    )
    return [
        CLIENT,
        Beat(OpenCallback(port=51121, path="/oauth-callback"), REDIRECT),
        Beat(shows),
        Beat(AwaitCallback(path="/oauth-callback"), {"code": "c0de", "state": STATE, **back}),
        Beat(exchange, answer(200, tokens)),
    ]


def says_who(email: str = "me@example.org") -> Beat:
    url = "https://www.googleapis.com/oauth2/v1/userinfo?alt=json"
    return Beat(Sends(method="GET", url=url, bearer="ya29.a"), answer(200, {"email": email}))


def loads(loaded: JsonObject, status: int = 200) -> Beat:
    url = "https://cloudcode-pa.googleapis.com/v1internal:loadCodeAssist"
    asked: JsonObject = {"metadata": {"ideType": "ANTIGRAVITY"}}
    return Beat(Sends(method="POST", url=url, json=asked, bearer="ya29.a"), answer(status, loaded))


def onboards(reply: JsonObject, tier: str = "free-tier", status: int = 200) -> Beat:
    url = "https://daily-cloudcode-pa.googleapis.com/v1internal:onboardUser"
    asked: JsonObject = {"tier_id": tier, "metadata": {"ideType": "ANTIGRAVITY"}}
    return Beat(Sends(method="POST", url=url, json=asked, bearer="ya29.a"), answer(status, reply))


def login(script: list[Beat]):
    inputs = LoginInputs(random_token=lambda: STATE, now=lambda: NOW)
    return play(log_in(inputs), script)


def test_a_login_makes_the_file() -> None:
    result = login([*browser(), says_who(), loads({"cloudaicompanionProject": "p1"})])
    assert result.file_name == "antigravity-me@example.org.json"
    assert result.data == FILE
    assert (result.label, result.notes) == ("me@example.org", ("Project: p1.",))


def test_an_account_without_an_address() -> None:
    script = [*browser(), says_who(""), Beat(Note), loads({"cloudaicompanionProject": "p1"})]
    result = login(script)
    assert (result.file_name, result.label) == ("antigravity.json", "p1")


def test_a_denial_ends_it() -> None:
    with pytest.raises(LoginError) as caught:
        login(browser(error="access_denied")[:-1])
    assert caught.value.code == "denied"


def test_another_state_ends_it() -> None:
    with pytest.raises(LoginError, match="state"):
        login(browser(state="other")[:-1])


def test_nobody_comes_back() -> None:
    *script, _, _ = browser()
    late = Beat(AwaitCallback, LoginError("nobody came back", code="timeout"))
    with pytest.raises(LoginError, match="nobody came back"):
        login([*script, late])


def test_without_a_refresh_token_it_is_of_no_use() -> None:
    with pytest.raises(LoginError, match="no refresh token") as caught:
        login(browser({**TOKENS, "refresh_token": ""}))
    assert "connections" in caught.value.hint


def test_a_missing_secret_is_told_before_the_browser_opens() -> None:
    error = LoginError("no secret", code="missing_client")
    with pytest.raises(LoginError, match="no secret"):
        login([Beat(UseClient(APPLICATION), error)])


# --- the project ---

DONE: JsonObject = {"done": True, "response": {"cloudaicompanionProject": {"id": "made"}}}


@pytest.mark.parametrize(
    "loaded",
    [
        {"cloudaicompanionProject": "p1"},
        {"cloudaicompanionProject": {"id": "p1"}},
        {"projectId": "p1"},
        {"project": " p1 "},
    ],
)
def test_how_a_project_is_told(loaded: JsonObject) -> None:
    assert play(find_project(Secret("ya29.a")), [loads(loaded)]) == "p1"


@pytest.mark.parametrize(
    ("loaded", "tier"),
    [
        ({"allowedTiers": [{"id": "a"}, {"id": "b", "isDefault": True}]}, "b"),
        ({"allowedTiers": [{"id": "a"}], "currentTier": {"id": "c"}}, "c"),
        ({}, "free-tier"),
    ],
)
def test_a_project_is_made_in_the_accounts_tier(loaded: JsonObject, tier: str) -> None:
    script = [loads(loaded), onboards({"done": False}, tier), Beat(Pause(2.0)), onboards(DONE, tier)]
    assert play(find_project(Secret("ya29.a")), script) == "made"


def test_waiting_for_a_project_has_an_end() -> None:
    pause = Beat(Pause(2.0))
    again = [beat for _ in range(4) for beat in (pause, onboards({}))]
    reason = {"ineligibleTiers": [{"reasonMessage": "Not available\nin your country"}]}
    with pytest.raises(LoginError, match="Not available in your country") as caught:
        play(find_project(Secret("ya29.a")), [loads(reason), onboards({}), *again])
    assert caught.value.code == "needs_project"
    assert "-antigravity-login" in caught.value.hint


@pytest.mark.parametrize(("status", "code"), [(403, "forbidden"), (500, "unreachable")])
def test_a_refusal_is_told(status: int, code: str) -> None:
    body: JsonObject = {"error": {"message": "no"}}
    with pytest.raises(LoginError, match=r"loadCodeAssist was refused: no") as caught:
        play(find_project(Secret("ya29.a")), [loads(body, status)])
    assert caught.value.code == code
    with pytest.raises(LoginError, match=r"onboardUser was refused: no"):
        play(find_project(Secret("ya29.a")), [loads({}), onboards(body, status=status)])


# --- tokens ---


def credential(**changes: object) -> Credential:
    """A credential as it comes out of its file."""
    assert PROVIDER.codec is not None
    whole = {name: value for name, value in {**FILE, **changes}.items() if value is not None}
    return decode_credential("antigravity.json", to_bytes(whole), codec_table([PROVIDER.codec])).credential


def test_the_token_of_the_file() -> None:
    token = initial(credential())
    assert token is not None
    assert (token.value.reveal(), token.expires_at) == ("ya29.a", NOW + 3599)


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"expired": None}, NOW + 3599),
        ({"expired": None, "timestamp": None}, None),
        ({"expired": None, "expires_in": None}, None),
    ],
)
def test_when_it_ends(changes: dict[str, object], end: float | None) -> None:
    token = initial(credential(**changes))
    assert token is not None
    assert token.expires_at == end


@pytest.mark.parametrize("changes", [{"access_token": ""}, {"project_id": " "}, {"project_id": None}])
def test_a_file_that_is_renewed_on_first_use(changes: dict[str, object]) -> None:
    assert initial(credential(**changes)) is None


def renews(tokens: JsonObject, status: int = 200) -> list[Beat]:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": "1//r",
        "client_id": "app",
        "client_secret": "s3cret",
    }
    return [CLIENT, Beat(Sends(method="POST", url=TOKEN_URL, form=form), answer(status, tokens))]


NEW: JsonObject = {"access_token": "ya29.a", "expires_in": 3599}
SAVED = Persist(
    patch={
        "access_token": "ya29.a",
        "expires_in": 3599,
        "timestamp": 1_790_000_000_000,
        "expired": "2026-09-21T15:13:19Z",
    }
)


def test_a_renewal() -> None:
    token = play(renew(credential(access_token="old"), {}), [*renews(NEW), Beat(Now(), NOW), Beat(SAVED)])
    assert (token.value.reveal(), token.expires_at) == ("ya29.a", NOW + 3599)


def test_a_missing_project_is_found_after_the_tokens_are_safe() -> None:
    script = [
        *renews(NEW),
        Beat(Now(), NOW),
        Beat(SAVED),
        loads({"cloudaicompanionProject": "p2"}),
        Beat(Persist(patch={"project_id": "p2"})),
    ]
    assert play(renew(credential(project_id=None), {}), script).data == {"project_id": "p2"}


def test_a_login_that_has_ended() -> None:
    refusal: JsonObject = {
        "error": "invalid_grant",
        "error_description": "Token has been expired or revoked.",
    }
    with pytest.raises(LoginError, match="expired or revoked") as caught:
        play(renew(credential(), {}), renews(refusal, 400))
    assert caught.value.code == "invalid_grant"


def test_without_a_refresh_token_nothing_is_asked() -> None:
    with pytest.raises(LoginError) as caught:
        play(renew(credential(refresh_token=None), {}), [])
    assert caught.value.code == "not_renewable"


def test_the_secret_is_the_one_behind_the_applications_own_id() -> None:
    """The vendor's program knows several applications."""
    assert APPLICATION.installed is not None
    other = "884354919052-x.apps.googleusercontent.com"
    bundle = f'a="{other}",b="GOCSPX-{"o" * 28}";c="{APPLICATION.id}",d="GOCSPX-{"m" * 28}";'
    found = re.search(APPLICATION.installed.secret, bundle)
    assert found is not None
    assert found[1] == f"GOCSPX-{'m' * 28}"
