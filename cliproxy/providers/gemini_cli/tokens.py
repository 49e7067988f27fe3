"""The Google login of the Gemini CLI, and its tokens in a credential file.

A file keeps them in an object ``token``, together with the application they were issued to: a refresh token
is of no use under another. Files of other programs may have the tokens at the top level; what stands in the
object counts, the top level fills its blanks. Renewals always write the object.

Google's refresh tokens do not rotate, and a renewal does not repeat them.

Files that name no project are not usable as they are. Such a file counts as one without an access token, so
that the renewal on first use finds the project Google keeps for the account, and writes it down.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, field, frozen

from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.errors import LoginError
from cliproxy.login.clients import ClientSource, Installed, OAuthClient
from cliproxy.login.code import CodeLogin, authorize, exchange, expires_at, refresh
from cliproxy.login.steps import Flow, Note, Now, Persist, UseClient
from cliproxy.providers.base import LoginInputs, SlotPolicy
from cliproxy.providers.gemini_cli.setup import email_of, own_project
from cliproxy.wire.jsontext import JsonObject, JsonValue, child, text
from cliproxy.wire.secret import Secret

FILE_TYPE: Final = "gemini"
PROJECT_MEMBER: Final = "project_id"
VENDOR: Final = "Google"
TOKEN_URL: Final = "https://oauth2.googleapis.com/token"
CALLBACK_PORT: Final = 8085
SCOPES: Final = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/userinfo.profile",
)
APPLICATION: Final = ClientSource(
    name="gemini",
    vendor=VENDOR,
    id="681255809395-oo8ft2oprdrnp9e3aqf6av3hmdib135j.apps.googleusercontent.com",
    id_variable="GEMINI_OAUTH_CLIENT_ID",
    secret_variable="GEMINI_OAUTH_CLIENT_SECRET",
    needs_secret=True,
    installed=Installed(
        program="gemini",
        files=(
            "bundle/*.js",
            "dist/src/code_assist/oauth2.js",
            "node_modules/@google/gemini-cli*/**/oauth2.js",
        ),
        secret=r"""OAUTH_CLIENT_SECRET\s*=\s*["']([\w-]{8,80})["']""",
    ),
)
LOGIN: Final = CodeLogin(
    vendor=VENDOR,
    authorize_url="https://accounts.google.com/o/oauth2/auth",
    token_url=TOKEN_URL,
    client_id=APPLICATION.id,
    scope=" ".join(SCOPES),
    callback_port=CALLBACK_PORT,
    callback_path="/oauth2callback",
    # Without these Google sends no refresh token to an application that was agreed to before.
    extra={"access_type": "offline", "prompt": "consent"},
    uses_pkce=False,
)
_TOP_LEVEL: Final = ("access_token", "refresh_token", "token_type", "expiry", "client_id", "client_secret")


@frozen(kw_only=True)
class Granted:
    """What a login in the browser brought."""

    tokens: JsonObject = field(repr=False)
    access: Secret
    email: str
    """Empty when Google does not say whose the account is."""


def log_in_to_google(login: CodeLogin, inputs: LoginInputs) -> Flow[Granted]:
    """Log in with the browser, under whichever of Google's applications. Raises
    :class:`~cliproxy.errors.LoginError`, also where the login could not be renewed."""
    code = yield from authorize(login, inputs.random_token(), inputs.random_token())
    tokens = yield from exchange(login, code)
    if not text(tokens, "refresh_token"):
        raise LoginError(
            f"{VENDOR} sent no refresh token",
            code="bad_answer",
            hint="Remove its access at https://myaccount.google.com/connections, then log in again.",
        )
    access = Secret(text(tokens, "access_token"))
    email = yield from email_of(access)
    if not email:
        yield Note(f"{VENDOR} does not say whose account this is; its file goes without an address.")
    return Granted(tokens=tokens, access=access, email=email)


def with_application(client: OAuthClient) -> CodeLogin:
    """Return the login under an application."""
    return evolve(LOGIN, client_id=client.id, client_secret=client.secret)


def token_object(tokens: JsonObject, client: OAuthClient, now: float) -> JsonObject:
    """Return the object ``token`` of a file after a login."""
    end = expires_at(tokens, now)
    return {
        "access_token": text(tokens, "access_token"),
        "token_type": text(tokens, "token_type") or "Bearer",
        "refresh_token": text(tokens, "refresh_token"),
        "expiry": rfc3339(end) if end is not None else "",
        "token_uri": TOKEN_URL,
        "client_id": client.id,
        "client_secret": client.secret.reveal() if client.secret else "",
        "scopes": [*SCOPES],
        "universe_domain": "googleapis.com",
    }


def token_of(data: Mapping[str, JsonValue]) -> JsonObject:
    """Return the object ``token`` of a file, its blanks filled from the top level."""
    own = child(data, "token")
    fillers: JsonObject = {name: data[name] for name in _TOP_LEVEL if data.get(name) and not own.get(name)}
    return {**own, **fillers}


def initial(credential: Credential) -> Token | None:
    """Return the access token of the file; without a time of its end it counts as good."""
    own = token_of(credential.data)
    access = text(own, "access_token")
    if not access or not projects_of(credential.data):
        return None
    return Token(value=Secret(access), expires_at=unix_time(own.get("expiry")))


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token, under the application of the file if it names one."""
    own = token_of(credential.data)
    refresh_token = text(own, "refresh_token")
    if not refresh_token:
        raise LoginError("the credential holds no refresh token", code="not_renewable", hint="Log in again.")
    client = application_of(own)
    if client is None:
        client = yield UseClient(APPLICATION)
        assert isinstance(client, OAuthClient)
    tokens = yield from refresh(with_application(client), Secret(refresh_token))
    now = yield Now()
    end = expires_at(tokens, now)
    access = text(tokens, "access_token")
    news: JsonObject = {
        "access_token": access,
        "token_type": text(tokens, "token_type") or "Bearer",
        "refresh_token": text(tokens, "refresh_token") or refresh_token,
        "expiry": rfc3339(end) if end is not None else "",
    }
    # Whole, because the members of a patch replace those of the file as it is in memory.
    yield Persist(patch={"token": {**own, **news}})
    token = Token(value=Secret(access), expires_at=end)
    if projects_of(credential.data):
        return token
    project = yield from own_project(token.value)
    yield Persist(patch={PROJECT_MEMBER: project})
    return evolve(token, data={PROJECT_MEMBER: project})


def projects_of(data: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """Return the projects that a file names."""
    written = text(data, PROJECT_MEMBER).split(",")
    return tuple(dict.fromkeys(part.strip() for part in written if part.strip()))


def application_of(own: JsonObject) -> OAuthClient | None:
    """Return the application a token was issued to; ``None`` where its file does not say."""
    client_id, secret = text(own, "client_id"), text(own, "client_secret")
    return OAuthClient(id=client_id, secret=Secret(secret)) if client_id and secret else None


SLOTS: Final = {TokenSlot.ACCOUNT: SlotPolicy(initial=initial, renew=renew)}
