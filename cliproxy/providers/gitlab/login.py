"""The two logins: with an OAuth application, and with a personal access token.

Both end alike. ``/user`` says whose the token is; then the account's ways to a model are tried in order of
preference. The login succeeds when one of them is there: an account that has only GitLab's own text endpoints
is a working account with a restriction, and the result says so. It fails when there is none, and says for
each one why.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, evolve, field

from cliproxy.credentials.naming import gitlab_file_name
from cliproxy.credentials.times import rfc3339
from cliproxy.errors import LoginError
from cliproxy.login.code import authorize, body_of, exchange
from cliproxy.login.steps import Ask, Flow, Note, Send
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.providers.gitlab.access import (
    CALLBACK_PATH,
    CALLBACK_PORT,
    gateway_members,
    oauth_login,
    oauth_members,
)
from cliproxy.providers.gitlab.discovery import ask_for_models
from cliproxy.providers.gitlab.instance import (
    DEFAULT_URL,
    SCOPE,
    account_error,
    api_call,
    missing_scope,
    normal_url,
    reason_of,
    token_page,
)
from cliproxy.providers.gitlab.models import ALIAS, DEFAULT_MODEL, DISCOVERED, named_in
from cliproxy.providers.gitlab.tiers import REST_MEANS, REST_WHAT, Tiers, find_text_endpoints, find_tiers
from cliproxy.wire.jsontext import JsonObject, JsonValue, flag, strings, text
from cliproxy.wire.secret import Secret

OAUTH_CLIENT: Final = "gitlab"
"""Key below ``oauth-clients``."""

REFRESH_INTERVAL_S: Final = 240
"""Written for other programs that read the file; ours goes by the tokens' ends."""

URL: Final = Ask(
    key="gitlab-url", prompt="GitLab address", env=("GITLAB_BASE_URL",), default=DEFAULT_URL, required=False
)
PERSONAL_TOKEN: Final = Ask(
    key="personal_access_token",
    prompt=f"GitLab personal access token with the scope {SCOPE}",
    env=("GITLAB_PERSONAL_ACCESS_TOKEN", "GITLAB_TOKEN"),
    secret=True,
)
CLIENT_ID: Final = Ask(
    key="oauth_client_id",
    prompt="Client id of the GitLab OAuth application",
    env=("GITLAB_OAUTH_CLIENT_ID",),
)
CLIENT_SECRET: Final = Ask(
    key="oauth_client_secret",
    prompt="Client secret (Enter for a public application)",
    env=("GITLAB_OAUTH_CLIENT_SECRET",),
    secret=True,
    required=False,
)
OTHER_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "gitlab-url": ("base_url",),
    "personal_access_token": ("token",),
    "oauth_client_id": ("client_id",),
    "oauth_client_secret": ("client_secret",),
}
"""Other names of the settings, as callers over HTTP spell them."""


def token_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with a personal access token."""
    instance = normal_url((yield from _setting(inputs, URL)))
    ask = evolve(PERSONAL_TOKEN, prompt=f"{PERSONAL_TOKEN.prompt} (create one at {token_page(instance)})")
    token = Secret((yield from _setting(inputs, ask)))
    user = yield from _user(instance, token)
    facts = yield from _token_facts(instance, token)
    preview = token.reveal()
    data: dict[str, JsonValue] = {
        "auth_method": "pat",
        "auth_kind": "personal_access_token",
        "personal_access_token": preview,
        "token_preview": f"{preview[:4]}...{preview[-4:]}" if len(preview) >= 16 else "",  # noqa: PLR2004
        **facts,
    }
    return (yield from _finished(inputs, _Account(instance, token, user, data, is_pat=True)))


def oauth_flow(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with an OAuth application in the browser."""
    instance = normal_url((yield from _setting(inputs, URL)))
    known = inputs.oauth_clients.get(OAUTH_CLIENT, {})
    ask = evolve(CLIENT_ID, prompt=f"{CLIENT_ID.prompt} ({_how_to_register(instance, _port(inputs))})")
    client: dict[str, JsonValue] = {"oauth_client_id": (yield from _client(inputs, known, "client_id", ask))}
    secret = yield from _client(inputs, known, "client_secret", CLIENT_SECRET)
    if secret:
        client["oauth_client_secret"] = secret
    login = oauth_login(client, instance, _port(inputs))
    granted = yield from authorize(login, inputs.random_token(), inputs.random_token())
    tokens = yield from exchange(login, granted)
    scopes = text(tokens, "scope").split()
    if scopes and SCOPE not in scopes:
        raise missing_scope(instance, has=" ".join(scopes))
    token = Secret(text(tokens, "access_token"))
    user = yield from _user(instance, token)
    data: dict[str, JsonValue] = {
        "auth_method": "oauth",
        "auth_kind": "oauth",
        **client,
        **oauth_members(tokens, inputs.now()),
    }
    return (yield from _finished(inputs, _Account(instance, token, user, data, is_pat=False)))


def _how_to_register(instance: str, port: int) -> str:
    return (
        f"register one at {instance}/-/user_settings/applications with the redirect URI"
        f" http://localhost:{port}{CALLBACK_PATH} and the scope {SCOPE}"
    )


@define
class _Account:
    """What a login has found out so far."""

    instance: str
    token: Secret
    user: JsonObject
    data: dict[str, JsonValue]
    is_pat: bool = field(kw_only=True)

    @property
    def name(self) -> str:
        """How the owner is called there."""
        found = (text(self.user, key).strip() for key in ("username", "email", "public_email", "name"))
        return next((name for name in found if name), "user")


# --- settings -----------------------------------------------------------------------------------------------


def _setting(inputs: LoginInputs, ask: Ask) -> Flow[str]:
    """Return a setting: as handed in, under any of its names, or by asking."""
    names = (ask.key, *OTHER_KEYS.get(ask.key, ()))
    given = next((value for name in names if (value := inputs.options.get(name, "").strip())), "")
    if given:
        return given
    value = yield ask
    assert isinstance(value, str)
    return value.strip()


def _client(inputs: LoginInputs, known: Mapping[str, str], name: str, ask: Ask) -> Flow[str]:
    """Return a part of the application's identity; a configured application is not asked for."""
    if known.get("client_id") and not any(key in inputs.options for key in (ask.key, *OTHER_KEYS[ask.key])):
        return known.get(name, "").strip()
    return (yield from _setting(inputs, ask))


def _port(inputs: LoginInputs) -> int:
    given = inputs.options.get("oauth-callback-port", "").strip()
    return int(given) if given.isdecimal() and int(given) > 0 else CALLBACK_PORT


# --- who, and with what -------------------------------------------------------------------------------------


def _user(instance: str, token: Secret) -> Flow[JsonObject]:
    answer = yield Send(api_call(instance, "/user", token, method="GET"))
    user = body_of(answer)
    if not answer.is_success or not (text(user, "username") or "id" in user):
        raise account_error(answer, instance)
    return user


def _token_facts(instance: str, token: Secret) -> Flow[dict[str, JsonValue]]:
    """Look at a personal token: its scopes decide. An instance that does not tell is not held against it."""
    answer = yield Send(api_call(instance, "/personal_access_tokens/self", token, method="GET"))
    if not answer.is_success:
        yield Note(f"The scopes of the token cannot be looked at ({reason_of(answer)}); going on without.")
        return {}
    facts = body_of(answer)
    if flag(facts, "active") is False or flag(facts, "revoked") is True:
        raise LoginError(
            f"the token has ended on {instance}",
            code="expired",
            hint=f"Create a new one at {token_page(instance)}",
        )
    scopes = strings(facts, "scopes")
    if scopes and SCOPE not in scopes:
        raise missing_scope(instance, has=" ".join(scopes))
    members: dict[str, JsonValue] = {"pat_scopes": list[JsonValue](scopes)} if scopes else {}
    if text(facts, "name"):
        members["pat_name"] = text(facts, "name")
    if text(facts, "expires_at"):
        members["pat_expires_at"] = text(facts, "expires_at")
        yield Note(f"The token expires on {text(facts, 'expires_at')}.")
    return members


# --- what it opens ------------------------------------------------------------------------------------------


def _finished(inputs: LoginInputs, account: _Account) -> Flow[LoginResult]:
    """Find out what the account can do, and write it all down."""
    instance, token = account.instance, account.token
    tiers = yield from find_tiers(instance, token)
    if not tiers.has_gateway:
        yield from find_text_endpoints(tiers, instance, token)
    data: dict[str, JsonValue] = {
        "type": "gitlab",
        "base_url": instance,
        **account.data,
        "label": f"{account.name} (PAT)" if account.is_pat else account.name,
        **{key: value for key in ("username", "email", "name") if (value := text(account.user, key))},
        "last_refresh": rfc3339(inputs.now()),
        "refresh_interval_seconds": REFRESH_INTERVAL_S,
        **(gateway_members(tiers.gateway) if tiers.gateway is not None else {}),
    }
    if "email" not in data and text(account.user, "public_email"):
        data["email"] = text(account.user, "public_email")
    if not tiers.has_gateway:
        data[DISCOVERED] = []
    elif found := (yield from ask_for_models(instance, token)).found:
        data[DISCOVERED] = list(dict.fromkeys(model.name for model in found))
    return LoginResult(
        file_name=gitlab_file_name(instance, account.name, is_pat=account.is_pat),
        data=data,
        label=text(data, "label"),
        notes=tuple(_notes(tiers, data)),
    )


def _notes(tiers: Tiers, data: Mapping[str, JsonValue]) -> Iterator[str]:
    """Say which ways there are, what the stable name stands for, and why other ways are not there."""
    if tiers.has_gateway:
        first = next((found.name for found in named_in(data) if found.proxy is not None), DEFAULT_MODEL)
        yield f"Open to this account: {' and '.join(tiers.open)}."
        yield f"The model name {ALIAS} stands for {first} at present."
    else:
        yield f"Open to this account: only {REST_WHAT} ({REST_MEANS})."
    for error in tiers.missing.values():
        yield f"Not open: {error.explained}"
