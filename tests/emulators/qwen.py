"""Qwen's account service and its chat endpoint: `chat.qwen.ai` and `portal.qwen.ai`.

Settings: `oauth` (see oauth.py), `resource_url` (what the tokens say about the API's address).
"""

from typing import ClassVar

from attrs import define, field

from emulators.oauth import App, Authority, Login
from emulators.openai import OpenAi
from emulators.values import (
    Answer,
    Clock,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_object,
    as_text,
    json_answer,
)

APP = App(id="f0304373b74a44d2b584a3fb70ca9e56", scopes=("openid", "profile", "email", "model.completion"))
_ACCOUNTS = "chat.qwen.ai"
_API = "portal.qwen.ai"


@define(eq=False)
class Qwen:
    """The family for both hosts."""

    NAME: ClassVar[str] = "qwen"
    HOSTS: ClassVar[tuple[str, ...]] = (_ACCOUNTS, _API)

    clock: Clock
    resource_url: str = _API
    authority: Authority = field(init=False)
    models: OpenAi = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,))
        self.models = OpenAi(self.clock, self._authorize)
        self.models.configure({"vendor": "compatible"})

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        if (request.header("host") or "").startswith(_API):
            return self.models.receive(request)
        match request.method, request.path:
            case "POST", "/api/v1/oauth2/device/code":
                return lambda _turn: json_answer(self._device(request))
            case "POST", "/api/v1/oauth2/token":
                return lambda _turn: self.authority.token_answer(request, self._tokens)
        raise _refuse(404, "not_found", f"no endpoint {request.method} {request.path}")

    def _device(self, request: Request) -> JsonObject:
        return self.authority.start_device(request, f"https://{_ACCOUNTS}/authorize")

    def _tokens(self, login: Login) -> JsonObject:
        return {**self.authority.body(login), "resource_url": self.resource_url, "status": "success"}

    def _authorize(self, request: Request) -> None:
        """Called by the chat endpoint in place of its own check of the key."""
        if self.authority.owner_of(request.bearer()) is None:
            raise _refuse(401, "invalid_api_key", "invalid access token or token expired")
        if request.header("x-dashscope-authtype") != "qwen-oauth":
            raise _refuse(401, "invalid_api_key", "X-Dashscope-Authtype must be qwen-oauth")

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the chat endpoint."""
        return self.models.failure(request, status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "oauth":
                self.authority.configure(as_object(value))
            elif key == "resource_url":
                self.resource_url = as_text(value)
            else:
                raise ValueError(f"unknown setting: {key}")

    def state(self) -> JsonObject:
        """Settings and logins."""
        return {"oauth": self.authority.state(), "resource_url": self.resource_url}

    def reset(self) -> None:
        """Forget all logins."""
        self.authority.reset()


def _refuse(status: int, code: str, message: str) -> Refusal:
    return Refusal(json_answer({"error": {"code": code, "message": message}}, status), message)
