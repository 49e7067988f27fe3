"""The Gemini API: generateContent, streamGenerateContent, countTokens, embedContent, batchEmbedContents,
models.

Served below `/v1beta` and `/v1` with a key, and below Vertex AI's project paths with a bearer token.

Settings: `models` (list of names), `refuse_keys` (key → status).
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from attrs import Factory, define

from emulators.check import Problem
from emulators.cli import main
from emulators.gemini_answer import Reply, gemini_answer
from emulators.gemini_history import check_contents, contents_of, parts_of, pieces
from emulators.gemini_media import (
    Painter,
    check_embedding,
    check_pictures,
    embedding_answer,
    wanted_modalities,
)
from emulators.gemini_rules import (
    BODY,
    COUNT_BODY,
    MODELS,
    Model,
    check_generation,
    check_tools,
    error_body,
    failure,
    member,
    refuse,
    worded,
)
from emulators.scenario import Prompt, ToolOffer, choose
from emulators.turns import turn_from_json
from emulators.values import (
    Answer,
    Clock,
    Ids,
    Json,
    JsonObject,
    Ready,
    Refusal,
    Request,
    as_list,
    as_object,
    as_text,
    dumps,
    json_answer,
    loads,
    objects,
)

_METHOD = re.compile(
    r"^/v1(?:beta1?|alpha)?/(?:projects/[^/]+/locations/[^/]+/publishers/google/)?models/(.+):(\w+)$"
)
_LIST = re.compile(r"^/v1(?:beta|alpha)?/models(?:/(.+))?$")
_PORTS = {"port", "extra_port", "control_port"}
_DEFAULTS: JsonObject = {"models": [*MODELS], "refuse_keys": {}}


@define(eq=False)
class Gemini:
    """The family for the engine; `authorize` may be replaced by a gateway with tokens of its own."""

    clock: Clock
    authorize: Callable[[Request], None] | None = None
    settings: JsonObject = Factory(lambda: dict(_DEFAULTS))
    ids: Ids = Factory(Ids)
    painter: Painter = Factory(Painter)

    def receive(self, request: Request) -> Ready:
        """Find the method, check key and body; a stream's refusal is wrapped in a list."""
        try:
            return self._receive(request)
        except Refusal as refusal:
            if ":stream" not in request.path:
                raise
            answer = refusal.answer
            wrapped = json_answer([loads(answer.pieces[0])], answer.status)
            raise Refusal(wrapped, str(refusal)) from refusal

    def _receive(self, request: Request) -> Ready:
        called = _METHOD.match(request.path)
        if request.method == "POST" and called is not None:
            self._check_key(request)
            return self._method(called.group(2))(self._model(*called.groups()), self._body(request), request)
        listed = _LIST.match(request.path)
        if request.method == "GET" and listed is not None:
            self._check_key(request)
            return partial(self._models, listed.group(1))
        text = f"The requested URL {request.path} was not found on this server."
        raise refuse(text, 404)

    def _method(self, name: str) -> Callable[[Model, JsonObject, Request], Ready]:
        methods = {
            "generateContent": self._generate,
            "streamGenerateContent": self._generate,
            "countTokens": self._count,
            "embedContent": self._embed,
            "batchEmbedContents": self._embed,
        }
        if name not in methods:
            raise refuse(f"The method {name} is not found for API version v1beta.", 404)
        return methods[name]

    def _check_key(self, request: Request) -> None:
        if self.authorize is not None:
            return self.authorize(request)
        key = request.header("x-goog-api-key") or request.query.get("key")
        bearer = request.bearer()
        if not key and not bearer:
            text = (
                "Method doesn't allow unregistered callers (callers without established identity). Please use"
            )
            raise refuse(f"{text} API Key or other form of API consumer identity to call this API.", 403)
        status = as_object(self.settings["refuse_keys"]).get(as_text(key or bearer))
        if isinstance(status, int) and status != 400:
            raise refuse("Permission denied: Consumer has been suspended.", status)
        if key and (status == 400 or not key.startswith(("AIza", "AQ."))):
            info: JsonObject = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
            }
            raise refuse("API key not valid. Please pass a valid API key.", 400, [info])
        if not key and not as_text(bearer).startswith("ya29."):
            raise refuse("Request had invalid authentication credentials.", 401)
        return None

    def _model(self, name: str, method: str) -> Model:
        embeds = method in {"embedContent", "batchEmbedContents"}
        if name not in as_list(self.settings["models"]) or Model(name).embeds is not embeds:
            text = (
                f"models/{name} is not found for API version v1beta, or is not supported for {method}. Call"
            )
            text += " ListModels to see the list of available models and their supported methods."
            raise refuse(text, 404)
        return Model(name)

    def _body(self, request: Request) -> JsonObject:
        try:
            body = loads(request.body)
        except ValueError as exc:
            raise refuse(f"Invalid JSON payload received. {exc}") from exc
        if not isinstance(body, dict):
            raise refuse('Invalid JSON payload received. Unknown name "": Root element must be a message.')
        return body

    def _generate(self, model: Model, body: JsonObject, request: Request) -> Ready:
        _check(body, model)
        framing = "whole"
        if request.path.endswith(":streamGenerateContent"):
            alt = request.query.get("alt") or request.query.get("$alt")
            framing = "sse" if alt == "sse" else "array"
        config = as_object(member(body, "generationConfig"))
        thinking = as_object(member(config, "thinkingConfig"))
        count = member(config, "candidateCount")
        reply = Reply(
            model=model,
            ids=self.ids,
            shows_thoughts=member(thinking, "includeThoughts") is True,
            candidates=count if isinstance(count, int) else 1,
        )

        def ready(turn: JsonObject | None) -> Answer:
            if turn is not None:
                return gemini_answer(reply, turn_from_json(turn), framing)
            speak = self.painter.turn if wanted_modalities(body) == ["IMAGE"] else choose
            return gemini_answer(reply, speak(read(body, model)), framing)

        return ready

    def _embed(self, model: Model, body: JsonObject, request: Request) -> Ready:
        is_batch = request.path.endswith(":batchEmbedContents")
        requests = check_embedding(model, body, is_batch=is_batch)
        return lambda _turn: embedding_answer(model, requests, is_batch=is_batch)

    def _count(self, model: Model, body: JsonObject, _request: Request) -> Ready:
        try:
            COUNT_BODY.check(body, ())
        except Problem as problem:
            raise worded(problem) from problem
        inner = as_object(member(body, "generateContentRequest")) or body
        check_contents(inner, model)
        tokens = max(1, len(dumps(inner)) // 4)
        details: list[Json] = [{"modality": "TEXT", "tokenCount": tokens}]
        return lambda _turn: json_answer({"totalTokens": tokens, "promptTokensDetails": details})

    def _models(self, name: str | None, _turn: JsonObject | None) -> Answer:
        listed: list[Json] = [_model_info(as_text(model)) for model in as_list(self.settings["models"])]
        if name is None:
            return json_answer({"models": listed})
        found = next((model for model in objects(listed) if model["name"] == f"models/{name}"), None)
        return json_answer(found) if found else json_answer(error_body(404, f"Model {name} not found"), 404)

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """The vendor's error reply, in a list where a stream was asked for."""
        answer = failure(status, details)
        return json_answer([loads(answer.pieces[0])], status) if ":stream" in request.path else answer

    def configure(self, patch: JsonObject) -> None:
        """Change settings."""
        unknown = set(patch) - set(_DEFAULTS) - _PORTS
        if unknown:
            msg = f"unknown settings {sorted(unknown)}; known: {sorted(_DEFAULTS)}"
            raise ValueError(msg)
        self.settings.update(patch)

    def state(self) -> JsonObject:
        """The settings."""
        return dict(self.settings)

    def reset(self) -> None:
        """Forget the list of refused keys."""
        self.settings["refuse_keys"] = {}


def _check(body: JsonObject, model: Model) -> None:
    try:
        BODY.check(body, ())
    except Problem as problem:
        raise worded(problem) from problem
    check_contents(body, model)
    check_tools(body, model)
    check_generation(body, model)
    check_pictures(model, body)


def _model_info(name: str) -> JsonObject:
    return {
        "name": f"models/{name}",
        "baseModelId": name,
        "version": "001",
        "displayName": name.replace("-", " ").title(),
        "description": "An emulated model.",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "temperature": 1.0,
        "topP": 0.95,
        "topK": 64,
        "thinking": True,
    }


def read(body: JsonObject, model: Model) -> Prompt:
    """The request as the model sees it."""
    contents = contents_of(body)
    spoken = [content for content in contents if content.get("role", "user") == "user" and _texts(content)]
    config = as_object(member(body, "generationConfig"))
    calling = as_object(member(as_object(member(body, "toolConfig")), "functionCallingConfig"))
    allowed = as_list(member(calling, "allowedFunctionNames"))
    forced = (as_text(allowed[0]) if len(allowed) == 1 else "*") if calling.get("mode") == "ANY" else None
    system = as_object(member(body, "systemInstruction"))
    return Prompt(
        text=_texts(spoken[-1])[-1] if spoken else "",
        system="\n".join(_texts(system)),
        roles=tuple(as_text(content.get("role")) or "user" for content in contents),
        tools=tuple(_offers(body)),
        results=tuple(_result_text(item) for item in pieces(contents[-1], "functionResponse")),
        forced=forced,
        may_call=calling.get("mode") != "NONE",
        thinking=_thinking(as_object(member(config, "thinkingConfig")), model),
        media=tuple(_media(spoken[-1])) if spoken else (),
        schema=_wanted_schema(config),
        settings=config,
        size=len(dumps(body)),
    )


def _texts(content: JsonObject) -> list[str]:
    return [as_text(part["text"]) for part in parts_of(content) if "text" in part]


def _offers(body: JsonObject) -> Iterator[ToolOffer]:
    for tool in objects(member(body, "tools")):
        for declaration in objects(member(tool, "functionDeclarations")):
            schema = member(declaration, "parameters") or member(declaration, "parametersJsonSchema")
            yield ToolOffer(as_text(declaration["name"]), as_object(schema) or {"type": "object"})


def _result_text(item: JsonObject) -> str:
    response = as_object(item.get("response"))
    inner = response.get("result", response.get("output", response))
    return inner if isinstance(inner, str) else dumps(inner).decode()


def _thinking(config: JsonObject, model: Model) -> str:
    if model.generation < 2.5 or member(config, "thinkingBudget") == 0:
        return "off"
    return "on" if member(config, "includeThoughts") is True else "auto"


def _media(content: JsonObject) -> Iterator[str]:
    for part in parts_of(content):
        blob = as_object(member(part, "inlineData"))
        if blob:
            yield as_text(member(blob, "mimeType"))
        elif member(part, "fileData") is not None:
            yield "url"


def _wanted_schema(config: JsonObject) -> JsonObject | None:
    schema = member(config, "responseSchema") or member(config, "responseJsonSchema")
    if schema is not None:
        return as_object(schema)
    return {} if member(config, "responseMimeType") == "application/json" else None


if __name__ == "__main__":
    main(Gemini)
