"""A Claude account: the login in the browser, the file, the renewal.

The token endpoint takes JSON and wants the state of the login a second time. Its answer says whose account it
is; the profile is asked for what is missing there. Nothing depends on the profile but names, so a profile
that does not come is no failure.

The file is that of the reference server: ``access_token``, ``refresh_token``, ``email``, ``expired``,
``last_refresh``, and since its newest generation ``account_uuid``, ``organization_uuid`` and
``organization_name``. The scope is kept besides, because a renewal may ask for no more than was granted.

Refresh tokens rotate. The endpoint limits how often it may be asked; the pause it names is kept.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.errors import LoginError
from cliproxy.login import account
from cliproxy.login.code import CodeLogin, Granted, authorize, exchange, get
from cliproxy.login.steps import Ask, Flow, Persist, Send
from cliproxy.providers.base import Import, LoginInputs, LoginResult
from cliproxy.providers.claude.contracts import BASE_URL, KEY
from cliproxy.wire.http import HttpAnswer, Limits
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, child, loads_object, strings, text
from cliproxy.wire.secret import Secret

VENDOR: Final = "Claude"
PROFILE_URL: Final = f"{BASE_URL}/api/oauth/profile"
PROFILE_LIMITS: Final = Limits(connect=5.0, first_byte=5.0, idle=5.0, total=5.0)
LEAD_S: Final = 4 * 3600.0

LOGIN: Final = CodeLogin(
    vendor=VENDOR,
    authorize_url="https://claude.ai/oauth/authorize",
    token_url="https://platform.claude.com/v1/oauth/token",
    # Of the vendor's own command line; it has no secret.
    client_id="9d1c250a-e61b-44d9-88ed-5944d1962f5e",
    scope="user:profile user:inference user:sessions:claude_code user:mcp_servers user:file_upload",
    callback_port=54545,
    redirect_url="http://localhost:54545/callback",
    extra={"code": "true"},
    is_json=True,
    sends_state=True,
)
NAME: Final = Ask(key="email", prompt="E-mail address or other name for this account", default="claude-code")


# --- login --------------------------------------------------------------------------------------------------


def browser_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in through the browser. The vendor accepts one redirect address, so a listener that was moved to
    another port needs a forwarded one, or a pasted address."""
    granted = yield from authorize(LOGIN, inputs.random_token(), inputs.random_token())
    tokens = yield from exchange(LOGIN, _without_state(granted))
    known = yield from _identity(tokens)
    email = text(known, "email")
    if not email:
        raise LoginError(
            f"{VENDOR} did not say whose account this is",
            code="bad_answer",
            hint="The account needs an e-mail address.",
        )
    asked: JsonObject = {"scope": LOGIN.scope, **tokens}
    data = {"type": KEY, **account.members(asked, inputs.now()), **known}
    return LoginResult(file_name=file_name(KEY, email), data=data, label=email)


def _without_state(granted: Granted) -> Granted:
    """Take off the state that the vendor appends to its codes, ``code#state``."""
    code, mark, state = granted.code.reveal().partition("#")
    return evolve(granted, code=Secret(code), state=state or granted.state) if mark else granted


def _identity(tokens: JsonObject) -> Flow[dict[str, JsonValue]]:
    """Return whose tokens these are, as members of the file; those that nobody knows are left out."""
    said = _members_of(tokens)
    if "email" in said and "account_uuid" in said:
        return said
    return {**(yield from _profile(text(tokens, "access_token"))), **said}


def _profile(access_token: str) -> Flow[dict[str, JsonValue]]:
    """Ask whose token it is; empty when there is no answer."""
    call = get(PROFILE_URL, {"Authorization": f"Bearer {access_token}"})
    try:
        answer = yield Send(evolve(call, limits=PROFILE_LIMITS))
        assert isinstance(answer, HttpAnswer)
        return _members_of(loads_object(answer.body)) if answer.is_success else {}
    except (LoginError, JsonError):
        return {}


def _members_of(answer: JsonObject) -> dict[str, JsonValue]:
    """Return what an answer of the token endpoint or a profile says about its owner."""
    person, organization = child(answer, "account"), child(answer, "organization")
    said = {
        "email": text(person, "email_address") or text(person, "email"),
        "account_uuid": text(person, "uuid"),
        "organization_uuid": text(organization, "uuid"),
        "organization_name": text(organization, "name"),
    }
    return {name: value for name, value in said.items() if value}


# --- renewal ------------------------------------------------------------------------------------------------


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token; an account that was never named is named on this occasion."""
    scope = text(credential.data, "scope")
    token, answer = yield from account.renewed(
        LOGIN, credential, {"scope": scope} if scope else None, _members_of
    )
    if not text(credential.data, "account_uuid") and not _members_of(answer):
        known = yield from _profile(token.value.reveal())
        if known:
            yield Persist(patch=known)
    return token


# --- taken over ---------------------------------------------------------------------------------------------


def take_over(document: JsonObject, _inputs: LoginInputs) -> Flow[LoginResult]:
    """Make a credential file of the command line's ``.credentials.json``, which does not say whose it is."""
    tokens = child(document, "claudeAiOauth")
    access = text(tokens, "accessToken")
    if not access and not text(tokens, "refreshToken"):
        raise LoginError(
            "the file holds no account", code="nothing_to_import", hint="Log in with -claude-login."
        )
    end = unix_time(tokens.get("expiresAt"))
    known = yield from _profile(access)
    name = text(known, "email") or (yield NAME)
    data: dict[str, JsonValue] = {
        "type": KEY,
        "access_token": access,
        "refresh_token": text(tokens, "refreshToken"),
        "scope": " ".join(strings(tokens, "scopes")),
        "expired": rfc3339(end) if end is not None else "",
        "email": name,
        **known,
    }
    return LoginResult(file_name=file_name(KEY, name), data=data, label=name)


IMPORT: Final = Import(
    program="Claude Code",
    home="CLAUDE_CONFIG_DIR",
    directory=".claude",
    file=".credentials.json",
    flow=take_over,
)
