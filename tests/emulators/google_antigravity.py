"""Antigravity, Code Assist under another application: `daily-cloudcode-pa.googleapis.com` and production.

The envelope has its own members, and what is inside has other rules than the public API's: `ENVELOPE` and
`_check_request` list them. Models of other families are answered by the same emulated model.

Settings:

* `models`: name → `{displayName, maxTokens, maxOutputTokens}`
* `no_capacity`: hosts that have none
* `quota`: host → delay after which it answers again, such as `34s`
* `pending`: how many `onboardUser` calls find the work not done; -1: it never ends
* `own_project`: the account's project; empty: none before it is set up
"""

import re
from collections.abc import Callable

from attrs import define, evolve, field

from emulators.gemini import Gemini
from emulators.gemini_rules import error_body, member, refuse
from emulators.google_code_assist import COUNTED, enveloped
from emulators.oauth import App, Login
from emulators.values import (
    Answer,
    Clock,
    Ids,
    Json,
    JsonObject,
    Ready,
    Request,
    as_list,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
    objects,
)

_SCOPE = "https://www.googleapis.com/auth/"
APP = App(
    id="1071006060591-tmhssin2h21lcre235vtolojh4g403ep.apps.googleusercontent.com",
    secret="emulated-antigravity-secret",
    redirects=("http://localhost:51121/oauth-callback",),
    scopes=tuple(
        f"{_SCOPE}{name}"
        for name in ("cloud-platform", "userinfo.email", "userinfo.profile", "cclog", "experimentsandconfigs")
    ),
    needs_pkce=False,
    any_port=True,
)
DAILY = "daily-cloudcode-pa.googleapis.com"
ENVELOPE = frozenset({"model", "project", "request", "requestId", "requestType", "userAgent"})
PROJECT = "antigravity-project"

_METHOD = re.compile(r"^/v1internal:(\w+)$")
_REQUEST_ID = re.compile(r"agent-[0-9a-f-]{36}|image_gen/\d{13}/[0-9a-f-]{36}/\d+")
_TYPES = frozenset({"agent", "image_gen", "web_search"})
_GEMINI: JsonObject = {"maxTokens": 1_048_576, "maxOutputTokens": 65_535}
_DEFAULTS: JsonObject = {
    "models": {
        "gemini-3-flash": {"displayName": "Gemini 3 Flash", **_GEMINI},
        "gemini-2.5-flash": {"displayName": "Gemini 2.5 Flash", **_GEMINI},
        "claude-sonnet-4-6": {"displayName": "Claude Sonnet 4.6 (Thinking)", "maxTokens": 200_000},
        "gpt-oss-120b-medium": {"displayName": "GPT-OSS 120B (Medium)", "maxTokens": 114_000},
        "tab_flash_lite_preview": {"maxTokens": 16_384},
        "chat_20706": {"maxTokens": 16_384},
    },
    "no_capacity": [],
    "quota": {},
    "pending": 0,
    "own_project": PROJECT,
}


@define(eq=False)
class Antigravity:
    """The family for both hosts; `owner` checks the token."""

    clock: Clock
    owner: Callable[[Request], Login]
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    ids: Ids = field(factory=Ids)
    asked: list[str] = field(factory=list)
    """Hosts that models were asked for at, in order."""
    _polls: int = 0

    def receive(self, request: Request) -> Ready:
        """Check token and body, and find the method."""
        if self.owner(request).app != APP.id:
            raise refuse("The caller does not have permission", 403)
        called = _METHOD.match(request.path)
        if request.method != "POST" or called is None or called[1] not in METHODS:
            raise refuse(f"The requested URL {request.path} was not found on this server.", 404)
        return METHODS[called[1]](self, request, as_object(loads(request.body)))

    # --- models -----------------------------------------------------------------------------------------

    def _generate(self, request: Request, body: JsonObject) -> Ready:
        model, inner = as_text(body.get("model")), as_object(body.get("request"))
        _check_envelope(body)
        self._check_project(body)
        _check_request(model, inner)
        if "stream" in request.path and request.query.get("alt") != "sse":
            raise refuse("this emulator streams server-sent events only: alt=sse")
        bare = {name: value for name, value in inner.items() if name != "sessionId"}
        ready = self._models().receive(_bare(request, model, request.path.rpartition(":")[2], bare))
        host = _host(request)
        trace = self.ids.next("trace", 12)

        def answered(turn: JsonObject | None) -> Answer:
            self.asked.append(host)
            return self._refused(host, model) or enveloped(ready(turn), trace)

        return answered

    def _models(self) -> Gemini:
        """The emulated models, under the names of today."""
        models = Gemini(self.clock, lambda _request: None)
        models.configure({"models": [*as_object(self.settings["models"])]})
        models.ids = self.ids
        return models

    def _refused(self, host: str, model: str) -> Answer | None:
        if host in as_list(self.settings["no_capacity"]):
            return json_answer(error_body(503, f"No capacity available for model {model} on the server"), 503)
        delay = as_text(as_object(self.settings["quota"]).get(host))
        if not delay:
            return None
        info: JsonObject = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "RATE_LIMIT_EXCEEDED",
            "metadata": {"model": model, "quotaResetDelay": delay},
        }
        text = f"You have exhausted your capacity on this model. Your quota will reset after {delay}."
        return json_answer(error_body(429, text, [info]), 429)

    def _count(self, request: Request, body: JsonObject) -> Ready:
        inner = as_object(body.get("request"))
        unknown = sorted({*body} - {"request"}) + sorted({*inner} - COUNTED)
        if unknown:
            raise refuse(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
        model = as_text(inner.get("model")).removeprefix("models/")
        wrapped: JsonObject = {"generateContentRequest": inner}
        ready = self._models().receive(_bare(request, model, "countTokens", wrapped))
        return lambda turn: json_answer(
            {"totalTokens": as_object(loads(ready(turn).pieces[0]))["totalTokens"]}
        )

    def _list(self, request: Request, body: JsonObject) -> Ready:
        if set(body) != {"project"}:
            raise refuse(f"members {sorted(body)}")
        self._check_project(body)
        refused = self._refused(_host(request), "any")
        return lambda _turn: refused or json_answer({"models": self.settings["models"]})

    def _check_project(self, body: JsonObject) -> None:
        if as_text(body.get("project")) != PROJECT or not self.settings["own_project"]:
            raise refuse(f"Permission denied on resource project {body.get('project')}.", 403)

    # --- setting up -------------------------------------------------------------------------------------

    def _load(self, _request: Request, body: JsonObject) -> Ready:
        _check_ide(body)
        own = as_text(self.settings["own_project"])
        told: JsonObject = {"cloudaicompanionProject": own} if own else {}
        tiers: list[Json] = [{"id": "free-tier", "isDefault": True}, {"id": "standard-tier"}]
        return lambda _turn: json_answer({"allowedTiers": tiers, **told})

    def _onboard(self, request: Request, body: JsonObject) -> Ready:
        _check_ide(body)
        if member(body, "tierId") not in ("free-tier", "standard-tier") or _host(request) != DAILY:
            raise refuse(f"tier {member(body, 'tierId')!r} at {_host(request)}")
        return lambda _turn: json_answer(self._onboarded())

    def _onboarded(self) -> JsonObject:
        self._polls += 1
        pending = int(str(self.settings["pending"]))
        if pending < 0 or self._polls <= pending:
            return {"name": "operations/onboard", "done": False}
        self.settings["own_project"] = PROJECT
        return {"done": True, "response": {"cloudaicompanionProject": {"id": PROJECT}}}

    # --- settings ---------------------------------------------------------------------------------------

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        unknown = sorted(set(patch) - set(_DEFAULTS))
        if unknown:
            raise ValueError(f"unknown setting of Antigravity: {unknown[0]}")
        self.settings.update(patch)

    def state(self) -> JsonObject:
        """Settings, and where models were asked for."""
        return {**self.settings, "asked": [*self.asked]}

    def reset(self) -> None:
        """Forget what was asked."""
        self.asked.clear()
        self._polls = 0


METHODS: dict[str, Callable[[Antigravity, Request, JsonObject], Ready]] = {
    "generateContent": Antigravity._generate,
    "streamGenerateContent": Antigravity._generate,
    "countTokens": Antigravity._count,
    "fetchAvailableModels": Antigravity._list,
    "loadCodeAssist": Antigravity._load,
    "onboardUser": Antigravity._onboard,
}


def _host(request: Request) -> str:
    return (request.header("host") or "").partition(":")[0]


def _check_envelope(body: JsonObject) -> None:
    if set(body) != ENVELOPE:
        raise refuse(f"members {sorted(set(body) ^ ENVELOPE)}")
    if body["userAgent"] != "antigravity" or body["requestType"] not in _TYPES:
        raise refuse(f"userAgent {body['userAgent']!r}, requestType {body['requestType']!r}")
    if not _REQUEST_ID.fullmatch(as_text(body["requestId"])):
        raise refuse(f"requestId {body['requestId']!r}")


def _check_request(model: str, inner: JsonObject) -> None:
    """What these models refuse and the public ones take, and the other way round."""
    config = as_object(member(inner, "generationConfig"))
    calling = as_object(member(as_object(member(inner, "toolConfig")), "functionCallingConfig"))
    tools = objects(inner.get("tools"))
    declared = [item for tool in tools for item in objects(tool.get("functionDeclarations"))]
    if "safetySettings" in inner:
        raise refuse("safetySettings are not taken")
    if any("parametersJsonSchema" in item for item in declared):
        raise refuse("parametersJsonSchema is not taken")
    if not re.fullmatch(r"-\d+", as_text(inner.get("sessionId"))):
        raise refuse(f"sessionId {inner.get('sessionId')!r}")
    if "claude" not in model:
        if "maxOutputTokens" in config:
            raise refuse("maxOutputTokens is not taken")
    elif declared and calling.get("mode") not in ("VALIDATED", "NONE"):
        raise refuse(f"function calling mode {calling.get('mode')!r}")
    if "claude" in model:
        _check_ids(inner)


def _check_ids(inner: JsonObject) -> None:
    """Claude compares the ids of calls and results."""
    parts = [part for content in objects(inner.get("contents")) for part in objects(content.get("parts"))]
    calls = [as_object(part["functionCall"]).get("id") for part in parts if "functionCall" in part]
    results = [as_object(part["functionResponse"]).get("id") for part in parts if "functionResponse" in part]
    if not all(calls) or sorted(map(as_text, calls)) != sorted(map(as_text, results)):
        raise refuse(f"tool_use ids {calls} and tool_result ids {results}")


def _check_ide(body: JsonObject) -> None:
    unknown = sorted(set(body) - {"metadata", "tierId", "tier_id"})
    if unknown or as_object(body.get("metadata")) != {"ideType": "ANTIGRAVITY"}:
        raise refuse(f"{unknown} metadata {body.get('metadata')}")


def _bare(request: Request, model: str, method: str, body: JsonObject) -> Request:
    """The request as the public API would get it."""
    _, mark, query = request.target.partition("?")
    return evolve(request, target=f"/v1beta/models/{model}:{method}{mark}{query}", body=dumps(body))
