"""The Claude emulator's answers, read by the vendor's own package over a real socket."""

from collections.abc import Callable
from typing import Any

import anthropic
import pytest
import trio

from support.emulator import Emulator, start_emulator

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOL = {"name": "get_weather", "description": "Weather of a city.", "input_schema": SCHEMA}
OTHER = {"name": "get_time", "input_schema": SCHEMA}
ARGUMENTS = {"city": "sample city", "days": 7}
BUDGET = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture
async def emulator():
    async with start_emulator("claude") as running:
        yield running
        assert await running.refusals() == []


async def ask(emulator: Emulator, work: Callable[[anthropic.Anthropic], Any]) -> Any:
    """Run `work` with the vendor's client in a thread."""

    def run() -> Any:
        with anthropic.Anthropic(base_url=emulator.base_url, api_key="sk-ant-test", max_retries=0) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


def request(text: str, **more: Any) -> dict[str, Any]:
    basis = {
        "model": "claude-haiku-4-5",
        "max_tokens": 2048,
        "messages": [{"role": "user", "content": text}],
    }
    return {**basis, **more}


async def test_a_message_repeats_the_question_and_counts_cached_tokens_apart(emulator):
    answer = await ask(emulator, lambda c: c.messages.create(**request("hello " * 20)))
    assert answer.content[0].text.startswith("You said: hello")
    assert answer.stop_reason == "end_turn"
    assert answer.usage.cache_read_input_tokens > 0
    assert answer.usage.input_tokens > 0


async def test_a_stream_thinks_signs_and_answers(emulator):
    def work(client: anthropic.Anthropic) -> tuple[list[str], Any]:
        with client.messages.stream(**request("unicode", thinking=BUDGET)) as stream:
            kinds = [event.type for event in stream]
            return kinds, stream.get_final_message()

    kinds, message = await ask(emulator, work)
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    thinking, text = message.content
    assert thinking.thinking.startswith("Let me think")
    assert thinking.signature.startswith("E")
    assert "\u2028line \u2029paragraph \u0085next" in text.text
    assert message.usage.output_tokens > 1


async def test_the_raw_event_grammar(emulator):
    def work(client: anthropic.Anthropic) -> list[Any]:
        with_tools = request("tool with a preamble", tools=[TOOL], stream=True)
        return list(client.messages.create(**with_tools))

    events = await ask(emulator, work)
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    starts = [event.index for event in events if event.type == "content_block_start"]
    stops = [event.index for event in events if event.type == "content_block_stop"]
    assert starts == stops == [0, 1]
    assert events[-2].delta.stop_reason == "tool_use"


async def test_tools_are_called_in_parallel_and_thinking_is_replayed(emulator):
    def work(client: anthropic.Anthropic) -> tuple[Any, Any]:
        shared = {"tools": [TOOL, OTHER], "thinking": BUDGET}
        with client.messages.stream(**request("use the tools in parallel", **shared)) as stream:
            called = stream.get_final_message()
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.name} is fine"}
            for block in called.content
            if block.type == "tool_use"
        ]
        history = [
            {"role": "user", "content": "use the tools in parallel"},
            {"role": "assistant", "content": [block.to_dict() for block in called.content]},
            {"role": "user", "content": results},
        ]
        return called, client.messages.create(**request("", **shared) | {"messages": history})

    called, answer = await ask(emulator, work)
    assert [block.type for block in called.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in called.content[1:]] == [ARGUMENTS] * 2
    assert answer.content[-1].text == "The tool said: get_weather is fine; get_time is fine"


async def test_refusals_limits_and_structured_answers(emulator):
    refused = await ask(emulator, lambda c: c.messages.create(**request("refuse")))
    assert refused.stop_reason == "refusal"
    cut = await ask(emulator, lambda c: c.messages.create(**request("max tokens")))
    assert cut.stop_reason == "max_tokens"
    empty = await ask(emulator, lambda c: c.messages.create(**request("empty")))
    assert empty.content == []
    output = {"format": {"type": "json_schema", "schema": SCHEMA}}
    structured = await ask(emulator, lambda c: c.messages.create(**request("hi", output_config=output)))
    assert structured.content[0].text == '{"city":"sample city","days":7}'


async def test_omitted_thinking_keeps_its_signature(emulator):
    thinking = {"type": "adaptive", "display": "omitted"}
    asked = request("think", model="claude-opus-4-8", thinking=thinking)
    answer = await ask(emulator, lambda c: c.messages.create(**asked))
    assert answer.content[0].thinking == ""
    history = [
        *asked["messages"],
        {"role": "assistant", "content": [block.to_dict() for block in answer.content]},
        {"role": "user", "content": "go on"},
    ]
    again = await ask(emulator, lambda c: c.messages.create(**asked | {"messages": history}))
    assert again.content[0].text == "You said: go on"


async def test_models_and_token_counts(emulator):
    models = await ask(emulator, lambda c: list(c.models.list()))
    assert "claude-opus-4-8" in [model.id for model in models]
    counted = {key: value for key, value in request("hello").items() if key != "max_tokens"}
    count = await ask(emulator, lambda c: c.messages.count_tokens(**counted))
    assert count.input_tokens > 0


async def test_scripted_failures_become_the_vendors_exceptions():
    async with start_emulator("claude") as emulator:
        await emulator.script([{"status": 529}, {"status": 429, "retry_after": 4}, {"fault": "error_event"}])
        with pytest.raises(anthropic.InternalServerError, match="Overloaded"):
            await ask(emulator, lambda c: c.messages.create(**request("hi")))
        with pytest.raises(anthropic.RateLimitError) as limited:
            await ask(emulator, lambda c: c.messages.create(**request("hi")))
        assert limited.value.response.headers["retry-after"] == "4"
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            await ask(emulator, lambda c: list(c.messages.create(**request("long", stream=True))))
