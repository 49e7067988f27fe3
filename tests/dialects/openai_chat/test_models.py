"""Model lists in the OpenAI shape."""

from cliproxy.dialects.base import ListedModel
from cliproxy.dialects.openai_chat.models import MODEL_LISTS

MODEL = ListedModel(id="m", owned_by="o", created=5)


def test_list():
    written = {"id": "m", "object": "model", "created": 5, "owned_by": "o"}
    assert MODEL_LISTS.paths == ("/v1/models",)
    assert MODEL_LISTS.encode_one(MODEL) == written
    assert MODEL_LISTS.encode_list([MODEL]) == {"object": "list", "data": [written]}
    assert MODEL_LISTS.encode_list([]) == {"object": "list", "data": []}


def test_every_client_may_have_it():
    assert MODEL_LISTS.claims({}, {})
