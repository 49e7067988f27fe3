"""What the Gemini emulator turns down, each with the vendor's status and words."""

import json

import pytest

from emulators.gemini import Gemini
from emulators.signing import claude_signature, gemini_signature
from support.refusals import answered, refusal

KEY = {"x-goog-api-key": "AIzaTest", "content-type": "application/json"}
SCHEMA = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
SIGNED = gemini_signature("anything")
PLACEHOLDER = "skip_thought_signature_validator"


def turn(role, *parts):
    return {"role": role, "parts": list(parts)}


def text(value="x"):
    return {"text": value}


def call(name="f", **extra):
    return {"functionCall": {"name": name, "args": {}}, **extra}


def response(name="f", **extra):
    return {"functionResponse": {"name": name, "response": {"result": "ok"}}, **extra}


def declare(**changes):
    return [{"functionDeclarations": [{"name": "f", "description": "d", **changes}]}]


USER = turn("user", text())


def ask(model="gemini-2.5-pro", method="generateContent", **changes):
    body = {"contents": [USER], **changes}
    return refusal(Gemini(lambda: 0.0), f"/v1beta/models/{model}:{method}", body, KEY)


@pytest.mark.parametrize(
    ("path", "headers", "status", "words"),
    [
        ("/v1beta/models/gemini-2.5-pro:generateContent", {}, 403, "unregistered callers"),
        ("/v1beta/models/gemini-2.5-pro:generateContent?key=bad", {}, 400, "API key not valid"),
        ("/v1/models/gemini-9:generateContent", KEY, 404, "models/gemini-9 is not found"),
        ("/v1beta/models/gemini-2.5-pro:inventContent", KEY, 404, "inventContent"),
        ("/v2/models", KEY, 404, "was not found on this server"),
    ],
)
def test_keys_and_paths(path, headers, status, words):
    found = refusal(Gemini(lambda: 0.0), path, {"contents": [USER]}, headers)
    assert found is not None
    assert found[0] == status
    assert words in found[1]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/gemini-2.5-pro:generateContent",
        "/v1beta/models/gemini-2.5-pro:generateContent?key=AIzaOther",
        "/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:generateContent",
    ],
)
def test_good_paths(path):
    headers = {"authorization": "Bearer ya29.token"} if "projects" in path else KEY
    assert refusal(Gemini(lambda: 0.0), path, {"contents": [USER]}, headers) is None


@pytest.mark.parametrize(
    "body",
    [
        {"contents": turn("user", text())},
        {"contents": [{"parts": [text()]}]},
        {"contents": [USER, turn("model", call()), turn("user", response())]},
        {"contents": [USER, turn("model", call()), turn("function", response())]},
        {"contents": [USER, turn("model", call(), call("g")), turn("user", response("g"), response())]},
        {"system_instruction": {"parts": [text()]}, "generation_config": {"max_output_tokens": 5}},
        {"tools": declare(parameters=SCHEMA)},
        {"tools": declare(parametersJsonSchema={"$schema": "x", "type": "object", "oneOf": []})},
        {"tools": declare(), "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        {"tools": [{"googleSearch": {}}]},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}},
        {"contents": [USER, turn("model", text("a"), {"text": "", "thoughtSignature": SIGNED}), USER]},
    ],
)
def test_good_requests(body):
    assert ask(**body) is None


@pytest.mark.parametrize("signature", [SIGNED, PLACEHOLDER])
def test_signed_calls_for_newer_models(signature):
    signed = call(thoughtSignature=signature)
    history = [USER, turn("model", signed, call("g")), turn("user", response(), response("g"))]
    assert ask("gemini-3-pro-preview", contents=history) is None
    unsigned = [USER, turn("model", call()), turn("user", response()), turn("model", text()), USER]
    assert ask("gemini-3-pro-preview", contents=unsigned) is None


BLOB = {"inlineData": {"mimeType": "image/png", "data": "%%%"}}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"contents": [turn("user")]}, "contents.parts must not be empty"),
        ({"contents": [turn("user", {})]}, "required oneof field 'data'"),
        ({"contents": [turn("user", text(""))]}, "required oneof field 'data'"),
        ({"contents": [turn("user", {**text(), **call()})]}, "oneof field 'data' is already set"),
        ({"contents": [turn("assistant", text())]}, "Please use a valid role: user, model."),
        ({"contents": [turn("function", text()), USER]}, "Please use a valid role"),
        ({"contents": [turn("user", BLOB)]}, "Base64 decoding failed"),
        ({"contents": [USER, turn("model", call())]}, "number of function response parts"),
        ({"contents": [USER, turn("model", call(), call()), turn("user", response())]}, "number of function"),
        ({"contents": [turn("model", call()), turn("user", response())]}, "immediately after a user turn"),
        ({"contents": [turn("user", response())]}, "immediately after a function call turn"),
        ({"contents": [USER, turn("model", call()), turn("user", response("g"))]}, "names of the function"),
        ({"contents": [USER, turn("model", call("")), turn("user", response(""))]}, "Name cannot be empty"),
        (
            {"contents": [USER, turn("model", call(thoughtSignature=claude_signature("x")))]},
            "Corrupted thought signature",
        ),
        (
            {"contents": [USER, turn("model", call()), turn("user", response(thoughtSignature=PLACEHOLDER))]},
            "not supported on a function response",
        ),
        ({"messages": []}, 'Unknown name "messages": Cannot find field'),
        ({"contents": [{**USER, "extra": 1}]}, "Unknown name \"extra\" at 'contents[0]'"),
        ({"generationConfig": {"stop": []}}, "Unknown name \"stop\" at 'generation_config'"),
        ({"generationConfig": {"temperature": "hot"}}, '(TYPE_FLOAT), "hot"'),
        ({"generationConfig": {"topP": 2}}, "out of supported range"),
        ({"tools": [{}]}, "required one_of 'tool_type'"),
        ({"tools": declare(name="1f")}, "Invalid function name"),
        ({"tools": declare(name="f" * 65)}, "maximum length of 64"),
        ({"tools": declare() + declare()}, "Duplicate function declaration found: f"),
        ({"tools": declare(parameters={"$schema": "x", "type": "object"})}, 'Unknown name "$schema"'),
        ({"tools": declare(parameters={"type": "object", "additionalProperties": False})}, "additionalProp"),
        ({"tools": declare(parameters={"type": "object", "properties": {"a": {"const": 1}}})}, '"const"'),
        ({"tools": declare(parameters={"type": ["string", "null"]})}, "cannot start list"),
        ({"tools": declare(parameters={"type": "ARRAY"})}, "items: missing field"),
        ({"tools": declare(parameters={"type": "OBJECT", "properties": {}})}, "should be non-empty"),
        ({"tools": declare(parameters={**SCHEMA, "required": ["b"]})}, "property is not defined"),
        ({"tools": declare(parameters={"type": "INTEGER", "enum": ["1"]})}, "only allowed for STRING"),
        ({"tools": declare(parameters={"type": "STRING", "format": "uri"})}, "'enum' and 'date-time'"),
        ({"tools": declare(parameters=SCHEMA, parametersJsonSchema={})}, "only one of parameters"),
        ({"tools": [*declare(), {"googleSearch": {}}]}, "Tool use with function calling is unsupported"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        (
            {
                "tools": declare(),
                "toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}},
            },
            "function calling mode is ANY",
        ),
        ({"tools": declare(), "toolConfig": {"functionCallingConfig": {"mode": "any"}}}, "TYPE_ENUM"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, "only works in thinking mode"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 99999}}}, "thinking budget 99999"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}, "level is not supported"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 200}}},
            "only one of thinking budget",
        ),
        ({"generationConfig": {"responseSchema": SCHEMA}}, "response_mime_type"),
        (
            {"tools": declare(), "generationConfig": {"responseMimeType": "application/json"}},
            "Function calling with a response mime type",
        ),
        ({"safetySettings": [{"category": "HARM", "threshold": "OFF"}]}, "TYPE_ENUM"),
    ],
)
def test_bad_requests(body, words):
    found = ask(**body)
    assert found is not None
    assert words in found[1]


def test_the_first_call_of_a_step_needs_its_signature():
    history = [USER, turn("model", call()), turn("user", response())]
    found = ask("gemini-3-pro-preview", contents=history)
    assert found is not None
    assert "missing a thought_signature" in found[1]
    assert "`default_api:f` , position 2" in found[1]


def test_counting_takes_contents_only():
    assert ask(method="countTokens") is None
    assert 'Unknown name "tools"' in ask(method="countTokens", tools=[])[1]


def test_a_refused_stream_is_a_list_of_one_error():
    path = "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    answer = answered(Gemini(lambda: 0.0), "POST", path, {"contents": []}, KEY)
    [error] = json.loads(answer.pieces[0])
    assert error["error"]["status"] == "INVALID_ARGUMENT"
