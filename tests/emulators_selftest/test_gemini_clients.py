"""The Gemini emulator's answers, read by the vendor's own package over a real socket."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
import trio
from google import genai
from google.genai import errors, types

from support.emulator import Emulator, start_emulator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
ARGUMENTS = {"city": "sample city", "days": 7}


@pytest.fixture
async def emulator():
    async with start_emulator("gemini") as running:
        yield running
        assert await running.refusals() == []


async def ask(emulator: Emulator, work: Callable[[genai.Client], Any]) -> Any:
    """Run `work` with the vendor's client in a thread."""

    def run() -> Any:
        options = types.HttpOptions(base_url=emulator.base_url, retry_options=None)
        with genai.Client(api_key="AIzaTest", http_options=options) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


def declared(*names: str) -> list[Any]:
    functions = [types.FunctionDeclaration(name=name, parameters_json_schema=SCHEMA) for name in names]
    return [types.Tool(function_declarations=functions)]


def config(**settings: Any) -> types.GenerateContentConfig:
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(automatic_function_calling=off, **settings)


async def test_an_answer_repeats_the_question_and_counts_tokens(emulator):
    def work(client: genai.Client) -> Any:
        return client.models.generate_content(model="gemini-2.5-flash", contents="hello")

    answer = await ask(emulator, work)
    assert answer.text == "You said: hello"
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count


async def test_a_stream_shows_thoughts_and_ends_with_a_reason(emulator):
    thinking = types.ThinkingConfig(include_thoughts=True)

    def work(client: genai.Client) -> list[Any]:
        return list(
            client.models.generate_content_stream(
                model="gemini-2.5-pro", contents="unicode", config=config(thinking_config=thinking)
            )
        )

    chunks = await ask(emulator, work)
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    thoughts = "".join(part.text for part in parts if part.thought)
    text = "".join(part.text for part in parts if not part.thought)
    assert thoughts.startswith("Let me think")
    assert "\u2028line \u2029paragraph \u0085next" in text
    assert [chunk.candidates[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage_metadata.thoughts_token_count > 0


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro-preview"])
async def test_functions_are_called_in_parallel_and_signatures_replayed(emulator, model):
    tools = config(tools=declared("get_weather", "get_time"))

    def work(client: genai.Client) -> tuple[Any, Any]:
        question = types.Content(role="user", parts=[types.Part(text="use the tools in parallel")])
        called = client.models.generate_content(model=model, contents=[question], config=tools)
        content = called.candidates[0].content
        answers = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=part.function_call.id,
                    name=part.function_call.name,
                    response={"result": f"{part.function_call.name} is fine"},
                )
            )
            for part in content.parts
        ]
        history = [question, content, types.Content(role="user", parts=answers)]
        return called, client.models.generate_content(model=model, contents=history, config=tools)

    called, answer = await ask(emulator, work)
    calls = [part.function_call for part in called.candidates[0].content.parts]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert [dict(call.args) for call in calls] == [ARGUMENTS] * 2
    signatures = [part.thought_signature for part in called.candidates[0].content.parts]
    assert (signatures[0] is not None) == model.startswith("gemini-3")
    assert signatures[1] is None
    assert answer.text == "The tool said: get_weather is fine; get_time is fine"


async def test_refusals_limits_pictures_and_structured_answers(emulator):
    def create(client: genai.Client, text: str, model: str = "gemini-2.5-flash", **settings: Any) -> Any:
        answer = client.models.generate_content(model=model, contents=text, config=config(**settings))
        return answer.candidates[0]

    assert (await ask(emulator, lambda c: create(c, "refuse"))).finish_reason == types.FinishReason.SAFETY
    cut = await ask(emulator, lambda c: create(c, "max tokens"))
    assert cut.finish_reason == types.FinishReason.MAX_TOKENS
    picture = await ask(
        emulator, lambda c: create(c, "draw", "gemini-2.5-flash-image", response_modalities=["TEXT", "IMAGE"])
    )
    assert picture.content.parts[0].inline_data.mime_type == "image/png"
    wanted = {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
    structured = await ask(emulator, lambda c: create(c, "hi", **wanted))
    assert json.loads(structured.content.parts[0].text) == ARGUMENTS


async def test_models_and_token_counts(emulator):
    names = await ask(emulator, lambda c: [model.name for model in c.models.list()])
    assert "models/gemini-3-pro-preview" in names
    model = "gemini-2.5-flash"
    counted = await ask(emulator, lambda c: c.models.count_tokens(model=model, contents="hello"))
    assert counted.total_tokens > 0


async def test_scripted_failures_become_the_vendors_exceptions():
    async with start_emulator("gemini") as emulator:
        await emulator.script([{"status": 429, "retry_delay": "34.5s"}, {"status": 503}])

        def work(client: genai.Client) -> Any:
            return client.models.generate_content(model="gemini-2.5-flash", contents="hi")

        with pytest.raises(errors.ClientError) as limited:
            await ask(emulator, work)
        assert limited.value.details["error"]["details"][0]["retryDelay"] == "34.5s"
        with pytest.raises(errors.ServerError):
            await ask(emulator, work)


async def test_framings_of_a_stream(emulator):
    path = f"{emulator.base_url}/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    body = {"contents": [{"parts": [{"text": "hello there you"}]}]}
    async with httpx2.AsyncClient(headers={"x-goog-api-key": "AIzaTest"}) as client:
        events = (await client.post(path, params={"alt": "sse"}, json=body)).content
        array = (await client.post(path, json=body)).json()
    assert events.endswith(b"}\r\n\r\n")
    said = [json.loads(event.removeprefix(b"data: ")) for event in events.split(b"\r\n\r\n") if event]
    assert len(said) == len(array) > 1
    assert said[0]["candidates"] == array[0]["candidates"]
