"""Model lists in the OpenAI shape: ``GET /v1/models`` and ``GET /v1/models/{model}``.

Contract: OpenAI API reference, "Models": ``{"object": "list", "data": [{"id", "object", "created",
"owned_by"}]}``.
"""

from collections.abc import Mapping, Sequence

from cliproxy.dialects.base import ListedModel, ModelLists
from cliproxy.wire.jsontext import JsonObject


def claims(_headers: Mapping[str, str], _query: Mapping[str, str]) -> bool:
    """The OpenAI shape is what a client gets that shows no sign of another."""
    return True


def encode_one(model: ListedModel) -> JsonObject:
    """Render one model."""
    rendered: JsonObject = {"id": model.id, "object": "model", "owned_by": model.owned_by}
    rendered["created"] = model.created
    return rendered


def encode_list(models: Sequence[ListedModel]) -> JsonObject:
    """Render the list."""
    return {"object": "list", "data": [encode_one(model) for model in models]}


MODEL_LISTS = ModelLists(paths=("/v1/models",), claims=claims, encode_list=encode_list, encode_one=encode_one)
