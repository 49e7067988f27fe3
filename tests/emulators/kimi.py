"""Kimi's account service and the two APIs behind it: `auth.kimi.com` and `api.kimi.com`.

Settings: `oauth` (see oauth.py).
"""

import re
from typing import ClassVar
from urllib.parse import urlsplit

from attrs import define, evolve, field

from emulators.claude import Claude
from emulators.oauth import App, Authority
from emulators.openai import OpenAi
from emulators.values import (
    Answer,
    Clock,
    Family,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_object,
    as_text,
    json_answer,
    loads,
    objects,
)

APP = App(id="17e5f671-d194-4dfb-9706-5516cb48c098", needs_pkce=False)
MODELS = ("kimi-k2", "kimi-k2-thinking", "kimi-k2.5", "kimi-k2.6", "kimi-k3")
_ACCOUNTS = "auth.kimi.com"
_API = "api.kimi.com"
_DEVICE = ("x-msh-platform", "x-msh-version", "x-msh-device-name", "x-msh-device-model", "x-msh-device-id")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_CHAT = "/v1/chat/completions"


@define(eq=False)
class Kimi:
    """The family for both hosts."""

    NAME: ClassVar[str] = "kimi"
    HOSTS: ClassVar[tuple[str, ...]] = (_ACCOUNTS, _API)

    clock: Clock
    authority: Authority = field(init=False)
    chat: OpenAi = field(init=False)
    messages: Claude = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,))
        self.chat = OpenAi(self.clock, self._authorize)
        self.chat.configure({"vendor": "compatible"})
        self.messages = Claude(self.clock, self._authorize)
        self.messages.configure({"models": [*MODELS]})

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        _check_device(request)
        if (request.header("host") or "").startswith(_API):
            return self._api(request)
        match request.method, request.path:
            case "POST", "/api/oauth/device_authorization":
                return lambda _turn: json_answer(
                    self.authority.start_device(request, "https://www.kimi.com/code/authorize_device")
                )
            case "POST", "/api/oauth/token":
                return lambda _turn: self.authority.token_answer(request)
        raise _refuse(404, f"no endpoint {request.method} {request.path}")

    def _api(self, request: Request) -> Ready:
        if not request.path.startswith("/coding/v1/"):
            raise _refuse(404, f"no endpoint {request.path}")
        inner = evolve(request, target=request.target.removeprefix("/coding"))
        if inner.path == _CHAT:
            _check_chat(inner)
        elif urlsplit(inner.target).query != "beta=true":
            raise _refuse(404, "the Messages API is the beta one")
        return self._family(inner).receive(inner)

    def _family(self, request: Request) -> Family:
        return self.chat if request.path.endswith(_CHAT) else self.messages

    def _authorize(self, request: Request) -> None:
        """Called by the endpoints in place of their own check of the key."""
        if self.authority.owner_of(request.bearer()) is None:
            raise _refuse(401, "The API Key appears to be invalid or may have expired")

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the endpoint."""
        return self._family(request).failure(request, status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key != "oauth":
                raise ValueError(f"unknown setting: {key}")
            self.authority.configure(as_object(value))

    def state(self) -> JsonObject:
        """Settings and logins."""
        return {"oauth": self.authority.state()}

    def reset(self) -> None:
        """Forget all logins."""
        self.authority.reset()


def _check_device(request: Request) -> None:
    missing = [name for name in _DEVICE if not request.header(name)]
    if missing:
        raise _refuse(400, f"missing headers: {', '.join(missing)}")
    if not _UUID.fullmatch(request.header(_DEVICE[-1]) or ""):
        raise _refuse(400, "the device id is no UUID")


def _check_chat(request: Request) -> None:
    body = as_object(loads(request.body))
    if f"kimi-{as_text(body.get('model'))}" not in MODELS:
        raise _refuse(404, f"Not found the model {body.get('model')!r} or Permission denied")
    if "reasoning_effort" in body:
        raise _refuse(400, "unknown parameter: reasoning_effort")
    for at, message in enumerate(objects(body.get("messages"))):
        if message.get("tool_calls") and not as_text(message.get("reasoning_content")).strip():
            raise _refuse(400, f"reasoning_content is missing in assistant tool call message at index {at}")
        if message.get("role") == "tool" and not message.get("tool_call_id"):
            raise _refuse(400, f"tool_call_id is missing at index {at}")


def _refuse(status: int, message: str) -> Refusal:
    kind = "invalid_authentication_error" if status == 401 else "invalid_request_error"
    return Refusal(json_answer({"error": {"type": kind, "message": message}}, status), message)
