"""iFlow: the account of iflow.cn, with a login in the browser or with a cookie of its platform.

The wire, in short::

    iflow.cn/oauth                                     the login in the browser, back to port 11451
    POST iflow.cn/oauth/token                          form, Basic besides: codes and renewals
    GET iflow.cn/api/oauth/getUserInfo?accessToken=…   whose account it is, and its key
    GET, POST platform.iflow.cn/api/openapi/apikey     with the cookie: whose key, and a new key

    POST apis.iflow.cn/v1/chat/completions
    Authorization: Bearer {key}                        the key, whichever way it was found
    session-id, x-iflow-timestamp, x-iflow-signature   an HMAC of program, session and time by the key

The access token opens nothing but the user info; models are asked with the key. Both logins end in a key with
an end, and renewing means to ask for the key again.

The vendor's application has a secret, which is looked for and not part of this program. The name of the
program is part of what is signed, so the vendor's own has to be given; an owner's ``User-Agent`` is signed in
its place.

Thinking is switched on and off by members that differ from model to model: :data:`SWITCHES`.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from attrs import evolve, field, frozen

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.credentials.times import rfc3339, unix_time
from cliproxy.dialects.base import Action
from cliproxy.errors import LoginError
from cliproxy.ir.thinking import OFF
from cliproxy.login import account
from cliproxy.login.clients import ClientSource, Installed, OAuthClient
from cliproxy.login.code import CodeLogin, authorize, body_of, exchange, get, one_line, post
from cliproxy.login.steps import Ask, Flow, Now, Persist, Send, UseClient
from cliproxy.providers.base import (
    Call,
    Contract,
    Login,
    LoginInputs,
    LoginResult,
    Provider,
    SlotPolicy,
    own_headers,
)
from cliproxy.providers.chat import ChatContract
from cliproxy.wire.http import Headers, HttpAnswer
from cliproxy.wire.jsontext import (
    DELETE,
    Change,
    Document,
    JsonObject,
    JsonValue,
    child,
    flag,
    text,
)
from cliproxy.wire.secret import Secret

KEY: Final = "iflow"
VENDOR: Final = "iFlow"
HOST: Final = "https://iflow.cn"
PLATFORM: Final = "https://platform.iflow.cn"
BASE_URL: Final = "https://apis.iflow.cn/v1"
USER_INFO: Final = f"{HOST}/api/oauth/getUserInfo"
KEYS: Final = f"{PLATFORM}/api/openapi/apikey"
AGENT: Final = "iFlow-Cli"
"""Name of the program in what is signed."""
LEAD_S: Final = 24 * 3600.0
LOGIN_COOKIE: Final = "BXAuth"
_EFFORT: Final = "reasoning_effort"
_REJECTED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

APPLICATION: Final = ClientSource(
    name=KEY,
    vendor=VENDOR,
    id="10009311001",
    id_variable="IFLOW_CLIENT_ID",
    secret_variable="IFLOW_CLIENT_SECRET",
    needs_secret=True,
    installed=Installed(
        program="iflow",
        files=("bundle/*.js", "dist/*.js"),
        secret=r"""10009311001["'](?:[^"'\n]{0,60}["']){0,3}?[^"'\n]{0,60}["']([A-Za-z0-9]{32})["']""",
    ),
)
LOGIN: Final = CodeLogin(
    vendor=VENDOR,
    authorize_url=f"{HOST}/oauth",
    token_url=f"{HOST}/oauth/token",
    client_id=APPLICATION.id,
    callback_port=11451,
    callback_path="/oauth2callback",
    extra={"loginMethod": "phone", "type": "phone"},
    response_type="",
    redirect_name="redirect",
    uses_pkce=False,
    uses_basic=True,
)
COOKIE: Final = Ask(
    key="cookie",
    prompt=f"Cookie of {PLATFORM} from the browser (it has {LOGIN_COOKIE}=… in it)",
    env=("IFLOW_COOKIE",),
    secret=True,
)


# --- the login in the browser -------------------------------------------------------------------------------


def browser_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in, and ask for the account's key."""
    login = yield from _login()
    granted = yield from authorize(login, inputs.random_token(), inputs.random_token())
    tokens = yield from exchange(login, granted)
    owner = yield from owner_of(text(tokens, "access_token"))
    data: dict[str, JsonValue] = {
        "type": KEY,
        **account.members(tokens, inputs.now()),
        "api_key": owner.key.reveal(),
        "email": owner.name,
        "cookie": "",
    }
    return LoginResult(file_name=file_name(KEY, owner.name), data=data, label=owner.name)


def _login() -> Flow[CodeLogin]:
    client = yield UseClient(APPLICATION)
    assert isinstance(client, OAuthClient)
    return evolve(LOGIN, client_id=client.id, client_secret=client.secret)


@frozen(kw_only=True)
class Owner:
    """Whose account it is, and the key to the models."""

    key: Secret
    name: str


def owner_of(access_token: str) -> Flow[Owner]:
    """Ask whose an access token is. The vendor wants the token in the address."""
    answer = yield Send(get(f"{USER_INFO}?{urlencode({'accessToken': access_token})}"))
    data = _data_of(answer, "the user info")
    name = text(data, "email").strip() or text(data, "phone").strip()
    if not text(data, "apiKey") or not name:
        missing = "the account's name" if text(data, "apiKey") else "a key for models"
        raise LoginError(f"{VENDOR} answered without {missing}", code="bad_answer", status=answer.status)
    return Owner(key=Secret(text(data, "apiKey")), name=name)


def _data_of(answer: HttpAnswer, what: str) -> JsonObject:
    """Return what an answer is about; the vendor says in the body whether it is one of success."""
    body = body_of(answer)
    if answer.is_success and flag(body, "success"):
        return child(body, "data")
    reason = one_line(text(body, "message")) or f"status {answer.status}"
    if answer.status in _REJECTED:
        raise LoginError(
            f"{VENDOR} refused the login data for {what}: {reason}",
            code="invalid_grant",
            status=answer.status,
            hint="The login has ended: log in again.",
        )
    raise LoginError(
        f"{VENDOR}: {what} was not successful: {reason}", code="unavailable", status=answer.status
    )


# --- the login with a cookie --------------------------------------------------------------------------------


def cookie_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Make a key for the owner of a cookie. Of the cookie only the part that logs in is kept."""
    given = normal_cookie((yield COOKIE))
    kept = login_part(given)
    if taken := next(_files_with(kept, inputs.files), ""):
        raise LoginError(
            f"this cookie was used for a login already: {taken}",
            code="duplicate",
            hint=f"Use that account, or delete {taken} first.",
        )
    answer = yield Send(get(KEYS, {"Cookie": given}))
    name = text(_data_of(answer, "the list of keys"), "name")
    if not name:
        raise LoginError(f"{VENDOR} answered without the account's name", code="bad_answer")
    made = yield from new_key(given, name)
    now = inputs.now()
    data: dict[str, JsonValue] = {"type": KEY, **_key_members(made, now), "email": name, "cookie": kept}
    return LoginResult(file_name=file_name(KEY, name, str(int(now))), data=data, label=name)


def normal_cookie(given: str) -> str:
    """Return a cookie on one line. Raises :class:`~cliproxy.errors.LoginError` if it logs nobody in."""
    cookie = " ".join(given.split())
    cookie = cookie if cookie.endswith(";") else f"{cookie};"
    if not login_part(cookie):
        raise LoginError(
            f"the cookie is missing its {LOGIN_COOKIE} field",
            code="bad_paste",
            hint=f"Log in at {PLATFORM} and copy the request header `Cookie` from the browser's tools.",
        )
    return cookie


def login_part(cookie: str) -> str:
    """Return the one pair of a cookie that logs in; empty if it is not there."""
    pairs = (pair.strip().partition("=") for pair in cookie.split(";"))
    value = next((value for name, _, value in pairs if name == LOGIN_COOKIE), "")
    return f"{LOGIN_COOKIE}={value};" if value else ""


def _files_with(cookie: str, files: Mapping[str, Mapping[str, JsonValue]]) -> Iterator[str]:
    return (name for name, data in files.items() if login_part(text(data, "cookie")) == cookie)


@frozen(kw_only=True)
class NewKey:
    """A key that was just made."""

    value: Secret
    end: str
    """As the vendor spells it: ``YYYY-MM-DD HH:MM``."""


def new_key(cookie: str, name: str) -> Flow[NewKey]:
    """Have a new key made; the old one ends."""
    headers = {"Cookie": cookie, "Origin": PLATFORM, "Referer": f"{PLATFORM}/"}
    answer = yield Send(post(KEYS, {"name": name}, headers, is_json=True))
    data = _data_of(answer, "making a key")
    if not text(data, "apiKey"):
        raise LoginError(f"{VENDOR} answered without a key", code="bad_answer", status=answer.status)
    return NewKey(value=Secret(text(data, "apiKey")), end=text(data, "expireTime"))


def _key_members(made: NewKey, now: float) -> dict[str, JsonValue]:
    return {"api_key": made.value.reveal(), "expired": made.end, "last_refresh": rfc3339(now)}


# --- the key ------------------------------------------------------------------------------------------------


def initial(credential: Credential) -> Token | None:
    """Return the key of the file."""
    key = text(credential.data, "api_key")
    return Token(value=Secret(key), expires_at=account.end_of(credential.data)) if key else None


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Ask for the key again, the way the account was logged in."""
    if text(credential.data, "cookie"):
        return (yield from _renew_by_cookie(credential))
    login = yield from _login()
    access, tokens = yield from account.renewed(login, credential)
    owner = yield from owner_of(text(tokens, "access_token"))
    yield Persist(patch={"api_key": owner.key.reveal(), "email": owner.name})
    return Token(value=owner.key, expires_at=access.expires_at)


def _renew_by_cookie(credential: Credential) -> Flow[Token]:
    data = credential.data
    made = yield from new_key(text(data, "cookie"), text(data, "email"))
    now = yield Now()
    yield Persist(patch=_key_members(made, now))
    return Token(value=made.value, expires_at=unix_time(made.end))


# --- requests -----------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Switch:
    """How some models are told to think, or not to."""

    models: tuple[str, ...]
    """Patterns of names in lower case."""
    on: JsonObject = field(repr=False)
    """Members of the body; objects are merged with what the client says in them."""
    off: JsonObject = field(repr=False)


_TEMPLATE: Final = "chat_template_kwargs"
_CLEAR: Final = "clear_thinking"
"""Whether earlier thoughts are taken out of the conversation; ours to decide together with thinking."""
SWITCHES: Final = (
    Switch(
        models=("glm*",),
        on={_TEMPLATE: {"enable_thinking": True, _CLEAR: False}},
        off={_TEMPLATE: {"enable_thinking": False}},
    ),
    Switch(
        models=("qwen3-max-preview", "deepseek-v3.2", "deepseek-v3.1"),
        on={_TEMPLATE: {"enable_thinking": True}},
        off={_TEMPLATE: {"enable_thinking": False}},
    ),
    Switch(models=("minimax*",), on={"reasoning_split": True}, off={"reasoning_split": False}),
)
NO_TOOL: Final[JsonObject] = {
    "type": "function",
    "function": {
        "name": "noop",
        "description": "Placeholder. There is nothing it does; never call it.",
        "parameters": {"type": "object", "properties": {}},
    },
}
"""Stands in for an empty list of tools, after which models stream stray tokens."""


def switched(model: str, body: JsonObject) -> dict[str, Change]:
    """Return what makes a body ask for thinking in the model's own way; nothing if it does not ask."""
    name, effort = model.lower(), text(body, _EFFORT)
    matching = (s for s in SWITCHES if any(fnmatchcase(name, pattern) for pattern in s.models))
    switch = next(matching, None)
    if switch is None or not effort:
        return {}
    members = switch.off if effort == OFF else switch.on
    return {_EFFORT: DELETE, **{key: _merged(body, key, value) for key, value in members.items()}}


def _merged(body: JsonObject, key: str, value: JsonValue) -> JsonValue:
    if not isinstance(value, dict):
        return value
    said = {name: kept for name, kept in child(body, key).items() if name != _CLEAR}
    return {**said, **value}


def chat_body(call: Call) -> bytes:
    """Return the body as the service wants it."""
    document = Document.parse(call.body)
    changes = switched(call.model, document.value)
    if call.stream and document.value.get("tools") == []:
        changes["tools"] = [NO_TOOL]
    return document.patch(changes) if changes else call.body


def signed_headers(call: Call) -> Mapping[str, str]:
    """Return who asks, in which session and when, and the signature of that by the key."""
    agent = Headers(own_headers(call)).get("user-agent") or AGENT
    session = f"session-{UUID(hex=call.nonce, version=4)}"
    moment = str(int(call.now * 1000))
    headers = {"User-Agent": agent, "session-id": session, "x-iflow-timestamp": moment}
    if call.token is None:
        return headers
    return headers | {"x-iflow-signature": signature(call.token.value, agent, session, moment)}


def signature(key: Secret, agent: str, session: str, moment: str) -> str:
    """Return the HMAC that the service checks."""
    said = f"{agent}:{session}:{moment}".encode()
    return hmac.new(key.reveal().encode(), said, hashlib.sha256).hexdigest()


CHAT: Final = ChatContract(base_url=BASE_URL, headers_for=signed_headers, body_of=chat_body)


# --- the record ---------------------------------------------------------------------------------------------


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the one way there is."""
    return (CHAT,)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the bundled models."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label=VENDOR,
    contracts_for=contracts_for,
    static_models=static_models,
    slots={TokenSlot.ACCOUNT: SlotPolicy(initial=initial, renew=renew, lead_s=LEAD_S, background=True)},
    oauth_client=APPLICATION.name,
    logins=(
        Login(
            flag="iflow-login",
            name="oauth",
            summary="iFlow account.",
            flow=browser_login,
            callback_port=LOGIN.callback_port,
        ),
        Login(flag="iflow-cookie", name="cookie", summary="iFlow, with a browser cookie.", flow=cookie_login),
    ),
    codec=CredentialCodec(type=KEY, provider=KEY, tokens=("api_key", "refresh_token", "cookie")),
    api_hosts=("apis.iflow.cn",),
    summary="Open models at iflow.cn, with a login in the browser or a cookie",
)
