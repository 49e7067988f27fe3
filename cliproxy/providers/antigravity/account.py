"""The account: login in the browser, its project, its tokens.

A credential file, as other programs write it too::

    {"type": "antigravity", "access_token": "…", "refresh_token": "…", "expires_in": 3599,
     "timestamp": 1790000000000, "expired": "2026-…Z", "email": "…", "project_id": "…"}

``timestamp`` says in milliseconds when the tokens were issued; it counts where ``expired`` is missing.

Every request names a project. Google keeps one for each account: ``loadCodeAssist`` tells it, ``onboardUser``
makes it. A file that names none counts as one without an access token, so that the renewal on first use finds
the project and writes it down. Google's refresh tokens do not rotate.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.credentials.times import rfc3339
from cliproxy.login import account
from cliproxy.login.clients import ClientSource, Installed, OAuthClient
from cliproxy.login.code import CodeLogin, expires_at, refresh
from cliproxy.login.steps import Flow, Now, Pause, Persist, UseClient
from cliproxy.providers.base import LoginInputs, LoginResult, SlotPolicy
from cliproxy.providers.gemini_cli.setup import (
    code_assist,
    default_tier,
    needs_project,
    project_in,
)
from cliproxy.providers.gemini_cli.tokens import TOKEN_URL, VENDOR, log_in_to_google
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, flag, number, text
from cliproxy.wire.secret import Secret

KEY: Final = "antigravity"
DAILY_URL: Final = "https://daily-cloudcode-pa.googleapis.com"
CALLBACK_PORT: Final = 51121
PROJECT_MEMBER: Final = "project_id"
METADATA: Final[JsonObject] = {"ideType": "ANTIGRAVITY"}
FREE_TIER: Final = "free-tier"
TRIES: Final = 5
TRY_EVERY_S: Final = 2.0
_SCOPE: Final = "https://www.googleapis.com/auth/"
_ID: Final = "1071006060591-tmhssin2h21lcre235vtolojh4g403ep.apps.googleusercontent.com"
_HINT: Final = "Log in to Antigravity itself once with this account, then here again: -antigravity-login."

APPLICATION: Final = ClientSource(
    name=KEY,
    vendor="Antigravity",
    id=_ID,
    id_variable="ANTIGRAVITY_OAUTH_CLIENT_ID",
    secret_variable="ANTIGRAVITY_OAUTH_CLIENT_SECRET",
    needs_secret=True,
    installed=Installed(
        program=KEY,
        files=("out/*.js", "out/*/*.js", "resources/app/out/*.js", "resources/app/out/*/*.js"),
        # The application has more than one client; the secret that follows this one's id is its own.
        secret=_ID.replace(".", r"\.") + r"""["'][^<>]{1,200}?["'](GOCSPX-[\w-]{20,60})["']""",
    ),
)
LOGIN: Final = CodeLogin(
    vendor=VENDOR,
    authorize_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url=TOKEN_URL,
    client_id=APPLICATION.id,
    scope=" ".join(
        f"{_SCOPE}{name}"
        for name in ("cloud-platform", "userinfo.email", "userinfo.profile", "cclog", "experimentsandconfigs")
    ),
    callback_port=CALLBACK_PORT,
    callback_path="/oauth-callback",
    # Without these Google sends no refresh token to an application that was agreed to before.
    extra={"access_type": "offline", "prompt": "consent"},
    uses_pkce=False,
)


# --- login --------------------------------------------------------------------------------------------------


def log_in(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with the browser and find the account's project."""
    login = yield from _login()
    granted = yield from log_in_to_google(login, inputs)
    project = yield from find_project(granted.access)
    data: dict[str, JsonValue] = {
        "type": KEY,
        **_members(granted.tokens, inputs.now()),
        "email": granted.email,
        PROJECT_MEMBER: project,
    }
    return LoginResult(
        file_name=file_name(KEY, granted.email),
        data=data,
        label=granted.email or project,
        notes=(f"Project: {project}.",),
    )


def _login() -> Flow[CodeLogin]:
    client = yield UseClient(APPLICATION)
    assert isinstance(client, OAuthClient)
    return evolve(LOGIN, client_id=client.id, client_secret=client.secret)


def _members(tokens: JsonObject, now: float) -> JsonObject:
    """Return the members of a file that a token answer fills."""
    end = expires_at(tokens, now)
    # A renewal brings no refresh token, and must not take away the one there is.
    return {
        **{name: text(tokens, name) for name in ("access_token", "refresh_token") if text(tokens, name)},
        "expires_in": tokens.get("expires_in"),
        "timestamp": int(now * 1000),
        "expired": rfc3339(end) if end is not None else "",
    }


def find_project(access: Secret) -> Flow[str]:
    """Return the project that Google keeps for an account, made if there is none yet. Raises
    :class:`~cliproxy.errors.LoginError`."""
    loaded = yield from code_assist(access, "loadCodeAssist", {"metadata": METADATA})
    project = _project_in(loaded)
    if project:
        return project
    tier = default_tier(loaded, text(child(loaded, "currentTier"), "id") or FREE_TIER)
    for number_of_try in range(TRIES):
        if number_of_try:
            yield Pause(TRY_EVERY_S)
        asked: JsonObject = {"tier_id": tier, "metadata": METADATA}
        answer = yield from code_assist(access, "onboardUser", asked, DAILY_URL)
        if flag(answer, "done"):
            project = _project_in(child(answer, "response"))
            break
    if not project:
        raise needs_project(loaded, _HINT)
    return project


def _project_in(body: JsonObject) -> str:
    return project_in(body) or (text(body, "projectId") or text(body, "project")).strip()


# --- tokens -------------------------------------------------------------------------------------------------


def initial(credential: Credential) -> Token | None:
    """Return the access token of the file, if it is of use: with a project."""
    if not text(credential.data, PROJECT_MEMBER).strip():
        return None
    token = account.initial(credential)
    if token is None or token.expires_at is not None:
        return token
    issued, life = number(dict(credential.data), "timestamp"), number(dict(credential.data), "expires_in")
    return token if issued is None or life is None else evolve(token, expires_at=issued / 1000 + life)


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token, and find the project where the file names none."""
    refresh_token = account.refresh_token_of(credential)
    login = yield from _login()
    tokens = yield from refresh(login, refresh_token)
    now = yield Now()
    yield Persist(patch=_members(tokens, now))
    token = Token(value=Secret(text(tokens, "access_token")), expires_at=expires_at(tokens, now))
    if text(credential.data, PROJECT_MEMBER).strip():
        return token
    project = yield from find_project(token.value)
    yield Persist(patch={PROJECT_MEMBER: project})
    return evolve(token, data={PROJECT_MEMBER: project})


SLOTS: Final = {TokenSlot.ACCOUNT: SlotPolicy(initial=initial, renew=renew)}
