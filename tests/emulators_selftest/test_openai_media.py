"""The OpenAI emulator's embeddings and images: what it refuses, and what the vendor's package reads."""

import base64
from collections.abc import Callable
from typing import Any

import openai
import pytest
import trio

from emulators.media import kind_of, png
from emulators.openai import OpenAi
from support.emulator import Emulator, start_emulator
from support.refusals import refusal

HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-test"}
PNG = "data:image/png;base64," + base64.b64encode(png(0)).decode()


def refused(path: str, compatible: bool = False, **body: Any) -> tuple[int, str] | None:
    family = OpenAi(lambda: 0.0)
    if compatible:
        family.configure({"vendor": "compatible"})
    return refusal(family, path, body, HEADERS)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"model": "gpt-4o"}, 403, "not allowed to generate embeddings"),
        ({"model": "nobody"}, 404, "does not exist"),
        ({"input": ""}, 400, "too short"),
        ({"input": []}, 400, "empty array"),
        ({"input": ["a"] * 2049}, 400, "too long"),
        ({"input": ["a", 1]}, 400, "of one kind"),
        ({"input": [1.5]}, 400, "Invalid type"),
        ({"encoding_format": "hex"}, 400, "Supported values"),
        ({"dimensions": 0}, 400, "out of range"),
        ({"input_type": "query"}, 400, "Unknown parameter"),
    ],
)
def test_embeddings_are_checked(changes: dict[str, Any], status: int, words: str):
    found = refused("/v1/embeddings", **{"model": "text-embedding-3-small", "input": "hi", **changes})
    assert found is not None
    assert found[0] == status
    assert words in found[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "gpt-4o"}, "Value must be"),
        ({"prompt": ""}, "too short"),
        ({"n": 11}, "out of range"),
        ({"size": "huge"}, "does not match"),
        ({"response_format": "b64_json"}, "Unknown parameter: 'response_format'"),
        ({"partial_images": 2}, "only supported when stream"),
        ({"background": "transparent", "output_format": "jpeg"}, "not supported for JPEG"),
    ],
)
def test_requests_for_pictures_are_checked(changes: dict[str, Any], words: str):
    found = refused("/v1/images/generations", **{"model": "gpt-image-2", "prompt": "a cat", **changes})
    assert found is not None
    assert words in found[1]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "empty array"),
        ([{"url": PNG}], "Unknown parameter: 'images[0].url'"),
        ([{"image_url": "data:text/plain;base64,AAAA"}], "unsupported mimetype"),
        ([{"image_url": "data:image/png;base64,AAAA"}], "Invalid image file"),
        ([{"image_url": PNG}] * 17, "too long"),
    ],
)
def test_pictures_to_edit_are_checked(images: list[Any], words: str):
    found = refused("/v1/images/edits", model="gpt-image-2", prompt="bluer", images=images)
    assert found is not None
    assert words in found[1]


def test_servers_of_others_take_forms_and_know_the_older_setting():
    assert refused("/v1/images/edits", True, model="m", prompt="a", images=[{"image_url": PNG}])[0] == 415
    assert refused("/v1/images/generations", True, model="m", prompt="a", response_format="b64_json") is None
    assert refused("/v1/embeddings", True, model="m", input="a") is None


@pytest.fixture
async def emulator():
    async with start_emulator("openai") as running:
        yield running


async def ask(emulator: Emulator, work: Callable[[openai.OpenAI], Any]) -> Any:
    def run() -> Any:
        url = f"{emulator.base_url}/v1"
        with openai.OpenAI(base_url=url, api_key="sk-test", max_retries=0) as client:
            return work(client)

    return await trio.to_thread.run_sync(run)


async def test_vectors_are_the_same_in_both_forms(emulator: Emulator):
    def work(client: openai.OpenAI) -> Any:
        facts = {"model": "text-embedding-3-small", "input": ["a", "b"], "dimensions": 16}
        return [
            [entry.embedding for entry in client.embeddings.create(**facts, encoding_format=form).data]
            for form in ("float", "base64")
        ]

    as_floats, as_base64 = await ask(emulator, work)
    assert len(as_floats[0]) == 16
    assert isinstance(as_base64[0], str)
    assert (
        await ask(
            emulator, lambda c: len(c.embeddings.create(model="text-embedding-3-small", input="a").data)
        )
        == 1
    )


async def test_pictures_are_drawn_edited_and_streamed(emulator: Emulator):
    def work(client: openai.OpenAI) -> Any:
        drawn = client.images.generate(model="gpt-image-2", prompt="a cat", n=2)
        files = [("a.png", png(1), "image/png"), ("b.png", png(2), "image/png")]
        edited = client.images.edit(model="gpt-image-2", prompt="inspect", image=files, mask=files[0])
        streamed = client.images.generate(model="gpt-image-2", prompt="a", stream=True, partial_images=2)
        return drawn, edited, list(streamed)

    drawn, edited, events = await ask(emulator, work)
    pictures = [base64.b64decode(entry.b64_json) for entry in drawn.data]
    assert [kind_of(picture) for picture in pictures] == ["image/png"] * 2
    assert len(set(pictures)) == 2
    assert '"pictures":["image/png","image/png"],"edit":true,"mask":true' in edited.data[0].revised_prompt
    assert [event.type.partition(".")[2] for event in events] == [
        "partial_image",
        "partial_image",
        "completed",
    ]
    assert await emulator.refusals() == []


async def test_forms_are_checked(emulator: Emulator):
    def edit(client: openai.OpenAI, image: Any, **settings: Any) -> str:
        with pytest.raises(openai.BadRequestError) as caught:
            client.images.edit(model="gpt-image-2", prompt="bluer", image=image, **settings)
        return str(caught.value)

    good = ("a.png", png(1), "image/png")
    assert "unsupported mimetype" in await ask(emulator, lambda c: edit(c, ("a.txt", b"hi", "text/plain")))
    assert "Invalid image file" in await ask(emulator, lambda c: edit(c, ("a.png", b"hi", "image/png")))
    assert "Unknown parameter" in await ask(emulator, lambda c: edit(c, good, extra_body={"odd": "1"}))
    assert "safety system" in await ask(emulator, lambda c: edit(c, good, extra_body={"prompt": "withhold"}))
