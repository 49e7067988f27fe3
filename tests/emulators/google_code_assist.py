"""Code Assist, the service behind the Gemini CLI: `cloudcode-pa.googleapis.com/v1internal:…`.

A model's request stands in an envelope; what is inside is checked and answered by gemini.py. `METHODS` lists
what may be called, `ENVELOPE` what may stand around a request: a program that does more adds its own.

Settings:

* `tiers`: the `allowedTiers` of an account, in order
* `own_project`: the project Google made for the account; empty: none before it is set up
* `backend`: requested project → the one that setting up ends with
* `is_plain`: projects are told as a text in place of an object
* `pending`: how many `onboardUser` calls find the work not done
* `provisions`: the project made for an account that names none; empty: none is made
* `quota`: `project` or `project/model` → delay after which it may be used again, such as `34s`
* `models`: list of names
"""

import re
from collections.abc import Callable
from functools import partial

from attrs import define, evolve, field

from emulators.gemini import Gemini
from emulators.gemini_rules import error_body, refuse
from emulators.oauth import Login
from emulators.values import (
    Answer,
    Clock,
    Ids,
    Json,
    JsonObject,
    Ready,
    Request,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
    objects,
)

ENVELOPE = frozenset(
    {"model", "project", "user_prompt_id", "request", "requestId", "requestType", "userAgent"}
)
SESSION = frozenset({"session_id", "sessionId", "labels"})
COUNTED = frozenset({"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig"})
IDES = frozenset({"IDE_UNSPECIFIED", "ANTIGRAVITY"})

_METHOD = re.compile(r"^/v1internal:(\w+)$")
_EVENT = b"data: "
_FREE: JsonObject = {"id": "free-tier", "name": "Gemini Code Assist for individuals", "isDefault": True}
_STANDARD: JsonObject = {
    "id": "standard-tier",
    "name": "Gemini Code Assist",
    "userDefinedCloudaicompanionProject": True,
}
_DEFAULTS: JsonObject = {
    "tiers": [_FREE, _STANDARD],
    "own_project": "",
    "backend": {},
    "is_plain": False,
    "pending": 0,
    "provisions": "made-by-google",
    "quota": {},
}


@define(eq=False)
class CodeAssist:
    """The family for the host; `owner` checks the token."""

    clock: Clock
    owner: Callable[[Request], Login]
    settings: JsonObject = field(factory=lambda: dict(_DEFAULTS))
    models: Gemini = field(init=False)
    ids: Ids = field(factory=Ids)
    set_up: list[str] = field(factory=list)
    """Projects that were set up, in order."""
    _polls: dict[str, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.models = Gemini(self.clock, lambda _request: None)

    def receive(self, request: Request) -> Ready:
        """Check token and body, and find the method."""
        self.owner(request)
        called = _METHOD.match(request.path)
        if request.method != "POST" or called is None or called[1] not in METHODS:
            raise refuse(f"The requested URL {request.path} was not found on this server.", 404)
        body = self.models._body(request)
        return METHODS[called[1]](self, request, body)

    # --- models -----------------------------------------------------------------------------------------

    def _generate(self, request: Request, body: JsonObject) -> Ready:
        unknown = sorted(set(body) - ENVELOPE)
        if unknown:
            raise refuse(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
        project, model = as_text(body.get("project")), as_text(body.get("model"))
        if not project or project not in self.set_up:
            raise refuse(f"Permission denied on resource project {project}.", 403)
        inner = {name: value for name, value in as_object(body.get("request")).items() if name not in SESSION}
        method = request.path.rpartition(":")[2]
        alt = request.query.get("alt") or request.query.get("$alt")
        if "stream" in method and alt != "sse":
            raise refuse("this emulator streams server-sent events only: alt=sse")
        ready = self.models.receive(_bare(request, model, method, inner))
        trace = self.ids.next("trace", 12)
        return lambda turn: self._limited(project, model) or enveloped(ready(turn), trace)

    def _limited(self, project: str, model: str) -> Answer | None:
        """The answer of a project that has used up what it may, or has for this model."""
        quota = as_object(self.settings["quota"])
        delay = as_text(quota.get(f"{project}/{model}") or quota.get(project))
        if not delay:
            return None
        text = f"You have exhausted your capacity on this model. Your quota will reset after {delay}."
        details: list[Json] = [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "cloudcode-pa.googleapis.com",
                "metadata": {"model": model, "quotaResetDelay": delay, "uiMessage": "true"},
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
        ]
        return json_answer(error_body(429, text, details), 429)

    def _count(self, request: Request, body: JsonObject) -> Ready:
        inner = as_object(body.get("request"))
        unknown = sorted({*body} - {"request"}) + sorted({*inner} - COUNTED)
        if unknown:
            raise refuse(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
        model = as_text(inner.get("model"))
        if not model.startswith("models/"):
            raise refuse(f"model {model!r} is not of the form models/…")
        # Its own form is that of the vertex service: everything stands beside the contents.
        wrapped: JsonObject = {"generateContentRequest": inner}
        ready = self.models.receive(_bare(request, model.removeprefix("models/"), "countTokens", wrapped))
        return lambda turn: json_answer(
            {"totalTokens": as_object(loads(ready(turn).pieces[0]))["totalTokens"]}
        )

    # --- setting up -------------------------------------------------------------------------------------

    def _load(self, _request: Request, body: JsonObject) -> Ready:
        _check_setup(body, {"metadata", "cloudaicompanionProject", "mode"})
        known = as_text(body.get("cloudaicompanionProject")) or as_text(self.settings["own_project"])
        project: JsonObject = {"cloudaicompanionProject": self._shown(known)} if known else {}
        is_set_up = bool(known) and known in self.set_up
        current: JsonObject = {"currentTier": self._default_tier()} if is_set_up else {}
        answer: JsonObject = {"allowedTiers": self.settings["tiers"], "gcpManaged": False}
        return lambda _turn: json_answer({**current, **answer, **project})

    def _default_tier(self) -> JsonObject:
        return next((tier for tier in objects(self.settings["tiers"]) if tier.get("isDefault")), {})

    def _onboard(self, _request: Request, body: JsonObject) -> Ready:
        _check_setup(body, {"tierId", "metadata", "cloudaicompanionProject"})
        tier = as_text(body.get("tierId"))
        known = [as_text(item.get("id")) for item in objects(self.settings["tiers"])]
        if tier not in (*known, "legacy-tier"):
            raise refuse(f"tier {tier!r} is not one of {known}")
        return lambda _turn: json_answer(self._onboarded(as_text(body.get("cloudaicompanionProject"))))

    def _onboarded(self, wanted: str) -> JsonObject:
        polls = self._polls[wanted] = self._polls.get(wanted, 0) + 1
        name: JsonObject = {"name": f"operations/onboard-{wanted or 'new'}"}
        if polls <= int(str(self.settings["pending"])):
            return {**name, "done": False}
        own = as_text(self.settings["own_project"]) or as_text(self.settings["provisions"])
        final = as_text(as_object(self.settings["backend"]).get(wanted)) or wanted or own
        # A frontend project goes on to work, so both may be used.
        self.set_up += [project for project in (final, wanted) if project and project not in self.set_up]
        response: JsonObject = {"cloudaicompanionProject": self._shown(final)} if final else {}
        return {**name, "done": True, "response": response}

    def _shown(self, project: str) -> Json:
        return project if self.settings["is_plain"] else {"id": project, "name": project}

    # --- settings ---------------------------------------------------------------------------------------

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """The vendor's error reply."""
        return self.models.failure(request, status, details)

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        for key, value in patch.items():
            if key == "models":
                self.models.configure({"models": value})
            elif key == "set_up":
                self.set_up = [as_text(project) for project in value] if isinstance(value, list) else []
            elif key in _DEFAULTS:
                self.settings[key] = value
            else:
                raise ValueError(f"unknown setting of Code Assist: {key}")

    def state(self) -> JsonObject:
        """Settings and projects."""
        return {**self.settings, "set_up": [*self.set_up]}

    def reset(self) -> None:
        """Forget what was set up."""
        self.set_up.clear()
        self._polls.clear()


METHODS: dict[str, Callable[[CodeAssist, Request, JsonObject], Ready]] = {
    "generateContent": CodeAssist._generate,
    "streamGenerateContent": CodeAssist._generate,
    "countTokens": CodeAssist._count,
    "loadCodeAssist": CodeAssist._load,
    "onboardUser": CodeAssist._onboard,
}


def _check_setup(body: JsonObject, known: set[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise refuse(f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.')
    metadata = as_object(body.get("metadata"))
    if metadata.get("ideType") not in IDES:
        raise refuse(f"Invalid value at 'metadata.ide_type' (TYPE_ENUM), {metadata.get('ideType')!r}")


def _bare(request: Request, model: str, method: str, body: JsonObject) -> Request:
    """The request as the public API would get it."""
    _, mark, query = request.target.partition("?")
    target = f"/v1beta/models/{model}:{method}{mark}{query}"
    return evolve(request, target=target, body=dumps(body))


def enveloped(answer: Answer, trace: str) -> Answer:
    """An answer of the public API in Code Assist's envelope; an error stays as it is."""
    if answer.status != 200:
        return answer
    return evolve(answer, pieces=tuple(map(partial(_wrapped, trace=trace), answer.pieces)))


def _wrapped(piece: bytes, trace: str) -> bytes:
    """Put an envelope around an event or a whole body."""
    is_event = piece.startswith(_EVENT)
    envelope: JsonObject = {"response": loads(piece.removeprefix(_EVENT)), "traceId": trace}
    return _EVENT + dumps(envelope) + b"\r\n\r\n" if is_event else dumps(envelope)
