"""What the OpenAI endpoints have in common: error bodies, facts about models, rules for function tools.

The wording of the errors follows the real service, because clients and proxies match on it.
"""

from attrs import frozen

from emulators.check import Path, Problem, bracketed, kind_of
from emulators.values import Answer, HeaderList, Json, JsonObject, Refusal, as_object, as_text, json_answer

NAME_PATTERN = "[a-zA-Z0-9_-]+"
NAME_LIMIT = 64

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_MODEL_EFFORTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gpt-5.6", EFFORTS[2:]),
    ("gpt-5.5", EFFORTS[2:6]),
    ("gpt-5.4", ("none", *EFFORTS[2:6])),
    ("gpt-5.3-codex", EFFORTS[2:6]),
    ("gpt-5.2-codex", EFFORTS[2:6]),
    ("gpt-5.2", ("none", *EFFORTS[2:6])),
    ("gpt-5.1-codex-max", EFFORTS[2:6]),
    ("gpt-5.1-codex", EFFORTS[2:5]),
    ("gpt-5.1", ("none", *EFFORTS[2:5])),
    ("gpt-5-codex", EFFORTS[2:5]),
    ("gpt-5", EFFORTS[1:5]),
    ("o", EFFORTS[2:5]),
)
MODELS = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "o3",
    "o4-mini",
    "gpt-5",
    "gpt-5-mini",
    "gpt-5-nano",
    "gpt-5-codex",
    "gpt-5.1",
    "gpt-5.1-codex",
    "gpt-5.2",
    "gpt-5.2-codex",
    "gpt-5.3-codex",
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.4-nano",
    "gpt-5.5",
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "gpt-3.5-turbo-instruct",
    "text-embedding-3-small",
    "gpt-image-1.5",
    "gpt-image-2",
)


@frozen
class Model:
    """Facts about one model, told from its name."""

    name: str

    @property
    def reasons(self) -> bool:
        """Whether it is a reasoning model, with that family's restrictions."""
        return self.name.startswith(("o1", "o3", "o4", "gpt-5", "gpt-6"))

    @property
    def responses_only(self) -> bool:
        """Whether it is served by the Responses endpoint alone."""
        return "codex" in self.name

    @property
    def efforts(self) -> tuple[str, ...]:
        """Reasoning efforts it takes."""
        return next((levels for prefix, levels in _MODEL_EFFORTS if self.name.startswith(prefix)), EFFORTS)


def error_body(
    message: str, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> JsonObject:
    """The error object of every OpenAI endpoint."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refuse(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> Refusal:
    """A refusal with the vendor's error body."""
    kind = "invalid_request_error"
    return Refusal(json_answer(error_body(message, kind, param, code), status), message)


def unsupported_parameter(param: str, hint: str = "") -> Refusal:
    """The model does not take this parameter at all."""
    text = f"Unsupported parameter: '{param}' is not supported with this model.{hint}"
    return refuse(text, param=param, code="unsupported_parameter")


def unsupported_value(param: str, value: Json, allowed: str) -> Refusal:
    """The model takes the parameter, but not with this value."""
    text = f"Unsupported value: '{param}' does not support {value!r} with this model. {allowed}"
    return refuse(text, param=param, code="unsupported_value")


def check_sampling(body: JsonObject, model: Model) -> None:
    """Reasoning models keep their own sampling."""
    if not model.reasons:
        return
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1, 1.0):
            raise unsupported_value(name, body[name], "Only the default (1) value is supported.")
    for name in ("presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "stop"):
        if body.get(name) not in (None, 0, False):
            raise unsupported_parameter(name)


def check_effort(effort: Json, model: Model, param: str) -> None:
    """The effort must be one of the model's own levels."""
    if effort is None:
        return
    if not model.reasons:
        raise unsupported_parameter(param)
    if effort not in model.efforts:
        raise unsupported_value(param, effort, f"Supported values are: {_quoted(model.efforts)}.")


def worded(problem: Problem, *, responses: bool) -> Refusal:
    """A structural problem in OpenAI's words; the two endpoints name unknown members differently."""
    where = bracketed(problem.path)
    figures = problem.figures
    found: Json = figures.get("found")  # type: ignore[assignment] # checks put the JSON value here
    match problem.kind:
        case "unknown" if not responses and len(problem.path) == 1:
            return refuse(f"Unrecognized request argument supplied: {where}")
        case "unknown":
            return refuse(f"Unknown parameter: '{where}'.", param=where, code="unknown_parameter")
        case "missing":
            text = f"Missing required parameter: '{where}'."
            return refuse(text, param=where, code="missing_required_parameter")
        case "type":
            expected, got = figures["expected"], kind_of(found)
            text = f"Invalid type for '{where}': expected {_article(str(expected))}, but got {_article(got)}"
            return refuse(f"{text} instead.", param=where, code="invalid_type")
        case "choice":
            text = f"Invalid value: '{found}'. Supported values are: {_quoted(figures['choices'])}."
            return refuse(text, param=where, code="invalid_value")
        case _:
            return _out_of_bounds(problem, where)


def _out_of_bounds(problem: Problem, where: str) -> Refusal:
    figures = problem.figures
    kind = figures.get("of")
    match problem.kind:
        case "short" if kind == "array" and figures["length"] == 0:
            text = "empty array. Expected an array with minimum length 1, but got an empty array instead."
            return refuse(f"Invalid '{where}': {text}", param=where, code="empty_array")
        case "short" | "long":
            bound, word = (
                (figures["high"], "maximum") if problem.kind == "long" else (figures["low"], "minimum")
            )
            text = f"{kind} too {problem.kind}. Expected {_article(str(kind))} with {word} length {bound}"
            text = f"Invalid '{where}': {text}, but got one with length {figures['length']} instead."
            side = "above_max" if problem.kind == "long" else "below_min"
            return refuse(text, param=where, code=f"{kind}_{side}_length")
        case "pattern":
            text = f"Invalid '{where}': string does not match pattern. Expected a string that matches the"
            return refuse(f"{text} pattern '^{figures['pattern']}$'.", param=where, code="invalid_value")
        case _:
            side, word = ("above_max", "<=") if problem.kind == "big" else ("below_min", ">=")
            bound = figures.get("high", figures.get("low"))
            text = f"Invalid '{where}': number out of range. Expected a value {word} {bound}, but got"
            text = f"{text} {figures['found']} instead."
            return refuse(text, param=where, code=f"integer_{side}_value")


def _article(word: str) -> str:
    return f"an {word}" if word[:1] in "aeiou" else f"a {word}"


def _quoted(choices: object) -> str:
    names = [f"'{name}'" for name in choices] if isinstance(choices, tuple) else []
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"


def check_function(name: str, parameters: Json, *, strict: bool, path: Path) -> None:
    """A function's parameters must be an object schema; a strict one must close every object."""
    if parameters is None:
        return
    schema = as_object(parameters)
    where = bracketed((*path, "parameters"))
    start = f"Invalid schema for function '{name}': "
    if schema.get("type") != "object":
        found = kind_of(schema.get("type")) if "type" not in schema else schema["type"]
        text = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'."
        raise refuse(start + text, param=where, code="invalid_function_parameters")
    if any(word in schema for word in ("oneOf", "anyOf", "allOf", "enum", "not")):
        text = "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top"
        raise refuse(f"{start}{text} level.", param=where, code="invalid_function_parameters")
    if "properties" not in schema:
        text = "In context=(), object schema missing properties."
        raise refuse(start + text, param=where, code="invalid_function_parameters")
    check_schema(schema, (), start=start, strict=strict, param=where)


def check_schema(
    schema: JsonObject, context: tuple[str, ...], *, start: str, strict: bool, param: str
) -> None:
    """Walk a schema: arrays need `items`; strict objects are closed and require every property."""
    code = "invalid_function_parameters" if "function" in start else "invalid_json_schema"
    at = f"{start}In context={context!r}, "
    if schema.get("type") == "array" and "items" not in schema:
        raise refuse(f"{at}array schema missing items.", param=param, code=code)
    properties = as_object(schema.get("properties"))
    if strict and schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            text = "'additionalProperties' is required to be supplied and to be false."
            raise refuse(at + text, param=param, code=code)
        if set(as_names(schema.get("required"))) != set(properties):
            text = (
                "'required' is required to be supplied and to be an array including every key in properties."
            )
            raise refuse(at + text, param=param, code=code)
    for name, inner in properties.items():
        inside = (*context, "properties", name)
        check_schema(as_object(inner), inside, start=start, strict=strict, param=param)
    if isinstance(schema.get("items"), dict):
        inside = (*context, "items")
        check_schema(as_object(schema["items"]), inside, start=start, strict=strict, param=param)


def as_names(value: Json) -> list[str]:
    """The strings of a list."""
    return [as_text(item) for item in value] if isinstance(value, list) else []


_FAILURES: dict[int, tuple[str, str, str | None]] = {
    400: ("Invalid request.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("Country, region, or territory not supported", "request_forbidden", "unsupported_country"),
    404: (
        "The model does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    429: (
        "Rate limit reached for requests. Please try again in 20s.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    503: ("The engine is currently overloaded, please try again later", "server_error", "overloaded"),
}


def failure(status: int, details: JsonObject) -> Answer:
    """The vendor's error reply for a status."""
    message, kind, code = _FAILURES.get(status, _FAILURES[500])
    body = error_body(
        as_text(details.get("message")) or message,
        as_text(details.get("type")) or kind,
        None,
        as_text(details.get("code")) or code,
    )
    headers: HeaderList = (("x-request-id", "req_emulated"),)
    if status == 429:
        headers += (("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "0"))
    return json_answer(body, status, headers)
