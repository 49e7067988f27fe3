"""The shape of a generateContent request, facts about Gemini models, and the vendor's error bodies.

The service reads JSON into protocol buffers: every name may be written in camel or snake case, null means
unset, and a name that is no field anywhere is refused with the path in snake case. Function parameters come
in two kinds, the vendor's own small schema language (`parameters`) and free JSON Schema
(`parametersJsonSchema`).
"""

import re
from collections.abc import Mapping

from attrs import frozen

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
    bracketed,
)
from emulators.values import (
    Answer,
    Json,
    JsonObject,
    Refusal,
    as_list,
    as_object,
    as_text,
    dumps,
    json_answer,
    objects,
)

FUNCTION_NAME = r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"
MODELS = (
    "gemini-2.0-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-flash-image",
    "gemini-3-pro-preview",
    "gemini-3-flash-preview",
    "gemini-3-pro-image-preview",
    "gemini-3.1-pro-preview",
    "gemini-3.1-flash-lite-preview",
    "gemini-3.5-flash",
    "gemini-3.6-flash",
    "gemini-embedding-001",
    "gemini-embedding-2",
)
MAX_OUTPUT = 65_536


@frozen
class Model:
    """Facts about one model, told from its name."""

    name: str

    @property
    def generation(self) -> float:
        """2.5, 3, 3.1, …"""
        found = re.search(r"gemini-(\d+(?:\.\d+)?)", self.name)
        return float(found.group(1)) if found else 3.0

    @property
    def embeds(self) -> bool:
        """Whether it makes embeddings and nothing else."""
        return "embedding" in self.name

    @property
    def draws(self) -> bool:
        """Whether it makes pictures, too."""
        return "image" in self.name

    @property
    def signs(self) -> bool:
        """Whether function calls need a thought signature."""
        return self.generation >= 3 and self.name.startswith("gemini")

    @property
    def levels(self) -> tuple[str, ...]:
        """Thinking levels it takes."""
        if self.generation < 3:
            return ()
        if "flash" in self.name:
            return ("MINIMAL", "LOW", "MEDIUM", "HIGH")
        return ("LOW", "HIGH") if self.generation < 3.1 else ("LOW", "MEDIUM", "HIGH")

    @property
    def budget(self) -> tuple[int, int]:
        """The range of thinking budgets."""
        return (0, 24_576) if self.generation < 3 and "flash" in self.name else (128, 32_768)


def snake(name: str) -> str:
    """The snake-case spelling of a field name."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def member(value: JsonObject, name: str) -> Json:
    """A field by its camel-case name, in either spelling."""
    return value[name] if name in value else value.get(snake(name))


def message(fields: Mapping[str, Spec], required: tuple[str, ...] = ()) -> Obj:
    """A protocol buffer message: both spellings, null allowed."""
    both: dict[str, Spec] = {}
    for name, spec in fields.items():
        both[name] = both[snake(name)] = Opt(spec)
    return Obj(both, required)


_FREE = Anything()
_TYPE = r"(?i)(string|number|integer|boolean|array|object|null|type_unspecified)"
_COUNT = Either((Num(whole=True), Str(pattern=r"\d+")))


class _Schema:
    """The vendor's schema language, which contains itself."""

    kind = "object"

    def check(self, value: Json, path: Path) -> None:
        """Check one level and, through it, all others."""
        _SCHEMA_MESSAGE.check(value, path)


_SCHEMA = _Schema()
_SCHEMA_MESSAGE = message(
    {
        "type": Str(pattern=_TYPE),
        "format": Str(),
        "title": Str(),
        "description": Str(),
        "nullable": Bool(),
        "enum": List(Str()),
        "maxItems": _COUNT,
        "minItems": _COUNT,
        "properties": Map(_SCHEMA),
        "required": List(Str()),
        "minProperties": _COUNT,
        "maxProperties": _COUNT,
        "minLength": _COUNT,
        "maxLength": _COUNT,
        "pattern": Str(),
        "example": _FREE,
        "anyOf": List(_SCHEMA),
        "propertyOrdering": List(Str()),
        "default": _FREE,
        "items": _SCHEMA,
        "minimum": Num(),
        "maximum": Num(),
    }
)
_BLOB = message({"mimeType": Str(), "data": Str(), "displayName": Str()})
_FILE = message({"mimeType": Str(), "fileUri": Str(), "displayName": Str()})
_CALL = message({"id": Str(), "name": Str(), "args": Map()})
_RESPONSE = message(
    {
        "id": Str(),
        "name": Str(),
        "response": Map(),
        "parts": List(message({"inlineData": _BLOB, "fileData": _FILE})),
        "willContinue": Bool(),
        "scheduling": Str(),
    }
)
DATA_FIELDS = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
_PART = message(
    {
        "text": Str(),
        "inlineData": _BLOB,
        "fileData": _FILE,
        "functionCall": _CALL,
        "functionResponse": _RESPONSE,
        "executableCode": Map(),
        "codeExecutionResult": Map(),
        "toolCall": Map(),
        "toolResponse": Map(),
        "thought": Bool(),
        "thoughtSignature": Str(),
        "videoMetadata": Map(),
        "mediaResolution": _FREE,
        "partMetadata": _FREE,
    }
)
CONTENT = message({"role": Str(), "parts": Either((List(_PART), _PART))})
_DECLARATION = message(
    {
        "name": Str(),
        "description": Str(),
        "parameters": _SCHEMA,
        "parametersJsonSchema": _FREE,
        "response": _SCHEMA,
        "responseJsonSchema": _FREE,
        "behavior": Str(choices=("BLOCKING", "NON_BLOCKING", "UNSPECIFIED")),
    }
)
BUILTIN_TOOLS = (
    "googleSearch",
    "googleSearchRetrieval",
    "codeExecution",
    "urlContext",
    "googleMaps",
    "computerUse",
    "fileSearch",
    "mcpServers",
)
_TOOL = message({"functionDeclarations": List(_DECLARATION), **dict.fromkeys(BUILTIN_TOOLS, _FREE)})
_CALLING = message(
    {
        "mode": Str(choices=("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")),
        "allowedFunctionNames": List(Str()),
    }
)
_TOOL_CONFIG = message({"functionCallingConfig": _CALLING, "retrievalConfig": Map()})
_THINKING = message({"includeThoughts": Bool(), "thinkingBudget": Num(whole=True), "thinkingLevel": Str()})
_GENERATION = message(
    {
        "temperature": Num(low=0, high=2),
        "topP": Num(low=0, high=1),
        "topK": Num(low=1),
        "candidateCount": Num(whole=True, low=1, high=8),
        "maxOutputTokens": Num(whole=True, low=1, high=MAX_OUTPUT),
        "stopSequences": List(Str(), high=5),
        "responseMimeType": Str(choices=("text/plain", "application/json", "text/x.enum")),
        "responseSchema": _SCHEMA,
        "responseJsonSchema": _FREE,
        "presencePenalty": Num(),
        "frequencyPenalty": Num(),
        "seed": Num(whole=True),
        "responseLogprobs": Bool(),
        "logprobs": Num(whole=True),
        "responseModalities": List(Str(choices=("TEXT", "IMAGE", "AUDIO"))),
        "speechConfig": Map(),
        "imageConfig": Map(),
        "thinkingConfig": _THINKING,
        "mediaResolution": Str(),
        "enableEnhancedCivicAnswers": Bool(),
    }
)
CATEGORIES = (
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
)
_THRESHOLDS = (
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
)
_SAFETY = message({"category": Str(choices=CATEGORIES), "threshold": Str(choices=_THRESHOLDS)})
_CONTENTS = Either((List(CONTENT), CONTENT))
BODY = message(
    {
        "model": Str(),
        "contents": _CONTENTS,
        "systemInstruction": CONTENT,
        "tools": List(_TOOL),
        "toolConfig": _TOOL_CONFIG,
        "safetySettings": List(_SAFETY),
        "generationConfig": _GENERATION,
        "cachedContent": Str(),
        "serviceTier": _FREE,
        "store": Bool(),
    }
)
COUNT_BODY = message({"contents": _CONTENTS, "generateContentRequest": BODY})

STATUSES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_MESSAGES: Mapping[int, str] = {
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token.",
    429: "You exceeded your current quota, please check your plan and billing details.",
    500: "An internal error has occurred. Please retry or report in https://developers.generativeai.google",
    503: "The model is overloaded. Please try again later.",
}


def error_body(status: int, message: str, details: list[Json] | None = None) -> JsonObject:
    """The error object of every Google API."""
    error: JsonObject = {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}
    return {"error": {**error, "details": details} if details else error}


def refuse(message: str, status: int = 400, details: list[Json] | None = None) -> Refusal:
    """A refusal with the vendor's error body."""
    return Refusal(json_answer(error_body(status, message, details), status), message)


def failure(status: int, details: JsonObject) -> Answer:
    """The vendor's error reply; `retry_delay` (such as `34.07s`) becomes a RetryInfo."""
    message = as_text(details.get("message")) or _MESSAGES.get(status, "Internal error encountered.")
    delay = as_text(details.get("retry_delay"))
    info: JsonObject = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return json_answer(error_body(status, message, [info] if delay else None), status)


_PROTO_TYPES = {
    "string": "TYPE_STRING",
    "integer": "TYPE_INT32",
    "number": "TYPE_FLOAT",
    "boolean": "TYPE_BOOL",
}


def worded(problem: Problem) -> Refusal:
    """A structural problem in the words of the vendor's JSON reader."""
    path = tuple(snake(part) if isinstance(part, str) else part for part in problem.path)
    where = bracketed(path)
    figures = problem.figures
    match problem.kind:
        case "unknown":
            parent = bracketed(path[:-1])
            place = f" at '{parent}'" if parent else ""
            text = (
                f'Invalid JSON payload received. Unknown name "{figures["name"]}"{place}: Cannot find field.'
            )
        case "type" if isinstance(figures["found"], list):
            text = f"Invalid JSON payload received. Unknown name \"{path[-1]}\" at '{bracketed(path[:-1])}':"
            text += " Proto field is not repeating, cannot start list."
        case "type":
            kind = _PROTO_TYPES.get(str(figures["expected"]), "TYPE_MESSAGE")
            text = f"Invalid value at '{where}' ({kind}), {_shown(figures['found'])}"
        case "choice" | "pattern":
            text = f"Invalid value at '{where}' (TYPE_ENUM), {_shown(figures['found'])}"
        case _:
            text = f"* GenerateContentRequest.{where}: value out of supported range: {figures}"
    violation: Json = {"field": where, "description": text}
    return refuse(
        text, details=[{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]
    )


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else dumps(_json(value)).decode()


def _json(value: object) -> Json:
    return value if isinstance(value, bool | int | float | str | dict) else None


def check_tools(body: JsonObject, model: Model) -> None:
    """Declarations, their schemas, and what cannot be combined."""
    names: list[str] = []
    builtin = False
    for at, tool in enumerate(objects(member(body, "tools"))):
        declared = objects(member(tool, "functionDeclarations"))
        others = [name for name in BUILTIN_TOOLS if member(tool, name) is not None]
        builtin = builtin or bool(others)
        if not declared and not others:
            text = (
                f"* GenerateContentRequest.tools[{at}].tool_type: required one_of 'tool_type' must have one"
            )
            raise refuse(f"{text} initialized field")
        for inner, declaration in enumerate(declared):
            _check_declaration(declaration, f"tools[{at}].function_declarations[{inner}]")
            names.append(as_text(declaration.get("name")))
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise refuse(f"Duplicate function declaration found: {repeated}")
    if names and builtin and model.generation < 3:
        raise refuse("Tool use with function calling is unsupported")
    _check_calling(body, names)


def _check_declaration(declaration: JsonObject, where: str) -> None:
    if not re.fullmatch(FUNCTION_NAME, as_text(declaration.get("name"))):
        text = f"* GenerateContentRequest.{where}.name: Invalid function name. Must start with a letter or an"
        text += " underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or"
        raise refuse(f"{text} dashes (-), with a maximum length of 64.")
    own, free = member(declaration, "parameters"), member(declaration, "parametersJsonSchema")
    if own is not None and free is not None:
        text = (
            f"* GenerateContentRequest.{where}: only one of parameters and parameters_json_schema may be set"
        )
        raise refuse(text)
    if own is not None:
        check_schema(as_object(own), f"{where}.parameters")


def check_schema(schema: JsonObject, where: str) -> None:
    """Meaning of a schema in the vendor's language, level by level."""
    kind = as_text(schema.get("type")).upper()
    start = f"* GenerateContentRequest.{where}"
    properties = as_object(schema.get("properties"))
    if kind == "ARRAY" and not isinstance(schema.get("items"), dict):
        raise refuse(f"{start}.items: missing field.")
    if kind == "OBJECT" and "properties" in schema and not properties:
        raise refuse(f"{start}.properties: should be non-empty for OBJECT type")
    if "enum" in schema and kind != "STRING":
        raise refuse(f"{start}.enum: only allowed for STRING type")
    if kind == "STRING" and schema.get("format") not in (None, "enum", "date-time"):
        raise refuse(f"{start}.format: only 'enum' and 'date-time' are supported for STRING type")
    for at, name in enumerate(as_list(schema.get("required"))):
        if name not in properties:
            raise refuse(f"{start}.required[{at}]: property is not defined")
    for name, inner in properties.items():
        check_schema(as_object(inner), f"{where}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        check_schema(as_object(schema["items"]), f"{where}.items")
    for at, branch in enumerate(objects(member(schema, "anyOf"))):
        check_schema(branch, f"{where}.any_of[{at}]")


def _check_calling(body: JsonObject, names: list[str]) -> None:
    config = as_object(member(as_object(member(body, "toolConfig")), "functionCallingConfig"))
    if config and not names:
        raise refuse("Function calling config is set without function_declarations.")
    allowed = as_list(member(config, "allowedFunctionNames"))
    if allowed and config.get("mode") not in {"ANY", "VALIDATED"}:
        raise refuse("allowed_function_names should only be set when function calling mode is ANY.")
    missing = [name for name in allowed if name not in names]
    if missing:
        raise refuse(f"allowed_function_names contains '{missing[0]}', which is not a declared function")


def check_generation(body: JsonObject, model: Model) -> None:
    """Settings that exclude one another or do not fit the model."""
    config = as_object(member(body, "generationConfig"))
    own, free = member(config, "responseSchema"), member(config, "responseJsonSchema")
    mime = member(config, "responseMimeType")
    if own is not None and free is not None:
        raise refuse("response_schema and response_json_schema cannot both be set.")
    if (own or free) and mime not in {"application/json", "text/x.enum"}:
        raise refuse(
            "response_schema is only allowed with response_mime_type application/json or text/x.enum."
        )
    if own is not None:
        check_schema(as_object(own), "generation_config.response_schema")
    declared = any(member(tool, "functionDeclarations") for tool in objects(member(body, "tools")))
    if mime == "application/json" and declared and model.generation < 3:
        raise refuse("Function calling with a response mime type: 'application/json' is unsupported")
    _check_thinking(as_object(member(config, "thinkingConfig")), model)
    seen = [as_text(setting.get("category")) for setting in objects(member(body, "safetySettings"))]
    if len(set(seen)) != len(seen):
        raise refuse("safety_settings: duplicate category")


def _check_thinking(config: JsonObject, model: Model) -> None:
    budget, level = member(config, "thinkingBudget"), member(config, "thinkingLevel")
    if budget is not None and level is not None:
        raise refuse("You can only set only one of thinking budget and thinking level.")
    if level is not None and as_text(level).upper() not in model.levels:
        text = "Thinking level is not supported for this model."
        raise refuse(text if not model.levels else f"Thinking level {level} is not supported for this model.")
    low, high = model.budget
    if isinstance(budget, int) and budget != -1 and not low <= budget <= high:
        if budget == 0:
            raise refuse("Budget 0 is invalid. This model only works in thinking mode.")
        raise refuse(
            f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
        )
