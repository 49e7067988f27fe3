"""ChatGPT accounts and the backend of the coding agent: `auth.openai.com` and `chatgpt.com`.

The backend is the Responses endpoint of openai.py with less tolerance: an access token with the id of its
account, only streams, nothing stored, no system messages, and a list of members that are refused.

Settings: `oauth` (see oauth.py; `pending` also counts the polls of a device login), `email`, `account`,
`plan` (all three are in the ID token), `devices` (false: no login by a code), `used_up` (seconds until the
plan is renewed; 0: it is not used up).
"""

from collections.abc import Callable, Mapping
from typing import ClassVar

from attrs import define, evolve, field

from emulators.oauth import App, Authority, Grant, Login, challenge_of, unsigned_jwt
from emulators.oauth import refuse as refuse_login
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
    loads,
    objects,
)

ISSUER = "auth.openai.com"
BACKEND = "chatgpt.com"
APP = App(
    id="app_EMoamEEZ73f0CkXaXp7hrann",
    redirects=("http://localhost:1455/auth/callback",),
    scopes=("openid", "profile", "email", "offline_access"),
)
DEVICE_REDIRECT = f"https://{ISSUER}/deviceauth/callback"
_EXTRA = {"prompt": "login", "id_token_add_organizations": "true", "codex_cli_simplified_flow": "true"}
_RENEWAL_SCOPE = "openid profile email"
_PREFIX = "/backend-api/codex"
_REFUSED = (
    *("max_output_tokens", "max_completion_tokens", "max_tokens", "temperature", "top_p", "truncation"),
    *("user", "previous_response_id", "prompt_cache_retention", "safety_identifier", "metadata"),
    *("background", "conversation", "context_management", "stop"),
)
_DEFAULTS: JsonObject = {
    "email": "me@example.org",
    "account": "acct-emulated",
    "plan": "plus",
    "devices": True,
    "used_up": 0,
}


@define(eq=False)
class CodexAccount:
    """The family for both hosts."""

    NAME: ClassVar[str] = "codex"
    HOSTS: ClassVar[tuple[str, ...]] = (ISSUER, BACKEND)

    clock: Clock
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    authority: Authority = field(init=False)
    models: OpenAi = field(init=False)
    polls: dict[str, int] = field(factory=dict)
    """Device logins that were begun, with the polls they saw."""
    _endpoints: Mapping[tuple[str, str], Callable[[Request], Answer]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,))
        self.authority.configure({"access_life": 10 * 24 * 3600})
        self.models = OpenAi(self.clock, self._authorize)
        self._endpoints = {
            ("GET", "/oauth/authorize"): self._authorization,
            ("POST", "/oauth/token"): self._tokens,
            ("POST", "/api/accounts/deviceauth/usercode"): self._device_code,
            ("POST", "/api/accounts/deviceauth/token"): self._device_poll,
        }

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        if (request.header("host") or "").startswith(BACKEND):
            return self._backend(request)
        endpoint = self._endpoints.get((request.method, request.path))
        if endpoint is None:
            raise _refuse(404, f"no endpoint {request.method} {request.path}")
        return lambda _turn: endpoint(request)

    # --- the account ------------------------------------------------------------------------------------

    def _authorization(self, request: Request) -> Answer:
        odd = sorted(name for name, value in _EXTRA.items() if request.query.get(name) != value)
        if odd:
            raise refuse_login("invalid_request", f"{odd[0]} is missing")
        return self.authority.authorize(request)

    def _tokens(self, request: Request) -> Answer:
        form = request.form()
        is_renewal = form.get("grant_type") == "refresh_token"
        if is_renewal and form.get("scope") != _RENEWAL_SCOPE:
            raise refuse_login("invalid_scope", f"the scope is {form.get('scope')!r}")
        try:
            return self.authority.token_answer(request, self._body)
        except Refusal as refusal:
            raise _renewal_refused(str(refusal)) if is_renewal else refusal from None

    def _body(self, login: Login) -> JsonObject:
        auth: JsonObject = {
            "chatgpt_account_id": self.settings["account"],
            "chatgpt_plan_type": self.settings["plan"],
            "organizations": [{"id": "org-1", "is_default": True, "role": "owner", "title": "Personal"}],
        }
        claims: JsonObject = {"email": self.settings["email"], "https://api.openai.com/auth": auth}
        return {**self.authority.body(login), "id_token": unsigned_jwt(claims)}

    # --- the login by a code ----------------------------------------------------------------------------

    def _device_code(self, request: Request) -> Answer:
        if not self.settings["devices"]:
            raise _refuse(404, "device login is off")
        if _json(request) != {"client_id": APP.id}:
            raise _refuse(400, "client_id, and nothing else")
        device = self.authority.ids.next("deviceauth_")
        self.polls[device] = 0
        code: JsonObject = {"device_auth_id": device, "user_code": _user_code(device), "interval": "5"}
        return json_answer(code)

    def _device_poll(self, request: Request) -> Answer:
        body = _json(request)
        device = as_text(body.get("device_auth_id"))
        if device not in self.polls or body != {"device_auth_id": device, "user_code": _user_code(device)}:
            raise _refuse(400, "no such code")
        if self.authority.settings["decision"] == "deny":
            raise _refuse(400, "access was denied")
        self.polls[device] += 1
        if self.polls[device] <= int(str(self.authority.settings["pending"])):
            return json_answer(
                {"error": {"message": "pending", "code": "deviceauth_authorization_unknown"}}, 403
            )
        del self.polls[device]
        verifier, code = self.authority.ids.next("verifier-", 40), self.authority.ids.next("code-", 32)
        challenge = challenge_of(verifier)
        self.authority.grants[code] = Grant(
            app=APP.id,
            scope=" ".join(APP.scopes),
            challenge=challenge,
            made_at=self.clock(),
            redirect=DEVICE_REDIRECT,
        )
        return json_answer(
            {"authorization_code": code, "code_challenge": challenge, "code_verifier": verifier}
        )

    # --- the backend ------------------------------------------------------------------------------------

    def _backend(self, request: Request) -> Ready:
        path = request.path.removeprefix(_PREFIX)
        if path == request.path or path not in ("/responses", "/images/generations", "/images/edits"):
            raise _detail(404, "Not Found")
        self._authorize(request)
        if path == "/responses":
            _check_agent(_json(request))
        if self.settings["used_up"]:
            return lambda _turn: self._used_up()
        return self.models.receive(evolve(request, target=f"/v1{path}"))

    def _authorize(self, request: Request) -> None:
        """Called by the model API in place of its own check of the key."""
        if self.authority.owner_of(request.bearer()) is None:
            raise _detail(401, "Unauthorized")
        if request.header("chatgpt-account-id") != self.settings["account"]:
            raise _detail(401, "the account id is missing or wrong")

    def _used_up(self) -> Answer:
        wait = int(str(self.settings["used_up"]))
        error: JsonObject = {
            "type": "usage_limit_reached",
            "message": "The usage limit has been reached",
            "plan_type": self.settings["plan"],
            "resets_at": int(self.clock()) + wait,
            "resets_in_seconds": wait,
        }
        headers = (
            ("x-codex-primary-used-percent", "100"),
            ("x-codex-primary-reset-after-seconds", str(wait)),
        )
        return json_answer({"error": error}, 429, headers)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the model API."""
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
        """Forget all logins, and go back to the first settings."""
        self.authority.reset()
        self.polls.clear()
        self.settings = dict(_DEFAULTS)


def _check_agent(body: JsonObject) -> None:
    """The backend is for one client, and has its habits."""
    if body.get("stream") is not True:
        raise _detail(400, "Stream must be set to true")
    if body.get("store") is not False:
        raise _detail(400, "Store must be set to false")
    if not isinstance(body.get("instructions"), str):
        raise _detail(400, "Instructions are required")
    refused = next((name for name in _REFUSED if name in body), None)
    if refused is not None:
        raise _detail(400, f"Unsupported parameter: {refused}")
    if any(item.get("role") == "system" for item in objects(body.get("input"))):
        raise _detail(400, "System messages are not allowed")


def _user_code(device: str) -> str:
    return f"CODE-{device[-4:]}"


def _json(request: Request) -> JsonObject:
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _refuse(415, f"the body is of type {kind!r}")
    try:
        return as_object(loads(request.body))
    except ValueError:
        raise _refuse(400, "the body is not JSON") from None


def _refuse(status: int, message: str) -> Refusal:
    error: JsonObject = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return Refusal(json_answer({"error": error}, status), message)


def _detail(status: int, message: str) -> Refusal:
    return Refusal(json_answer({"detail": message}, status), message)


def _renewal_refused(reason: str) -> Refusal:
    code = "refresh_token_reused" if "used before" in reason else "refresh_token_invalidated"
    error: JsonObject = {"message": reason, "type": "invalid_request_error", "param": None, "code": code}
    return Refusal(json_answer({"error": error}, 401), reason)
