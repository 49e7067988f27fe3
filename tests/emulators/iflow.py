"""iFlow's accounts, its platform and its models: `iflow.cn`, `platform.iflow.cn`, `apis.iflow.cn`.

Settings:

* `oauth`: see oauth.py
* `email`, `phone`: what the user info says of the owner
* `cookies`: value of `BXAuth` → name of the account it is logged in to
* `refuse_info`: message with which the user info is refused; empty: it is answered
* `spend_keys`: an act: the keys that were handed out are of no use any more
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import ClassVar

from attrs import define, field

from emulators.oauth import App, Authority
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
    as_object,
    as_text,
    json_answer,
    loads,
)

APP = App(
    id="10009311001",
    secret="emulated-iflow-secret",
    redirects=("http://localhost:11451/oauth2callback",),
    needs_pkce=False,
    needs_basic=True,
    redirect_name="redirect",
    response_type="",
    any_port=True,
)
KEY_LIFE_S = 7 * 24 * 3600
CLOCK_SKEW_S = 300
_ACCOUNTS = "iflow.cn"
_PLATFORM = "platform.iflow.cn"
_API = "apis.iflow.cn"
_KEYS = "/api/openapi/apikey"
_SESSION = re.compile(r"session-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SWITCHED = ("glm", "deepseek-v3.1", "deepseek-v3.2", "qwen3-max-preview", "minimax")
_DEFAULTS: JsonObject = {
    "email": "me@example.org",
    "phone": "",
    "cookies": {"good-cookie": "me@example.org"},
    "refuse_info": "",
}


@define(eq=False)
class IFlow:
    """The family for all hosts."""

    NAME: ClassVar[str] = "iflow"
    HOSTS: ClassVar[tuple[str, ...]] = (_ACCOUNTS, _PLATFORM, _API)

    clock: Clock
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    keys: set[str] = field(factory=set)
    sessions: set[str] = field(factory=set)
    ids: Ids = field(factory=Ids)
    authority: Authority = field(init=False)
    models: OpenAi = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,))
        self.models = OpenAi(self.clock, self._authorize)
        self.models.configure({"vendor": "compatible"})

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        host = (request.header("host") or "").partition(":")[0]
        if host == _API:
            _check_body(request)
            return self.models.receive(request)
        match host, request.method, request.path:
            case "iflow.cn", "GET", "/oauth":
                if request.query.get("loginMethod") != "phone" or request.query.get("type") != "phone":
                    raise _refuse(400, "loginMethod and type must be phone")
                return lambda _turn: self.authority.authorize(request)
            case "iflow.cn", "POST", "/oauth/token":
                return lambda _turn: self.authority.token_answer(request)
            case "iflow.cn", "GET", "/api/oauth/getUserInfo":
                return lambda _turn: self._user_info(request)
            case "platform.iflow.cn", "GET" | "POST", path if path == _KEYS:
                return lambda _turn: self._platform(request)
        raise _refuse(404, f"no endpoint {request.method} {host}{request.path}")

    # --- keys -------------------------------------------------------------------------------------------

    def _user_info(self, request: Request) -> Answer:
        if self.authority.owner_of(request.query.get("accessToken")) is None:
            raise _refuse(401, "invalid access token")
        refused = as_text(self.settings["refuse_info"])
        if refused:
            return json_answer({"success": False, "message": refused})
        data: JsonObject = {
            "apiKey": self._new_key(),
            "email": self.settings["email"],
            "phone": self.settings["phone"],
        }
        return json_answer({"success": True, "data": data})

    def _platform(self, request: Request) -> Answer:
        """Describe the key of a cookie's owner, or make a new one."""
        cookie = SimpleCookie(request.header("cookie") or "").get("BXAuth")
        name = as_text(as_object(self.settings["cookies"]).get(cookie.value if cookie else ""))
        if not name:
            return json_answer({"success": False, "code": "40101", "message": "not logged in", "data": None})
        end = self.clock() + KEY_LIFE_S
        data: JsonObject = {"hasExpired": False, "expireTime": _minute(end), "name": name}
        if request.method == "GET":
            return _success({**data, "apiKey": "", "apiKeyMask": "sk-***"})
        if (request.header("origin"), request.header("referer")) != (
            f"https://{_PLATFORM}",
            f"https://{_PLATFORM}/",
        ):
            raise _refuse(403, "the request does not come from the platform")
        if as_object(loads(request.body)) != {"name": name}:
            raise _refuse(400, "the body must be the account's name alone")
        return _success({**data, "apiKey": self._new_key(), "apiKeyMask": "sk-***"})

    def _new_key(self) -> str:
        key = self.ids.next("sk-", 32)
        self.keys.add(key)
        return key

    # --- models -----------------------------------------------------------------------------------------

    def _authorize(self, request: Request) -> None:
        """Called by the chat endpoint in place of its own check of the key."""
        key = request.bearer() or ""
        if key not in self.keys:
            raise _refuse(401, "invalid api key")
        agent, session, moment = (
            request.header(name) or "" for name in ("user-agent", "session-id", "x-iflow-timestamp")
        )
        said = f"{agent}:{session}:{moment}".encode()
        if request.header("x-iflow-signature") != hmac.new(key.encode(), said, hashlib.sha256).hexdigest():
            raise _refuse(401, "the signature is wrong")
        if agent != "iFlow-Cli":
            raise _refuse(401, f"unknown client {agent}")
        if not _SESSION.fullmatch(session) or session in self.sessions:
            raise _refuse(400, "session-id is malformed or was used before")
        if not moment.isdigit() or abs(int(moment) / 1000 - self.clock()) > CLOCK_SKEW_S:
            raise _refuse(401, "x-iflow-timestamp is off")
        self.sessions.add(session)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the chat endpoint."""
        return self.models.failure(request, status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "oauth":
                self.authority.configure(as_object(value))
            elif key == "spend_keys":
                self.keys.clear()
            elif key in self.settings:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown setting: {key}")

    def state(self) -> JsonObject:
        """Settings and logins."""
        keys: list[Json] = [*sorted(self.keys)]
        return {**self.settings, "oauth": self.authority.state(), "keys": keys}

    def reset(self) -> None:
        """Forget all logins and keys."""
        self.authority.reset()
        self.keys.clear()
        self.sessions.clear()
        self.settings = dict(_DEFAULTS)


def _check_body(request: Request) -> None:
    body = as_object(loads(request.body))
    if as_text(body.get("model")).lower().startswith(_SWITCHED) and "reasoning_effort" in body:
        raise _refuse(400, "unknown parameter: reasoning_effort")
    if body.get("stream") is True and body.get("tools") == []:
        raise _refuse(400, "tools must not be empty")


def _minute(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _success(data: JsonObject) -> Answer:
    return json_answer({"success": True, "code": "0", "message": "", "data": data})


def _refuse(status: int, message: str) -> Refusal:
    return Refusal(json_answer({"success": False, "message": message}, status), message)
