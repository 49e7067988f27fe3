"""The OpenAI API: chat completions, responses, legacy completions, embeddings, images, models.

`vendor` chooses between two characters. `openai` is the service itself, with its models and their
restrictions. `compatible` is a server of somebody else that speaks the chat dialect: any model and any key,
`max_tokens` and `reasoning_effort` welcome, reasoning shown as `reasoning_content`, no `developer` role, no
Responses endpoint.

Settings: `vendor`, `models` (list of names), `refuse_keys` (key → status).
"""

from collections.abc import Callable
from functools import partial

from attrs import Factory, define

from emulators.check import Bool, Either, List, Map, Num, Obj, Opt, Problem, Spec, Str
from emulators.cli import main
from emulators.openai_chat import check_chat, read_chat
from emulators.openai_chat_answer import DONE, ChatReply, chat_answer, usage_of
from emulators.openai_media import (
    Wish,
    check_embeddings,
    embeddings_answer,
    images_answer,
    read_form_edit,
    read_generation,
    read_json_edit,
)
from emulators.openai_responses import check_compact, check_count, check_responses, read_responses
from emulators.openai_responses_answer import Reply, compact_answer, responses_answer
from emulators.openai_rules import MODELS, Model, error_body, failure, refuse, worded
from emulators.scenario import Prompt, choose
from emulators.turns import Text, Turn, turn_from_json
from emulators.values import (
    SSE_TYPE,
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

_COMPLETION_FIELDS: dict[str, Spec] = {
    "model": Str(low=1),
    "prompt": Either((Str(), List(Str(), low=1))),
    "stream": Opt(Bool()),
    "stream_options": Opt(Map()),
    "max_tokens": Opt(Num(whole=True, low=0)),
    "temperature": Opt(Num(low=0, high=2)),
    "top_p": Opt(Num(low=0, high=1)),
    "n": Opt(Num(whole=True, low=1)),
    "stop": Opt(Either((Str(), List(Str(), high=4)))),
    "suffix": Opt(Str()),
    "echo": Opt(Bool()),
    "logprobs": Opt(Num(whole=True, low=0, high=5)),
    "best_of": Opt(Num(whole=True, low=1)),
    "presence_penalty": Opt(Num(low=-2, high=2)),
    "frequency_penalty": Opt(Num(low=-2, high=2)),
    "logit_bias": Opt(Map()),
    "seed": Opt(Num(whole=True)),
    "user": Opt(Str()),
}
_COMPLETION = Obj(_COMPLETION_FIELDS, ("model", "prompt"))
_COMPATIBLE_EXTRAS = {
    "top_k",
    "thinking",
    "enable_thinking",
    "reasoning_effort",
    "reasoning_split",
    "chat_template_kwargs",
}


@define(eq=False)
class OpenAi:
    """The family for the engine; `authorize` may be replaced by a gateway with tokens of its own."""

    clock: Clock
    authorize: Callable[[Request], None] | None = None
    settings: JsonObject = Factory(lambda: dict(_DEFAULTS))
    ids: Ids = Factory(Ids)
    stored: set[str] = Factory(set)
    """Ids of responses and items the service remembers."""

    @property
    def compatible(self) -> bool:
        """Whether this plays a third-party server."""
        return self.settings["vendor"] == "compatible"

    def receive(self, request: Request) -> Ready:
        """Find the endpoint, check key, headers and body."""
        handlers = {
            ("POST", "/v1/chat/completions"): self._chat,
            ("POST", "/v1/responses"): self._responses,
            ("POST", "/v1/responses/input_tokens"): self._input_tokens,
            ("POST", "/v1/responses/compact"): self._compact,
            ("POST", "/v1/completions"): self._completions,
            ("POST", "/v1/embeddings"): self._embeddings,
            ("POST", "/v1/images/generations"): self._generations,
            ("POST", "/v1/images/edits"): self._edits,
        }
        path = request.path
        if request.method == "GET" and path.startswith("/v1/models"):
            self._check_key(request)
            return partial(self._models, path.removeprefix("/v1/models").strip("/"))
        if self.compatible:
            handlers = {key: value for key, value in handlers.items() if "/responses" not in key[1]}
        handler = handlers.get((request.method, path))
        if handler is None:
            if any(path == known for _, known in handlers):
                text = f"Not allowed to {request.method} on {path}."
                raise refuse(text, code="method_not_supported", status=405)
            raise refuse(f"Invalid URL ({request.method} {path})", status=404)
        self._check_key(request)
        if handler == self._edits and _is_form(request):
            return self._form_edits(request)
        return handler(self._body(request))

    def _check_key(self, request: Request) -> None:
        if self.authorize is not None:
            return self.authorize(request)
        key = request.bearer()
        if key is None:
            text = (
                "You didn't provide an API key. You need to provide your API key in an Authorization header"
            )
            text += " using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            raise refuse(text, status=401)
        status = as_object(self.settings["refuse_keys"]).get(key)
        if not isinstance(status, int) and (self.compatible or key.startswith("sk-")):
            return None
        shown = f"{key[:4]}***{key[-2:]}"
        text = f"Incorrect API key provided: {shown}. You can find your API key at"
        text += " https://platform.openai.com/account/api-keys."
        raise refuse(text, code="invalid_api_key", status=status if isinstance(status, int) else 401)

    def _body(self, request: Request) -> JsonObject:
        kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            text = f"Unsupported content type: '{kind}'. This API method only accepts 'application/json'"
            raise refuse(f"{text} requests.", code="unsupported_content_type", status=415)
        try:
            body = loads(request.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            text = "We could not parse the JSON body of your request. The OpenAI API expects a JSON payload."
            raise refuse(text)
        return body

    def _model(self, body: JsonObject) -> Model:
        name = body.get("model")
        if not isinstance(name, str) or not name:
            raise refuse("you must provide a model parameter")
        if not self.compatible and name not in as_list(self.settings["models"]):
            text = f"The model `{name}` does not exist or you do not have access to it."
            raise refuse(text, param="model", code="model_not_found", status=404)
        return Model(name)

    def _chat(self, body: JsonObject) -> Ready:
        model = self._model(body)
        if self.compatible:
            checked, model = _without_extras(body), Model("third-party")
            if any(message.get("role") == "developer" for message in objects(body.get("messages"))):
                raise refuse(
                    "developer is not one of ['system', 'assistant', 'user', 'tool'] - 'messages.role'"
                )
        else:
            checked = body
        check_chat(checked, model)
        reply = ChatReply(body=body, ids=self.ids, now=self.clock(), compatible=self.compatible)
        return lambda turn: chat_answer(reply, _turn(turn, read_chat(checked)))

    def _responses(self, body: JsonObject) -> Ready:
        check_responses(body, self._model(body), frozenset(self.stored))
        reply = Reply(body=body, ids=self.ids, now=self.clock())

        def ready(turn: JsonObject | None) -> Answer:
            answer, whole = responses_answer(reply, _turn(turn, read_responses(body)))
            if body.get("store") is not False:
                kept = [whole, *objects(whole["output"])]
                self.stored.update(as_text(item.get("id")) for item in kept)
            return answer

        return ready

    def _input_tokens(self, body: JsonObject) -> Ready:
        check_count(body, self._model(body), frozenset(self.stored))
        counted: JsonObject = {"object": "response.input_tokens", "input_tokens": len(dumps(body)) // 4}
        return lambda _turn: json_answer(counted)

    def _compact(self, body: JsonObject) -> Ready:
        check_compact(body, self._model(body), frozenset(self.stored))
        reply = Reply(body=body, ids=self.ids, now=self.clock())
        return lambda _turn: json_answer(compact_answer(reply))

    def _completions(self, body: JsonObject) -> Ready:
        self._check_plain(body, _COMPLETION)
        if not self.compatible and not as_text(body["model"]).endswith("instruct"):
            text = "This is a chat model and not supported in the v1/completions endpoint."
            raise refuse(text + " Did you mean to use v1/chat/completions?", param="model", status=404)
        prompt = body["prompt"]
        text = prompt if isinstance(prompt, str) else as_text(as_list(prompt)[-1])
        seen = Prompt(text=text, roles=("user",), thinking="off", size=len(text))
        return lambda turn: _completion_answer(self, body, _turn(turn, seen))

    def _embeddings(self, body: JsonObject) -> Ready:
        self._model(body)
        check_embeddings(body, compatible=self.compatible)
        return lambda _turn: embeddings_answer(body)

    def _generations(self, body: JsonObject) -> Ready:
        return self._drawn(read_generation(body, compatible=self.compatible))

    def _edits(self, body: JsonObject) -> Ready:
        return self._drawn(read_json_edit(body, compatible=self.compatible))

    def _form_edits(self, request: Request) -> Ready:
        return self._drawn(read_form_edit(request, compatible=self.compatible))

    def _drawn(self, wish: Wish) -> Ready:
        self._model(wish.settings)
        return lambda _turn: images_answer(wish, self.clock())

    def _check_plain(self, body: JsonObject, spec: Obj) -> None:
        self._model(body)
        try:
            spec.check(body, ())
        except Problem as problem:
            raise worded(problem, responses=False) from problem

    def _models(self, name: str, _turn: JsonObject | None) -> Answer:
        listed: list[JsonObject] = [
            {"id": model, "object": "model", "created": 1_750_000_000, "owned_by": "emulator"}
            for model in as_list(self.settings["models"])
        ]
        if not name:
            return json_answer({"object": "list", "data": [*listed]})
        found = next((model for model in listed if model["id"] == name), None)
        if found is None:
            text = f"The model '{name}' does not exist"
            return json_answer(error_body(text, "invalid_request_error", "model", "model_not_found"), 404)
        return json_answer(found)

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
        """Forget stored responses and lists of refused keys."""
        self.stored.clear()
        self.settings["refuse_keys"] = {}


def _is_form(request: Request) -> bool:
    return (request.header("content-type") or "").lower().startswith("multipart/form-data")


_PORTS = {"port", "extra_port", "control_port"}
_DEFAULTS: JsonObject = {"vendor": "openai", "models": [*MODELS], "refuse_keys": {}}


def _turn(scripted: JsonObject | None, prompt: Prompt) -> Turn:
    return turn_from_json(scripted) if scripted is not None else choose(prompt)


def _without_extras(body: JsonObject) -> JsonObject:
    """The body without what servers of this kind take beyond OpenAI's own parameters."""
    plain = {key: value for key, value in body.items() if key not in _COMPATIBLE_EXTRAS}
    messages: list[Json] = []
    for message in objects(body.get("messages")):
        kept = {key: value for key, value in message.items() if key != "reasoning_content"}
        if "tool_calls" in kept:
            calls = objects(kept["tool_calls"])
            kept["tool_calls"] = [{k: v for k, v in call.items() if k != "extra_content"} for call in calls]
        messages.append(kept)
    return {**plain, "messages": messages} if "messages" in body else plain


def _completion_answer(family: OpenAi, body: JsonObject, turn: Turn) -> Answer:
    finish = "length" if turn.finish == "length" else "stop"
    deltas = [delta for block in turn.blocks if isinstance(block, Text) for delta in block.deltas]
    frame: JsonObject = {
        "id": family.ids.next("cmpl-"),
        "object": "text_completion",
        "created": int(family.clock()),
        "model": body["model"],
    }

    def chunk(text: str, reason: str | None) -> JsonObject:
        choice: JsonObject = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
        return {**frame, "choices": [choice]}

    if body.get("stream") is not True:
        return json_answer({**chunk("".join(deltas), finish), "usage": usage_of(turn)})
    events = [chunk(delta, None) for delta in deltas] + [chunk("", finish)]
    if as_object(body.get("stream_options")).get("include_usage") is True:
        events.append({**frame, "choices": [], "usage": usage_of(turn)})
    pieces = [b"data: " + dumps(event) + b"\n\n" for event in events]
    headers = (("content-type", SSE_TYPE),)
    return Answer(headers=headers, pieces=(*pieces, DONE), is_stream=True, terminal=1)


if __name__ == "__main__":
    main(OpenAi)
