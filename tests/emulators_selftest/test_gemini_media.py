"""The Gemini emulator's embeddings and pictures: what it refuses, and what the vendor's package reads."""

from collections.abc import Callable
from typing import Any

import pytest
import trio
from google import genai
from google.genai import types

from emulators.gemini import Gemini
from emulators.media import kind_of
from support.emulator import Emulator, start_emulator
from support.refusals import refusal

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HEADERS = {"content-type": "application/json", "x-goog-api-key": "AIzaTest"}
CONTENT = {"parts": [{"text": "hi"}]}
ONE = {"model": "models/gemini-embedding-001", "content": CONTENT}


def refused(method: str, body: Any, model: str = "gemini-embedding-001") -> tuple[int, str] | None:
    return refusal(Gemini(lambda: 0.0), f"/v1beta/models/{model}:{method}", body, HEADERS)


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("batchEmbedContents", {"requests": []}, "no requests can be in one batch"),
        ("batchEmbedContents", {"requests": [ONE] * 101}, "at most 100 requests"),
        ("batchEmbedContents", {"requests": [{"content": CONTENT}]}, "unexpected model name format"),
        ("batchEmbedContents", {"requests": [{**ONE, "model": "models/x"}]}, "must match"),
        ("batchEmbedContents", {"requests": [{**ONE, "taskType": "DANCING"}]}, "Invalid value"),
        ("batchEmbedContents", {"requests": [{**ONE, "user": "u"}]}, 'Unknown name "user"'),
        ("batchEmbedContents", {"content": CONTENT}, 'Unknown name "content"'),
        ("embedContent", {"requests": [ONE]}, 'Unknown name "requests"'),
        ("embedContent", {"content": {"parts": []}}, "contents is not specified"),
        ("embedContent", {"content": CONTENT, "outputDimensionality": 0}, "out of supported range"),
    ],
)
def test_embeddings_are_checked(method: str, body: Any, words: str):
    found = refused(method, body)
    assert found is not None
    assert found[0] == 400
    assert words in found[1]


def test_models_do_one_or_the_other():
    assert refused("embedContent", {"content": CONTENT}, "gemini-2.5-flash")[0] == 404
    assert refused("generateContent", {"contents": [CONTENT]})[0] == 404
    assert refused("embedContent", {"content": CONTENT, "task_type": "CLUSTERING"}) is None


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        ("gemini-2.5-flash", {"responseModalities": ["IMAGE"]}, "not supported by the model"),
        ("gemini-2.5-flash", {"imageConfig": {}}, "not supported for this model"),
        ("gemini-2.5-flash-image", {"imageConfig": {"aspectRatio": "7:3"}}, "Invalid value"),
        ("gemini-2.5-flash-image", {"imageConfig": {"imageSize": "2K"}}, "Image size is not supported"),
        ("gemini-2.5-flash-image", {"candidateCount": 2}, "Multiple candidates"),
    ],
)
def test_settings_for_pictures_are_checked(model: str, config: Any, words: str):
    body = {"contents": [{"role": "user", **CONTENT}], "generationConfig": config}
    found = refused("generateContent", body, model)
    assert found is not None
    assert words in found[1]


@pytest.fixture
async def emulator():
    async with start_emulator("gemini") as running:
        yield running
        assert await running.refusals() == []


async def ask(emulator: Emulator, work: Callable[[genai.Client], Any]) -> Any:
    def run() -> Any:
        options = types.HttpOptions(base_url=emulator.base_url, retry_options=None)
        with genai.Client(api_key="AIzaTest", http_options=options) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


async def test_vectors(emulator: Emulator):
    def work(client: genai.Client) -> Any:
        wish = types.EmbedContentConfig(output_dimensionality=16, task_type="CLUSTERING")
        one = client.models.embed_content(model="gemini-embedding-001", contents=["a", "b"], config=wish)
        other = client.models.embed_content(model="gemini-embedding-2", contents="a")
        return one, other

    one, other = await ask(emulator, work)
    assert [len(vector.values) for vector in one.embeddings] == [16, 16]
    assert one.usage_metadata is None
    assert len(other.embeddings) == 1
    assert other.usage_metadata.prompt_token_count > 0


async def test_pictures(emulator: Emulator):
    def draw(client: genai.Client, text: str) -> Any:
        wish = types.GenerateContentConfig(
            response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9")
        )
        answer = client.models.generate_content(model="gemini-2.5-flash-image", contents=text, config=wish)
        return answer.candidates[0].content.parts[0]

    first = (await ask(emulator, lambda c: draw(c, "a cat"))).inline_data.data
    second = (await ask(emulator, lambda c: draw(c, "a cat"))).inline_data.data
    assert kind_of(first) == "image/png"
    assert first != second
    assert (await ask(emulator, lambda c: draw(c, "just chat"))).text == "You said: just chat"
