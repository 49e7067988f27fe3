"""xAI's accounts and its two APIs: `auth.x.ai`, `api.x.ai`, `cli-chat-proxy.grok.com`.

Settings:

* `oauth`: see oauth.py
* `email`: what id tokens say; empty: they only have a `sub`
* `token_endpoint`: what the discovery document says
* `free_used_up`: every request is refused for a day
"""

from typing import ClassVar

from attrs import define, evolve, field

from emulators.oauth import App, Authority, Login, unsigned_jwt
from emulators.openai import OpenAi
from emulators.values import (
    Answer,
    Clock,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_list,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
    objects,
)

APP = App(
    id="b1a00492-073a-47ea-816f-4c329264a828",
    scopes=("openid", "profile", "email", "offline_access", "grok-cli:access", "api:access"),
    needs_pkce=False,
)
MODELS = ("grok-4.6", "grok-4.5", "grok-4.3", "grok-3-mini")
KEY = "xai-emulated"
"""A key of the API."""
_ACCOUNTS = "auth.x.ai"
_API = "api.x.ai"
_PROXY = "cli-chat-proxy.grok.com"
_TOOLS = {"function", "web_search", "x_search", "code_interpreter", "file_search", "mcp"}
_ITEMS = {"message", "reasoning", "function_call", "function_call_output", "web_search_call"}
_DEFAULTS: JsonObject = {
    "email": "me@example.org",
    "token_endpoint": f"https://{_ACCOUNTS}/oauth2/token",
    "free_used_up": False,
}


@define(eq=False)
class Xai:
    """The family for all hosts."""

    NAME: ClassVar[str] = "xai"
    HOSTS: ClassVar[tuple[str, ...]] = (_ACCOUNTS, _API, _PROXY)

    clock: Clock
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    authority: Authority = field(init=False)
    models: OpenAi = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,))
        self.models = OpenAi(self.clock, self._authorize)
        self.models.configure({"models": [*MODELS]})

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        host = (request.header("host") or "").partition(":")[0]
        if host in (_API, _PROXY):
            return self._responses(request)
        match request.method, request.path:
            case "GET", "/.well-known/openid-configuration":
                return lambda _turn: json_answer(self._discovery())
            case "POST", "/oauth2/device/code":
                return lambda _turn: json_answer(
                    self.authority.start_device(request, "https://accounts.x.ai/device")
                )
            case "POST", "/oauth2/token":
                return lambda _turn: self.authority.token_answer(request, self._tokens)
        raise _refuse(404, "not-found", f"no endpoint {request.method} {request.path}")

    def _discovery(self) -> JsonObject:
        return {
            "issuer": f"https://{_ACCOUNTS}",
            "device_authorization_endpoint": f"https://{_ACCOUNTS}/oauth2/device/code",
            "token_endpoint": self.settings["token_endpoint"],
        }

    def _tokens(self, login: Login) -> JsonObject:
        claims: JsonObject = {"sub": "user-1"}
        if self.settings["email"]:
            claims["email"] = self.settings["email"]
        return {**self.authority.body(login), "id_token": unsigned_jwt(claims)}

    def _responses(self, request: Request) -> Ready:
        self._authorize(request)
        if (request.method, request.path) != ("POST", "/v1/responses"):
            raise _refuse(404, "not-found", f"no endpoint {request.method} {request.path}")
        if self.settings["free_used_up"]:
            raise _refuse(429, "subscription:free-usage-exhausted", "You have used all of it.")
        body = as_object(loads(request.body))
        _check(body)
        # The models below know reasoning of OpenAI's alone.
        return self.models.receive(evolve(request, body=dumps({**body, "include": []})))

    def _authorize(self, request: Request) -> None:
        """Called by the endpoint in place of its own check of the key."""
        host = (request.header("host") or "").partition(":")[0]
        bearer = request.bearer()
        if host == _API and bearer == KEY:
            return
        if self.authority.owner_of(bearer) is None:
            raise _refuse(403, "unauthenticated:bad-credentials", "The token could not be validated.")
        if host == _PROXY and request.header("x-xai-token-auth") != "xai-grok-cli":
            raise _refuse(403, "permission-denied", "x-xai-token-auth is missing")

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the endpoint."""
        return self.models.failure(request, status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "oauth":
                self.authority.configure(as_object(value))
            elif key in self.settings:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown setting: {key}")

    def state(self) -> JsonObject:
        """Settings and logins."""
        return {**self.settings, "oauth": self.authority.state()}

    def reset(self) -> None:
        """Forget all logins."""
        self.authority.reset()
        self.settings = dict(_DEFAULTS)


def _check(body: JsonObject) -> None:
    """Refuse what the service does not know of the dialect."""
    for tool in objects(body.get("tools")):
        if tool.get("type") not in _TOOLS:
            raise _refuse(422, "invalid-argument", f"unknown tool {tool.get('type')}")
    for item in objects(as_list(body.get("input"))):
        if as_text(item.get("type")) not in _ITEMS | {""} or "namespace" in item:
            raise _refuse(422, "invalid-argument", f"unknown item {item.get('type')}")


def _refuse(status: int, code: str, message: str) -> Refusal:
    return Refusal(json_answer({"code": code, "error": message}, status), f"{code}: {message}")
