"""The routes read just enough: model, stream, and that there is something to do."""

import pytest

from cliproxy.dialects.base import Action, ClientRequest, PathFacts
from cliproxy.dialects.openai_images.endpoints import ENDPOINTS
from cliproxy.errors import BadRequest
from cliproxy.wire.formdata import FormData, Part
from cliproxy.wire.jsontext import Document, JsonObject, dumps

GENERATE, EDIT = ENDPOINTS
PICTURES: JsonObject = {"prompt": "a cat", "images": [{"image_url": "https://a.example/b.png"}]}


def generation(body: JsonObject) -> ClientRequest:
    return GENERATE.read(Document.parse(dumps(body)), PathFacts(headers={"a": "b"}))


def edit(body: JsonObject) -> ClientRequest:
    return EDIT.read(Document.parse(dumps(body)), PathFacts())


def edit_form(**texts: str) -> ClientRequest:
    assert EDIT.read_form is not None
    parts = [Part(name=name, data=text.encode()) for name, text in texts.items()]
    return EDIT.read_form(
        FormData.of([*parts, Part(name="image", data=b"\x89PNG", filename="a")]), PathFacts()
    )


def test_paths():
    assert [endpoint.path for endpoint in ENDPOINTS] == ["/v1/images/generations", "/v1/images/edits"]
    assert GENERATE.read_form is None


def test_a_request_for_a_picture():
    wanted = generation({"model": " m ", "prompt": "a cat", "stream": True})
    assert (wanted.dialect, wanted.action, wanted.model) == ("openai-images", Action.IMAGE, "m")
    assert wanted.stream
    assert wanted.headers == {"a": "b"}


def test_a_request_without_model_is_for_the_default():
    assert generation({"prompt": "a cat"}).model == "gpt-image-2"
    assert edit(PICTURES).model == "gpt-image-2"


@pytest.mark.parametrize(("said", "stream"), [("true", True), ("True", True), ("false", False)])
def test_a_form(said: str, stream: bool):
    wanted = edit_form(model="m", prompt="a cat", stream=said)
    assert (wanted.model, wanted.stream) == ("m", stream)
    assert isinstance(wanted.document, FormData)


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": "  "}, {"prompt": ["a"]}])
def test_a_prompt_is_required(body: JsonObject):
    with pytest.raises(BadRequest, match="`prompt`"):
        generation(body)
    with pytest.raises(BadRequest, match="`prompt`"):
        edit({**PICTURES, "prompt": None, **body})
    with pytest.raises(BadRequest, match="`prompt`"):
        edit_form()


def test_a_picture_is_required_to_edit_one():
    assert EDIT.read_form is not None
    with pytest.raises(BadRequest, match="`images`"):
        edit({"prompt": "a cat"})
    form = FormData.of([Part(name="prompt", data=b"a cat"), Part(name="mask", data=b"", filename="a")])
    with pytest.raises(BadRequest, match="`image`"):
        EDIT.read_form(form, PathFacts())


def test_pictures_belong_to_the_other_route():
    with pytest.raises(BadRequest, match="/v1/images/edits"):
        generation(PICTURES)


def test_a_model_is_a_name():
    with pytest.raises(BadRequest, match="`model`"):
        generation({"prompt": "a cat", "model": 3})
