"""Conversations held with the vendors' own packages, one class for each client dialect.

Each does what a careful user of the package does, and nothing more: it sends the history, takes the answer
object as the package built it, and puts exactly that object back into the history. Whatever a package cannot
keep (a signature it does not know, a member it drops) is therefore lost here as it is in the field.

The ``stop`` of what is said is the dialect's own word; the expectations of each dialect stand with the tests.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import httpx2 as httpx
import openai
from google.genai import types as g

from support.conversation import Called, Counts, Given, Said, Talk

MAX_TOKENS: Final = 4000
"""Large enough for every thinking budget used here; Claude's package demands a limit."""


class ChatTalk(Talk):
    """OpenAI's chat completions."""

    def say(self, text: str, *, png: bytes | None = None, pdf: bytes | None = None) -> None:
        parts: list[dict[str, Any]] = []
        if png is not None:
            parts.append({"type": "image_url", "image_url": {"url": data_url(png)}})
        if pdf is not None:
            file = {"filename": "paper.pdf", "file_data": data_url(pdf, "application/pdf")}
            parts.append({"type": "file", "file": file})
        content = [{"type": "text", "text": text}, *parts] if parts else text
        self.history.append({"role": "user", "content": content})

    def give(self, results: Iterable[Given]) -> None:
        for result in results:
            answer = {"role": "tool", "tool_call_id": result.call.id, "content": result.output}
            self.history.append(answer)

    def answer(self, *, stream: bool = False) -> Said:
        wanted = self._wanted()
        done = self._streamed(wanted) if stream else self.clients.openai.chat.completions.create(**wanted)
        (choice,) = done.choices
        message = choice.message
        self.history.append(_chat_turn(message.model_dump(exclude_none=True)))
        return Said(
            text=message.content or "",
            thoughts=getattr(message, "reasoning_content", None) or "",
            refusal=message.refusal or "",
            calls=tuple(
                Called(call.id, call.function.name, json.loads(call.function.arguments))
                for call in message.tool_calls or []
            ),
            stop=choice.finish_reason,
            counts=_chat_counts(done.usage),
            model=done.model,
            id=done.id,
        )

    def call_in_pieces(self) -> tuple[str, list[str]]:
        name, pieces = "", []
        with self.clients.openai.chat.completions.stream(**self._wanted()) as events:
            for event in events:
                if event.type == "tool_calls.function.arguments.delta":
                    name = event.name
                    pieces.append(event.arguments_delta)
        return name, pieces

    def _wanted(self) -> dict[str, Any]:
        system = [{"role": "system", "content": self.wish.system}] if self.wish.system else []
        return {"model": self.wish.model, "messages": [*system, *self.history], **self._settings()}

    def _streamed(self, wanted: dict[str, Any]) -> Any:
        """Return what the package's helper put together; it raises for the two unusual endings."""
        options = {"include_usage": True}
        try:
            with self.clients.openai.chat.completions.stream(**wanted, stream_options=options) as events:
                return events.get_final_completion()
        except (openai.LengthFinishReasonError, openai.ContentFilterFinishReasonError) as exc:
            return exc.completion

    def _settings(self) -> dict[str, Any]:
        wish = self.wish
        settings: dict[str, Any] = {}
        if wish.tools:
            settings["tools"] = [
                {"type": "function", "function": {"name": tool.name, "parameters": tool.schema}}
                for tool in wish.tools
            ]
        if wish.force:
            settings["tool_choice"] = {"type": "function", "function": {"name": wish.force}}
        if wish.max_tokens is not None:
            settings["max_tokens"] = wish.max_tokens
        if wish.temperature is not None:
            settings["temperature"] = wish.temperature
        if wish.stop:
            settings["stop"] = list(wish.stop)
        if wish.thinks:
            settings["reasoning_effort"] = "low"
        if wish.schema is not None:
            inner = {"name": "answer", "schema": wish.schema, "strict": True}
            settings["response_format"] = {"type": "json_schema", "json_schema": inner}
        return settings


def _chat_turn(message: dict[str, Any]) -> dict[str, Any]:
    """Return an answer as a message of the history: without what only the package's helpers add to it."""
    calls = [{key: call[key] for key in call if key != "index"} for call in message.get("tool_calls", [])]
    for call in calls:
        call["function"].pop("parsed_arguments", None)
    return {**message, "tool_calls": calls} if calls else message


def _chat_counts(usage: Any) -> Counts | None:
    if usage is None:
        return None
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Counts(
        input=usage.prompt_tokens,
        output=usage.completion_tokens,
        total=usage.total_tokens,
        cache_read=prompt.cached_tokens if prompt else None,
        cache_write=getattr(prompt, "cached_creation_tokens", None) if prompt else None,
        reasoning=completion.reasoning_tokens if completion else None,
    )


class ResponsesTalk(Talk):
    """OpenAI's responses, without the service's memory: every turn sends the whole history."""

    def say(self, text: str, *, png: bytes | None = None, pdf: bytes | None = None) -> None:
        parts: list[dict[str, Any]] = [{"type": "input_text", "text": text}]
        if png is not None:
            parts.append({"type": "input_image", "image_url": data_url(png), "detail": "auto"})
        if pdf is not None:
            data = data_url(pdf, "application/pdf")
            parts.append({"type": "input_file", "filename": "paper.pdf", "file_data": data})
        self.history.append({"role": "user", "content": parts if len(parts) > 1 else text})

    def give(self, results: Iterable[Given]) -> None:
        for result in results:
            answer = {"type": "function_call_output", "call_id": result.call.id, "output": result.output}
            self.history.append(answer)

    def answer(self, *, stream: bool = False) -> Said:
        wanted = self._wanted()
        done = self._streamed(wanted) if stream else self.clients.openai.responses.create(**wanted)
        self.history += [item.model_dump(exclude_none=True) for item in done.output]
        messages = [item for item in done.output if item.type == "message"]
        parts = [part for item in messages for part in item.content]
        return Said(
            text=done.output_text,
            refusal="".join(part.refusal for part in parts if part.type == "refusal"),
            thoughts="".join(
                part.text for item in done.output if item.type == "reasoning" for part in item.summary
            ),
            calls=tuple(
                Called(item.call_id, item.name, json.loads(item.arguments))
                for item in done.output
                if item.type == "function_call"
            ),
            stop=_responses_stop(done),
            counts=_responses_counts(done.usage),
            model=done.model,
            id=done.id,
        )

    def call_in_pieces(self) -> tuple[str, list[str]]:
        name, pieces = "", []
        with self.clients.openai.responses.stream(**self._wanted()) as events:
            for event in events:
                if event.type == "response.output_item.added" and event.item.type == "function_call":
                    name = event.item.name
                if event.type == "response.function_call_arguments.delta":
                    pieces.append(event.delta)
        return name, pieces

    def _wanted(self) -> dict[str, Any]:
        return {"model": self.wish.model, "input": self.history, "store": False, **self._settings()}

    def _streamed(self, wanted: dict[str, Any]) -> Any:
        """Return the response of the terminal event, whichever of the three it is."""
        ends = {"response.completed", "response.incomplete", "response.failed"}
        last = None
        with self.clients.openai.responses.stream(**wanted) as events:
            for event in events:
                if event.type == "error":
                    raise openai.APIError(event.message, httpx.Request("POST", "/v1/responses"), body=None)
                last = event.response if event.type in ends else last
        return last

    def _settings(self) -> dict[str, Any]:
        wish = self.wish
        settings: dict[str, Any] = {}
        if wish.system:
            settings["instructions"] = wish.system
        if wish.tools:
            settings["tools"] = [
                {"type": "function", "name": tool.name, "parameters": tool.schema, "strict": False}
                for tool in wish.tools
            ]
        if wish.force:
            settings["tool_choice"] = {"type": "function", "name": wish.force}
        if wish.max_tokens is not None:
            settings["max_output_tokens"] = wish.max_tokens
        if wish.temperature is not None:
            settings["temperature"] = wish.temperature
        if wish.thinks:
            settings["reasoning"] = {"effort": "low", "summary": "auto"}
            settings["include"] = ["reasoning.encrypted_content"]
        if wish.schema is not None:
            inner = {"type": "json_schema", "name": "answer", "schema": wish.schema, "strict": True}
            settings["text"] = {"format": inner}
        return settings


def _responses_stop(done: Any) -> str:
    return f"incomplete: {done.incomplete_details.reason}" if done.incomplete_details else done.status


def _responses_counts(usage: Any) -> Counts | None:
    if usage is None:
        return None
    return Counts(
        input=usage.input_tokens,
        output=usage.output_tokens,
        total=usage.total_tokens,
        cache_read=usage.input_tokens_details.cached_tokens,
        cache_write=getattr(usage.input_tokens_details, "cache_write_tokens", None),
        reasoning=usage.output_tokens_details.reasoning_tokens,
    )


class ClaudeTalk(Talk):
    """Claude's messages."""

    def say(self, text: str, *, png: bytes | None = None, pdf: bytes | None = None) -> None:
        parts = [
            {"type": kind, "source": _claude_source(mime, data)}
            for kind, mime, data in (("image", "image/png", png), ("document", "application/pdf", pdf))
            if data is not None
        ]
        content = [*parts, {"type": "text", "text": text}] if parts else text
        self.history.append({"role": "user", "content": content})

    def give(self, results: Iterable[Given]) -> None:
        blocks = [
            {
                "type": "tool_result",
                "tool_use_id": result.call.id,
                "content": result.output,
                "is_error": result.is_error,
            }
            for result in results
        ]
        self.history.append({"role": "user", "content": blocks})

    def answer(self, *, stream: bool = False) -> Said:
        messages = self.clients.anthropic.messages
        if stream:
            with messages.stream(**self._wanted()) as events:
                done = events.get_final_message()
        else:
            done = messages.create(**self._wanted())
        self.history.append({"role": "assistant", "content": done.content})
        details = done.stop_details
        return Said(
            text="".join(block.text for block in done.content if block.type == "text"),
            thoughts="".join(block.thinking for block in done.content if block.type == "thinking"),
            refusal=(details.explanation or "") if details is not None else "",
            calls=tuple(
                Called(block.id, block.name, block.input)
                for block in done.content
                if block.type == "tool_use"
            ),
            stop=str(done.stop_reason),
            stop_sequence=done.stop_sequence,
            counts=_claude_counts(done.usage),
            model=done.model,
            id=done.id,
        )

    def call_in_pieces(self) -> tuple[str, list[str]]:
        name, pieces = "", []
        with self.clients.anthropic.messages.stream(**self._wanted()) as events:
            for event in events:
                if event.type == "content_block_start" and event.content_block.type == "tool_use":
                    name = event.content_block.name
                if event.type == "input_json":
                    pieces.append(event.partial_json)
        return name, pieces

    def _wanted(self) -> dict[str, Any]:
        return {"model": self.wish.model, "messages": self.history, **self._settings()}

    def _settings(self) -> dict[str, Any]:
        wish = self.wish
        settings: dict[str, Any] = {"max_tokens": wish.max_tokens or MAX_TOKENS}
        output: dict[str, Any] = {}
        if wish.system:
            settings["system"] = wish.system
        if wish.tools:
            settings["tools"] = [{"name": tool.name, "input_schema": tool.schema} for tool in wish.tools]
        if wish.force:
            settings["tool_choice"] = {"type": "tool", "name": wish.force}
        if wish.temperature is not None:
            settings["extra_body"] = {"temperature": wish.temperature}  # no longer a parameter of its own
        if wish.stop:
            settings["stop_sequences"] = list(wish.stop)
        if wish.thinks and wish.adaptive:
            settings["thinking"] = {"type": "adaptive"}
            output["effort"] = "low"
        elif wish.thinks:
            settings["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        if wish.schema is not None:
            output["format"] = {"type": "json_schema", "schema": wish.schema}
        if output:
            settings["output_config"] = output
        return settings


def _claude_source(mime: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": mime, "data": base64.b64encode(data).decode()}


def _claude_counts(usage: Any) -> Counts:
    details = usage.output_tokens_details
    return Counts(
        input=usage.input_tokens,
        output=usage.output_tokens,
        cache_read=usage.cache_read_input_tokens,
        cache_write=usage.cache_creation_input_tokens,
        reasoning=details.thinking_tokens if details else None,
    )


class GeminiTalk(Talk):
    """Gemini's generateContent."""

    def say(self, text: str, *, png: bytes | None = None, pdf: bytes | None = None) -> None:
        parts = [g.Part(text=text)]
        if png is not None:
            parts.append(g.Part.from_bytes(data=png, mime_type="image/png"))
        if pdf is not None:
            parts.append(g.Part.from_bytes(data=pdf, mime_type="application/pdf"))
        self.history.append(g.Content(role="user", parts=parts))

    def give(self, results: Iterable[Given]) -> None:
        parts = [
            g.Part(
                function_response=g.FunctionResponse(
                    id=result.call.id or None,
                    name=result.call.name,
                    response={"error" if result.is_error else "result": result.output},
                )
            )
            for result in results
        ]
        self.history.append(g.Content(role="user", parts=parts))

    def answer(self, *, stream: bool = False) -> Said:
        models = self.clients.genai.models
        wanted = self._wanted()
        chunks = list(models.generate_content_stream(**wanted)) if stream else []
        done = _joined(chunks) if stream else models.generate_content(**wanted)
        (candidate,) = done.candidates
        parts = (candidate.content.parts if candidate.content else None) or []
        if parts:
            self.history.append(candidate.content)
        texts = [part for part in parts if part.text]
        return Said(
            text="".join(part.text for part in texts if not part.thought),
            thoughts="".join(part.text for part in texts if part.thought),
            calls=tuple(
                Called(part.function_call.id or "", part.function_call.name, part.function_call.args or {})
                for part in parts
                if part.function_call
            ),
            stop=candidate.finish_reason.value if candidate.finish_reason else "",
            counts=_gemini_counts(done.usage_metadata),
            model=done.model_version or "",
            id=done.response_id or "",
        )

    def call_in_pieces(self) -> tuple[str, list[str]]:
        done = _joined(list(self.clients.genai.models.generate_content_stream(**self._wanted())))
        (call,) = [part.function_call for part in done.candidates[0].content.parts if part.function_call]
        return call.name, [json.dumps(call.args)]

    def _wanted(self) -> dict[str, Any]:
        return {"model": self.wish.model, "contents": self.history, "config": self._settings()}

    def _settings(self) -> g.GenerateContentConfig:
        wish = self.wish
        declarations = [
            g.FunctionDeclaration(name=tool.name, parameters_json_schema=tool.schema) for tool in wish.tools
        ]
        forced = g.FunctionCallingConfig(
            mode=g.FunctionCallingConfigMode.ANY, allowed_function_names=[wish.force]
        )
        thinking = None
        if wish.thinks:
            amount: dict[str, Any] = {"thinking_level": "low"} if wish.leveled else {"thinking_budget": 1024}
            thinking = g.ThinkingConfig(include_thoughts=True, **amount)
        return g.GenerateContentConfig(
            system_instruction=wish.system or None,
            tools=[g.Tool(function_declarations=declarations)] if declarations else None,
            automatic_function_calling=g.AutomaticFunctionCallingConfig(disable=True),
            tool_config=g.ToolConfig(function_calling_config=forced) if wish.force else None,
            max_output_tokens=wish.max_tokens,
            temperature=wish.temperature,
            stop_sequences=list(wish.stop) or None,
            thinking_config=thinking,
            response_mime_type="application/json" if wish.schema is not None else None,
            response_json_schema=wish.schema,
        )


def _joined(chunks: Sequence[g.GenerateContentResponse]) -> g.GenerateContentResponse:
    """Put the chunks of a stream together: all parts, the last reason and counts."""
    parts: list[g.Part] = []
    finish: g.FinishReason | None = None
    for chunk in chunks:
        for candidate in chunk.candidates or []:
            parts += (candidate.content.parts or []) if candidate.content else []
            finish = candidate.finish_reason or finish
    content = g.Content(role="model", parts=parts)
    whole = g.Candidate(content=content, finish_reason=finish)
    return chunks[-1].model_copy(update={"candidates": [whole]})


def _gemini_counts(usage: Any) -> Counts | None:
    if usage is None:
        return None
    return Counts(
        input=usage.prompt_token_count or 0,
        output=usage.candidates_token_count or 0,
        cache_read=usage.cached_content_token_count,
        reasoning=usage.thoughts_token_count,
        total=usage.total_token_count,
    )


def data_url(data: bytes, mime: str = "image/png") -> str:
    """Write a picture or a file as a data URL."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


TALKS: Final[dict[str, type[Talk]]] = {
    "chat": ChatTalk,
    "responses": ResponsesTalk,
    "claude": ClaudeTalk,
    "gemini": GeminiTalk,
}
