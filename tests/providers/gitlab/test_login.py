"""Both logins as conversations with GitLab."""

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

import pytest

from cliproxy.errors import LoginError
from cliproxy.login.pkce import from_random
from cliproxy.login.steps import Ask, AwaitCallback, Note, Now, OpenCallback, Show, Step
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.providers.gitlab.login import oauth_flow, token_login
from support.playbook import Beat, Sends, answer, play

HOST = "https://gitlab.com"
NOW = 1_767_225_600.0
PAT = "glpat-0123456789abcdef"
RANDOM = "r" * 43
REDIRECT = "http://localhost:17171/auth/callback"


def inputs(oauth_clients=None, **options: str) -> LoginInputs:
    named = {
        name.replace("_", "-") if name == "gitlab_url" else name: value for name, value in options.items()
    }
    return LoginInputs(
        options=named, random_token=lambda: RANDOM, now=lambda: NOW, oauth_clients=oauth_clients or {}
    )


def asks(key: str, reply: object) -> Beat:
    def expect(step: Step) -> None:
        assert isinstance(step, Ask)
        assert step.key == key

    return Beat(expect, reply)


def get(path: str, reply: object, host: str = HOST) -> Beat:
    return Beat(Sends(method="GET", url=f"{host}/api/v4{path}"), reply)


def post(path: str, reply: object, host: str = HOST) -> Beat:
    return Beat(Sends(method="POST", url=f"{host}/api/v4{path}"), reply)


USER = {"id": 42, "username": "Duo.Dev", "name": "Duo Developer", "email": "duo@example.com"}
SELF = {"id": 7, "name": "laptop", "active": True, "scopes": ["api", "read_user"], "expires_at": "2027-01-01"}
GATEWAY = {
    "base_url": "https://cloud.gitlab.com/ai",
    "token": "gateway-token",
    "expires_at": int(NOW) + 3600,
    "headers": {"X-Gitlab-Realm": "saas"},
    "model_details": {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5"},
}
FORBIDDEN = answer(403, {"message": "403 Forbidden"})
MISSING = answer(404, {"error": "404 Not Found"})
GROUPS = "/groups?top_level_only=true&min_access_level=10&per_page=5&order_by=id"


def user(host: str = HOST) -> Beat:
    return get("/user", answer(200, USER), host)


def own_token(reply: object = None, host: str = HOST) -> list[Beat]:
    return [get("/personal_access_tokens/self", reply or answer(200, SELF), host), Beat(Note)]


def agent(reply: object = None, host: str = HOST) -> list[Beat]:
    asked = post(
        "/ai/third_party_agents/direct_access", reply or answer(201, {"token": "T", "headers": {}}), host
    )
    return [asked] if reply else [asked, Beat(Now(), NOW)]


def gateway(reply: object = None, host: str = HOST) -> list[Beat]:
    return [post("/code_suggestions/direct_access", reply or answer(201, GATEWAY), host)]


def no_list(host: str = HOST) -> list[Beat]:
    return [get(GROUPS, answer(200, []), host)]


def log_in_with_token(script: Sequence[Beat], **options: str) -> LoginResult:
    given = {"gitlab_url": "gitlab.com", "personal_access_token": PAT, **options}
    return play(token_login(inputs(**given)), script)


# --- personal access tokens --------------------------------------------------------------------------------


def test_a_personal_token_that_opens_everything() -> None:
    result = log_in_with_token([user(), *own_token(), *agent(), *gateway(), *no_list()])
    assert result.file_name == "gitlab-duo.dev-pat.json"
    assert result.label == "Duo.Dev (PAT)"
    assert result.notes == (
        "Open to this account: the agent platform and the Code Suggestions gateway.",
        "The model name gitlab-duo stands for claude-sonnet-4-5 at present.",
    )
    assert result.data == {
        "type": "gitlab",
        "base_url": "https://gitlab.com",
        "auth_method": "pat",
        "auth_kind": "personal_access_token",
        "personal_access_token": PAT,
        "token_preview": "glpa...cdef",
        "pat_scopes": ["api", "read_user"],
        "pat_name": "laptop",
        "pat_expires_at": "2027-01-01",
        "label": "Duo.Dev (PAT)",
        "username": "Duo.Dev",
        "email": "duo@example.com",
        "name": "Duo Developer",
        "last_refresh": "2026-01-01T00:00:00Z",
        "refresh_interval_seconds": 240,
        "duo_gateway_base_url": "https://cloud.gitlab.com/ai",
        "duo_gateway_token": "gateway-token",
        "duo_gateway_headers": {"X-Gitlab-Realm": "saas"},
        "duo_gateway_expires_at": "2026-01-01T01:00:00Z",
        "model_provider": "anthropic",
        "model_name": "claude-sonnet-4-5",
        "model_details": {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5"},
    }


def test_what_is_not_given_is_asked_for() -> None:
    script = [
        asks("gitlab-url", "https://gitlab.com"),
        asks("personal_access_token", f" {PAT} "),
        user(),
        *own_token(),
        *agent(),
        *gateway(),
        *no_list(),
    ]
    result = play(token_login(inputs()), script)
    assert result.data["personal_access_token"] == PAT


def test_callers_over_http_have_other_names_for_the_settings() -> None:
    given = inputs(base_url="gitlab.com", token=PAT)
    result = play(token_login(given), [user(), *own_token(), *agent(), *gateway(), *no_list()])
    assert result.data["personal_access_token"] == PAT


@pytest.mark.parametrize(
    ("url", "host", "name"),
    [
        ("gitlab.example.com", "https://gitlab.example.com", "gitlab-gitlab.example.com-duo.dev-pat.json"),
        (
            "https://example.com/gitlab/",
            "https://example.com/gitlab",
            "gitlab-example.com-gitlab-duo.dev-pat.json",
        ),
    ],
)
def test_instances_of_ones_own_have_their_own_files(url: str, host: str, name: str) -> None:
    script = [user(host), *own_token(host=host), *agent(host=host), *gateway(host=host), *no_list(host)]
    result = log_in_with_token(script, gitlab_url=url)
    assert result.file_name == name
    assert result.data["base_url"] == host


def test_the_models_one_may_choose_are_kept() -> None:
    listed = {
        "data": {
            "aiChatAvailableModels": {
                "defaultModel": {"name": "Sonnet", "ref": "claude_sonnet_4_5_20250929"},
                "selectableModels": [{"name": "Opus", "ref": "claude_opus_4_8"}],
                "pinnedModel": None,
            }
        }
    }
    lists = [
        get(GROUPS, answer(200, [{"id": 9970}])),
        Beat(Sends(method="POST", url=f"{HOST}/api/graphql"), answer(200, listed)),
    ]
    result = log_in_with_token([user(), *own_token(), *agent(), *gateway(), *lists])
    assert result.data["discovered_models"] == ["claude-sonnet-4-5-20250929", "claude-opus-4-8"]


# --- what may be missing -----------------------------------------------------------------------------------


def test_the_agent_platform_may_be_missing() -> None:
    result = log_in_with_token([user(), *own_token(), *agent(MISSING), *gateway(), *no_list()])
    assert result.notes[0] == "Open to this account: the Code Suggestions gateway."
    assert result.notes[-1].startswith("Not open: the agent platform cannot be found")
    assert result.data["duo_gateway_token"] == "gateway-token"


def test_direct_connections_may_be_switched_off() -> None:
    off = answer(403, {"message": "403 Forbidden - Direct connections are disabled"})
    result = log_in_with_token([user(), *own_token(), *agent(), *gateway(off), *no_list()])
    assert "stands for claude-sonnet-4-5-20250929" in result.notes[1]
    assert "direct connections are switched off" in result.notes[-1]
    assert "duo_gateway_token" not in result.data


def test_the_text_endpoints_alone_are_enough_and_said_to_be_little() -> None:
    script = [
        user(),
        *own_token(),
        *agent(FORBIDDEN),
        *gateway(FORBIDDEN),
        post("/code_suggestions/completions", answer(200, {"choices": []})),
    ]
    result = log_in_with_token(script)
    assert len(result.notes) == 3
    assert "only GitLab's text endpoints (no tools" in result.notes[0]
    assert result.data["discovered_models"] == []


def test_chat_alone_is_enough() -> None:
    script = [
        user(),
        *own_token(),
        *agent(MISSING),
        *gateway(MISSING),
        post("/code_suggestions/completions", FORBIDDEN),
        post("/chat/completions", answer(201, "Hello.")),
    ]
    assert "only GitLab's text endpoints" in log_in_with_token(script).notes[0]


def nothing(reply: object) -> list[Beat]:
    return [
        *agent(reply),
        *gateway(reply),
        post("/code_suggestions/completions", reply),
        post("/chat/completions", reply),
    ]


def test_an_account_without_a_seat_is_told_so() -> None:
    with pytest.raises(LoginError) as caught:
        log_in_with_token([user(), *own_token(), *nothing(FORBIDDEN)])
    error = caught.value
    assert error.code == "no_seat"
    for what in ("the agent platform", "the Code Suggestions gateway", "GitLab's text endpoints"):
        assert what in error.message
    assert "seat" in error.hint


@pytest.mark.parametrize("reply", [answer(503, {}), LoginError("cut off", code="unreachable")])
def test_an_instance_in_trouble_is_not_taken_for_a_missing_seat(reply) -> None:
    script = nothing(answer(503, {})) if not isinstance(reply, LoginError) else nothing(FORBIDDEN)
    if isinstance(reply, LoginError):
        script[0] = post("/ai/third_party_agents/direct_access", reply)
    with pytest.raises(LoginError) as caught:
        log_in_with_token([user(), *own_token(), *script])
    assert caught.value.code == "unreachable"


# --- tokens that will not do -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(401, {"error": "invalid_token", "error_description": "Token is expired."}), "expired"),
        (answer(403, {"error": "insufficient_scope"}), "missing_scope"),
        (answer(404, b"<html>"), "unknown_instance"),
        (answer(200, b"<html>portal</html>"), "unknown_instance"),
        (answer(200, {}), "unknown_instance"),
        (LoginError("gitlab.com: the connection failed", code="unreachable"), "unreachable"),
    ],
)
def test_a_token_the_instance_does_not_take(reply, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in_with_token([get("/user", reply)])
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"scopes": ["read_user", "ai_features"]}, "missing_scope"),
        ({"scopes": ["api"], "active": False}, "expired"),
        ({"scopes": ["api"], "revoked": True}, "expired"),
    ],
)
def test_a_token_that_says_it_will_not_do(facts: dict, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        log_in_with_token([user(), get("/personal_access_tokens/self", answer(200, facts))])
    assert caught.value.code == code


def test_a_token_that_cannot_be_looked_at_is_tried_all_the_same() -> None:
    """An OAuth or job token pasted as a personal one, or an old instance."""
    refused = answer(400, {"message": "400 Bad request - This endpoint requires a personal access token"})
    result = log_in_with_token([user(), *own_token(refused), *agent(), *gateway(), *no_list()])
    assert "pat_scopes" not in result.data


def test_a_scope_that_only_the_exchange_misses_ends_the_login() -> None:
    narrow = answer(403, {"error": "insufficient_scope"})
    with pytest.raises(LoginError) as caught:
        log_in_with_token([user(), *own_token(), *agent(narrow)])
    assert caught.value.code == "missing_scope"


def test_an_address_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(LoginError) as caught:
        log_in_with_token([], gitlab_url="ftp://x")
    assert caught.value.code == "unknown_instance"


# --- OAuth -------------------------------------------------------------------------------------------------

TOKENS = {
    "access_token": "A1",
    "refresh_token": "R1",
    "token_type": "Bearer",
    "expires_in": 7200,
    "created_at": int(NOW),
    "scope": "api",
}


def shows(step: Step) -> None:
    assert isinstance(step, Show)
    query = dict(parse_qsl(urlsplit(step.url).query))
    assert step.url.startswith(f"{HOST}/oauth/authorize?")
    assert query["scope"] == "api"
    assert query["redirect_uri"] == REDIRECT
    assert query["code_challenge"] == from_random(RANDOM).challenge


def in_the_browser(parameters: object, port: int = 17171) -> list[Beat]:
    return [
        Beat(OpenCallback(port=port, path="/auth/callback"), REDIRECT),
        Beat(shows),
        Beat(AwaitCallback(path="/auth/callback"), parameters),
    ]


def token_exchange(secret: str = "", reply: object = None) -> Beat:
    form = {
        "grant_type": "authorization_code",
        "client_id": "app",
        "code": "c0de",
        "redirect_uri": REDIRECT,
        "code_verifier": RANDOM,
    }
    if secret:
        form["client_secret"] = secret
    return Beat(Sends(method="POST", url=f"{HOST}/oauth/token", form=form), reply or answer(200, TOKENS))


BACK = {"code": "c0de", "state": RANDOM}
PUBLIC = {"gitlab_url": "gitlab.com", "oauth_client_id": "app"}


def test_a_public_application() -> None:
    script = [
        asks("oauth_client_secret", ""),
        *in_the_browser(BACK),
        token_exchange(),
        user(),
        *agent(),
        *gateway(),
        *no_list(),
    ]
    result = play(oauth_flow(inputs(**PUBLIC)), script)
    assert result.file_name == "gitlab-duo.dev.json"
    assert result.label == "Duo.Dev"
    expected = {
        "auth_method": "oauth",
        "auth_kind": "oauth",
        "oauth_client_id": "app",
        "access_token": "A1",
        "refresh_token": "R1",
        "token_type": "Bearer",
        "scope": "api",
        "oauth_expires_at": "2026-01-01T02:00:00Z",
    }
    assert {key: result.data[key] for key in expected} == expected
    assert "oauth_client_secret" not in result.data
    assert "personal_access_token" not in result.data


def test_a_confidential_application() -> None:
    script = [*in_the_browser(BACK), token_exchange("s3cret"), user(), *agent(), *gateway(), *no_list()]
    result = play(oauth_flow(inputs(**PUBLIC, oauth_client_secret="s3cret")), script)
    assert result.data["oauth_client_secret"] == "s3cret"


def test_a_configured_application_is_not_asked_for() -> None:
    clients = {"gitlab": {"client_id": "app", "client_secret": "s3cret"}}
    script = [*in_the_browser(BACK), token_exchange("s3cret"), user(), *agent(), *gateway(), *no_list()]
    result = play(oauth_flow(inputs(clients, gitlab_url="gitlab.com")), script)
    assert result.data["oauth_client_id"] == "app"


def test_another_port_for_the_way_back() -> None:
    given = inputs(**PUBLIC, oauth_client_secret="s", **{"oauth-callback-port": "9999"})
    script = [*in_the_browser(BACK, 9999), token_exchange("s"), user(), *agent(), *gateway(), *no_list()]
    play(oauth_flow(given), script)


def test_a_pasted_code_does() -> None:
    script = [
        *in_the_browser({"code": "c0de"}),
        token_exchange("s"),
        user(),
        *agent(),
        *gateway(),
        *no_list(),
    ]
    play(oauth_flow(inputs(**PUBLIC, oauth_client_secret="s")), script)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"error": "access_denied", "state": RANDOM}, "denied"),
        ({"code": "c0de", "state": "somebody else's"}, "state_mismatch"),
        (LoginError("nobody came back", code="timeout"), "timeout"),
    ],
)
def test_logins_that_end_in_the_browser(parameters, code: str) -> None:
    with pytest.raises(LoginError) as caught:
        play(oauth_flow(inputs(**PUBLIC, oauth_client_secret="s")), in_the_browser(parameters))
    assert caught.value.code == code


def test_a_port_in_use_ends_the_login_before_anybody_is_sent_away() -> None:
    busy = Beat(OpenCallback, LoginError("port 17171 is in use", code="port_in_use"))
    with pytest.raises(LoginError) as caught:
        play(oauth_flow(inputs(**PUBLIC, oauth_client_secret="s")), [busy])
    assert caught.value.code == "port_in_use"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (answer(401, {"error": "invalid_client"}), "invalid_client"),
        (answer(400, {"error": "invalid_grant"}), "invalid_grant"),
        (LoginError("cut off", code="unreachable"), "unreachable"),
        (answer(200, {**TOKENS, "scope": "read_user"}), "missing_scope"),
    ],
)
def test_exchanges_that_fail(reply, code: str) -> None:
    script = [*in_the_browser(BACK), token_exchange("s", reply)]
    with pytest.raises(LoginError) as caught:
        play(oauth_flow(inputs(**PUBLIC, oauth_client_secret="s")), script)
    assert caught.value.code == code
