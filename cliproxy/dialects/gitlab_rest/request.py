"""Flatten a conversation into what GitLab's text endpoints take.

Three things are made of it: the **instruction** (the text of the last user message), **snippets** of
context, and a **transcript** that stands above the cursor of an imaginary file. Instruction and transcript
are limited; what does not fit is cut at the front, on a character boundary, because the newest text matters
most.
"""

from typing import Final

from attrs import define, field, frozen

from cliproxy.errors import DialectError
from cliproxy.ir.context import ExchangeContext
from cliproxy.ir.request import (
    Audio,
    Document,
    Image,
    IRRequest,
    Message,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Video,
)
from cliproxy.wire.jsontext import Changes, JsonObject, JsonValue, dumps_text, text

INSTRUCTION_BYTES: Final = 4000
TRANSCRIPT_BYTES: Final = 12_000
FILE_NAME: Final = "prompt.txt"
_FALLBACKS: Final = ("prompt", "input", "instructions")
"""Members of a client's body to look for an instruction in when no message has text."""


@frozen
class Snippet:
    """One piece of context and whose it is."""

    name: str
    """Role and number: ``system-1``, ``assistant-2``."""
    role: str
    text: str


@define
class Prompt:
    """A flattened conversation."""

    instruction: str = ""
    snippets: list[Snippet] = field(factory=list)
    blocks: list[str] = field(factory=list)
    """The transcript, a block for each turn."""

    @property
    def transcript(self) -> str:
        """The text above the cursor."""
        return newest("\n\n".join(self.blocks), TRANSCRIPT_BYTES) or self.instruction

    def add(self, role: str, said: str) -> None:
        """Append what a role said; nothing if it said nothing."""
        said = said.strip()
        if not said:
            return
        number = 1 + sum((snippet.role == "system") is (role == "system") for snippet in self.snippets)
        self.snippets.append(Snippet(f"{role}-{number}", role, said))
        if role != "system":
            self.blocks.append(f"{role.capitalize()}:\n{said}")
        if role == "user":
            self.instruction = newest(said, INSTRUCTION_BYTES)


def encode_chat(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request to ``chat/completions``. Raises :class:`~cliproxy.errors.DialectError`."""
    prompt = _prompt(request, ctx)
    if sum(snippet.role == "user" for snippet in prompt.snippets) > 1:
        ctx.note("earlier user messages")
    context: list[JsonValue] = [
        {"category": "snippet", "id": snippet.name, "content": snippet.text}
        for snippet in prompt.snippets
        if snippet.role != "user"
    ]
    body: JsonObject = {"content": prompt.instruction, "with_clean_history": True}
    return body | {"additional_context": context} if context else body


def encode_suggestion(request: IRRequest, ctx: ExchangeContext) -> JsonObject:
    """Write a request to ``code_suggestions/completions``. Raises :class:`~cliproxy.errors.DialectError`."""
    prompt = _prompt(request, ctx)
    context: list[JsonValue] = [
        {"type": "snippet", "name": snippet.name, "content": snippet.text}
        for snippet in prompt.snippets
        if snippet.role != "system"
    ]
    if len(context) < len(prompt.snippets):
        ctx.note("system text")
    body: JsonObject = {
        "current_file": {
            "file_name": FILE_NAME,
            "content_above_cursor": prompt.transcript,
            "content_below_cursor": "",
        },
        "intent": "generation",
        "generation_type": "small_file",
        "user_instruction": prompt.instruction,
        "stream": request.stream,
    }
    return body | {"context": context} if context else body


def _prompt(request: IRRequest, ctx: ExchangeContext) -> Prompt:
    _refuse_what_text_cannot_say(request)
    _note_losses(request, ctx)
    prompt = Prompt()
    for system in request.system:
        prompt.add("system", system.text)
    for message in request.messages:
        _add_message(prompt, message, ctx)
    if not prompt.instruction:
        said = next(
            (text(ctx.original_body, key) for key in _FALLBACKS if text(ctx.original_body, key).strip()), ""
        )
        prompt.instruction = newest(said.strip() or prompt.transcript, INSTRUCTION_BYTES)
    if not prompt.instruction:
        raise DialectError("the request has no text that this upstream could work on", param="messages")
    return prompt


def _add_message(prompt: Prompt, message: Message, ctx: ExchangeContext) -> None:
    """Add a message; results of tools that came with a user's words are a turn of their own."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    for result in results:
        prompt.add("tool", _text_of_result(result, ctx))
    prompt.add(message.role, _text_of([part for part in message.parts if part not in results], ctx))


def _text_of(parts: list[Part], ctx: ExchangeContext) -> str:
    return "\n".join(said for part in parts if (said := _text_of_part(part, ctx)))


def _text_of_part(part: Part, ctx: ExchangeContext) -> str:
    match part:
        case Text() | Refusal():
            return part.text
        case ToolCall():
            return dumps_text({"name": part.name, "arguments": part.arguments})
        case ToolResult():
            return _text_of_result(part, ctx)
        case Image(source=Remote() as source) | Document(source=Remote() as source):
            ctx.note("media at a URL (sent as the URL's text)")
            return source.url
        case Image() | Document() | Audio() | Video():
            raise DialectError(
                f"this upstream takes text only, no {type(part).__name__.lower()}", param="messages"
            )
        case Thinking():
            return ""
        case _:
            return dumps_text(part.raw)


def _text_of_result(result: ToolResult, ctx: ExchangeContext) -> str:
    said = dumps_text(result.value) if result.value is not None else _text_of(result.parts, ctx)
    return f"{result.name}: {said}" if result.name else said


def _refuse_what_text_cannot_say(request: IRRequest) -> None:
    """Refuse what an answer in plain text would silently lack."""
    declined = request.tool_choice is not None and request.tool_choice.mode == "none"
    if request.tools and not declined:
        raise DialectError(
            "tools cannot be used over this account's connection, which carries text only", param="tools"
        )
    if request.output is not None and request.output.kind != "text":
        raise DialectError(
            "structured output cannot be had over this account's connection, which carries text only",
            param="response_format",
        )


def _note_losses(request: IRRequest, ctx: ExchangeContext) -> None:
    sampling = request.sampling
    said = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop": sampling.stop or None,
        "seed": sampling.seed,
        "n": sampling.n if sampling.n != 1 else None,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logprobs": sampling.logprobs or None,
        "reasoning": request.reasoning,
    }
    for name, value in said.items():
        if value is not None:
            ctx.note(name)


def newest(said: str, limit: int) -> str:
    """Return the end of a text that fits into so many bytes of UTF-8."""
    raw = said.encode("utf-8", "replace")
    return said if len(raw) <= limit else raw[-limit:].decode("utf-8", "ignore")


def no_clients(_body: JsonObject, _ctx: ExchangeContext) -> IRRequest:
    """Refuse: no client speaks this dialect."""
    raise DialectError("no client speaks this dialect")


def nothing_to_patch(_model: str) -> Changes:
    """Change nothing: the body names no model."""
    return {}


def nothing_to_patch_for(_wish: Reasoning, _body: JsonObject) -> Changes:
    """Change nothing: there is no reasoning to be asked for."""
    return {}
