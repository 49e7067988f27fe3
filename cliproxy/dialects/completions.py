"""Legacy text completions: ``POST /v1/completions``, over the chat dialect.

Contract: OpenAI API reference, "Completions (legacy)". A prompt is a text to be continued, without roles,
tools or reasoning. It is carried as a chat with one user message; of the answer only the text is told, in an
object of its own kind (``text_completion``, for whole and streamed answers alike), and of its tokens how
probable they were: this dialect has parallel lists where the chat has one object for each token.

A request with a ``suffix`` is another thing: the model is to fill the gap between prompt and suffix. That is
an action of its own, which only some upstreams have; it never becomes a chat, whose answer would not be what
belongs into the gap.

The API allows several prompts in one request, and prompts made of token numbers. Neither is supported.
"""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from attrs import define, field

from cliproxy.dialects.base import (
    Action,
    ClientRequest,
    Dialect,
    Endpoint,
    Glimpse,
    PathFacts,
    RuleForm,
    broken_event,
    checked_integer,
)
from cliproxy.dialects.openai_chat.answers import answer_head
from cliproxy.dialects.openai_chat.endpoints import model_of
from cliproxy.dialects.openai_chat.errors import decode_error, encode_error, error_in_stream
from cliproxy.dialects.openai_chat.names import DONE, own
from cliproxy.dialects.openai_chat.outcome import (
    decode_ending,
    decode_usage,
    encode_reason,
    encode_usage,
    is_known,
    weight,
)
from cliproxy.dialects.openai_chat.reasoning import patch_reasoning
from cliproxy.dialects.openai_chat.request import decode_request as decode_chat
from cliproxy.dialects.openai_chat.request import encode_request as encode_chat
from cliproxy.dialects.openai_chat.request import patch_model, patch_stream
from cliproxy.errors import BadRequest, DialectError, ProxyError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.events import (
    BlockKind,
    BlockStart,
    BlockStop,
    End,
    Event,
    ExtrasUpdate,
    Finish,
    Start,
    StreamError,
    TextDelta,
    UsageUpdate,
)
from cliproxy.ir.request import IRRequest, Part, Refusal, Text
from cliproxy.ir.response import Choice, Ending, FinishReason, IRResponse, Usage, numbered
from cliproxy.wire.jsontext import (
    Document,
    JsonError,
    JsonObject,
    JsonValue,
    child,
    dumps,
    integer,
    items,
    loads_object,
    number,
    objects,
    text,
)
from cliproxy.wire.sse import Frame, make_frame

DIALECT_ID: Final = "completions"
PATH: Final = "/v1/completions"
OBJECT: Final = "text_completion"
FINGERPRINT: Final = "system_fingerprint"
EMPTY_PROMPT: Final = "Complete this:"
"""What is asked when nothing is."""

_TEXT_KINDS: Final = (BlockKind.TEXT, BlockKind.REFUSAL)
_NOT_FOR_CHAT: Final = frozenset({"prompt", "suffix", "best_of", "n", "echo", "logprobs"})


# --- requests ---


def prompt_of(body: JsonObject) -> str:
    """Return the prompt. Raises :class:`DialectError` for one that is not a single text."""
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if prompt is None or prompt == []:
        return ""
    if not isinstance(prompt, str):
        raise DialectError(
            "`prompt` must be one string; lists of prompts and tokens are not supported", "prompt"
        )
    return prompt


def read(document: Document, facts: PathFacts) -> ClientRequest:
    """Read a request just far enough to route it."""
    body = document.value
    model = model_of(body)
    suffix = body.get("suffix")
    if suffix is not None and not isinstance(suffix, str):
        raise BadRequest("`suffix` must be a string", param="suffix")
    try:
        prompt_of(body)
    except DialectError as exc:
        raise BadRequest(exc.message, param=exc.param) from exc
    return ClientRequest(
        dialect=DIALECT_ID,
        action=Action.FILL_IN_THE_MIDDLE if suffix else Action.GENERATE,
        model=model,
        stream=body.get("stream") is True,
        document=document,
        headers=facts.headers,
        query=facts.query,
    )


def decode_request(body: JsonObject, ctx: ExchangeContext) -> IRRequest:
    """Read a request as the chat it amounts to. Raises :class:`DialectError`."""
    chat: JsonObject = {key: value for key, value in body.items() if key not in _NOT_FOR_CHAT}
    chat["messages"] = [{"role": "user", "content": prompt_of(body) or EMPTY_PROMPT}]
    logprobs = body.get("logprobs")
    if isinstance(logprobs, bool):
        chat["logprobs"] = logprobs
    elif logprobs is not None:
        wanted = checked_integer(body, "logprobs")
        chat |= {"logprobs": True, "top_logprobs": wanted} if wanted else {"logprobs": False}
    for key in ("n", "best_of"):
        if (number(body, key) or 1) > 1:
            ctx.note(f"{key} was dropped")
    return decode_chat(chat, ctx)


def encode_request(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a conversation as one prompt: its texts, one paragraph each."""
    chat = encode_chat(request, ctx)
    said = [entry.text for entry in request.system]
    said += [part.text for message in request.messages for part in message.parts if isinstance(part, Text)]
    known = ("model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed", "stream")
    body = {key: chat[key] for key in known if key in chat}
    return {**body, "prompt": "\n\n".join(said)}


def _echo(ctx: ExchangeContext) -> str:
    """Return what the answer begins with: the prompt, if the client wants it back."""
    return prompt_of(ctx.original_body) if ctx.original_body.get("echo") is True else ""


# --- whole answers ---


def decode_response(body: JsonObject, _ctx: ExchangeContext) -> IRResponse:
    """Read an answer. Raises :class:`DialectError` for something that is none."""
    if not isinstance(body.get("choices"), list):
        raise DialectError("the answer has no list of `choices`", "choices")
    choices = []
    for position, entry in enumerate(objects(body, "choices")):
        parts: list[Part] = [Text(said)] if (said := text(entry, "text")) else []
        index = integer(entry, "index")
        ending = decode_ending(text(entry, "finish_reason"), has_calls=False)
        choices.append(Choice(parts, ending, position if index is None else index))
    return IRResponse(
        id=text(body, "id"),
        model=text(body, "model"),
        choices=numbered(choices),
        usage=decode_usage(child(body, "usage")) or Usage(),
        created=integer(body, "created") or 0,
    )


def encode_response(response: IRResponse, ctx: ExchangeContext) -> JsonObject:
    """Write an answer."""
    choices: list[JsonValue] = []
    for choice in response.choices:
        said = "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal))
        has_refusal = any(isinstance(part, Refusal) for part in choice.parts)
        reason = encode_reason(choice.ending, has_calls=False, has_refusal=has_refusal)
        echo = _echo(ctx)
        tokens = _tokens_of(own(choice.extras))
        choices.append(_choice(choice.index, echo + said, reason, _logprobs(tokens, len(echo))))
    start = Start(response.id, response.model, response.created, extras=response.extras)
    body = _head(start, ctx) | {"choices": choices}
    if is_known(response.usage):
        body["usage"] = encode_usage(response.usage)
    return body


def _head(start: Start, ctx: ExchangeContext) -> JsonObject:
    head = answer_head(start.id, start.model, start.created, ctx) | {"object": OBJECT}
    head["id"] = "cmpl-" + str(head["id"]).removeprefix("chatcmpl-").removeprefix("cmpl-")
    if fingerprint := own(start.extras).get(FINGERPRINT):
        head[FINGERPRINT] = fingerprint
    return head


def _choice(index: int, said: str, reason: str | None, logprobs: JsonObject | None = None) -> JsonObject:
    return {"index": index, "text": said, "finish_reason": reason, "logprobs": logprobs}


def _tokens_of(members: JsonObject) -> list[JsonObject]:
    """Return the tokens a chat answer tells the probabilities of."""
    told = child(members, "logprobs")
    return [*objects(told, "content"), *objects(told, "refusal")]


def _logprobs(tokens: list[JsonObject], offset: int) -> JsonObject | None:
    """Write the probabilities of tokens, the first of which begins at ``offset`` of the text."""
    if not tokens:
        return None
    said = [text(token, "token") for token in tokens]
    starts = accumulate((len(piece) for piece in said[:-1]), initial=offset)
    likely: list[JsonValue] = [
        {text(other, "token"): number(other, "logprob") for other in objects(token, "top_logprobs")}
        for token in tokens
    ]
    return {
        "tokens": [*said],
        "token_logprobs": [number(token, "logprob") for token in tokens],
        "top_logprobs": likely if any(likely) else None,
        "text_offset": [*starts],
    }


# --- streams ---


@define(eq=False)
class CompletionStreamDecoder:
    """Reads a stream of completions: one block of text for each choice."""

    _ctx: ExchangeContext
    _open: dict[int, int] = field(factory=dict, init=False)
    """Choice → its block."""
    _reasons: dict[int, str] = field(factory=dict, init=False)
    _has_started: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)

    def feed(self, frame: Frame) -> list[Event]:
        """Take one frame."""
        if self._has_ended or not frame.data:
            return []
        if frame.data.strip() == DONE:
            return self._end(is_clean=True)
        try:
            chunk = loads_object(frame.data)
        except JsonError:
            broken = broken_event(frame)
            self._has_ended = broken is not None
            return [broken] if broken is not None else []
        if chunk.get("error") or (frame.event == b"error" and "choices" not in chunk):
            self._has_ended = True
            return [decode_error(0, chunk)]
        return list(self._chunk(chunk))

    def finish(self) -> list[Event]:
        """Take the end of the transport."""
        return [] if self._has_ended else self._end(is_clean=False)

    def _chunk(self, chunk: JsonObject) -> Iterator[Event]:
        if not self._has_started:
            self._has_started = True
            yield Start(text(chunk, "id"), text(chunk, "model"), integer(chunk, "created") or 0)
        for position, entry in enumerate(objects(chunk, "choices")):
            given = integer(entry, "index")
            index = position if given is None else given
            if said := text(entry, "text"):
                if index not in self._open:
                    self._open[index] = len(self._open)
                    yield BlockStart(self._open[index], BlockKind.TEXT, index)
                yield TextDelta(self._open[index], said)
            if reason := text(entry, "finish_reason"):
                self._reasons[index] = max(self._reasons.get(index, reason), reason, key=weight)
        usage = decode_usage(child(chunk, "usage"))
        if usage is not None:
            yield UsageUpdate(usage)

    def _end(self, *, is_clean: bool) -> list[Event]:
        self._has_ended = True
        events: list[Event] = [] if self._has_started else [Start("", "")]
        events += [BlockStop(block) for block in self._open.values()]
        if is_clean:
            self._reasons = {**dict.fromkeys(self._open, "stop"), **self._reasons}
        events += [
            Finish(decode_ending(reason, has_calls=False), index) for index, reason in self._reasons.items()
        ]
        return [*events, End(clean=is_clean)]


@define(eq=False)
class CompletionStreamEncoder:
    """Writes a stream of completions. What is not text is not told."""

    _ctx: ExchangeContext
    _head: JsonObject = field(factory=dict, init=False)
    _blocks: dict[int, int] = field(factory=dict, init=False)
    """Block of text → its choice."""
    _endings: dict[int, Ending] = field(factory=dict, init=False)
    """Every choice that was heard of."""
    _refusals: set[int] = field(factory=set, init=False)
    """Choices whose text is a refusal."""
    _tokens: dict[int, list[JsonObject]] = field(factory=dict, init=False)
    """Tokens whose probabilities belong to the next text of a choice."""
    _offsets: dict[int, int] = field(factory=dict, init=False)
    """Where in the text of a choice the next token begins."""
    _usage: Usage = field(factory=Usage, init=False)
    _is_over: bool = field(default=False, init=False)

    def encode(self, event: Event) -> list[Frame]:  # noqa: C901 - one flat match
        """Take one event."""
        if self._is_over:
            return []
        match event:
            case TextDelta() if event.index in self._blocks:
                return self._say(self._blocks[event.index], event.text)
            case Start():
                self._head = _head(event, self._ctx)
                self._usage = self._usage.merged(event.usage or Usage())
            case BlockStart() if event.kind in _TEXT_KINDS:
                self._blocks[event.index] = event.choice
                if event.kind is BlockKind.REFUSAL:
                    self._refusals.add(event.choice)
            case ExtrasUpdate(choice=int(choice)):
                self._tokens.setdefault(choice, []).extend(_tokens_of(own(event.extras)))
            case UsageUpdate():
                self._usage = self._usage.merged(event.usage)
            case Finish():
                self._endings[event.choice] = event.ending
            case End():
                return self.finish()
            case StreamError():
                return self.error(error_in_stream(event))
            case _:
                pass
        return []

    def finish(self) -> list[Frame]:
        """End the stream."""
        if self._is_over:
            return []
        self._is_over = True
        endings = self._endings or {0: Ending(FinishReason.STOP)}
        choices: list[JsonValue] = [
            _choice(
                index,
                "",
                encode_reason(ending, has_calls=False, has_refusal=index in self._refusals),
                self._likelihoods(index),
            )
            for index, ending in sorted(endings.items())
        ]
        wants_chunk = self._ctx.include_usage
        usage: JsonObject = {"usage": encode_usage(self._usage)}
        frames = [self._frame(choices, usage if is_known(self._usage) and not wants_chunk else {})]
        if wants_chunk:
            frames.append(self._frame([], usage))
        return [*frames, make_frame(DONE)]

    def error(self, error: ProxyError) -> list[Frame]:
        """Write an error; nothing follows it."""
        if self._is_over:
            return []
        self._is_over = True
        return [make_frame(dumps(encode_error(error)))]

    def _say(self, choice: int, said: str) -> list[Frame]:
        if not said:
            return []
        if choice not in self._endings:
            self._endings[choice] = Ending(FinishReason.STOP)
            echo = _echo(self._ctx)
            self._offsets[choice] = len(echo)
            said = echo + said
        return [self._frame([_choice(choice, said, None, self._likelihoods(choice))], {})]

    def _likelihoods(self, choice: int) -> JsonObject | None:
        """Write the probabilities that have come since the last text."""
        tokens = self._tokens.pop(choice, [])
        offset = self._offsets.get(choice, 0)
        self._offsets[choice] = offset + sum(len(text(token, "token")) for token in tokens)
        return _logprobs(tokens, offset)

    def _frame(self, choices: list[JsonValue], more: JsonObject) -> Frame:
        self._head = self._head or _head(Start("", ""), self._ctx)
        return make_frame(dumps({**self._head, "choices": choices, **more}))


# --- looking ---


def inspect(frame: Frame) -> Glimpse:
    """Look at one frame of a stream that is passed through."""
    if frame.data.strip() == DONE:
        return Glimpse(has_content=False, is_terminal=True)
    try:
        chunk = loads_object(frame.data)
    except JsonError:
        return Glimpse(has_content=False)
    glimpse = inspect_response(chunk)
    is_finished = any(text(entry, "finish_reason") for entry in objects(chunk, "choices"))
    return Glimpse(
        usage=glimpse.usage,
        has_content=glimpse.has_content,
        is_finished=is_finished,
        error=glimpse.error,
        is_usage_only=glimpse.usage is not None and not items(chunk, "choices"),
    )


def inspect_response(body: JsonObject) -> Glimpse:
    """Look at a whole answer."""
    if body.get("error") and not body.get("choices"):
        return Glimpse(has_content=False, error=decode_error(0, body))
    says = any(
        text(entry, "text") or text(entry, "finish_reason") not in {"", "stop"}
        for entry in objects(body, "choices")
    )
    return Glimpse(
        usage=decode_usage(child(body, "usage")), has_content=says, is_terminal=True, is_finished=True
    )


DIALECT: Final = Dialect(
    id=DIALECT_ID,
    endpoints=(Endpoint(path=PATH, read=read),),
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=CompletionStreamDecoder,
    stream_encoder=CompletionStreamEncoder,
    encode_error=encode_error,
    decode_error=decode_error,
    inspect=inspect,
    inspect_response=inspect_response,
    patch_model=patch_model,
    patch_reasoning=patch_reasoning,
    patch_stream=patch_stream,
    payload=RuleForm(names=frozenset({"openai"})),
    terminator=b"data: [DONE]\n\n",
)
