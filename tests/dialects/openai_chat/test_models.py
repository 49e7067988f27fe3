"""Model lists as OpenAI's clients read them."""

from openai.types import Model

from cliproxy.dialects.base import ListedModel
from cliproxy.dialects.openai_chat.models import MODEL_LISTS, claims, encode_list, encode_one


def test_the_vendors_own_type_reads_it() -> None:
    read = Model.model_validate(encode_one(ListedModel(id="m", owned_by="o", created=7)))
    assert (read.id, read.owned_by, read.created, read.object) == ("m", "o", 7, "model")


def test_the_list() -> None:
    assert encode_list([]) == {"object": "list", "data": []}
    assert encode_list([ListedModel(id="m")])["data"] == [encode_one(ListedModel(id="m"))]


def test_it_is_the_shape_for_everybody_else() -> None:
    assert claims({}, {})
    assert MODEL_LISTS.paths == ("/v1/models",)
