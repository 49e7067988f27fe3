"""Kimi: the account of kimi.com that Moonshot's coding plan belongs to.

The wire, in short::

    POST auth.kimi.com/api/oauth/device_authorization   form → a code to enter in the browser
    POST auth.kimi.com/api/oauth/token                  form: polls and renewals; refresh tokens rotate
    POST {base}/v1/chat/completions                     dialect openai; the model without its ``kimi-``
    POST {base}/v1/messages?beta=true                   dialect claude; the model's whole name
    POST {base}/v1/messages/count_tokens?beta=true
    Authorization: Bearer {access token}
    X-Msh-Platform, X-Msh-Version, X-Msh-Device-…       which program asks, and on which device

Both dialects are the vendor's own, so a client is answered in its own where that is possible.

The chat endpoint differs from others in three ways. Thinking is asked for by an object ``thinking``. An
assistant's message with tool calls is refused if it has no ``reasoning_content``, which clients of other
dialects cannot keep: what was thought last stands in for it. And every result of a tool must name its call.

The service tells devices apart by an id, made at the login and kept in the file. The other headers name this
program; nobody else's name is used. The vendor says nothing about who logged in.
"""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from uuid import UUID

from attrs import define, evolve, field

from cliproxy import __version__
from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.dialects.base import Action
from cliproxy.dialects.claude.final import (
    add_cache_marks,
    for_counting,
    make_legal,
    take_betas,
)
from cliproxy.errors import LoginError
from cliproxy.ir.thinking import AUTO, OFF
from cliproxy.login import account
from cliproxy.login.code import CodeLogin
from cliproxy.login.device import DeviceLogin, log_in
from cliproxy.login.steps import Flow, Now
from cliproxy.providers.base import Call, Contract, Login, LoginInputs, LoginResult, Provider, SlotPolicy
from cliproxy.providers.chat import ChatContract
from cliproxy.wire.jsontext import (
    DELETE,
    Change,
    Document,
    JsonObject,
    JsonValue,
    changes_between,
    child,
    items,
    objects,
    text,
)

KEY: Final = "kimi"
LABEL: Final = "Kimi User"
HOST: Final = "https://auth.kimi.com"
BASE_URL: Final = "https://api.kimi.com/coding"
CLIENT_ID: Final = "17e5f671-d194-4dfb-9706-5516cb48c098"
"""Of the vendor's own command line; it has no secret."""
TOKEN_URL: Final = f"{HOST}/api/oauth/token"
LEAD_S: Final = 300.0
ANTHROPIC_VERSION: Final = "2023-06-01"
PLATFORM: Final = "cliproxy"
NO_REASONING: Final = "[reasoning unavailable]"
"""What stands in for reasoning when there is nothing else."""
_PREFIX: Final = "kimi-"
_EFFORT: Final = "reasoning_effort"
_REASONING: Final = "reasoning_content"
_REJECTED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

DEVICE: Final = DeviceLogin(
    vendor="Kimi",
    device_url=f"{HOST}/api/oauth/device_authorization",
    token_url=TOKEN_URL,
    client_id=CLIENT_ID,
)
RENEWAL: Final = CodeLogin(
    vendor="Kimi", authorize_url="", token_url=TOKEN_URL, client_id=CLIENT_ID, callback_port=0
)


# --- login --------------------------------------------------------------------------------------------------


def device_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with a code that the owner enters in the browser."""
    device = _uuid_of(inputs.random_token())
    tokens = yield from log_in(evolve(DEVICE, headers=device_headers(device)), inputs.random_token())
    now = inputs.now()
    data: dict[str, JsonValue] = {
        "type": KEY,
        **account.members(tokens, now),
        "device_id": device,
        "timestamp": _milliseconds(now),
    }
    return LoginResult(file_name=file_name(KEY, str(_milliseconds(now))), data=data, label=LABEL)


def renew(credential: Credential, _tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Renew the access token, from the device it was given to."""
    now = yield Now()
    assert isinstance(now, float)
    login = evolve(RENEWAL, headers=device_headers(device_id_of(credential)))
    try:
        token, _ = yield from account.renewed(
            login, credential, kept=lambda _tokens: {"timestamp": _milliseconds(now)}
        )
    except LoginError as exc:
        if exc.status not in _REJECTED:
            raise
        raise LoginError(
            exc.message, code="invalid_grant", hint="The login has ended: log in again.", status=exc.status
        ) from exc
    return token


def device_headers(device: str) -> dict[str, str]:
    """Return what the service wants to know of the program and the device it runs on."""
    return {
        "X-Msh-Platform": PLATFORM,
        "X-Msh-Version": __version__,
        "X-Msh-Device-Name": PLATFORM,
        "X-Msh-Device-Model": "server",
        "X-Msh-Device-Id": device,
    }


def device_id_of(credential: Credential) -> str:
    """Return the device the login was made on; files that do not say get an id by their name."""
    return text(credential.data, "device_id") or _uuid_of(credential.id)


def _uuid_of(seed: str) -> str:
    return str(UUID(bytes=hashlib.sha256(seed.encode()).digest()[:16], version=4))


def _milliseconds(moment: float) -> int:
    return int(moment * 1000)


# --- chat requests ------------------------------------------------------------------------------------------


def chat_body(call: Call) -> bytes:
    """Return the body as the vendor's chat endpoint wants it."""
    document = Document.parse(call.body)
    changes: dict[str, Change] = {"model": call.model.removeprefix(_PREFIX)}
    if thinking := thinking_of(document.value):
        changes |= {"thinking": thinking, _EFFORT: DELETE}
    messages = items(document.value, "messages")
    mended = mend(messages)
    if mended != messages:
        changes["messages"] = mended
    return document.patch(changes)


def thinking_of(body: JsonObject) -> JsonObject:
    """Return the object that asks for what ``reasoning_effort`` does; empty when that says nothing."""
    effort = text(body, _EFFORT)
    kept = {key: value for key, value in child(body, "thinking").items() if key != "effort"}
    match effort:
        case "":
            return {}
        case level if level == OFF:
            return {**kept, "type": "disabled"}
        case level if level == AUTO:
            return {**kept, "type": "enabled"}
        case _:
            return {**kept, "type": "enabled", "effort": effort}


def mend(messages: list[JsonValue]) -> list[JsonValue]:
    """Return the conversation with reasoning beside every tool call, and results that name their call."""
    mender = _Mender()
    return [mender.mended(message) if isinstance(message, dict) else message for message in messages]


@define
class _Mender:
    """Goes through a conversation and remembers what later messages may lack."""

    reasoning: str = ""
    """What was thought last."""
    waiting: list[str] = field(factory=list)
    """Calls without a result so far."""

    def mended(self, message: JsonObject) -> JsonObject:
        """Return one message, completed."""
        match message.get("role"):
            case "assistant":
                return self._assistant(message)
            case "tool":
                return self._result(message)
        return message

    def _assistant(self, message: JsonObject) -> JsonObject:
        thought = text(message, _REASONING)
        if thought.strip():
            self.reasoning = thought
        calls = [*objects(message, "tool_calls")]
        self.waiting += [name for call in calls if (name := text(call, "id"))]
        if not calls or thought.strip():
            return message
        return {**message, _REASONING: self.reasoning or _said(message) or NO_REASONING}

    def _result(self, message: JsonObject) -> JsonObject:
        named = text(message, "tool_call_id")
        found = named or text(message, "call_id") or (self.waiting[0] if len(self.waiting) == 1 else "")
        if found in self.waiting:
            self.waiting.remove(found)
        return message if named or not found else {**message, "tool_call_id": found}


def _said(message: JsonObject) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    return "\n".join(filter(None, (text(part, "text") for part in objects(message, "content"))))


# --- requests to the Messages endpoint ----------------------------------------------------------------------


def messages_body(call: Call) -> bytes:
    """Return a legal body with cache marks; the names of betas belong to another service."""
    document = Document.parse(call.body)
    body, _betas = take_betas(document.value)
    body = for_counting(body) if call.action is Action.COUNT else make_legal(add_cache_marks(body))
    return document.patch(changes_between(document.value, body))


def _headers(call: Call) -> Mapping[str, str]:
    return device_headers(device_id_of(call.credential))


def _messages_headers(call: Call) -> Mapping[str, str]:
    said = {
        name: call.client_headers.get(name.lower(), "") for name in ("Anthropic-Version", "Anthropic-Beta")
    }
    kept = {name: value for name, value in said.items() if value}
    return {"Anthropic-Version": ANTHROPIC_VERSION, **kept, **_headers(call)}


CHAT: Final = ChatContract(
    base_url=BASE_URL, path="/v1/chat/completions", headers_for=_headers, body_of=chat_body
)
MESSAGES: Final = ChatContract(
    id="messages",
    dialect="claude",
    base_url=BASE_URL,
    path="/v1/messages?beta=true",
    headers_for=_messages_headers,
    body_of=messages_body,
)
COUNT: Final = evolve(
    MESSAGES,
    id="count",
    path="/v1/messages/count_tokens?beta=true",
    actions=frozenset({Action.COUNT}),
)


# --- the record ---------------------------------------------------------------------------------------------


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return the two endpoints, and the one that counts."""
    return (CHAT, MESSAGES, COUNT)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the bundled models."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label="Kimi",
    contracts_for=contracts_for,
    static_models=static_models,
    native_first=True,
    slots={
        TokenSlot.ACCOUNT: SlotPolicy(initial=account.initial, renew=renew, lead_s=LEAD_S, background=True)
    },
    logins=(Login(flag="kimi-login", summary="Kimi account.", flow=device_login),),
    codec=CredentialCodec(type=KEY, provider=KEY, tokens=("access_token", "refresh_token")),
    api_hosts=("api.kimi.com",),
    summary="Moonshot's coding plan, with a device login",
)
