"""The rules of `POST /v1/responses`, and how its request reads as a prompt."""

from collections.abc import Iterator, Mapping

from emulators.check import (
    Anything,
    Bool,
    Either,
    List,
    Map,
    Num,
    Obj,
    Opt,
    Problem,
    Spec,
    Str,
    Tagged,
)
from emulators.openai_chat import check_image_url, forced_tool
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
    worded,
)
from emulators.scenario import Prompt, ToolOffer
from emulators.signing import is_openai_encrypted
from emulators.values import JsonObject, as_list, as_object, as_text, dumps, objects

_NAME = Str(low=1, high=NAME_LIMIT, pattern=NAME_PATTERN)
_CALL_ID = Str(low=1, high=64)
_FREE = Anything()
_STATUS = Opt(Str(choices=("in_progress", "completed", "incomplete")))
_INPUT_PART = Tagged(
    "type",
    {
        "input_text": Obj({"type": Str(), "text": Str(), "prompt_cache_breakpoint": _FREE}, ("text",)),
        "input_image": Obj(
            {
                "type": Str(),
                "image_url": Opt(Str()),
                "file_id": Opt(Str()),
                "detail": Opt(Str(choices=("low", "high", "auto", "original"))),
            }
        ),
        "input_file": Obj(
            {
                "type": Str(),
                "file_id": Opt(Str()),
                "filename": Str(),
                "file_data": Str(),
                "file_url": Str(),
                "detail": Opt(Str()),
            }
        ),
    },
)
_OUTPUT_PART = Tagged(
    "type",
    {
        "output_text": Obj(
            {"type": Str(), "text": Str(), "annotations": List(_FREE), "logprobs": _FREE}, ("text",)
        ),
        "refusal": Obj({"type": Str(), "refusal": Str()}, ("refusal",)),
    },
)
_SUMMARY = Tagged("type", {"summary_text": Obj({"type": Str(), "text": Str()}, ("text",))})
_REASONING_TEXT = Tagged("type", {"reasoning_text": Obj({"type": Str(), "text": Str()}, ("text",))})


def _item(required: tuple[str, ...], **fields: Spec) -> Obj:
    return Obj({"type": Str(), "id": Opt(Str()), "status": _STATUS, **fields}, required)


def _message(part: Spec) -> Obj:
    role = Str(choices=("user", "assistant", "system", "developer"))
    content = Either((Str(), List(part)))
    return _item(("role", "content"), role=role, content=content, phase=Opt(Str()))


_OUTPUT = Either((Str(), List(_INPUT_PART)))
_ITEMS: Mapping[str, Spec] = {
    "function_call": _item(
        ("call_id", "name", "arguments"), call_id=_CALL_ID, name=_NAME, arguments=Str(), namespace=Str()
    ),
    "function_call_output": _item(
        ("call_id", "output"), call_id=_CALL_ID, output=_OUTPUT, name=Opt(Str()), namespace=Opt(Str())
    ),
    "custom_tool_call": _item(
        ("call_id", "name", "input"), call_id=_CALL_ID, name=_NAME, input=Str(), namespace=Str()
    ),
    "custom_tool_call_output": _item(("call_id", "output"), call_id=_CALL_ID, output=_OUTPUT),
    "reasoning": _item(
        ("summary",),
        summary=List(_SUMMARY),
        content=Opt(List(_REASONING_TEXT)),
        encrypted_content=Opt(Str()),
    ),
    "item_reference": Obj({"type": Str(), "id": Str()}, ("id",)),
    "additional_tools": _item(("tools",), role=Str(choices=("developer",)), tools=List(Map())),
    **{
        name: Map()
        for name in (
            "web_search_call",
            "file_search_call",
            "computer_call",
            "computer_call_output",
            "image_generation_call",
            "code_interpreter_call",
            "local_shell_call",
            "local_shell_call_output",
            "mcp_call",
            "mcp_list_tools",
            "compaction",
        )
    },
}
_ID_PREFIX = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fc",
    "custom_tool_call": "ctc",
    "reasoning": "rs",
}
_FUNCTION_FIELDS: dict[str, Spec] = {
    "type": Str(),
    "name": _NAME,
    "description": Opt(Str()),
    "parameters": Opt(Map()),
    "strict": Opt(Bool()),
    "defer_loading": Bool(),
}
_FUNCTION = Obj(_FUNCTION_FIELDS, ("name", "parameters"))
_TOOLS: dict[str, Spec] = {
    "function": _FUNCTION,
    "custom": Obj(
        {"type": Str(), "name": _NAME, "description": Str(), "format": Map(), "defer_loading": Bool()},
        ("name",),
    ),
    "namespace": Obj(
        {
            "type": Str(),
            "name": _NAME,
            "description": Str(),
            "tools": List(Tagged("type", {"function": _FUNCTION})),
        },
        ("name", "tools"),
    ),
    **{
        name: Map()
        for name in (
            "web_search",
            "web_search_preview",
            "web_search_preview_2025_03_11",
            "file_search",
            "computer_use_preview",
            "code_interpreter",
            "image_generation",
            "local_shell",
            "shell",
            "apply_patch",
            "mcp",
            "tool_search",
        )
    },
}
_CHOICE = Either(
    (
        Str(choices=("none", "auto", "required")),
        Tagged(
            "type",
            {
                "function": Obj({"type": Str(), "name": _NAME}, ("name",)),
                "custom": Obj({"type": Str(), "name": _NAME}, ("name",)),
                "allowed_tools": Obj(
                    {"type": Str(), "mode": Str(choices=("auto", "required")), "tools": List(Map())}
                ),
                **{name: Map() for name in ("web_search", "web_search_preview", "image_generation", "mcp")},
            },
        ),
    )
)
_FORMAT = Tagged(
    "type",
    {
        "text": Obj({"type": Str()}),
        "json_object": Obj({"type": Str()}),
        "json_schema": Obj(
            {"type": Str(), "name": _NAME, "schema": Map(), "strict": Opt(Bool()), "description": Str()},
            ("name", "schema"),
        ),
    },
)
INCLUDES = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
_SUMMARIES = Opt(Str(choices=("auto", "concise", "detailed")))
_REASONING = Obj({"effort": Opt(Str(choices=EFFORTS)), "summary": _SUMMARIES, "generate_summary": _SUMMARIES})
BODY = Obj(
    {
        "model": Str(low=1),
        "input": Either((Str(), List(Map()))),
        "instructions": Opt(Str()),
        "stream": Opt(Bool()),
        "stream_options": Opt(Obj({"include_obfuscation": Bool()})),
        "max_output_tokens": Opt(Num(whole=True, low=16)),
        "max_tool_calls": Opt(Num(whole=True, low=1)),
        "temperature": Opt(Num(low=0, high=2)),
        "top_p": Opt(Num(low=0, high=1)),
        "top_logprobs": Opt(Num(whole=True, low=0, high=20)),
        "tools": List(Tagged("type", _TOOLS)),
        "tool_choice": Opt(_CHOICE),
        "parallel_tool_calls": Opt(Bool()),
        "reasoning": Opt(_REASONING),
        "text": Opt(Obj({"format": _FORMAT, "verbosity": Opt(Str(choices=("low", "medium", "high")))})),
        "include": Opt(List(Str(choices=INCLUDES))),
        "store": Opt(Bool()),
        "previous_response_id": Opt(Str()),
        "conversation": _FREE,
        "background": Opt(Bool()),
        "truncation": Opt(Str(choices=("auto", "disabled"))),
        "context_management": _FREE,
        "metadata": Opt(Map(Str(high=512), 16)),
        "user": Opt(Str()),
        "safety_identifier": Opt(Str()),
        "prompt_cache_key": Opt(Str()),
        "prompt_cache_retention": Opt(Str()),
        "prompt_cache_options": _FREE,
        "prompt": Opt(Map()),
        "service_tier": Opt(Str(choices=("auto", "default", "flex", "scale", "priority"))),
        "moderation": _FREE,
    },
    ("model", "input"),
)
_COUNTED = (
    *("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
    *("previous_response_id", "conversation", "truncation"),
)
COUNT_BODY = Obj({name: BODY.fields[name] for name in _COUNTED}, ("model",))
"""What `POST /v1/responses/input_tokens` takes."""
_COMPACTED = (
    *("model", "input", "instructions", "previous_response_id", "service_tier"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
)
COMPACT_BODY = Obj({name: BODY.fields[name] for name in _COMPACTED}, ("model", "input"))
"""What `POST /v1/responses/compact` takes: no tools, and no wish to stream."""


def check_count(body: JsonObject, model: Model, stored: frozenset[str]) -> None:
    """Raise `Refusal` for what counting would turn down: anything that has no tokens, to begin with."""
    _check_part(COUNT_BODY, body, model, stored)


def check_compact(body: JsonObject, model: Model, stored: frozenset[str]) -> None:
    """Raise `Refusal` for what compacting a conversation would turn down."""
    _check_part(COMPACT_BODY, body, model, stored)


def _check_part(members: Obj, body: JsonObject, model: Model, stored: frozenset[str]) -> None:
    try:
        members.check(body, ())
    except Problem as problem:
        raise worded(problem, responses=True) from problem
    check_responses(body, model, stored)


def check_responses(body: JsonObject, model: Model, stored: frozenset[str]) -> None:
    """Raise `Refusal` for whatever the endpoint would turn down; `stored` are known response and item ids."""
    try:
        BODY.check(body, ())
        for at, item in enumerate(objects(body["input"])):
            _check_item(item, at)
    except Problem as problem:
        raise worded(problem, responses=True) from problem
    check_sampling(body, model)
    _check_settings(body, model)
    _check_tools(body)
    previous = as_text(body.get("previous_response_id"))
    if previous and previous not in stored:
        text = f"Previous response with id '{previous}' not found."
        raise refuse(text, param="previous_response_id", code="previous_response_not_found")
    _check_pairing(objects(body["input"]), continues=bool(previous))
    _check_reasoning(objects(body["input"]), stored)


def _check_item(item: JsonObject, at: int) -> None:
    """One input item: shape by type, parts by role, the prefix of its id."""
    kind = as_text(item.get("type")) or ("message" if "role" in item else "")
    path = ("input", at)
    if kind == "message":
        assistant = item.get("role") == "assistant"
        _message(_OUTPUT_PART if assistant else _INPUT_PART).check(item, path)
    else:
        Tagged("type", {**_ITEMS, "message": _message(_INPUT_PART)}).check(item, path)
    prefix, found = _ID_PREFIX.get(kind), item.get("id")
    if prefix and isinstance(found, str) and not found.startswith(prefix):
        text = f"Invalid 'input[{at}].id': '{found}'. Expected an ID that begins with '{prefix}'."
        raise refuse(text, param=f"input[{at}].id", code="invalid_value")
    for inner, part in enumerate(objects(item.get("content"))):
        if isinstance(part.get("image_url"), str):
            check_image_url(as_text(part["image_url"]), (*path, "content", inner, "image_url"))


def _check_settings(body: JsonObject, model: Model) -> None:
    if body.get("stream_options") is not None and body.get("stream") is not True:
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise refuse(text, param="stream_options")
    reasoning = as_object(body.get("reasoning"))
    check_effort(reasoning.get("effort"), model, "reasoning.effort")
    if reasoning.get("summary") is not None and not model.reasons:
        text = "Unsupported parameter: 'reasoning.summary' is not supported with this model."
        raise refuse(text, param="reasoning.summary", code="unsupported_parameter")
    if "reasoning.encrypted_content" in as_list(body.get("include")) and not model.reasons:
        raise refuse("Encrypted content is not supported with this model.", param="include")
    wanted = as_object(as_object(body.get("text")).get("format"))
    if wanted.get("type") == "json_schema":
        start = f"Invalid schema for response_format '{as_text(wanted['name'])}': "
        strict = wanted.get("strict") is True
        check_schema(as_object(wanted["schema"]), (), start=start, strict=strict, param="text.format.schema")
    if wanted.get("type") == "json_object" and b"json" not in dumps(body["input"]).lower():
        text = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type"
        )
        raise refuse(f"{text} 'json_object'.", param="input")


def _check_tools(body: JsonObject) -> None:
    tools = objects(body.get("tools"))
    for at, tool in enumerate(tools):
        if tool["type"] == "function":
            strict = tool.get("strict") is True
            check_function(as_text(tool["name"]), tool["parameters"], strict=strict, path=("tools", at))
    choice = as_object(body.get("tool_choice"))
    names = [tool.get("name") for tool in tools]
    if choice.get("type") in {"function", "custom"} and choice.get("name") not in names:
        text = f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
        raise refuse(text, param="tool_choice")
    if body.get("tool_choice") == "required" and not tools:
        raise refuse("Tool choice 'required' must be specified with 'tools' parameter.", param="tool_choice")


def _check_pairing(items: list[JsonObject], *, continues: bool) -> None:
    """Every call has one output after it, every output a call before it."""
    open_calls: list[str] = []
    seen: set[str] = set()
    for item in items:
        kind, call_id = as_text(item.get("type")), as_text(item.get("call_id"))
        if kind in {"function_call", "custom_tool_call"}:
            if call_id in seen:
                raise refuse(f"Duplicate function call with call_id {call_id}.", param="input")
            seen.add(call_id)
            open_calls.append(call_id)
        elif kind in {"function_call_output", "custom_tool_call_output"}:
            if call_id not in open_calls and not (continues and call_id not in seen):
                word = kind.removesuffix("_output").replace("_", " ")
                raise refuse(f"No tool call found for {word} output with call_id {call_id}.", param="input")
            open_calls = [known for known in open_calls if known != call_id]
    if open_calls:
        raise refuse(f"No tool output found for function call {open_calls[0]}.", param="input")


def _check_reasoning(items: list[JsonObject], stored: frozenset[str]) -> None:
    """Reasoning is sealed by the service itself, or kept by it, and is followed by what it led to.

    Sealed reasoning needs no id: the vendor's own agent leaves it out.
    """
    for at, item in enumerate(items):
        if item.get("type") == "item_reference" and item["id"] not in stored:
            raise refuse(f"Item with id '{item['id']}' not found.", param="input", status=404)
        if item.get("type") not in {"reasoning", "compaction"}:
            continue
        sealed = item.get("encrypted_content")
        if isinstance(sealed, str) and not is_openai_encrypted(sealed):
            text = f"The encrypted content {sealed[:5]}...{sealed[-4:]} could not be verified."
            raise refuse(text, code="invalid_encrypted_content")
        if item["type"] == "compaction":
            continue
        name = as_text(item.get("id"))
        if sealed is None and name not in stored:
            text = f"Item with id '{name}' not found. Items are not persisted when `store` is set to"
            raise refuse(f"{text} false.", param="input", status=404)
        following = as_object(items[at + 1]) if at + 1 < len(items) else {}
        if following.get("role", "assistant") != "assistant" or not following:
            text = f"Item '{name}' of type 'reasoning' was provided without its required following item."
            raise refuse(text, param="input")


def read_responses(body: JsonObject) -> Prompt:
    """The request as the model sees it."""
    raw = body["input"]
    items: list[JsonObject] = objects(raw) if isinstance(raw, list) else [{"role": "user", "content": raw}]
    users = [item for item in items if item.get("role") == "user"]
    texts = list(_texts(users[-1])) if users else []
    fixed = [item for item in items if item.get("role") in {"system", "developer"}]
    systems = [as_text(body.get("instructions")), *(text for item in fixed for text in _texts(item))]
    choice = body.get("tool_choice")
    newest = objects(users[-1].get("content")) if users else []
    return Prompt(
        text=texts[-1] if texts else "",
        system="\n".join(text for text in systems if text),
        roles=tuple(as_text(item.get("role")) or as_text(item.get("type")) for item in items),
        tools=tuple(_offers(objects(body.get("tools")))),
        results=_results(items),
        forced=forced_tool(choice),
        may_call=choice != "none",
        parallel=body.get("parallel_tool_calls") is not False,
        media=tuple(_mime(part) for part in newest if part.get("type") != "input_text"),
        schema=_wanted_schema(body),
        settings={key: body[key] for key in body if key not in {"input", "tools", "model", "instructions"}},
        size=len(dumps(body)),
    )


def _texts(item: JsonObject) -> Iterator[str]:
    content = item.get("content")
    if isinstance(content, str):
        yield content
    for part in objects(content):
        if "text" in part:
            yield as_text(part["text"])


def _offers(tools: list[JsonObject]) -> Iterator[ToolOffer]:
    for tool in tools:
        match tool["type"]:
            case "function":
                yield ToolOffer(as_text(tool["name"]), as_object(tool["parameters"]))
            case "custom":
                yield ToolOffer(as_text(tool["name"]), custom=True)
            case "namespace":
                yield from _offers(objects(tool["tools"]))


def _results(items: list[JsonObject]) -> tuple[str, ...]:
    results: list[str] = []
    for item in reversed(items):
        if not as_text(item.get("type")).endswith("_call_output"):
            break
        output = item.get("output")
        text = output if isinstance(output, str) else " ".join(_texts({"content": output}))
        results.insert(0, text)
    return tuple(results)


def _mime(part: JsonObject) -> str:
    url = as_text(part.get("image_url")) or as_text(part.get("file_data"))
    return url[5:].partition(";")[0] if url.startswith("data:") else "url"


def _wanted_schema(body: JsonObject) -> JsonObject | None:
    wanted = as_object(as_object(body.get("text")).get("format"))
    if wanted.get("type") == "json_object":
        return {}
    return as_object(wanted["schema"]) if wanted.get("type") == "json_schema" else None
