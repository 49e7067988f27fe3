"""The two logins: with an OAuth application, and with a personal access token.

Both end alike. ``/user`` says whose the token is; then the account's ways to a model are tried in order of
preference. The login succeeds when one of them is there: an account that has only GitLab's own text endpoints
is a working account with a restriction, and the result says so. It fails when there is none, and says for
each one why.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import define, field

from cliproxy.credentials.model import Token
from cliproxy.credentials.naming import gitlab_file_name
from cliproxy.credentials.times import rfc3339
from cliproxy.errors import LoginError
from cliproxy.login.code import authorize, exchange
from cliproxy.login.steps import Ask, Flow, Note, Send
from cliproxy.providers.base import LoginInputs, LoginResult
from cliproxy.providers.gitlab.access import (
    AGENT_WHAT,
    CALLBACK_PORT,
    GATEWAY_WHAT,
    ask_agent_platform,
    ask_gateway,
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
    body_of,
    duo_error,
    missing_scope,
    normal_url,
    reason_of,
)
from cliproxy.wire.jsontext import JsonObject, JsonValue, flag, strings, text
from cliproxy.wire.secret import Secret

REST_WHAT: Final = "GitLab's text endpoints"
REFRESH_INTERVAL_S: Final = 240
"""Written for other programs that read the file; ours goes by the tokens' ends."""
_PROBE: Final[JsonObject] = {
    "current_file": {
        "file_name": "probe.py",
        "content_above_cursor": "def add(a, b):\n    ",
        "content_below_cursor": "",
    },
    "intent": "completion",
    "stream": False,
}

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
    token = Secret((yield from _setting(inputs, PERSONAL_TOKEN)))
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
    known = inputs.oauth_clients.get("gitlab", {})
    client: dict[str, JsonValue] = {
        "oauth_client_id": (yield from _client(inputs, known, "client_id", CLIENT_ID))
    }
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
            f"the token has ended on {instance}", code="expired", hint=f"Create one with the scope {SCOPE}."
        )
    scopes = strings(facts, "scopes")
    if scopes and SCOPE not in scopes:
        raise missing_scope(instance, has=" ".join(scopes))
    members: dict[str, JsonValue] = {"pat_scopes": list[JsonValue](scopes)} if scopes else {}
    if text(facts, "name"):
        members["pat_name"] = text(facts, "name")
    if text(facts, "expires_at"):
        members["pat_expires_at"] = text(facts, "expires_at")
        yield Note(f"The token ends on {text(facts, 'expires_at')}.")
    return members


# --- what it opens ------------------------------------------------------------------------------------------


@define
class _Tiers:
    """Which ways to a model an account has, and why not the others."""

    missing: list[LoginError] = field(factory=list)
    gateway: Token | None = None
    has_agent: bool = False

    @property
    def has_gateway(self) -> bool:
        """Whether a model gateway is open to the account."""
        return self.has_agent or self.gateway is not None


def _finished(inputs: LoginInputs, account: _Account) -> Flow[LoginResult]:
    """Find out what the account can do, and write it all down."""
    tiers = yield from _tiers(account)
    if not tiers.has_gateway:
        yield from _require_text_endpoints(account, tiers)
    now = inputs.now()
    data: dict[str, JsonValue] = {
        "type": "gitlab",
        "base_url": account.instance,
        **account.data,
        "label": f"{account.name} (PAT)" if account.is_pat else account.name,
        **{key: value for key in ("username", "email", "name") if (value := text(account.user, key))},
        "last_refresh": rfc3339(now),
        "refresh_interval_seconds": REFRESH_INTERVAL_S,
        **(gateway_members(tiers.gateway) if tiers.gateway is not None else {}),
    }
    if "email" not in data and text(account.user, "public_email"):
        data["email"] = text(account.user, "public_email")
    found = yield from ask_for_models(account.instance, account.token)
    if found:
        data["discovered_models"] = [model.name for model in found]
    return LoginResult(
        file_name=gitlab_file_name(account.instance, account.name, is_pat=account.is_pat),
        data=data,
        label=text(data, "label"),
        notes=tuple(_notes(tiers)),
    )


def _tiers(account: _Account) -> Flow[_Tiers]:
    tiers = _Tiers()
    try:
        yield from ask_agent_platform(account.instance, account.token)
        tiers.has_agent = True
    except LoginError as exc:
        tiers.missing.append(_about(exc, AGENT_WHAT))
    try:
        tiers.gateway = yield from ask_gateway(account.instance, account.token)
    except LoginError as exc:
        tiers.missing.append(_about(exc, GATEWAY_WHAT))
    return tiers


def _about(error: LoginError, what: str) -> LoginError:
    """Let a missing scope end the login; any other failure is about one way of access."""
    if error.code == "missing_scope":
        raise error
    if what in error.message:
        return error
    return LoginError(f"{what}: {error.message}", code=error.code, hint=error.hint, status=error.status)


def _require_text_endpoints(account: _Account, tiers: _Tiers) -> Flow[None]:
    """Make sure that at least one of GitLab's text endpoints answers; explain everything when none does."""
    probes: tuple[tuple[str, JsonObject], ...] = (
        ("/code_suggestions/completions", _PROBE),
        ("/chat/completions", {"content": "Say hello.", "with_clean_history": True}),
    )
    for path, body in probes:
        answer = yield Send(api_call(account.instance, path, account.token, body=body))
        if answer.is_success:
            return
        tiers.missing.append(_about(duo_error(answer, account.instance, REST_WHAT), REST_WHAT))
    raise _nothing_works(account.instance, tiers.missing)


def _nothing_works(instance: str, missing: list[LoginError]) -> LoginError:
    reasons = "; ".join(dict.fromkeys(error.message for error in missing))
    passing = {"unavailable", "unreachable", "timeout", "rate_limited"}
    if any(error.code in passing for error in missing):
        return LoginError(
            f"GitLab Duo on {instance} does not answer at present: {reasons}",
            code="unreachable",
            status=missing[-1].status,
            hint="Try again later.",
        )
    return LoginError(
        f"the account can sign in to {instance}, but has no way to GitLab Duo: {reasons}",
        code="no_seat",
        status=missing[-1].status,
        hint="It needs a GitLab Duo seat, and Duo switched on for the instance or group.",
    )


def _notes(tiers: _Tiers) -> list[str]:
    """Say what the owner should know about an account that works."""
    said: Callable[[LoginError], str] = lambda error: f"{error.message}. {error.hint}".strip()  # noqa: E731
    notes = [f"Not available: {said(error)}" for error in tiers.missing]
    if not tiers.has_gateway:
        notes.append(
            "Only GitLab's text endpoints can be used: no tools, no images, and GitLab chooses the model."
        )
    return notes
