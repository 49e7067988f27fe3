"""Qwen: the account of chat.qwen.ai, used as its command line uses it.

The wire, in short::

    POST chat.qwen.ai/api/v1/oauth2/device/code         form, PKCE → a code to enter in the browser
    POST chat.qwen.ai/api/v1/oauth2/token               form: polls and renewals; refresh tokens rotate
    POST https://{resource_url}/v1/chat/completions     resource_url comes with the tokens
    Authorization: Bearer {access token}
    X-Dashscope-Authtype: qwen-oauth                    the service needs it with such tokens

The vendor says nothing about who logged in, so the owner names the account himself. Sixty requests a minute
are allowed; a used-up day is answered with 403 or 429 and ends at midnight in China.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from attrs import evolve

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.dialects.base import Action
from cliproxy.errors import Failure, Kind, LoginError, Scope
from cliproxy.login import account
from cliproxy.login.code import CodeLogin
from cliproxy.login.device import DeviceLogin, log_in
from cliproxy.login.rates import RateRule
from cliproxy.login.steps import Ask, Flow
from cliproxy.providers.base import (
    Call,
    CallLimit,
    Contract,
    Import,
    Login,
    LoginInputs,
    LoginResult,
    Provider,
    SlotPolicy,
)
from cliproxy.providers.chat import ChatContract
from cliproxy.wire.http import Headers, http_date
from cliproxy.wire.jsontext import JsonError, JsonObject, JsonValue, child, loads_object, text

KEY: Final = "qwen"
HOST: Final = "https://chat.qwen.ai"
BASE_URL: Final = "https://portal.qwen.ai/v1"
CLIENT_ID: Final = "f0304373b74a44d2b584a3fb70ca9e56"
"""Of the vendor's own command line; it has no secret."""
TOKEN_URL: Final = f"{HOST}/api/v1/oauth2/token"
LEAD_S: Final = 3 * 3600.0
LIMIT: Final = CallLimit(name="Qwen's requests a minute", rule=RateRule(60, 60.0))
_MIDNIGHT: Final = timezone(timedelta(hours=8))
_USED_UP_CODES: Final = frozenset({"insufficient_quota", "quota_exceeded"})
_USED_UP_WORDS: Final = ("insufficient_quota", "quota exceeded", "free allocated quota exceeded")

DEVICE: Final = DeviceLogin(
    vendor="Qwen",
    device_url=f"{HOST}/api/v1/oauth2/device/code",
    token_url=TOKEN_URL,
    client_id=CLIENT_ID,
    scope="openid profile email model.completion",
    uses_pkce=True,
)
RENEWAL: Final = CodeLogin(
    vendor="Qwen", authorize_url="", token_url=TOKEN_URL, client_id=CLIENT_ID, callback_port=0
)
NAME: Final = Ask(key="email", prompt="E-mail address or other name for this account", env=("QWEN_EMAIL",))


# --- login --------------------------------------------------------------------------------------------------


def device_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with a code that the owner enters in the browser."""
    tokens = yield from log_in(DEVICE, inputs.random_token())
    name = inputs.options.get("alias") or (yield NAME)
    data: dict[str, JsonValue] = {
        "type": KEY,
        **account.members(tokens, inputs.now()),
        "resource_url": text(tokens, "resource_url"),
        "email": name,
    }
    return LoginResult(file_name=file_name(KEY, name), data=data, label=name)


def take_over(document: JsonObject, _inputs: LoginInputs) -> Flow[LoginResult]:
    """Make a credential file of the command line's ``oauth_creds.json``, which does not say whose it is."""
    if not text(document, "access_token") and not text(document, "refresh_token"):
        raise LoginError(
            "the file holds no account", code="nothing_to_import", hint="Log in with -qwen-login."
        )
    end = unix_time(document.get("expiry_date"))
    name = yield evolve(NAME, default="qwen-code")
    kept = ("access_token", "refresh_token", "token_type", "resource_url")
    data: dict[str, JsonValue] = {
        "type": KEY,
        **{member: text(document, member) for member in kept},
        "expired": rfc3339(end) if end is not None else "",
        "email": name,
    }
    return LoginResult(file_name=file_name(KEY, name), data=data, label=name)


IMPORT: Final = Import(program="Qwen Code", directory=".qwen", file="oauth_creds.json", flow=take_over)


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token; the service may move the account to another address."""
    token, answer = yield from account.renewed(
        RENEWAL, credential, kept=lambda tokens: {"resource_url": text(tokens, "resource_url")}
    )
    return evolve(token, base_url=base_from(text(answer, "resource_url")))


def initial(credential: Credential) -> Token | None:
    """Return the token of the file, with the address it is for."""
    token = account.initial(credential)
    if token is None:
        return None
    return evolve(token, base_url=base_from(text(credential.data, "resource_url")))


def base_from(resource_url: str) -> str:
    """Return the API's address out of what the vendor calls the resource; empty when it names none."""
    named = resource_url.strip().rstrip("/")
    if not named:
        return ""
    address = named if "://" in named else f"https://{named}"
    return address if urlsplit(address).path.endswith("/v1") else f"{address}/v1"


# --- requests -----------------------------------------------------------------------------------------------


def _headers(_call: Call) -> Mapping[str, str]:
    return {"X-Dashscope-Authtype": "qwen-oauth", "X-Dashscope-Cachecontrol": "enable"}


def read_failure(status: int, headers: Headers, body: bytes) -> Failure | None:
    """Recognise a used-up day, which the service also reports as a lack of permission."""
    if status not in (HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS):
        return None
    try:
        error = child(loads_object(body), "error")
    except JsonError:
        return None
    message = text(error, "message")
    codes = {text(error, "code").lower(), text(error, "type").lower()}
    if not codes & _USED_UP_CODES and not any(words in message.lower() for words in _USED_UP_WORDS):
        return None
    return Failure(
        kind=Kind.QUOTA,
        scope=Scope.CREDENTIAL,
        message=message or "the quota is used up",
        status=HTTPStatus.TOO_MANY_REQUESTS,
        retry_after=_until_midnight(headers),
        code=text(error, "code") or None,
    )


def _until_midnight(headers: Headers) -> float | None:
    """Return the seconds to the end of the day in China, by the answer's own clock."""
    now = http_date(headers.get("date"))
    if now is None:
        return None
    here = datetime.fromtimestamp(now, UTC).astimezone(_MIDNIGHT)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - here).total_seconds()


CHAT: Final = ChatContract(base_url=BASE_URL, headers_for=_headers, failure_of=read_failure)


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the one way there is."""
    return (CHAT,)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the bundled models; the service has no list."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label="Qwen",
    contracts_for=contracts_for,
    static_models=static_models,
    slots={TokenSlot.ACCOUNT: SlotPolicy(initial=initial, renew=renew, lead_s=LEAD_S, background=True)},
    limits={CHAT.id: LIMIT},
    logins=(Login(flag="qwen-login", summary="Qwen account.", flow=device_login),),
    imports=(IMPORT,),
    codec=CredentialCodec(type=KEY, provider=KEY, tokens=("access_token", "refresh_token")),
    api_hosts=("chat.qwen.ai", "portal.qwen.ai"),
    summary="Qwen's free tier, with a device login",
)
