"""GitHub's accounts and the models of Copilot: `github.com`, `api.github.com`, `api.….githubcopilot.com`.

Settings:

* `oauth`: see oauth.py
* `login`: name of the user; empty: the profile is not to be had
* `has_seat`: whether Copilot tokens are handed out
* `api`: the address that comes with a token
* `models`: model → its endpoints; `null`: its entry does not say
* `spend_tokens`: an act: the Copilot tokens that were handed out are of no use any more
"""

from typing import ClassVar

from attrs import define, evolve, field

from emulators.oauth import App, Authority, Login
from emulators.openai import OpenAi
from emulators.values import (
    Answer,
    Clock,
    Ids,
    Json,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_list,
    as_object,
    as_text,
    json_answer,
    loads,
    objects,
)

APP = App(id="Iv1.b507a08c87ecfe98", scopes=("read:user", "user:email"), needs_pkce=False)
TOKEN_LIFE_S = 1800
CHAT, RESPONSES = "/chat/completions", "/responses"
_WEB = "github.com"
_REST = "api.github.com"
_APIS = ("api.githubcopilot.com", "api.individual.githubcopilot.com")
_EDITOR = ("user-agent", "editor-version", "editor-plugin-version", "copilot-integration-id")
_DEFAULTS: JsonObject = {
    "login": "octocat",
    "has_seat": True,
    "api": f"https://{_APIS[1]}",
    "models": {
        "gpt-5-mini": [CHAT, RESPONSES],
        "gpt-5.1-codex": [RESPONSES],
        "claude-sonnet-4.5": [CHAT, "/v1/messages"],
        "gpt-4o": None,
    },
}


@define(eq=False)
class Copilot:
    """The family for all hosts."""

    NAME: ClassVar[str] = "copilot"
    HOSTS: ClassVar[tuple[str, ...]] = (_WEB, _REST, *_APIS)

    clock: Clock
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    tokens: dict[str, float] = field(factory=dict)
    ids: Ids = field(factory=Ids)
    authority: Authority = field(init=False)
    chat: OpenAi = field(init=False)
    responses: OpenAi = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,), prefix="ghu_")
        self.chat = OpenAi(self.clock, self._authorize)
        self.chat.configure({"vendor": "compatible"})
        self.responses = OpenAi(self.clock, self._authorize)

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        host = (request.header("host") or "").partition(":")[0]
        if host in _APIS:
            return self._api(request, host)
        match host, request.method, request.path:
            case "github.com", "POST", "/login/device/code":
                return lambda _turn: json_answer(
                    self.authority.start_device(request, "https://github.com/login/device")
                )
            case "github.com", "POST", "/login/oauth/access_token":
                return lambda _turn: self._access_token(request)
            case "api.github.com", "GET", "/user":
                return lambda _turn: self._user(request)
            case "api.github.com", "GET", "/copilot_internal/v2/token":
                _check_editor(request)
                return lambda _turn: self._exchange(request)
        raise _refuse(404, "not_found", f"no endpoint {request.method} {host}{request.path}")

    # --- accounts ---------------------------------------------------------------------------------------

    def _access_token(self, request: Request) -> Answer:
        """Everything is answered with 200, refusals as well."""
        if request.header("accept") != "application/json":
            raise _refuse(406, "not_acceptable", "the answer would be a form")
        return evolve(self.authority.token_answer(request, _token_body), status=200)

    def _owner(self, request: Request) -> Login:
        _, _, token = (request.header("authorization") or "").partition(" ")
        login = self.authority.owner_of(token)
        if login is None:
            raise Refusal(json_answer({"message": "Bad credentials"}, 401), "Bad credentials")
        return login

    def _user(self, request: Request) -> Answer:
        self._owner(request)
        if not self.settings["login"]:
            raise Refusal(json_answer({"message": "later"}, 503), "no profile")
        return json_answer({"login": self.settings["login"], "email": None, "name": "The Octocat"})

    def _exchange(self, request: Request) -> Answer:
        if not (request.header("authorization") or "").startswith("token "):
            raise Refusal(json_answer({"message": "Bad credentials"}, 401), "the scheme must be `token`")
        self._owner(request)
        if not self.settings["has_seat"]:
            message = "No access to GitHub Copilot found."
            body: JsonObject = {"error_details": {"message": message, "title": "Signup"}}
            raise Refusal(json_answer(body, 403), message)
        token = self.ids.next("tid=", 32)
        self.tokens[token] = self.clock() + TOKEN_LIFE_S
        end = int(self.tokens[token])
        return json_answer({"token": token, "expires_at": end, "endpoints": {"api": self.settings["api"]}})

    # --- models -----------------------------------------------------------------------------------------

    def _api(self, request: Request, host: str) -> Ready:
        _check_editor(request)
        self._authorize(request)
        if as_text(self.settings["api"]) != f"https://{host}":
            raise _refuse(421, "misdirected", "the account's address is another one")
        match request.method, request.path:
            case "GET", "/models":
                return lambda _turn: json_answer({"data": self._list()})
            case "POST", path if path in (CHAT, RESPONSES):
                self._check(request, path)
                inner = evolve(request, target=f"/v1{request.target}")
                return (self.chat if path == CHAT else self.responses).receive(inner)
        raise _refuse(404, "not_found", f"no endpoint {request.method} {request.path}")

    def _list(self) -> list[Json]:
        listed: list[Json] = []
        for name, endpoints in as_object(self.settings["models"]).items():
            entry: JsonObject = {
                "id": name,
                "name": name.upper(),
                "capabilities": {
                    "type": "chat",
                    "limits": {"max_context_window_tokens": 128000, "max_output_tokens": 16000},
                    "supports": {"vision": True},
                },
            }
            listed.append(entry if endpoints is None else {**entry, "supported_endpoints": endpoints})
        return listed

    def _authorize(self, request: Request) -> None:
        """Called by the endpoints in place of their own check of the key."""
        if self.tokens.get(request.bearer() or "", 0.0) <= self.clock():
            raise Refusal(json_answer({"message": "unauthorized: token expired"}, 401), "token expired")

    def _check(self, request: Request, path: str) -> None:
        body = as_object(loads(request.body))
        endpoints = as_object(self.settings["models"]).get(as_text(body.get("model")), [])
        if path not in as_list([CHAT] if endpoints is None else endpoints):
            message = f"model {body.get('model')} is not accessible via the {path} endpoint"
            raise _refuse(400, "unsupported_api_for_model", message)
        said = [*objects(body.get("messages")), *objects(body.get("input"))]
        last = said[-1] if said else {}
        is_agent = last.get("role") in ("assistant", "tool") or "call" in as_text(last.get("type"))
        if request.header("x-initiator") != ("agent" if is_agent else "user"):
            raise _refuse(400, "bad_initiator", "X-Initiator does not fit the conversation")
        if path == CHAT:
            _check_chat(body)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of an endpoint."""
        return self.chat.failure(request, status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "oauth":
                self.authority.configure(as_object(value))
            elif key == "spend_tokens":
                self.tokens.clear()
            elif key in self.settings:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown setting: {key}")

    def state(self) -> JsonObject:
        """Settings and logins."""
        return {**self.settings, "oauth": self.authority.state(), "tokens": [*self.tokens]}

    def reset(self) -> None:
        """Forget all logins and tokens."""
        self.authority.reset()
        self.tokens.clear()
        self.settings = dict(_DEFAULTS)


def _token_body(login: Login) -> JsonObject:
    return {"access_token": login.access, "token_type": "bearer", "scope": login.scope.replace(" ", ",")}


def _check_editor(request: Request) -> None:
    missing = [name for name in _EDITOR if not request.header(name)]
    if missing:
        raise _refuse(400, "missing_editor", f"missing headers: {', '.join(missing)}")


def _check_chat(body: JsonObject) -> None:
    if any(tool.get("type") != "function" for tool in objects(body.get("tools"))):
        raise _refuse(400, "invalid_tool", "tools must be functions")
    if body.get("tool_choice") not in (None, "auto", "none", "required"):
        raise _refuse(400, "invalid_choice", "tool_choice must be a word")
    for message in objects(body.get("messages")):
        if message.get("role") == "assistant" and isinstance(message.get("content"), list):
            raise _refuse(400, "invalid_message", "what the assistant said must be a text")


def _refuse(status: int, code: str, message: str) -> Refusal:
    return Refusal(json_answer({"error": {"message": message, "code": code}}, status), message)
