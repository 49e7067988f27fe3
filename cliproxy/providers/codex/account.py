"""A ChatGPT account: what its tokens say about it, how it stands in a file, how it is renewed.

A login brings three tokens. The ID token says who it is: the e-mail address, and below one long claim the
account (a person has one for each workspace) and its plan. The access token says much of the same, and when
it ends. Nobody checks signatures here, because the tokens came from their issuer over TLS and nothing is
granted on the strength of what they say.

The file is that of the reference server: ``id_token``, ``access_token``, ``refresh_token``, ``account_id``,
``email``, ``expired``, ``last_refresh``. Its name has a hash of the account in it, so that one address in two
workspaces makes two files.

Refresh tokens rotate, and one that was used before ends the login: ``refresh_token_reused``.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.errors import LoginError
from cliproxy.login import account
from cliproxy.login.account import claims_of
from cliproxy.login.code import CodeLogin
from cliproxy.login.steps import Flow
from cliproxy.providers.base import LoginResult
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, integer, text

KEY: Final = "codex"
VENDOR: Final = "OpenAI"
ISSUER: Final = "https://auth.openai.com"
CLIENT_ID: Final = "app_EMoamEEZ73f0CkXaXp7hrann"
"""Of the vendor's own command line; it has no secret."""
RENEWAL_SCOPE: Final = "openid profile email"
LEAD_S: Final = 5 * 24 * 3600.0
ACCOUNT_HEADER: Final = "Chatgpt-Account-Id"

LOGIN: Final = CodeLogin(
    vendor=VENDOR,
    authorize_url=f"{ISSUER}/oauth/authorize",
    token_url=f"{ISSUER}/oauth/token",
    client_id=CLIENT_ID,
    scope="openid profile email offline_access",
    callback_port=1455,
    callback_path="/auth/callback",
    redirect_url="http://localhost:1455/auth/callback",
    extra={"prompt": "login", "id_token_add_organizations": "true", "codex_cli_simplified_flow": "true"},
)

_AUTH_CLAIM: Final = "https://api.openai.com/auth"
_PROFILE_CLAIM: Final = "https://api.openai.com/profile"
_NOT_A_WORD: Final = re.compile(r"[\W_]+")
_HASH_LENGTH: Final = 8

_CATALOGUE_PLANS: Final[Mapping[str, str]] = {
    "free": "free",
    "plus": "plus",
    "pro": "pro",
    "team": "team",
    "business": "team",
    "go": "team",
}
_WIDEST_PLAN: Final = "pro"
"""For plans nobody has heard of: the backend refuses what an account may not use."""


@frozen(kw_only=True)
class Identity:
    """Whose tokens these are; texts that nobody said are empty."""

    email: str
    account_id: str
    plan: str
    """In the vendor's words."""


def identity_of(tokens: Mapping[str, JsonValue]) -> Identity:
    """Return whose tokens these are, from a token answer or a credential file."""
    claims = [claims_of(text(tokens, name)) for name in ("id_token", "access_token")]
    inner = [child(said, _AUTH_CLAIM) for said in claims]
    emails = [text(tokens, "email"), *(text(said, "email") for said in claims)]
    emails += [text(child(said, _PROFILE_CLAIM), "email") for said in claims]
    accounts = [text(tokens, "account_id"), *(text(said, "chatgpt_account_id") for said in inner)]
    return Identity(
        email=_first(emails),
        account_id=_first(accounts),
        plan=_first([text(said, "chatgpt_plan_type") for said in inner]),
    )


def _first(found: list[str]) -> str:
    return next((value.strip() for value in found if value.strip()), "")


def plan_of(credential: Credential) -> str:
    """Return the catalogue's name of an account's plan."""
    plan = identity_of(credential.data).plan.lower()
    return _CATALOGUE_PLANS.get(plan, _WIDEST_PLAN)


# --- the file -----------------------------------------------------------------------------------------------


def members(tokens: JsonObject, now: float) -> dict[str, JsonValue]:
    """Return the members of a credential file that a token answer fills."""
    return {**account.members(tokens, now), **_kept(tokens)}


def _kept(tokens: JsonObject) -> dict[str, JsonValue]:
    """Return what the tokens themselves say: whose they are, and their end where the answer names none."""
    known = identity_of(tokens)
    said: dict[str, JsonValue] = {"account_id": known.account_id, "email": known.email}
    end = _end_of(tokens)
    if end is None or integer(tokens, "expires_in"):
        return said
    return {**said, "expired": rfc3339(end)}


def _end_of(tokens: Mapping[str, JsonValue]) -> float | None:
    return unix_time(claims_of(text(tokens, "access_token")).get("exp"))


def result_of(tokens: JsonObject, now: float) -> LoginResult:
    """Make the credential file of a login."""
    known = identity_of(tokens)
    if not known.email:
        raise LoginError(
            f"{VENDOR} did not say whose account this is",
            code="bad_answer",
            hint="The account needs an e-mail address.",
        )
    return LoginResult(
        file_name=name_of(known), data={"type": KEY, **members(tokens, now)}, label=known.email
    )


def name_of(known: Identity) -> str:
    """Name the file of an account: ``codex-<hash>-<e-mail>[-<plan>].json``."""
    digest = hashlib.sha256(known.account_id.encode()).hexdigest()[:_HASH_LENGTH]
    plan = "-".join(filter(None, _NOT_A_WORD.split(known.plan.lower())))
    return file_name(KEY, digest if known.account_id else "", known.email, plan)


# --- the token ----------------------------------------------------------------------------------------------


def initial(credential: Credential) -> Token | None:
    """Return the token of the file, with the account it is for."""
    token = account.initial(credential)
    if token is None:
        return None
    end = token.expires_at if token.expires_at is not None else _end_of(credential.data)
    return evolve(token, expires_at=end, headers=_headers(credential.data))


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token. The account stays the one chosen at the login, whatever the new tokens say."""
    chosen_id = identity_of(credential.data).account_id
    chosen: dict[str, JsonValue] = {"account_id": chosen_id} if chosen_id else {}
    token, answer = yield from account.renewed(
        LOGIN, credential, {"scope": RENEWAL_SCOPE}, lambda tokens: {**_kept(tokens), **chosen}
    )
    end = token.expires_at if token.expires_at is not None else _end_of(answer)
    return evolve(token, expires_at=end, headers=_headers({**answer, **chosen}))


def _headers(tokens: Mapping[str, JsonValue]) -> dict[str, str]:
    chosen = identity_of(tokens).account_id
    return {ACCOUNT_HEADER: chosen} if chosen else {}
