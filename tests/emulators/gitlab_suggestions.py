"""GitLab's own text endpoints: Code Suggestions completions, Duo Chat over REST, the model list of GraphQL.

They take and return text only. A stream comes as server-sent events (`stream_start`, `content_chunk`,
`stream_end`) when the client says that it understands them, with CRLF line ends; otherwise as bare pieces
of text. The setting `completions_stream` can be `cumulative` (each event repeats everything so far) for
clients of older instances.
"""

import re

from emulators.check import Anything, Bool, Either, List, Map, Num, Obj, Opt, Problem, Spec, Str, bracketed
from emulators.gitlab_accounts import refuse
from emulators.scenario import Prompt, choose
from emulators.turns import Text, Turn, turn_from_json
from emulators.values import (
    Answer,
    Json,
    JsonObject,
    Request,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
)

BODY_LIMIT = 600_000
CATEGORIES = (
    "file",
    "snippet",
    "merge_request",
    "issue",
    "dependency",
    "local_git",
    "terminal",
    "repository",
    "directory",
    "user_rule",
)
_FILE = Obj(
    {
        "file_name": Str(high=255),
        "content_above_cursor": Str(high=400_000),
        "content_below_cursor": Str(high=400_000),
    },
    ("file_name", "content_above_cursor"),
)
_PART = Obj(
    {"type": Str(choices=("file", "snippet")), "name": Str(low=1, high=255), "content": Str(low=1)},
    ("type", "name", "content"),
)
COMPLETION = Obj(
    {
        "current_file": _FILE,
        "intent": Opt(Str(choices=("completion", "generation"))),
        "generation_type": Opt(Str(choices=("comment", "empty_function", "small_file"))),
        "stream": Opt(Bool()),
        "project_path": Opt(Str()),
        "project_id": Anything(),
        "user_instruction": Opt(Str()),
        "context": List(_PART, low=1),
        "model_name": Anything(),
        "model_provider": Anything(),
        "prompt_version": Anything(),
    },
    ("current_file",),
)
_CHAT_CONTEXT = Obj(
    {"category": Str(choices=CATEGORIES), "id": Str(low=1), "content": Str(low=1), "metadata": Map()},
    ("category", "id", "content"),
)
CHAT = Obj(
    {
        "content": Str(low=1),
        "resource_type": Opt(Str()),
        "resource_id": Opt(Either((Str(), Num()))),
        "referer_url": Opt(Str()),
        "client_subscription_id": Opt(Str()),
        "with_clean_history": Opt(Bool()),
        "project_id": Opt(Either((Str(), Num()))),
        "current_file": Opt(Map()),
        "additional_context": List(_CHAT_CONTEXT, low=1),
    },
    ("content",),
)
ENABLED = Obj({"project_path": Str()}, ("project_path",))


def json_body(request: Request, spec: Spec) -> JsonObject:
    """The body, checked; an empty one reads as an empty object."""
    kind = (request.header("content-type") or "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = f"The provided content-type '{kind}' is not supported."
        raise refuse(415, {"error": text}, text)
    if len(request.body) > BODY_LIMIT:
        raise refuse(413, {"message": "413 Request Entity Too Large"}, "request entity too large")
    try:
        body = loads(request.body) if request.body else {}
    except ValueError:
        raise refuse(400, {"error": "Problems parsing JSON"}, "Problems parsing JSON") from None
    try:
        spec.check(body, ())
    except Problem as problem:
        text = f"{bracketed(problem.path)} {_word(problem)}"
        raise refuse(400, {"error": text}, text) from problem
    return as_object(body)


def _word(problem: Problem) -> str:
    match problem.kind:
        case "missing":
            return "is missing"
        case "choice":
            return "does not have a valid value"
        case "short":
            return "is empty"
        case "unknown":
            return "is not a parameter of this endpoint"
        case _:
            return "is invalid"


def completion_answer(
    request: Request, body: JsonObject, settings: JsonObject, scripted: JsonObject | None
) -> Answer:
    """A completion or generation, whole or as a stream."""
    file = as_object(body["current_file"])
    above = as_text(file["content_above_cursor"])
    text = as_text(body.get("user_instruction")) or (above.strip().splitlines() or [""])[-1]
    turn = _turn(scripted, text)
    details = as_object(settings["model_details"])
    model: JsonObject = {
        "engine": details.get("model_provider") or "anthropic",
        "name": details.get("model_name") or "claude-sonnet-4-5",
        "lang": "python",
    }
    if body.get("stream") is True:
        return _stream(request, turn, model, settings)
    choice: JsonObject = {"text": _text(turn), "index": 0, "finish_reason": "length"}
    return json_answer(
        {
            "id": "id",
            "model": model,
            "object": "text_completion",
            "created": 1_750_000_000,
            "choices": [choice] if turn.blocks else [],
            "metadata": {"timestamp": 1_750_000_000, "enabled_feature_flags": []},
        }
    )


def chat_answer(body: JsonObject, scripted: JsonObject | None) -> Answer:
    """Duo Chat: the answer is one JSON string."""
    return json_answer(_text(_turn(scripted, as_text(body["content"]))), 201)


def _turn(scripted: JsonObject | None, text: str) -> Turn:
    if scripted is not None:
        return turn_from_json(scripted)
    return choose(Prompt(text=text, thinking="off", size=len(text)))


def _text(turn: Turn) -> str:
    return "".join(block.text for block in turn.blocks if isinstance(block, Text))


def _stream(request: Request, turn: Turn, model: JsonObject, settings: JsonObject) -> Answer:
    deltas = [delta for block in turn.blocks if isinstance(block, Text) for delta in block.deltas]
    if (request.header("x-supports-sse-streaming") or "").lower() != "true":
        headers = (("content-type", "text/plain; charset=utf-8"),)
        return Answer(headers=headers, pieces=tuple(delta.encode() for delta in deltas), is_stream=True)
    if settings["completions_stream"] == "cumulative":
        deltas = ["".join(deltas[: at + 1]) for at in range(len(deltas))]
    metadata: JsonObject = {"metadata": {"model": model, "timestamp": 1_750_000_000, "region": "us-central1"}}
    chunks: list[JsonObject] = [{"choices": [{"delta": {"content": delta}, "index": 0}]} for delta in deltas]
    return Answer(
        headers=(("content-type", "text/event-stream; charset=utf-8"),),
        pieces=(
            _event("stream_start", metadata),
            *(_event("content_chunk", chunk) for chunk in chunks),
            _event("stream_end", None),
        ),
        is_stream=True,
        terminal=1,
        error_piece=_event("error", {"error": "The upstream model failed."}),
    )


def _event(name: str, data: Json) -> bytes:
    return f"event: {name}\r\ndata: ".encode() + dumps(data) + b"\r\n\r\n"


def graphql_answer(body: JsonObject, settings: JsonObject) -> Answer:
    """The few queries a Duo client asks: available models, metadata, the current user's namespace."""
    query = as_text(body.get("query"))
    data: JsonObject = {}
    if "aiChatAvailableModels" in query:
        group = as_text(as_object(body.get("variables")).get("rootNamespaceId"))
        group = group or next(iter(re.findall(r'rootNamespaceId:\s*"([^"]+)"', query)), "")
        if not re.fullmatch(r"gid://gitlab/Group/\d+", group):
            text = "Variable $rootNamespaceId of type GroupID! was provided invalid value"
            return json_answer({"errors": [{"message": text}]})
        data["aiChatAvailableModels"] = settings["chat_models"]
    if "metadata" in query:
        flags: list[Json] = [{"name": "ai_user_model_switching", "enabled": True}]
        data["metadata"] = {"version": settings["version"], "featureFlags": flags}
    if "currentUser" in query:
        namespace: JsonObject = {"id": "gid://gitlab/Group/9970", "fullPath": "emulated"}
        user: JsonObject = {"id": "gid://gitlab/User/42", "username": "duo.dev"}
        data["currentUser"] = {**user, "duoDefaultNamespace": namespace, "groups": {"nodes": [namespace]}}
    if not data:
        return json_answer({"errors": [{"message": "Field doesn't exist on type 'Query'"}]})
    return json_answer({"data": data})
