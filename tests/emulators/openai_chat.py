"""The rules of `POST /v1/chat/completions`, and how its request reads as a prompt."""

import re
from base64 import b64decode
from collections.abc import Iterator

from emulators.check import (
    Anything,
    Bool,
    Either,
    List,
    Map,
    Num,
    Obj,
    Opt,
    Path,
    Problem,
    Spec,
    Str,
    Tagged,
    bracketed,
)
from emulators.openai_rules import (
    EFFORTS,
    NAME_LIMIT,
    NAME_PATTERN,
    Model,
    check_effort,
    check_function,
    check_sampling,
    check_schema,
    refuse,
    unsupported_parameter,
    worded,
)
from emulators.scenario import Prompt, ToolOffer
from emulators.values import JsonObject, as_object, as_text, dumps, objects

CALL_ID_LIMIT = 40
_ID = Str(low=1, high=CALL_ID_LIMIT)
_NAME = Str(low=1, high=NAME_LIMIT, pattern=NAME_PATTERN)
_TEXT_PART = Obj({"type": Str(), "text": Str(), "prompt_cache_breakpoint": Anything()}, ("text",))
_IMAGE_URL = Obj({"url": Str(low=1), "detail": Str(choices=("auto", "low", "high"))}, ("url",))
_AUDIO = Obj({"data": Str(low=1), "format": Str(choices=("wav", "mp3"))}, ("data", "format"))
_FILE = Obj({"file_id": Str(), "filename": Str(), "file_data": Str()})
_USER_PART = Tagged(
    "type",
    {
        "text": _TEXT_PART,
        "image_url": Obj({"type": Str(), "image_url": _IMAGE_URL}, ("image_url",)),
        "input_audio": Obj({"type": Str(), "input_audio": _AUDIO}, ("input_audio",)),
        "file": Obj({"type": Str(), "file": _FILE}, ("file",)),
    },
)
_TEXTS = Either((Str(), List(Tagged("type", {"text": _TEXT_PART}), low=1)))
_ASSISTANT_PART = Tagged("type", {"text": _TEXT_PART, "refusal": Obj({"type": Str(), "refusal": Str()})})
_FUNCTION_CALL = Obj({"name": _NAME, "arguments": Str()}, ("name", "arguments"))
_CUSTOM_CALL = Obj({"name": _NAME, "input": Str()}, ("name", "input"))
_TOOL_CALL = Tagged(
    "type",
    {
        "function": Obj({"id": _ID, "type": Str(), "function": _FUNCTION_CALL}, ("id", "function")),
        "custom": Obj({"id": _ID, "type": Str(), "custom": _CUSTOM_CALL}, ("id", "custom")),
    },
)
_SPEAKER = Str(low=1, high=64, pattern=r"[^\s<|\\/>]+")


def _message(**fields: Spec) -> Obj:
    required = () if "tool_calls" in fields else tuple(fields)
    return Obj({"role": Str(), "name": _SPEAKER, **fields}, required)


_MESSAGE = Tagged(
    "role",
    {
        "system": _message(content=_TEXTS),
        "developer": _message(content=_TEXTS),
        "user": _message(content=Either((Str(), List(_USER_PART, low=1)))),
        "assistant": _message(
            content=Opt(Either((Str(), List(_ASSISTANT_PART, low=1)))),
            refusal=Opt(Str()),
            audio=Opt(Obj({"id": Str()})),
            annotations=Anything(),
            function_call=Opt(_FUNCTION_CALL),
            tool_calls=List(_TOOL_CALL, low=1, high=128),
        ),
        "tool": _message(content=_TEXTS, tool_call_id=_ID),
        "function": _message(content=Opt(Str())),
    },
)
_FUNCTION = Obj(
    {"name": _NAME, "description": Opt(Str()), "parameters": Opt(Map()), "strict": Opt(Bool())}, ("name",)
)
_CUSTOM = Obj({"name": _NAME, "description": Opt(Str()), "format": Map()}, ("name",))
_TOOL = Tagged(
    "type",
    {
        "function": Obj({"type": Str(), "function": _FUNCTION}, ("function",)),
        "custom": Obj({"type": Str(), "custom": _CUSTOM}, ("custom",)),
    },
)
_NAMED = Obj({"name": _NAME}, ("name",))
_ALLOWED = Obj({"mode": Str(choices=("auto", "required")), "tools": List(Map())}, ("mode", "tools"))
_CHOICE = Either(
    (
        Str(choices=("none", "auto", "required")),
        Tagged(
            "type",
            {
                "function": Obj({"type": Str(), "function": _NAMED}, ("function",)),
                "custom": Obj({"type": Str(), "custom": _NAMED}, ("custom",)),
                "allowed_tools": Obj({"type": Str(), "allowed_tools": _ALLOWED}, ("allowed_tools",)),
            },
        ),
    )
)
_JSON_SCHEMA = Obj(
    {"name": _NAME, "description": Str(), "schema": Map(), "strict": Opt(Bool())}, ("name", "schema")
)
_FORMAT = Tagged(
    "type",
    {
        "text": Obj({"type": Str()}),
        "json_object": Obj({"type": Str()}),
        "json_schema": Obj({"type": Str(), "json_schema": _JSON_SCHEMA}, ("json_schema",)),
    },
)
_FREE = Anything()
_FIELDS: dict[str, Spec] = {
    "model": Str(low=1),
    "messages": List(_MESSAGE, low=1),
    "stream": Opt(Bool()),
    "stream_options": Opt(Obj({"include_usage": Bool(), "include_obfuscation": Bool()})),
    "max_tokens": Opt(Num(whole=True, low=1)),
    "max_completion_tokens": Opt(Num(whole=True, low=1)),
    "temperature": Opt(Num(low=0, high=2)),
    "top_p": Opt(Num(low=0, high=1)),
    "n": Opt(Num(whole=True, low=1, high=128)),
    "stop": Opt(Either((Str(), List(Str(), high=4)))),
    "seed": Opt(Num(whole=True)),
    "presence_penalty": Opt(Num(low=-2, high=2)),
    "frequency_penalty": Opt(Num(low=-2, high=2)),
    "logit_bias": Opt(Map(Num(low=-100, high=100))),
    "logprobs": Opt(Bool()),
    "top_logprobs": Opt(Num(whole=True, low=0, high=20)),
    "user": Opt(Str()),
    "safety_identifier": Opt(Str()),
    "metadata": Opt(Map(Str(high=512), 16)),
    "store": Opt(Bool()),
    "service_tier": Opt(Str(choices=("auto", "default", "flex", "scale", "priority"))),
    "modalities": Opt(List(Str(choices=("text", "audio")))),
    "audio": Opt(Map()),
    "prediction": Opt(Map()),
    "web_search_options": Map(),
    "reasoning_effort": Opt(Str(choices=EFFORTS)),
    "verbosity": Opt(Str(choices=("low", "medium", "high"))),
    "response_format": Opt(_FORMAT),
    "tools": List(_TOOL, low=1, high=128),
    "tool_choice": Opt(_CHOICE),
    "parallel_tool_calls": Opt(Bool()),
    "functions": List(_FUNCTION, low=1),
    "function_call": Either((Str(choices=("none", "auto")), _NAMED)),
    "prompt_cache_key": Opt(Str()),
    "prompt_cache_retention": Opt(Str()),
    "prompt_cache_options": Opt(Map()),
    "moderation": _FREE,
}
BODY = Obj(_FIELDS, ("model", "messages"))


def check_chat(body: JsonObject, model: Model) -> None:
    """Raise `Refusal` for whatever the endpoint would turn down."""
    try:
        BODY.check(body, ())
    except Problem as problem:
        raise worded(problem, responses=False) from problem
    if model.responses_only:
        text = "This model is only supported in v1/responses and not in v1/chat/completions."
        raise refuse(text, param="model", status=404)
    _check_model_limits(body, model)
    _check_dependencies(body)
    _check_tools(body)
    _check_format(body)
    _check_media(body)
    _check_pairing(objects(body["messages"]))


def _check_model_limits(body: JsonObject, model: Model) -> None:
    check_sampling(body, model)
    if model.reasons and body.get("max_tokens") is not None:
        raise unsupported_parameter("max_tokens", " Use 'max_completion_tokens' instead.")
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise refuse(text, code="invalid_parameter_combination")
    if body.get("reasoning_effort") is not None and not model.reasons:
        raise refuse("Unrecognized request argument supplied: reasoning_effort")
    check_effort(body.get("reasoning_effort"), model, "reasoning_effort")


def _check_dependencies(body: JsonObject) -> None:
    """Parameters that only go together with another one."""
    if body.get("stream_options") is not None and body.get("stream") is not True:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse(text, param="stream_options")
    if "tools" not in body:
        if body.get("tool_choice") is not None:
            text = "'tool_choice' is only allowed when 'tools' are specified."
            raise refuse(f"Invalid value for 'tool_choice': {text}", param="tool_choice")
        if body.get("parallel_tool_calls") is not None:
            text = "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when"
            raise refuse(f"{text} 'tools' are specified.", param="parallel_tool_calls")
    if body.get("top_logprobs") is not None and body.get("logprobs") is not True:
        raise refuse("'top_logprobs' is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    if body.get("metadata") is not None and body.get("store") is not True:
        raise refuse("The 'metadata' parameter is only allowed when 'store' is enabled.", param="metadata")


def _check_tools(body: JsonObject) -> None:
    names: list[str] = []
    for at, tool in enumerate(objects(body.get("tools"))):
        kind = as_text(tool["type"])
        inner = as_object(tool[kind])
        names.append(as_text(inner["name"]))
        strict = inner.get("strict") is True
        check_function(names[-1], inner.get("parameters"), strict=strict, path=("tools", at, "function"))
    choice = as_object(body.get("tool_choice"))
    wanted = as_text(as_object(choice.get(as_text(choice.get("type")))).get("name"))
    if wanted and wanted not in names:
        raise refuse(f"Tool choice '{wanted}' not found in 'tools' parameter.", param="tool_choice")


def _check_format(body: JsonObject) -> None:
    wanted = as_object(body.get("response_format"))
    if wanted.get("type") == "json_object" and b"json" not in dumps(body["messages"]).lower():
        text = "'messages' must contain the word 'json' in some form, to use 'response_format' of type"
        raise refuse(f"{text} 'json_object'.", param="messages")
    inner = as_object(wanted.get("json_schema"))
    if inner:
        start = f"Invalid schema for response_format '{as_text(inner['name'])}': "
        strict, param = inner.get("strict") is True, "response_format"
        check_schema(as_object(inner["schema"]), (), start=start, strict=strict, param=param)


def _check_media(body: JsonObject) -> None:
    for at, message in enumerate(objects(body["messages"])):
        for inner, part in enumerate(objects(message.get("content"))):
            path: Path = ("messages", at, "content", inner)
            if "image_url" in part:
                url = as_text(as_object(part["image_url"]).get("url"))
                check_image_url(url, (*path, "image_url", "url"))
            if "file" in part:
                _check_file(as_object(part["file"]), path)


def _check_file(file: JsonObject, path: Path) -> None:
    where = bracketed((*path, "file"))
    if "file_id" in file:
        return
    if "file_data" not in file or "filename" not in file:
        text = f"Missing required parameter: '{where}.file_id'."
        raise refuse(text, param=f"{where}.file_id", code="missing_required_parameter")
    if not as_text(file["file_data"]).startswith("data:"):
        text = f"Invalid file data: '{where}.file_data'. Expected a base64-encoded data URL with a MIME type,"
        raise refuse(
            f"{text} but got unsupported MIME type.", param=f"{where}.file_data", code="invalid_value"
        )


def check_image_url(url: str, path: Path) -> None:
    """An image is a web address or a base64 data URL of a known picture type."""
    if url.startswith(("http://", "https://")):
        return
    found = re.fullmatch(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/=]+)", url)
    try:
        valid = found is not None and bool(b64decode(found.group(2), validate=True))
    except ValueError:
        valid = False
    if not valid:
        text = "You uploaded an unsupported image. Please make sure your image is valid."
        raise refuse(text, param=bracketed(path), code="invalid_image_url")


def _check_pairing(messages: list[JsonObject]) -> None:
    """Each `tool` message answers the assistant message before it, and every call is answered."""
    open_calls: list[str] = []
    for at, message in enumerate(messages):
        if message["role"] == "tool":
            if not open_calls and not _answers_calls(messages, at):
                text = (
                    "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
                )
                text = f"Invalid parameter: {text}"
                raise refuse(text, param=f"messages.[{at}].role")
            if message["tool_call_id"] not in open_calls:
                text = f"Invalid parameter: 'tool_call_id' of '{message['tool_call_id']}' not found in"
                raise refuse(
                    f"{text} 'tool_calls' of previous message.", param=f"messages.[{at}].tool_call_id"
                )
            open_calls.remove(as_text(message["tool_call_id"]))
            continue
        _require_answered(open_calls, at)
        open_calls = [as_text(call["id"]) for call in objects(message.get("tool_calls"))]
        if len(set(open_calls)) != len(open_calls):
            raise refuse("Duplicate 'tool_call_id' in 'tool_calls'.", param=f"messages.[{at}].tool_calls")
        if message["role"] == "assistant" and not _says_something(message):
            text = "Invalid value for 'content': expected a string, got null."
            raise refuse(text, param=f"messages.[{at}].content")
    _require_answered(open_calls, len(messages))


def _answers_calls(messages: list[JsonObject], at: int) -> bool:
    """Whether the messages before index `at` are tool answers that lead back to a message with calls."""
    while at > 0 and messages[at - 1]["role"] == "tool":
        at -= 1
    return at > 0 and "tool_calls" in messages[at - 1]


def _require_answered(open_calls: list[str], at: int) -> None:
    if open_calls:
        text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
        text += " 'tool_call_id'. The following tool_call_ids did not have response messages: "
        raise refuse(text + ", ".join(open_calls), param=f"messages.[{at}].role")


def _says_something(message: JsonObject) -> bool:
    names = ("content", "tool_calls", "function_call", "refusal", "audio")
    return any(message.get(name) is not None for name in names)


def read_chat(body: JsonObject) -> Prompt:
    """The request as the model sees it."""
    messages = objects(body["messages"])
    users = [message for message in messages if message["role"] == "user"]
    newest = objects(users[-1].get("content")) if users else []
    texts = list(_texts(users[-1])) if users else []
    choice = body.get("tool_choice")
    return Prompt(
        text=texts[-1] if texts else "",
        system="\n".join(
            text
            for message in messages
            if message["role"] in {"system", "developer"}
            for text in _texts(message)
        ),
        roles=tuple(as_text(message["role"]) for message in messages),
        tools=tuple(_offer(tool) for tool in objects(body.get("tools"))),
        results=_results(messages),
        forced=forced_tool(choice),
        may_call=choice != "none",
        parallel=body.get("parallel_tool_calls") is not False,
        media=tuple(_mime(part) for part in newest if part["type"] != "text"),
        schema=_wanted_schema(body),
        settings={key: body[key] for key in body if key not in {"messages", "tools", "model"}},
        size=len(dumps(body)),
    )


def forced_tool(choice: object) -> str | None:
    """Name of the tool that must be called, `*` for any, None when free."""
    if choice == "required":
        return "*"
    if not isinstance(choice, dict):
        return None
    kind = as_text(choice.get("type"))
    if kind == "allowed_tools":
        allowed = as_object(choice.get(kind)) or choice
        return "*" if allowed.get("mode") == "required" else None
    return as_text(as_object(choice.get(kind)).get("name")) or as_text(choice.get("name")) or None


def _texts(message: JsonObject) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in objects(content):
        if "text" in part:
            yield as_text(part["text"])


def _offer(tool: JsonObject) -> ToolOffer:
    inner = as_object(tool[as_text(tool["type"])])
    schema = as_object(inner.get("parameters")) or {"type": "object"}
    return ToolOffer(as_text(inner["name"]), schema, custom=tool["type"] == "custom")


def _results(messages: list[JsonObject]) -> tuple[str, ...]:
    results: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.insert(0, " ".join(_texts(message)))
    return tuple(results)


def _mime(part: JsonObject) -> str:
    if "image_url" in part:
        url = as_text(as_object(part["image_url"]).get("url"))
        return url[5:].partition(";")[0] if url.startswith("data:") else "url"
    if "input_audio" in part:
        return "audio/" + as_text(as_object(part["input_audio"]).get("format"))
    data = as_text(as_object(part["file"]).get("file_data"))
    return data[5:].partition(";")[0] or "file"


def _wanted_schema(body: JsonObject) -> JsonObject | None:
    wanted = as_object(body.get("response_format"))
    if wanted.get("type") == "json_object":
        return {}
    return as_object(as_object(wanted["json_schema"])["schema"]) if "json_schema" in wanted else None
