"""The Code Assist form of the Gemini API, which the Gemini CLI speaks with a Google account.

Everything inside is Gemini's; this module is the envelope around it::

    POST /v1internal:generateContent | streamGenerateContent | countTokens
    {"model": "…", "project": "…", "user_prompt_id": "…", "request": {…, "session_id": "…"}}
    {"response": {…}, "traceId": "…"}        an answer, and each chunk of a stream

What the envelope says and what it does not:

* ``project`` is the account's. A client's own is never sent on, and this dialect writes none: the provider,
  which knows the credential, puts its own into the finished body, passed through or not;
* a token count has no envelope but ``request``, and names the model in there. Its answer has none at all;
* errors are those of every Google API, without an envelope, in the middle of a stream too;
* our answers have no ``traceId``. It is the handle by which the CLI reports on an answer to Google's service,
  which knows nothing of it.

The CLI itself (``CODE_ASSIST_ENDPOINT``) sends its own Google token and no client key, so it is served on the
same machine only. Before it asks a model it wants to know who its user is there: a user who was set up long
ago, with a project and no further rules, is what it is told, whatever its own account may be. The project is
the one it names, or a name that stands for this server; none is ever used.
"""

from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve

from cliproxy.dialects import gemini
from cliproxy.dialects.base import Action, ClientRequest, Endpoint, Framing, PathFacts, RuleForm, SideCall
from cliproxy.dialects.gemini.encoder import GeminiStreamEncoder
from cliproxy.dialects.gemini.endpoints import STREAM, action_of, framing_of
from cliproxy.dialects.gemini.request import API_STYLE, encode_body
from cliproxy.errors import BadRequest, DialectError, ProxyError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import Event
from cliproxy.ir.request import IRRequest, Reasoning
from cliproxy.ir.response import IRResponse
from cliproxy.wire.jsontext import Changes, Delete, Document, JsonObject, child, text
from cliproxy.wire.sse import Frame, make_frame

__all__ = ["DIALECT", "encode_response", "requested"]

DIALECT_ID: Final = "gemini-cli"

_ENVELOPE: Final = frozenset({"model", "project", "request"})
"""Members with a meaning here; others, such as ``user_prompt_id``, are for an upstream of this dialect."""
_SESSION: Final = frozenset({"session_id", "sessionId"})
"""Stands in the request, and no other Gemini API knows it."""


# --- requests ---


def requested(body: JsonObject) -> JsonObject:
    """Return the Gemini request inside an envelope. Raises :class:`~cliproxy.errors.DialectError`."""
    inner = body.get("request")
    if not isinstance(inner, dict):
        raise DialectError("`request` is required and must be an object", "request")
    return inner


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request out of its envelope. Raises :class:`~cliproxy.errors.DialectError`."""
    inner = requested(body)
    session = {name: value for name, value in inner.items() if name in _SESSION}
    bare = {name: value for name, value in inner.items() if name not in _SESSION}
    try:
        request = gemini.DIALECT.decode_request(bare, ctx)
    except DialectError as exc:
        raise DialectError(exc.message, f"request.{exc.param}" if exc.param else "request") from exc
    kept = {name: value for name, value in body.items() if name not in _ENVELOPE}
    if session:
        kept["request"] = session
    model = request.model or text(body, "model")
    return evolve(request, model=model, extras={**request.extras, **({DIALECT_ID: kept} if kept else {})})


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request with its envelope, which lacks the project."""
    own = request.extras.get(DIALECT_ID, {})
    rest = {name: value for name, value in own.items() if name not in _ENVELOPE}
    inner = {**encode_body(request, ctx, API_STYLE), **child(own, "request")}
    return {"model": request.model, **rest, "request": inner}


def may_pass(body: JsonObject, model: str) -> bool:
    """Tell whether a raw body can go to Code Assist as it is; see Gemini's function of this name.

    A token count cannot: it names the model where no patch reaches.
    """
    inner = child(body, "request")
    return "model" not in inner and gemini.may_pass(inner, model)


def patch_model(model: str) -> Changes:
    """Name the model in the envelope."""
    return {"model": model}


def read_reasoning(body: JsonObject) -> Reasoning | None:
    """Read what a raw body says about thinking."""
    return gemini.read_reasoning(child(body, "request"))


def patch_reasoning(wish: Reasoning, body: JsonObject) -> Changes:
    """Put a wish into a raw body."""
    inner = child(body, "request")
    changes = gemini.patch_reasoning(wish, inner)
    return {
        "request": inner | {key: value for key, value in changes.items() if not isinstance(value, Delete)}
    }


# --- answers ---


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write a whole answer."""
    return {"response": gemini.DIALECT.encode_response(response, ctx)}


class CodeAssistStreamEncoder:
    """Gemini's encoder, with an envelope around each chunk."""

    def __init__(self, ctx: ExchangeContext) -> None:
        self._inner = GeminiStreamEncoder(ctx)

    def __repr__(self) -> str:
        return f"<CodeAssistStreamEncoder of {self._inner!r}>"

    def encode(self, event: Event) -> list[Frame]:
        """Encode an event."""
        return _enveloped(self._inner.encode(event))

    def finish(self) -> list[Frame]:
        """Close what is open and write the last chunk."""
        return _enveloped(self._inner.finish())

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error, bare; nothing may follow."""
        return self._inner.error(error)


def _enveloped(frames: list[Frame]) -> list[Frame]:
    return [make_frame(b'{"response":' + frame.data + b"}") for frame in frames]


# --- routes ---


def read(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request; the action stands in the path, the model in the body."""
    name = facts.args.get("action", "")
    action = action_of(name)
    body = document.value
    model = text(body, "model") or text(child(body, "request"), "model")
    if not model:
        raise BadRequest("`model` is required.", param="model")
    return ClientRequest(
        dialect=DIALECT_ID,
        action=action,
        model=model.removeprefix("models/"),
        stream=action is Action.GENERATE and name == STREAM,
        document=document,
        headers=facts.headers,
        query=facts.query,
        framing=framing_of(facts) if name == STREAM else Framing.SSE,
    )


# --- what the CLI asks besides ---


def _project(body: JsonObject) -> str:
    return text(body, "cloudaicompanionProject") or _OWN_PROJECT


def load_code_assist(body: JsonObject) -> JsonObject:
    """Say that the user was set up before."""
    return {
        "currentTier": {**_TIER, "hasOnboardedPreviously": True},
        "allowedTiers": [{**_TIER, "isDefault": True}],
        "cloudaicompanionProject": _project(body),
        "gcpManaged": False,
    }


def onboard_user(body: JsonObject) -> JsonObject:
    """Say that setting up the user is done."""
    project = _project(body)
    return {"done": True, "response": {"cloudaicompanionProject": {"id": project, "name": project}}}


def _says(answer: JsonObject) -> Callable[[JsonObject], JsonObject]:
    return lambda _body: answer


_OWN_PROJECT: Final = "cliproxy"
_TIER: Final[JsonObject] = {"id": "standard-tier", "name": "cliproxy"}
_SETTING: Final[JsonObject] = {"cloudaicompanionProject": _OWN_PROJECT, "freeTierDataCollectionOptin": False}
_ANSWERS: Final[Mapping[str, Callable[[JsonObject], JsonObject]]] = {
    "loadCodeAssist": load_code_assist,
    "onboardUser": onboard_user,
    "retrieveUserQuota": _says({"buckets": []}),
    "listExperiments": _says({"experimentIds": [], "flags": []}),
    "fetchAdminControls": _says({"adminControlsApplicable": False}),
    "recordCodeAssistMetrics": _says({}),
    "setCodeAssistGlobalUserSetting": _says(_SETTING),
}
_USER_SETTING: Final = "/v1internal:getCodeAssistGlobalUserSetting"

SIDE_CALLS: Final = (
    *(SideCall(path=f"/v1internal:{name}", answer=say, is_local=True) for name, say in _ANSWERS.items()),
    SideCall(path=_USER_SETTING, answer=_says(_SETTING), method="GET", is_local=True),
)

DIALECT = evolve(
    gemini.DIALECT,
    id=DIALECT_ID,
    endpoints=(Endpoint(path="/v1internal:{action}", read=read, is_local=True),),
    side_calls=SIDE_CALLS,
    decode_request=decode_request,
    encode_request=encode_request,
    encode_response=encode_response,
    stream_encoder=CodeAssistStreamEncoder,
    patch_model=patch_model,
    patch_reasoning=patch_reasoning,
    read_reasoning=read_reasoning,
    may_pass=may_pass,
    # Its service is stricter about schemas than the public API.
    rules=evolve(gemini.RULES, schemas="gemini"),
    payload=RuleForm(names=frozenset({"gemini", "gemini-cli"}), envelope="request"),
    models=None,
)
