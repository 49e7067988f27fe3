"""GitHub Copilot: the models of a GitHub account with a Copilot seat.

The wire, in short::

    POST github.com/login/device/code                  form → a code to enter in the browser
    POST github.com/login/oauth/access_token           form: polls; the token has no end
    GET api.github.com/user                            whose account it is
    GET api.github.com/copilot_internal/v2/token       a token for the models, good for half an hour, and
                                                       the address it is for

    GET {base}/models
    POST {base}/chat/completions                       dialect openai
    POST {base}/responses                              dialect openai-response
    Authorization: Bearer {the second token}

Which endpoints serve a model the list of models says; a client is answered in its own dialect where its model
allows it. The service serves editors only and knows them by headers: :data:`EDITOR`. They say nothing about
the owner, and he may say something else in the credential's ``headers``. ``X-Initiator`` tells whether a
person or the running work of an agent asks, which is what plans are charged by.

The second token goes to hosts of the service only, whatever address comes with it.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from attrs import evolve

from cliproxy.catalog import static
from cliproxy.catalog.model import ModelInfo
from cliproxy.credentials.files import CredentialCodec
from cliproxy.credentials.model import Credential, Token, TokenSlot
from cliproxy.credentials.naming import file_name
from cliproxy.dialects.base import Action
from cliproxy.errors import Failure, Kind, LoginError, Scope
from cliproxy.ir.signatures import family_of_model
from cliproxy.ir.thinking import ThinkingSupport
from cliproxy.login import account
from cliproxy.login.code import body_of, get, one_line
from cliproxy.login.device import DeviceLogin, log_in
from cliproxy.login.steps import Flow, Now, Send
from cliproxy.providers.base import Call, Contract, Login, LoginInputs, LoginResult, Provider, SlotPolicy
from cliproxy.providers.chat import ChatContract
from cliproxy.wire.http import Headers, HttpAnswer
from cliproxy.wire.jsontext import (
    DELETE,
    Change,
    Document,
    JsonError,
    JsonObject,
    JsonValue,
    child,
    flag,
    integer,
    items,
    loads_object,
    objects,
    strings,
    text,
)
from cliproxy.wire.secret import Secret

KEY: Final = "github-copilot"
VENDOR: Final = "GitHub"
CLIENT_ID: Final = "Iv1.b507a08c87ecfe98"
"""Of the vendor's editor extension; it has no secret."""
USER: Final = "https://api.github.com/user"
EXCHANGE: Final = "https://api.github.com/copilot_internal/v2/token"
BASE_URL: Final = "https://api.githubcopilot.com"
HOSTS: Final = frozenset(
    {
        "api.githubcopilot.com",
        "api.individual.githubcopilot.com",
        "api.business.githubcopilot.com",
        "api.enterprise.githubcopilot.com",
        "copilot-proxy.githubusercontent.com",
    }
)
"""Where the second token may be sent."""
NO_END_S: Final = 1500.0
"""How long a token is good that names no end."""
LEAD_S: Final = 300.0
NO_NAME: Final = "github-user"
EDITOR: Final[Mapping[str, str]] = {
    "User-Agent": "GitHubCopilotChat/0.35.0",
    "Editor-Version": "vscode/1.107.0",
    "Editor-Plugin-Version": "copilot-chat/0.35.0",
    "Copilot-Integration-Id": "vscode-chat",
    "Openai-Intent": "conversation-panel",
    "X-Github-Api-Version": "2025-04-01",
}
"""What the service asks of every program, without which it answers nobody."""
ENDPOINTS: Final[Mapping[str, str]] = {"/chat/completions": "chat", "/responses": "responses"}
"""Endpoint in the list of models → contract."""
_CHOICES: Final = frozenset({"auto", "none", "required"})
_AGENTS_ITEMS: Final = frozenset(
    {"function_call", "function_call_output", "custom_tool_call_output", "reasoning"}
)
_NO_MODEL: Final = frozenset({"model_not_supported", "unsupported_api_for_model"})

DEVICE: Final = DeviceLogin(
    vendor=VENDOR,
    device_url="https://github.com/login/device/code",
    token_url="https://github.com/login/oauth/access_token",
    client_id=CLIENT_ID,
    scope="read:user user:email",
)


# --- login --------------------------------------------------------------------------------------------------


def device_login(inputs: LoginInputs) -> Flow[LoginResult]:
    """Log in with a code that the owner enters in the browser, and see whether there is a seat."""
    tokens = yield from log_in(DEVICE, inputs.random_token())
    access = Secret(text(tokens, "access_token"))
    user = yield from _profile(access)
    yield from exchange(access, EDITOR)
    name = text(user, "login") or NO_NAME
    data: dict[str, JsonValue] = {
        "type": KEY,
        **{member: text(tokens, member) for member in ("access_token", "token_type", "scope")},
        "username": name,
        **{member: text(user, member) for member in ("email", "name")},
    }
    return LoginResult(file_name=file_name(KEY, name), data=data, label=name)


def _profile(access: Secret) -> Flow[JsonObject]:
    """Ask whose account it is; nobody is turned away if that cannot be learned."""
    try:
        answer = yield Send(get(USER, {**EDITOR, "Authorization": f"Bearer {access.reveal()}"}))
    except LoginError:
        return {}
    assert isinstance(answer, HttpAnswer)
    return body_of(answer) if answer.is_success else {}


# --- the second token ---------------------------------------------------------------------------------------


def exchange(access: Secret, editor: Mapping[str, str]) -> Flow[Token]:
    """Exchange the account's token for one for the models."""
    answer = yield Send(get(EXCHANGE, {**editor, "Authorization": f"token {access.reveal()}"}))
    assert isinstance(answer, HttpAnswer)
    body = body_of(answer)
    if not answer.is_success:
        raise _refused(answer.status, body)
    if not text(body, "token"):
        raise LoginError(f"{VENDOR} answered without a token", code="bad_answer", status=answer.status)
    end = integer(body, "expires_at")
    now = yield Now()
    return Token(
        value=Secret(text(body, "token")),
        expires_at=float(end) if end else now + NO_END_S,
        base_url=base_from(text(child(body, "endpoints"), "api")),
    )


def base_from(address: str) -> str:
    """Return the address that came with a token if it is one of the service; else the usual one."""
    try:
        parts = urlsplit(address)
        is_known = parts.scheme == "https" and parts.netloc.lower() in HOSTS
    except ValueError:
        is_known = False
    return address.rstrip("/") if is_known else BASE_URL


def _refused(status: int, body: JsonObject) -> LoginError:
    reason = one_line(text(child(body, "error_details"), "message") or text(body, "message"))
    reason = reason or f"status {status}"
    if status == HTTPStatus.UNAUTHORIZED:
        return LoginError(
            f"{VENDOR} no longer takes the account's token: {reason}",
            code="invalid_grant",
            status=status,
            hint="Log in again.",
        )
    if status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        return LoginError(
            f"the account has no access to Copilot: {reason}",
            code="no_seat",
            status=status,
            hint="See https://github.com/settings/copilot.",
        )
    return LoginError(f"{VENDOR} hands out no Copilot token: {reason}", code="unavailable", status=status)


def renew(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[Token]:
    """Exchange the account's token once more."""
    return exchange(tokens[TokenSlot.ACCOUNT].value, editor_of(credential))


def editor_of(credential: Credential) -> Mapping[str, str]:
    """Return what the service asks of a program, with the owner's own words where he has some."""
    own = {name: value for name, value in credential.headers.items() if not value.startswith("$")}
    return dict(Headers(EDITOR).merged(own))


# --- models -------------------------------------------------------------------------------------------------


def discover(credential: Credential, tokens: Mapping[TokenSlot, Token]) -> Flow[tuple[ModelInfo, ...]]:
    """Ask which models the account has, and how each is reached."""
    token = tokens[TokenSlot.GATEWAY]
    base = credential.base_url or token.base_url or BASE_URL
    headers = {**editor_of(credential), "Authorization": f"Bearer {token.value.reveal()}"}
    answer = yield Send(get(f"{base.rstrip('/')}/models", headers))
    assert isinstance(answer, HttpAnswer)
    if not answer.is_success:
        code = "expired" if answer.status == HTTPStatus.UNAUTHORIZED else "unavailable"
        message = f"Copilot does not list its models: status {answer.status}"
        raise LoginError(message, code=code, status=answer.status)
    found = {info.id: info for info in _listed(body_of(answer))}
    return tuple(found.values())


def _listed(body: JsonObject) -> Iterator[ModelInfo]:
    for entry in objects(body, "data"):
        is_off = text(child(entry, "policy"), "state") == "disabled"
        kind = text(child(entry, "capabilities"), "type") or "chat"
        contracts = contracts_of(entry)
        if text(entry, "id") and kind == "chat" and contracts and not is_off:
            yield _model(entry, contracts)


def contracts_of(entry: JsonObject) -> tuple[str, ...]:
    """Return the contracts that reach a model. Where its entry says nothing, its name does."""
    named = [*strings(entry, "supported_endpoints")]
    if named:
        return tuple(ENDPOINTS[endpoint] for endpoint in named if endpoint in ENDPOINTS)
    return ("responses",) if "codex" in text(entry, "id") else ("chat",)


def _model(entry: JsonObject, contracts: tuple[str, ...]) -> ModelInfo:
    name = text(entry, "id")
    capabilities = child(entry, "capabilities")
    limits, supports = child(capabilities, "limits"), child(capabilities, "supports")
    known = static.find(name, KEY) or ModelInfo(id=name, family=family_of_model(name), owned_by=KEY)
    efforts = tuple(level.lower() for level in strings(supports, "reasoning_effort"))
    thinking = ThinkingSupport(levels=efforts) if efforts else known.thinking or ThinkingSupport()
    return evolve(
        known,
        id=name,
        display_name=text(entry, "name") or known.display_name or name,
        context_tokens=integer(limits, "max_context_window_tokens") or known.context_tokens,
        output_tokens=integer(limits, "max_output_tokens") or known.output_tokens,
        input_modalities=("text", "image") if flag(supports, "vision") else known.input_modalities,
        thinking=thinking,
        contracts=contracts,
    )


# --- requests -----------------------------------------------------------------------------------------------


def headers_for(call: Call) -> Mapping[str, str]:
    """Return what the service asks of every request: which program, on whose initiative, with pictures?"""
    body = Document.parse(call.body).value
    said = [*objects(body, "messages"), *objects(body, "input")]
    headers = {
        **EDITOR,
        "X-Request-Id": str(UUID(hex=call.nonce, version=4)),
        "X-Initiator": "agent" if said and _is_agents(said[-1]) else "user",
    }
    return headers | ({"Copilot-Vision-Request": "true"} if any(map(_shows, said)) else {})


def _is_agents(message: JsonObject) -> bool:
    return text(message, "role") in {"assistant", "tool"} or text(message, "type") in _AGENTS_ITEMS


def _shows(message: JsonObject) -> bool:
    return any(text(part, "type") in {"image_url", "input_image"} for part in objects(message, "content"))


def chat_body(call: Call) -> bytes:
    """Return the body with functions for tools only, and the model's own words as plain texts."""
    document = Document.parse(call.body)
    body = document.value
    changes = _tool_changes(body)
    messages = [_plain(message) for message in items(body, "messages")]
    if messages != body.get("messages"):
        changes["messages"] = messages
    return document.patch(changes) if changes else call.body


def _tool_changes(body: JsonObject) -> dict[str, Change]:
    changes: dict[str, Change] = {}
    tools = items(body, "tools")
    functions: list[JsonValue] = [
        tool for tool in tools if isinstance(tool, dict) and text(tool, "type") == "function"
    ]
    if len(functions) < len(tools):
        changes["tools"] = functions or DELETE
    choice = body.get("tool_choice")
    if tools and not functions:
        changes["tool_choice"] = DELETE
    elif choice is not None and not (isinstance(choice, str) and choice in _CHOICES):
        changes["tool_choice"] = "auto"
    return changes


def _plain(message: JsonValue) -> JsonValue:
    """Write what the model said as one text. In parts, it answers the prompt before once more."""
    if not isinstance(message, dict) or text(message, "role") != "assistant":
        return message
    parts = items(message, "content")
    said = [part for part in objects(message, "content") if text(part, "type") == "text"]
    if not parts or len(said) < len(parts):
        return message
    return {**message, "content": "".join(text(part, "text") for part in said)}


def responses_body(call: Call) -> bytes:
    """Return the body without a tier, which is the plan's."""
    if b'"service_tier"' not in call.body:
        return call.body
    return Document.parse(call.body).patch({"service_tier": DELETE})


def read_failure(status: int, _headers: Headers, body: bytes) -> Failure | None:
    """Recognise that a model is not there, which the service reports as a fault of the request."""
    try:
        error = child(loads_object(body), "error")
    except JsonError:
        return None
    if status != HTTPStatus.BAD_REQUEST or text(error, "code") not in _NO_MODEL:
        return None
    return Failure(
        kind=Kind.NOT_FOUND,
        scope=Scope.MODEL,
        message=text(error, "message") or "the model is not served",
        status=HTTPStatus.NOT_FOUND,
        code=text(error, "code"),
    )


CHAT: Final = ChatContract(
    base_url=BASE_URL,
    needs=TokenSlot.GATEWAY,
    headers_for=headers_for,
    body_of=chat_body,
    failure_of=read_failure,
)
RESPONSES: Final = evolve(
    CHAT, id="responses", dialect="openai-response", path="/responses", body_of=responses_body
)


# --- the record ---------------------------------------------------------------------------------------------


def contracts_for(_credential: Credential, _model: str, _action: Action) -> tuple[Contract, ...]:
    """Return both endpoints; which of them serve a model is a fact about the model."""
    return (CHAT, RESPONSES)


def static_models(credential: Credential) -> tuple[ModelInfo, ...]:
    """Return the bundled models, until the service has listed its own."""
    return static.models_of(credential, KEY)


PROVIDER: Final = Provider(
    key=KEY,
    label="GitHub Copilot",
    contracts_for=contracts_for,
    static_models=static_models,
    discover=discover,
    discover_needs=TokenSlot.GATEWAY,
    native_first=True,
    slots={
        TokenSlot.ACCOUNT: SlotPolicy(initial=account.initial),
        TokenSlot.GATEWAY: SlotPolicy(
            initial=lambda _credential: None, renew=renew, depends_on=TokenSlot.ACCOUNT, lead_s=LEAD_S
        ),
    },
    logins=(Login(flag="github-copilot-login", summary="GitHub Copilot account.", flow=device_login),),
    codec=CredentialCodec(type=KEY, provider=KEY, tokens=("access_token",)),
    api_hosts=tuple(sorted(HOSTS)),
    summary="The models of a GitHub Copilot seat, with a device login",
)
