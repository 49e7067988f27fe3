"""The Claude API: messages, token counting, models.

Settings: `models` (list of names), `refuse_keys` (key → status).
"""

import re
from collections.abc import Callable, Iterator
from functools import partial

from attrs import Factory, define

from emulators.check import Problem
from emulators.claude_answer import Reply, claude_answer
from emulators.claude_history import (
    blocks_of,
    check_cache_marks,
    check_messages,
    check_thinking_blocks,
)
from emulators.claude_rules import (
    ALIASES,
    BETA_FIELDS,
    BODY,
    COUNT_BODY,
    MAX_OUTPUT,
    Model,
    check_tool,
    failure,
    refuse,
    worded,
)
from emulators.cli import main
from emulators.scenario import Prompt, ToolOffer, choose
from emulators.turns import turn_from_json
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

NEWEST = "2026-10-21"
"""The API version without sampling parameters and without citations in user messages."""
VERSIONS = (NEWEST, "2023-06-01", "2023-01-01")
OAUTH_BETA = "oauth-2025-04-20"
SIZE_LIMIT = 32 * 1024 * 1024
_PORTS = {"port", "extra_port", "control_port"}
_DEFAULTS: JsonObject = {"models": [*MAX_OUTPUT, *ALIASES], "refuse_keys": {}}


@define(eq=False)
class Claude:
    """The family for the engine; `authorize` may be replaced by a gateway with tokens of its own."""

    clock: Clock
    authorize: Callable[[Request], None] | None = None
    settings: JsonObject = Factory(lambda: dict(_DEFAULTS))
    ids: Ids = Factory(Ids)

    def receive(self, request: Request) -> Ready:
        """Find the endpoint, check key, headers and body."""
        path = request.path
        known = ("/v1/messages", "/v1/messages/count_tokens")
        if request.method == "POST" and path in known:
            betas = self._check_headers(request)
            body = self._body(request)
            if request.header("anthropic-version") == NEWEST:
                _check_removed(body)
            return self._messages(body, betas) if path == known[0] else self._count(body, betas)
        if request.method == "GET" and path.startswith("/v1/models"):
            self._check_headers(request)
            return partial(self._models, path.removeprefix("/v1/models").strip("/"))
        if path in known:
            raise refuse("Method Not Allowed", 405)
        raise refuse("Not Found", 404)

    def _check_headers(self, request: Request) -> frozenset[str]:
        betas = frozenset(part.strip() for part in (request.header("anthropic-beta") or "").split(",")) - {""}
        if self.authorize is not None:
            self.authorize(request)
        else:
            self._check_key(request, betas)
        version = request.header("anthropic-version")
        if version is None:
            raise refuse("anthropic-version: header is required")
        if version not in VERSIONS:
            raise refuse(f'anthropic-version: "{version}" is not a valid version')
        odd = sorted(beta for beta in betas if not re.fullmatch(r"[a-z0-9-]+-\d{4}-?\d{2}-?\d{2}", beta))
        if odd:
            raise refuse(f"Unexpected value(s) `{'`, `'.join(odd)}` for the `anthropic-beta` header.")
        return betas

    def _check_key(self, request: Request, betas: frozenset[str]) -> None:
        key, bearer = request.header("x-api-key"), request.bearer()
        if key is None and bearer is None:
            raise refuse("x-api-key header is required", 401)
        given = as_text(key or bearer)
        status = as_object(self.settings["refuse_keys"]).get(given)
        if isinstance(status, int) or not given.startswith("sk-ant-"):
            text = "invalid x-api-key" if key else "Invalid bearer token"
            raise refuse(text, status if isinstance(status, int) else 401)
        if given.startswith("sk-ant-oat"):
            if key is not None:
                raise refuse("invalid x-api-key", 401)
            if OAUTH_BETA not in betas:
                raise refuse("OAuth authentication is currently not supported.", 401)

    def _body(self, request: Request) -> JsonObject:
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise refuse("Content-Type must be application/json")
        if len(request.body) > SIZE_LIMIT:
            raise refuse("Request exceeds the maximum size", 413)
        try:
            body = loads(request.body)
        except ValueError as exc:
            raise refuse(f"The request body is not valid JSON: {exc}") from exc
        if not isinstance(body, dict):
            raise refuse("The request body must be a JSON object.")
        return body

    def _messages(self, body: JsonObject, betas: frozenset[str]) -> Ready:
        model = self._check(body, betas, counting=False)
        _check_sampling(body, model)
        _check_thinking(body, model)
        reply = Reply(body=body, ids=self.ids)

        def ready(turn: JsonObject | None) -> Answer:
            return claude_answer(reply, turn_from_json(turn) if turn is not None else choose(read(body)))

        return ready

    def _count(self, body: JsonObject, betas: frozenset[str]) -> Ready:
        self._check(body, betas, counting=True)
        tokens = len(dumps(body)) // 4
        return lambda _turn: json_answer({"input_tokens": tokens})

    def _check(self, body: JsonObject, betas: frozenset[str], *, counting: bool) -> Model:
        plain = {key: value for key, value in body.items() if BETA_FIELDS.get(key) not in betas}
        try:
            (COUNT_BODY if counting else BODY).check(plain, ())
            for at, tool in enumerate(objects(body.get("tools"))):
                check_tool(tool, at)
            check_messages(body, betas)
            check_cache_marks(body)
        except Problem as problem:
            raise worded(problem) from problem
        model = self._model(as_text(body["model"]))
        _check_system(body)
        _check_tools(body)
        check_thinking_blocks(body, model)
        return model

    def _model(self, name: str) -> Model:
        if name not in as_list(self.settings["models"]):
            raise refuse(f"model: {name}", 404)
        return Model(name)

    def _models(self, name: str, _turn: JsonObject | None) -> Answer:
        listed: list[Json] = [_model_info(as_text(model)) for model in as_list(self.settings["models"])]
        if name:
            found = next((model for model in objects(listed) if model["id"] == name), None)
            if found is None:
                raise refuse(f"model: {name}", 404)
            return json_answer(found)
        ids = [model["id"] for model in objects(listed)]
        return json_answer({"data": listed, "has_more": False, "first_id": ids[0], "last_id": ids[-1]})

    def failure(self, request: Request, status: int, details: JsonObject) -> Answer:
        """The vendor's error reply."""
        return failure(status, details)

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


def _check_removed(body: JsonObject) -> None:
    """What the newest API version no longer takes."""
    for name in ("temperature", "top_p", "top_k"):
        if name in body:
            raise refuse(f"{name}: Extra inputs are not permitted")
    for at, message in enumerate(objects(body.get("messages"))):
        for inner, block in enumerate(objects(message.get("content"))):
            if message.get("role") == "user" and as_list(block.get("citations")):
                where = f"messages.{at}.content.{inner}.text.citations"
                raise refuse(f"{where}: citations are not permitted in user messages")


def _model_info(name: str) -> JsonObject:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": Model(name).max_output,
    }


def _check_system(body: JsonObject) -> None:
    for block in objects(body.get("system")):
        if not as_text(block["text"]).strip():
            raise refuse("system: text content blocks must be non-empty")


def _check_tools(body: JsonObject) -> None:
    names = [as_text(tool.get("name")) for tool in objects(body.get("tools"))]
    if len(set(names)) != len(names):
        raise refuse("tools: Tool names must be unique.")
    choice = as_object(body.get("tool_choice"))
    if choice and not names:
        raise refuse("tool_choice may only be specified while providing tools.")
    if choice.get("type") == "tool" and choice["name"] not in names:
        raise refuse(f"Tool '{choice['name']}' not found in provided tools")


def _check_sampling(body: JsonObject, model: Model) -> None:
    limit = model.max_output
    asked = body["max_tokens"]
    if isinstance(asked, int) and asked > limit:
        text = f"max_tokens: {asked} > {limit}, which is the maximum allowed number of output tokens for"
        raise refuse(f"{text} {model.name}")
    for at, sequence in enumerate(as_list(body.get("stop_sequences"))):
        if not as_text(sequence).strip():
            raise refuse(f"stop_sequences.{at}: each stop sequence must contain non-whitespace")
    if model.no_sampling:
        for name, default in (("temperature", 1), ("top_p", None), ("top_k", None)):
            if name in body and (default is None or body[name] != default):
                raise refuse(f"`{name}` is deprecated for this model.")
    if model.one_sampling and "temperature" in body and "top_p" in body:
        text = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        raise refuse(text)


def _check_thinking(body: JsonObject, model: Model) -> None:
    thinking, output = as_object(body.get("thinking")), as_object(body.get("output_config"))
    effort, kind = output.get("effort"), thinking.get("type")
    if effort is not None and effort not in model.efforts:
        text = "This model does not support the effort parameter."
        if model.efforts:
            text = f"This model does not support effort level '{effort}'. Supported levels: "
            text += f"{', '.join(model.efforts)}."
        raise refuse(text)
    if kind not in {"enabled", "adaptive"}:
        return
    if not model.thinks:
        raise refuse(f"'{model.name}' does not support thinking.")
    if kind == "enabled" and not model.takes_budget:
        text = '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and'
        raise refuse(f'{text} "output_config.effort" to control thinking behavior.')
    if kind == "adaptive" and not model.adapts:
        raise refuse("adaptive thinking is not supported on this model")
    budget, limit = thinking.get("budget_tokens"), body["max_tokens"]
    if isinstance(budget, int) and isinstance(limit, int) and budget >= limit:
        raise refuse("`max_tokens` must be greater than `thinking.budget_tokens`.")
    _check_with_thinking(body)


def _check_with_thinking(body: JsonObject) -> None:
    """Settings that exclude thinking."""
    if body.get("temperature", 1) != 1:
        raise refuse("`temperature` may only be set to 1 when thinking is enabled.")
    if "top_k" in body:
        raise refuse("`top_k` must be unset when thinking is enabled.")
    top_p = body.get("top_p", 1)
    if isinstance(top_p, int | float) and top_p < 0.95:
        raise refuse("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
    if as_object(body.get("tool_choice")).get("type") in {"any", "tool"}:
        raise refuse("Thinking may not be enabled when tool_choice forces tool use.")
    last = objects(body["messages"])[-1]
    if last["role"] == "assistant":
        raise refuse("When thinking is enabled, the conversation may not end with an assistant message.")


def read(body: JsonObject) -> Prompt:
    """The request as the model sees it."""
    messages = objects(body["messages"])
    users = [blocks_of(message["content"]) for message in messages if message["role"] == "user"]
    last = blocks_of(messages[-1]["content"])
    texts = [as_text(block["text"]) for block in users[-1] if block["type"] == "text"] if users else []
    earlier = [as_text(block["text"]) for blocks in users for block in blocks if block["type"] == "text"]
    choice = as_object(body.get("tool_choice"))
    thinking = as_object(body.get("thinking")).get("type")
    schema = as_object(as_object(body.get("output_config")).get("format")).get("schema")
    return Prompt(
        text=(texts or earlier or [""])[-1],
        system="\n".join(_system_texts(body)),
        roles=tuple(as_text(message["role"]) for message in messages),
        tools=tuple(_offers(body)),
        results=tuple(_result_text(block) for block in last if block["type"] == "tool_result"),
        forced={"any": "*", "tool": as_text(choice.get("name"))}.get(as_text(choice.get("type"))),
        may_call=choice.get("type") != "none",
        parallel=choice.get("disable_parallel_tool_use") is not True,
        thinking={"enabled": "on", "adaptive": "auto"}.get(as_text(thinking), "off"),
        media=tuple(_mime(block) for block in (users[-1] if users else []) if "source" in block),
        schema=as_object(schema) if schema is not None else None,
        settings={key: body[key] for key in body if key not in {"messages", "tools", "model", "system"}},
        size=len(dumps(body)),
    )


def _system_texts(body: JsonObject) -> Iterator[str]:
    yield from (as_text(block["text"]) for block in blocks_of(body.get("system")))
    for message in objects(body["messages"]):
        if message["role"] == "system":
            yield from (as_text(block.get("text")) for block in blocks_of(message["content"]))


def _offers(body: JsonObject) -> Iterator[ToolOffer]:
    for tool in objects(body.get("tools")):
        if "input_schema" in tool:
            yield ToolOffer(as_text(tool["name"]), as_object(tool["input_schema"]))


def _result_text(block: JsonObject) -> str:
    parts = blocks_of(block.get("content"))
    return " ".join(as_text(part.get("text")) or f"[{_mime(part)}]" for part in parts)


def _mime(block: JsonObject) -> str:
    source = as_object(block.get("source"))
    return as_text(source.get("media_type")) or as_text(source.get("type"))


if __name__ == "__main__":
    main(Claude)
