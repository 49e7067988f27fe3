"""xAI: Grok with an account of x.ai, or with a key of its API.

The wire, in short::

    GET auth.x.ai/.well-known/openid-configuration     where codes and tokens are asked for
    POST {device_authorization_endpoint}               form → a code to enter in the browser
    POST {token_endpoint}                              form: polls and renewals; refresh tokens rotate

    POST {base}/responses                              dialect xai
    Authorization: Bearer {access token or key}
    x-grok-conv-id                                     names the conversation: prompts are cached by it

A key is used at ``api.x.ai``. An account is used at the proxy of the vendor's command line, where its plan
counts, unless its file says ``"using_api": true`` or names an address of the owner's own; that proxy wants
headers that say which kind of token comes and from which program.

Where tokens are asked for is the vendor's word, but only hosts below ``x.ai`` are believed, in the discovery
document and in the file.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve, frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.config.sections import Section
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, CredentialKind, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.dialects.base import Action
from cliproxy.errors import Failure, Kind, LoginError, Scope
from cliproxy.login import account
from cliproxy.login.code import CodeLogin, body_of, get
from cliproxy.login.device import DeviceLogin, log_in
from cliproxy.login.steps import Flow, Send
from cliproxy.providers.base import Call, Contract, Login, LoginInputs, LoginResult, Provider, SlotPolicy
from cliproxy.providers.chat import ChatContract
from cliproxy.wire.http import Headers, HttpAnswer
from cliproxy.wire.jsontext import (
    Document,
    JsonObject,
    JsonValue,
    flag,
    number,
    text,
)

KEY: Final = "xai"
VENDOR: Final = "xAI"
DOMAIN: Final = "x.ai"
DISCOVERY: Final = "https://auth.x.ai/.well-known/openid-configuration"
API: Final = "https://api.x.ai/v1"
CLI_PROXY: Final = "https://cli-chat-proxy.grok.com/v1"
CLIENT_ID: Final = "b1a00492-073a-47ea-816f-4c329264a828"
"""Of the vendor's own command line; it has no secret."""
SCOPE: Final = "openid profile email offline_access grok-cli:access api:access"
LONGEST_WAIT_S: Final = 1800.0
LEAD_S: Final = 300.0
USED_UP_S: Final = 24 * 3600.0
"""How long the free usage of an account stays used up."""
CLI_HEADERS: Final[Mapping[str, str]] = {
    "X-XAI-Token-Auth": "xai-grok-cli",
    "x-grok-client-version": "0.2.120",
    "x-grok-client-identifier": "grok-shell",
    "x-authenticateresponse": "authenticate-response",
}
"""What the proxy of the command line asks for; the owner may say something else for a credential."""
_CACHE_KEY: Final = "prompt_cache_key"
_SESSIONS: Final = ("x-grok-conv-id", "session-id", "session_id", "x-claude-code-session-id")
"""Headers in which clients name their conversation."""
_LONGEST_NAME: Final = 256
_BAD_TOKEN: Final = "bad credentials"
_FREE_USED_UP: Final = "free usage exhausted"


# --- login --------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Endpoints:
    """Where the vendor hands out codes and tokens."""

    device: str
    tokens: str


def find_endpoints() -> Flow[Endpoints]:
    """Ask the vendor where to log in. Raises :class:`~cliproxy.errors.LoginError` for a strange place."""
    answer = yield Send(get(DISCOVERY))
    assert isinstance(answer, HttpAnswer)
    body = body_of(answer) if answer.is_success else {}
    found = Endpoints(device=text(body, "device_authorization_endpoint"), tokens=text(body, "token_endpoint"))
    if not is_vendors(found.device) or not is_vendors(found.tokens):
        raise LoginError(
            f"{VENDOR} does not say where to log in",
            code="bad_answer" if answer.is_success else "unreachable",
            status=answer.status,
        )
    return found


def is_vendors(url: str) -> bool:
    """Tell whether an address belongs to the vendor, so that tokens may be sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return parts.scheme == "https" and not parts.username and f".{host}".endswith(f".{DOMAIN}")


def device_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with a code that the owner enters in the browser."""
    found = yield from find_endpoints()
    login = DeviceLogin(
        vendor=VENDOR,
        device_url=found.device,
        token_url=found.tokens,
        client_id=CLIENT_ID,
        scope=SCOPE,
        longest_wait_s=LONGEST_WAIT_S,
    )
    tokens = yield from log_in(login, inputs.random_token())
    now = inputs.now()
    owner = identity(tokens)
    name = owner["email"] or owner["sub"] or str(int(now * 1000))
    data: dict[str, JsonValue] = {
        "type": KEY,
        **account.members(tokens, now),
        "expires_in": number(tokens, "expires_in"),
        **owner,
        "base_url": API,
        "token_endpoint": found.tokens,
        "auth_kind": "oauth",
    }
    return LoginResult(file_name=file_name(KEY, name), data=data, label=name)


def identity(tokens: JsonObject) -> dict[str, str]:
    """Return what the id token says of its owner; empty texts for what it does not say."""
    claims = account.claims_of(text(tokens, "id_token"))
    return {name: text(claims, name).strip() for name in ("email", "sub")}


def initial(credential: Credential) -> Token | None:
    """Return the key of an entry, or the access token of a file."""
    return Token(value=credential.api_key) if credential.api_key else account.initial(credential)


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token where the file says, or where the vendor does if the file's word is odd."""
    account.refresh_token_of(credential)
    address = text(credential.data, "token_endpoint")
    if not is_vendors(address):
        address = (yield from find_endpoints()).tokens
    login = CodeLogin(
        vendor=VENDOR, authorize_url="", token_url=address, client_id=CLIENT_ID, callback_port=0
    )
    token, _ = yield from account.renewed(login, credential, kept=_kept)
    return token


def _kept(tokens: JsonObject) -> Mapping[str, JsonValue]:
    return {**identity(tokens), "expires_in": number(tokens, "expires_in")}


# --- requests -----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class XaiContract(ChatContract):
    """The Responses endpoint at the address that was chosen for a credential; see :func:`base_of`."""

    def _base(self, _call: Call) -> str:
        return self.base_url


def base_of(credential: Credential) -> str:
    """Return the address to use. The one that every login writes into its file is not the owner's word."""
    own = credential.base_url
    if credential.kind is CredentialKind.KEY or flag(credential.data, "using_api"):
        return own or API
    return own if own and own != API else CLI_PROXY


def _headers(call: Call) -> Mapping[str, str]:
    name = conversation_of(call)
    return {"x-grok-conv-id": name} if name else {}


def _cli_headers(call: Call) -> Mapping[str, str]:
    return {**CLI_HEADERS, **_headers(call)}


def conversation_of(call: Call) -> str:
    """Return what the conversation is called; empty when nobody says, or in words no header can hold."""
    named = next(filter(None, (call.client_headers.get(header, "").strip() for header in _SESSIONS)), "")
    if not named and f'"{_CACHE_KEY}"'.encode() in call.body:
        named = text(Document.parse(call.body).value, _CACHE_KEY)
    fits = named.isascii() and named.isprintable() and len(named) <= _LONGEST_NAME
    return named if fits else ""


def read_failure(status: int, _headers: Headers, body: bytes) -> Failure | None:
    """Recognise a token that is refused as forbidden, and free usage that is used up for a day."""
    said = body[:4096].decode("utf-8", "replace").lower().replace("-", " ").replace("_", " ")
    if status == HTTPStatus.FORBIDDEN and _BAD_TOKEN in said:
        return Failure(
            kind=Kind.AUTHENTICATION,
            scope=Scope.CREDENTIAL,
            message="the access token was refused",
            status=HTTPStatus.UNAUTHORIZED,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS and _FREE_USED_UP in said:
        return Failure(
            kind=Kind.QUOTA,
            scope=Scope.CREDENTIAL,
            message="the free usage of this account is used up",
            status=status,
            retry_after=USED_UP_S,
        )
    return None


RESPONSES: Final = XaiContract(
    id="responses",
    dialect="xai",
    base_url=API,
    path="/responses",
    headers_for=_headers,
    failure_of=read_failure,
)


# --- the record ---------------------------------------------------------------------------------------------


def contracts_for(credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the one endpoint, where the credential is to be used."""
    base = base_of(credential)
    return (evolve(RESPONSES, base_url=base, headers_for=_cli_headers if base == CLI_PROXY else _headers),)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the models of the entry, else the bundled ones."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label=VENDOR,
    contracts_for=contracts_for,
    static_models=static_models,
    slots={TokenSlot.ACCOUNT: SlotPolicy(initial=initial, renew=renew, lead_s=LEAD_S, background=True)},
    logins=(Login(flag="xai-login", summary="xAI account.", flow=device_login),),
    codec=CredentialCodec(
        type=KEY, provider=KEY, tokens=("access_token", "refresh_token"), label_from=("label", "email", "sub")
    ),
    sections=(Section(key="xai-api-key", provider=KEY),),
    api_hosts=("api.x.ai", "cli-chat-proxy.grok.com"),
    summary="Grok models with an account or a key",
)
