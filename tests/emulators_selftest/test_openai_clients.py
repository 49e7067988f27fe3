"""The OpenAI emulator's answers, read by the vendor's own package over a real socket."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
import trio

from support.emulator import Emulator, start_emulator

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
FLAT_TOOL = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
ARGUMENTS = {"city": "sample city", "days": 7}


@pytest.fixture
async def emulator():
    async with start_emulator("openai") as running:
        yield running
        assert await running.refusals() == []


async def ask(emulator: Emulator, work: Callable[[openai.OpenAI], Any]) -> Any:
    """Run `work` with the vendor's client in a thread."""

    def run() -> Any:
        url = f"{emulator.base_url}/v1"
        with openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


async def test_a_chat_answer_repeats_the_question_and_counts_tokens(emulator):
    answer = await ask(emulator, lambda c: c.chat.completions.create(model="gpt-4o", messages=user("hello")))
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens > 0


async def test_a_chat_stream_has_one_role_one_finish_and_a_usage_chunk(emulator):
    def work(client: openai.OpenAI) -> list[Any]:
        options = {"include_usage": True}
        return list(
            client.chat.completions.create(
                model="gpt-4o", messages=user("unicode please"), stream=True, stream_options=options
            )
        )

    chunks = await ask(emulator, work)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    text = "".join(delta.content or "" for delta in deltas)
    assert "\u2028line \u2029paragraph \u0085next" in text
    assert [delta.role for delta in deltas].count("assistant") == 1
    finishes = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert finishes[:-1] == [None] * (len(finishes) - 1)
    assert finishes[-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


async def test_chat_tools_are_called_in_parallel_and_their_results_repeated(emulator):
    second = {"type": "function", "function": {"name": "get_time", "parameters": WEATHER}}
    tools = [CHAT_TOOL, second]

    def work(client: openai.OpenAI) -> tuple[Any, Any]:
        messages = user("use both tools in parallel")
        with client.chat.completions.stream(model="gpt-4o", messages=messages, tools=tools) as stream:
            called = stream.get_final_completion().choices[0]
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"result of {call.function.name}"}
            for call in called.message.tool_calls
        ]
        assistant = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in called.message.tool_calls
            ],
        }
        messages = [*messages, assistant, *results]
        return called, client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)

    called, answer = await ask(emulator, work)
    assert called.finish_reason == "tool_calls"
    assert [call.function.name for call in called.message.tool_calls] == ["get_weather", "get_time"]
    assert [json.loads(call.function.arguments) for call in called.message.tool_calls] == [ARGUMENTS] * 2
    said = "The tool said: result of get_weather; result of get_time"
    assert answer.choices[0].message.content == said


async def test_chat_refusal_length_and_structured_answers(emulator):
    def create(client: openai.OpenAI, text: str, **more: Any) -> Any:
        return client.chat.completions.create(model="gpt-4o", messages=user(text), **more).choices[0]

    refused = await ask(emulator, lambda c: create(c, "refuse this"))
    assert refused.message.refusal
    assert refused.message.content is None
    cut = await ask(emulator, lambda c: create(c, "hit max tokens", max_tokens=5))
    assert cut.finish_reason == "length"
    wanted = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER}}
    structured = await ask(emulator, lambda c: create(c, "hello", response_format=wanted))
    assert json.loads(structured.message.content) == ARGUMENTS


async def test_tokens_of_a_responses_request_are_counted(emulator):
    def work(client: openai.OpenAI) -> Any:
        return client.responses.input_tokens.count(model="gpt-5", input="hello", tools=[FLAT_TOOL])

    counted = await ask(emulator, work)
    assert (counted.object, counted.input_tokens > 0) == ("response.input_tokens", True)


async def test_a_responses_answer_has_reasoning_text_and_usage(emulator):
    def work(client: openai.OpenAI) -> Any:
        return client.responses.create(
            model="gpt-5",
            input="think about it",
            reasoning={"effort": "low", "summary": "auto"},
            include=["reasoning.encrypted_content"],
            store=False,
        )

    answer = await ask(emulator, work)
    reasoning, message = answer.output
    assert reasoning.type == "reasoning"
    assert reasoning.summary[0].text.startswith("Let me think")
    assert reasoning.encrypted_content.startswith("gAAAA")
    assert message.content[0].text == answer.output_text == "You said: think about it"
    assert answer.usage.output_tokens_details.reasoning_tokens > 0


async def test_a_responses_stream_counts_its_events_and_ends_with_the_whole(emulator):
    def work(client: openai.OpenAI) -> list[Any]:
        stream = client.responses.create(
            model="gpt-5",
            input="think, then use the tool with a preamble",
            tools=[FLAT_TOOL],
            reasoning={"summary": "auto"},
            stream=True,
        )
        return list(stream)

    events = await ask(emulator, work)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert added == [0, 1, 2]
    final = events[-1].response
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.id for item in done] == [item.id for item in final.output]
    fragments = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert json.loads("".join(fragments)) == json.loads(final.output[2].arguments) == ARGUMENTS


async def test_responses_are_remembered_and_reasoning_may_be_replayed(emulator):
    def work(client: openai.OpenAI) -> tuple[Any, Any]:
        sealed: dict[str, Any] = {"include": ["reasoning.encrypted_content"], "store": False}
        first = client.responses.create(
            model="gpt-5", input="think and use the tool", tools=[FLAT_TOOL], **sealed
        )
        call = first.output[-1]
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        history = [
            {"role": "user", "content": "think and use the tool"},
            *(item.model_dump(exclude_none=True) for item in first.output),
            output,
        ]
        second = client.responses.create(model="gpt-5", input=history, tools=[FLAT_TOOL], **sealed)
        third = client.responses.create(model="gpt-4o", input="hello")
        client.responses.create(model="gpt-4o", input="again", previous_response_id=third.id)
        return first, second

    first, second = await ask(emulator, work)
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    assert second.output_text == "The tool said: sunny"


async def test_models_embeddings_and_legacy_completions(emulator):
    names = await ask(emulator, lambda c: [model.id for model in c.models.list()])
    assert "gpt-5-codex" in names
    vectors = await ask(
        emulator, lambda c: c.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    )
    assert len(vectors.data) == 2
    assert len(vectors.data[0].embedding) == 8

    def complete(client: openai.OpenAI) -> tuple[Any, list[Any]]:
        model, prompt = "gpt-3.5-turbo-instruct", "hello"
        whole = client.completions.create(model=model, prompt=prompt)
        return whole, list(client.completions.create(model=model, prompt=prompt, stream=True))

    whole, chunks = await ask(emulator, complete)
    assert whole.choices[0].text == "You said: hello"
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text


async def test_scripted_failures_become_the_vendors_exceptions():
    async with start_emulator("openai") as emulator:
        await emulator.script([{"status": 429, "retry_after": 7}, {"status": 401}, {"fault": "error_event"}])

        def create(client: openai.OpenAI, *, stream: bool = False) -> Any:
            answer = client.chat.completions.create(model="gpt-4o", messages=user("long"), stream=stream)
            return list(answer) if stream else answer

        with pytest.raises(openai.RateLimitError) as limited:
            await ask(emulator, create)
        assert limited.value.response.headers["retry-after"] == "7"
        with pytest.raises(openai.AuthenticationError):
            await ask(emulator, create)
        with pytest.raises(openai.APIError, match="server had an error"):
            await ask(emulator, lambda c: create(c, stream=True))


async def test_a_compatible_server_shows_its_reasoning_and_knows_every_model():
    async with start_emulator("openai", vendor="compatible") as emulator:

        def work(client: openai.OpenAI) -> Any:
            return client.chat.completions.create(model="any/model", messages=user("think"), max_tokens=9)

        answer = await ask(emulator, work)
        assert answer.choices[0].message.reasoning_content.startswith("Let me think")
