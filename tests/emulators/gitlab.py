"""A GitLab instance with Duo, and the AI gateway it hands out tokens for, in one process.

By hand: `python -m emulators.gitlab --port 18080`, then log in with the token `glpat-good`, or with the
application `emulated-public` (no secret) or `emulated-confidential` (`emulated-secret`).

The gateway answers below `/ai` (and at the root) of every port. Settings, all changeable while running:

* `relative_url`: prefix of the instance, such as `/gitlab`
* `gateway_base_url`: what `direct_access` names; empty: this process, path `/ai`
* `seat`, `no_seat_status`: Duo for everybody off, and the status that says so (also for users without a seat)
* `direct_connections`: false: 403 on `code_suggestions/direct_access`
* `agent_platform`: true, or the status of its `direct_access` (403: flag off, 404: no such route)
* `code_suggestions`, `chat`: true, or the status of those endpoints
* `model_details`: what `direct_access` says about the assigned model; null: says nothing
* `agent_base_url`: whether the agent tier's answer names the gateway (today's does not)
* `gateway_life`, `agent_life`: seconds a gateway token lives
* `refused_models`: models the gateway turns down with 403, whoever asks
* `completions_stream`: `sse` or `cumulative`
* `limits`: name → [calls, seconds], per user
* `users`, `tokens`, `applications`: who there is (gitlab_accounts.py)
* `authorize`: `approve` or `deny`
* `chat_models`: what GraphQL lists
* `projects`: path → whether Duo is on for it
* `revoke`: not a setting but an act: `gateway`, `code_suggestions`, `agent`, `access`, `refresh`, or a token
"""

import copy
from collections import deque
from collections.abc import Callable
from functools import partial

from attrs import define, field

from emulators.check import Map, Obj
from emulators.cli import main
from emulators.gitlab_accounts import (
    APPLICATIONS,
    PERSONAL_TOKENS,
    USERS,
    Account,
    Accounts,
    refuse,
    refuse_message,
)
from emulators.gitlab_gateway import Gateway
from emulators.gitlab_suggestions import (
    CHAT,
    COMPLETION,
    ENABLED,
    chat_answer,
    completion_answer,
    graphql_answer,
    json_body,
)
from emulators.values import (
    Answer,
    Clock,
    Json,
    JsonObject,
    Ready,
    Request,
    as_list,
    as_object,
    as_text,
    json_answer,
)

_CHAT_MODELS: JsonObject = {
    "defaultModel": {"name": "Claude Sonnet 4.5 - Anthropic", "ref": "claude_sonnet_4_5_20250929"},
    "selectableModels": [
        {"name": "Claude Sonnet 4.5 - Anthropic", "ref": "claude_sonnet_4_5_20250929"},
        {"name": "Claude Haiku 4.5 - Anthropic", "ref": "claude_haiku_4_5_20251001"},
        {"name": "Claude Opus 4.8 - Anthropic", "ref": "claude_opus_4_8"},
        {"name": "GPT-5 - OpenAI", "ref": "gpt_5"},
        {"name": "GPT-5-Codex - OpenAI", "ref": "gpt_5_codex"},
    ],
    "pinnedModel": None,
}
DEFAULTS: JsonObject = {
    "port": 0,
    "extra_port": 0,
    "control_port": 0,
    "relative_url": "",
    "gateway_base_url": "",
    "version": "18.5.0-ee",
    "realm": "saas",
    "seat": True,
    "no_seat_status": 403,
    "direct_connections": True,
    "agent_platform": True,
    "code_suggestions": True,
    "chat": True,
    "model_details": {"model_provider": "anthropic", "model_name": "claude-sonnet-4-5"},
    "agent_base_url": False,
    "gateway_life": 3600,
    "agent_life": 1800,
    "refused_models": [],
    "completions_stream": "sse",
    "limits": {"completions": [60, 60], "connection_details": [10, 60], "direct_access": [10, 300]},
    "users": USERS,
    "tokens": PERSONAL_TOKENS,
    "applications": APPLICATIONS,
    "authorize": "approve",
    "chat_models": _CHAT_MODELS,
    "projects": {"emulated/project": True, "emulated/dark": False},
}
_NOTHING = Obj({"feature_flags": Map()})
Handler = Callable[[Request], Ready]


@define(eq=False)
class GitLab:
    """The family for the engine."""

    clock: Clock
    settings: JsonObject = field(factory=lambda: copy.deepcopy(DEFAULTS))
    accounts: Accounts = field(init=False)
    gateway: Gateway = field(init=False)
    calls: dict[tuple[str, str], deque[float]] = field(factory=dict)
    """When each user called each limited endpoint."""
    at_start: JsonObject = field(factory=lambda: copy.deepcopy(DEFAULTS))

    def __attrs_post_init__(self) -> None:
        self.accounts = Accounts(self.clock, self.settings)
        self.gateway = Gateway(self.clock, self.settings)

    def receive(self, request: Request) -> Ready:
        """Find the endpoint below the instance's prefix, or the gateway."""
        if self.gateway.vendor_of(request) is not None:
            return self.gateway.receive(request)
        path = self._instance_path(request)
        handler = self._routes().get((request.method, path or ""))
        if handler is None:
            raise refuse(404, {"error": "404 Not Found"}, f"no endpoint {request.method} {request.path}")
        return handler(request)

    def _instance_path(self, request: Request) -> str | None:
        prefix = as_text(self.settings["relative_url"]).rstrip("/")
        return request.path.removeprefix(prefix) if request.path.startswith(prefix) else None

    def _routes(self) -> dict[tuple[str, str], Handler]:
        suggestions = "/api/v4/code_suggestions"
        return {
            ("GET", "/oauth/authorize"): self._authorize,
            ("POST", "/oauth/token"): self._token,
            ("GET", "/api/v4/user"): self._user,
            ("GET", "/api/v4/personal_access_tokens/self"): self._own_token,
            ("GET", "/api/v4/version"): self._version,
            ("GET", "/api/v4/metadata"): self._version,
            ("GET", "/api/v4/groups"): self._groups,
            ("POST", f"{suggestions}/direct_access"): self._direct_access,
            ("POST", f"{suggestions}/connection_details"): self._connection_details,
            ("POST", f"{suggestions}/enabled"): self._enabled,
            ("POST", f"{suggestions}/completions"): self._completions,
            ("POST", "/api/v4/ai/third_party_agents/direct_access"): self._agent_access,
            ("POST", "/api/v4/chat/completions"): self._chat,
            ("POST", "/api/graphql"): self._graphql,
        }

    def _authorize(self, request: Request) -> Ready:
        return lambda _turn: self.accounts.authorize(request)

    def _token(self, request: Request) -> Ready:
        client_id, form = self.accounts.check_token_request(request)
        return lambda _turn: self.accounts.issue(client_id, form)

    def _user(self, request: Request) -> Ready:
        account = self.accounts.authenticate(request, "api", "read_api", "read_user")
        user = {key: value for key, value in account.user.items() if key != "seat"}
        body: JsonObject = {"id": int(account.user_id), **user, "state": "active", "public_email": ""}
        return lambda _turn: json_answer(body)

    def _own_token(self, request: Request) -> Ready:
        account = self.accounts.authenticate(request)
        if not account.is_personal:
            text = "400 Bad request - This endpoint requires token type to be a personal access token"
            raise refuse_message(400, text)
        body: JsonObject = {
            "id": 7,
            "name": "emulated token",
            "revoked": False,
            "active": True,
            "created_at": "2026-01-01T00:00:00.000Z",
            "expires_at": "2027-01-01",
            "scopes": [*sorted(account.scopes)],
            "user_id": int(account.user_id),
        }
        return lambda _turn: json_answer(body)

    def _version(self, request: Request) -> Ready:
        self.accounts.authenticate(request, "api", "read_api", "read_user", "ai_features")
        body: JsonObject = {"version": self.settings["version"], "revision": "e0e0e0e0e0e"}
        if request.path.endswith("/metadata"):
            body = {**body, "kas": {"enabled": False}, "enterprise": True}
        return lambda _turn: json_answer(body)

    def _groups(self, request: Request) -> Ready:
        self.accounts.authenticate(request, "api", "read_api")
        return lambda _turn: json_answer([{"id": 9970, "full_path": "emulated", "parent_id": None}])

    def _direct_access(self, request: Request) -> Ready:
        account = self._duo_account(request, "code_suggestions")
        if self.settings["direct_connections"] is not True:
            raise refuse_message(403, "403 Forbidden - Direct connections are disabled")
        self._limit(account, "direct_access")
        return lambda _turn: self._issue(account, "code_suggestions")

    def _agent_access(self, request: Request) -> Ready:
        account = self.accounts.authenticate(request)
        if "api" not in account.scopes:
            raise refuse_message(401, "401 Unauthorized")
        json_body(request, _NOTHING)
        self._require("agent_platform", account)
        self._limit(account, "agent_direct_access")
        return lambda _turn: self._issue(account, "agent")

    def _issue(self, account: Account, tier: str) -> Answer:
        is_agent = tier == "agent"
        headers = self._gateway_headers(account)
        if is_agent:
            headers = {name.lower(): value for name, value in headers.items()}
            headers |= {"x-gitlab-unit-primitive": "ai_gateway_model_proxy", "x-api-key": "do-not-send"}
        life = self.settings["agent_life" if is_agent else "gateway_life"]
        seconds = float(life) if isinstance(life, int | float) else 0.0
        token = self.gateway.issue(tier, headers, seconds)
        body: JsonObject = {"token": token.value, "headers": {**headers}}
        if not is_agent:
            body["expires_at"] = int(token.expires_at)
            if self.settings["model_details"] is not None:
                body["model_details"] = self.settings["model_details"]
        if not is_agent or self.settings["agent_base_url"] is True:
            body["base_url"] = self._gateway_base_url()
        return json_answer(body, 201)

    def _gateway_base_url(self) -> str:
        port = self.settings["extra_port"] or self.settings["port"]
        return as_text(self.settings["gateway_base_url"]) or f"http://127.0.0.1:{port}/ai"

    def _gateway_headers(self, account: Account) -> dict[str, str]:
        return {
            "X-Gitlab-Instance-Id": "0e11a1b1-emulated",
            "X-Gitlab-Realm": as_text(self.settings["realm"]),
            "X-Gitlab-Global-User-Id": f"global-user-{account.user_id}",
            "X-Gitlab-Host-Name": "gitlab.example.com",
            "X-Gitlab-Version": as_text(self.settings["version"]),
            "X-Gitlab-Duo-Seat-Count": "12",
            "X-Gitlab-Authentication-Type": "oidc",
            "X-Gitlab-Saas-Namespace-Ids": "",
        }

    def _connection_details(self, request: Request) -> Ready:
        account = self._duo_account(request, "code_suggestions")
        self._limit(account, "connection_details")
        body: JsonObject = {
            "instance_id": "0e11a1b1-emulated",
            "instance_version": self.settings["version"],
            "realm": self.settings["realm"],
            "global_user_id": f"global-user-{account.user_id}",
            "host_name": "gitlab.example.com",
            "feature_enablement_type": "duo_pro",
            "saas_duo_pro_namespace_ids": "1000000",
        }
        return lambda _turn: json_answer(body, 201)

    def _enabled(self, request: Request) -> Ready:
        self._duo_account(request, "code_suggestions")
        path = as_text(json_body(request, ENABLED)["project_path"])
        known = as_object(self.settings["projects"]).get(path)
        if known is None:
            raise refuse_message(404, "404 Not Found")
        if known is not True:
            raise refuse_message(403, "403 Code Suggestions Disabled")
        return lambda _turn: json_answer("")

    def _completions(self, request: Request) -> Ready:
        account = self._duo_account(request, "code_suggestions")
        body = json_body(request, COMPLETION)
        self._limit(account, "completions")
        return partial(completion_answer, request, body, self.settings)

    def _chat(self, request: Request) -> Ready:
        self._duo_account(request, "chat")
        return partial(chat_answer, json_body(request, CHAT))

    def _graphql(self, request: Request) -> Ready:
        self.accounts.authenticate(request, "api", "read_api")
        body = json_body(request, Map())
        return lambda _turn: graphql_answer(body, self.settings)

    def _duo_account(self, request: Request, feature: str) -> Account:
        account = self.accounts.authenticate(request, "api", "ai_features")
        self._require(feature, account)
        return account

    def _require(self, feature: str, account: Account) -> None:
        """The feature must be on and the user must have a seat."""
        status = self.settings[feature]
        if status is not True:
            code = status if isinstance(status, int) and status else 404
            raise refuse_message(code, "404 Not Found" if code == 404 else f"{code} Forbidden")
        if self.settings["seat"] is not True or not account.has_seat:
            seatless = 401 if self.settings["no_seat_status"] == 401 else 403
            raise refuse_message(seatless, _STATUS_TEXTS[seatless])

    def _limit(self, account: Account, name: str) -> None:
        """Count a call against its limit; over it, 429 with the time the window needs to move on."""
        rule = as_list(as_object(self.settings["limits"]).get(name))
        if len(rule) != 2:
            return
        most, seconds = (float(value) if isinstance(value, int | float) else 0.0 for value in rule)
        times = self.calls.setdefault((account.user_id, name), deque())
        now = self.clock()
        while times and times[0] <= now - seconds:
            times.popleft()
        if len(times) >= most:
            wait = max(1, int(times[0] + seconds - now)) if times else int(seconds)
            headers = (
                ("ratelimit-name", name),
                ("ratelimit-limit", str(int(most))),
                ("ratelimit-observed", str(len(times) + 1)),
                ("ratelimit-remaining", "0"),
                ("ratelimit-reset", str(int(now) + wait)),
                ("retry-after", str(wait)),
            )
            text = "This endpoint has been requested too many times. Try again later."
            raise refuse(429, {"message": {"error": text}}, text, headers)
        times.append(now)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """GitLab's error reply, or the gateway's for its paths."""
        if self.gateway.vendor_of(request) is not None:
            return self.gateway.failure(request, status, details)
        message = as_text(details.get("message"))
        if request.path.endswith("/oauth/token"):
            error = as_text(details.get("code")) or ("invalid_grant" if status == 400 else "invalid_client")
            return json_answer({"error": error, "error_description": message}, status)
        return json_answer({"message": message or _STATUS_TEXTS.get(status, f"{status} Error")}, status)

    def configure(self, patch: JsonObject) -> None:
        """Change settings, or revoke tokens."""
        changes = dict(patch)
        revoked = as_text(changes.pop("revoke", ""))
        unknown = set(changes) - set(DEFAULTS)
        if unknown:
            msg = f"unknown settings {sorted(unknown)}; known: revoke, {', '.join(DEFAULTS)}"
            raise ValueError(msg)
        if revoked:
            self.accounts.revoke(revoked)
            self.gateway.revoke(revoked)
        self.settings.update(changes)
        if "port" in changes:
            self.at_start = copy.deepcopy(self.settings)

    def state(self) -> JsonObject:
        """The settings, and every token that was issued and still lives."""
        live = [pair for pair in self.accounts.pairs if not pair.access_dead]
        gateway: list[Json] = [token.value for token in self.gateway.tokens.values() if not token.revoked]
        issued: JsonObject = {
            "access_tokens": [pair.access for pair in live],
            "refresh_tokens": [pair.refresh for pair in self.accounts.pairs if not pair.refresh_dead],
            "gateway_tokens": gateway,
        }
        return {**self.settings, **issued}

    def reset(self) -> None:
        """Back to the settings of the command line; nothing issued."""
        self.settings.clear()
        self.settings.update(copy.deepcopy(self.at_start))
        self.accounts.reset()
        self.gateway.reset()
        self.calls.clear()


_STATUS_TEXTS = {
    401: "401 Unauthorized",
    403: "403 Forbidden",
    404: "404 Not Found",
    429: "Retry later",
    500: "500 Internal Server Error",
    503: "503 Service Unavailable",
}

if __name__ == "__main__":
    main(GitLab)
