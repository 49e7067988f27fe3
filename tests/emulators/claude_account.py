"""Claude accounts and the Messages API: `claude.ai`, `platform.claude.com` and `api.anthropic.com`.

The API takes keys as claude.py does, and access tokens as bearers with their beta. A subscription serves the
vendor's coding agent, which the API tells by the first system block; the oldest small models serve everybody.

Settings: `oauth` (see oauth.py), `email`, `names_owner` (the token endpoint says whose token it is),
`has_profile` (the profile does), `only_agent` (whether a subscription serves nobody but the agent).
"""

from typing import ClassVar

from attrs import define, field

from emulators.claude import OAUTH_BETA, Claude
from emulators.claude_rules import refuse
from emulators.oauth import App, Authority, Login
from emulators.oauth import refuse as refuse_login
from emulators.values import (
    Answer,
    Clock,
    JsonObject,
    Ready,
    Request,
    as_object,
    as_text,
    json_answer,
    loads,
    objects,
)

PAGES = "claude.ai"
TOKENS = "platform.claude.com"
API = "api.anthropic.com"
AGENT = (
    "You are Claude Code, Anthropic's official CLI for Claude.",
    "You are a Claude agent, built on Anthropic's Claude Agent SDK.",
)
APP = App(
    id="9d1c250a-e61b-44d9-88ed-5944d1962f5e",
    redirects=("http://localhost:54545/callback",),
    scopes=(
        *("user:profile", "user:inference", "user:sessions:claude_code"),
        *("user:mcp_servers", "user:file_upload"),
    ),
    takes_json=True,
    needs_state=True,
)
_FOR_EVERYBODY = "claude-3-5-haiku"
_DEFAULTS: JsonObject = {
    "email": "me@example.org",
    "names_owner": True,
    "has_profile": True,
    "only_agent": True,
}


@define(eq=False)
class ClaudeAccount:
    """The family for all hosts."""

    NAME: ClassVar[str] = "claude"
    HOSTS: ClassVar[tuple[str, ...]] = (PAGES, TOKENS, API)

    clock: Clock
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    authority: Authority = field(init=False)
    models: Claude = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.authority = Authority(clock=self.clock, apps=(APP,), prefix="sk-ant-oat01-")
        self.authority.configure({"access_life": 8 * 3600})
        self.models = Claude(self.clock, self._authorize)

    def receive(self, request: Request) -> Ready:
        """Find the endpoint of the host."""
        host = (request.header("host") or "").partition(":")[0]
        match host, request.method, request.path:
            case "claude.ai", "GET", "/oauth/authorize":
                if request.query.get("code") != "true":
                    raise refuse_login("invalid_request", "code is missing")
                return lambda _turn: self.authority.authorize(request)
            case "platform.claude.com", "POST", "/v1/oauth/token":
                self._check_renewal(request)
                return lambda _turn: self.authority.token_answer(request, self._body)
            case "api.anthropic.com", "GET", "/api/oauth/profile":
                self._profile_owner(request)
                return lambda _turn: json_answer(self._profile())
            case "api.anthropic.com", _, path if path.startswith("/v1/"):
                return self._model(request)
        raise refuse("Not Found", 404)

    # --- the account ------------------------------------------------------------------------------------

    def _check_renewal(self, request: Request) -> None:
        """A renewal may ask for no more than was granted."""
        try:
            scope = as_text(as_object(loads(request.body)).get("scope"))
        except ValueError:
            raise refuse_login("invalid_request", "the body is not JSON") from None
        if not set(scope.split()) <= set(APP.scopes):
            raise refuse_login("invalid_scope", f"the scope is {scope!r}")

    def _body(self, login: Login) -> JsonObject:
        owner: JsonObject = {
            "account": {"uuid": "person-1", "email_address": self.settings["email"]},
            "organization": {"uuid": "org-1", "name": "Mine"},
        }
        return {**self.authority.body(login), **(owner if self.settings["names_owner"] else {})}

    def _profile_owner(self, request: Request) -> None:
        if self.authority.owner_of(request.bearer()) is None:
            raise refuse("Invalid bearer token", 401)
        if not self.settings["has_profile"]:
            raise refuse("no profile today", 503)

    def _profile(self) -> JsonObject:
        return {
            "account": {"uuid": "person-1", "email": self.settings["email"], "has_claude_max": True},
            "organization": {"uuid": "org-1", "name": "Mine", "organization_type": "claude_max"},
        }

    # --- the API ----------------------------------------------------------------------------------------

    def _model(self, request: Request) -> Ready:
        ready = self.models.receive(request)
        is_subscription = request.header("x-api-key") is None
        if is_subscription and self.settings["only_agent"] and request.method == "POST":
            self._check_agent(as_object(loads(request.body)))
        return ready

    def _authorize(self, request: Request) -> None:
        """Called by the API in place of its own check of the key."""
        key = request.header("x-api-key")
        if key is not None:
            if not key.startswith("sk-ant-api"):
                raise refuse("invalid x-api-key", 401)
            return
        if self.authority.owner_of(request.bearer()) is None:
            raise refuse("Invalid bearer token", 401)
        betas = [beta.strip() for beta in (request.header("anthropic-beta") or "").split(",")]
        if OAUTH_BETA not in betas:
            raise refuse("OAuth authentication is currently not supported.", 401)

    def _check_agent(self, body: JsonObject) -> None:
        system = body.get("system")
        first = system if isinstance(system, str) else as_text(next(iter(objects(system)), {}).get("text"))
        if not first.startswith(AGENT) and not as_text(body.get("model")).startswith(_FOR_EVERYBODY):
            words = "This credential is only authorized for use with Claude Code"
            raise refuse(f"{words} and cannot be used for other API requests.")

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """An error of the API."""
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
        self.settings = dict(_DEFAULTS)
